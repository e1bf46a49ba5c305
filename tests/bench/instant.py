#!/usr/bin/env python3
"""A second container of an image, and a hundred of them, beside what others do, in one run.

usage: instant.py BUILD_DIR [MEGABYTES] [FILES] [CONTAINERS]    (root; not a test: nothing here judges)

An image of 300 MB in 20,000 files unless told, from an OCI layout in the file system of /var/tmp, warm. MEGABYTES are those on
disk: files take whole blocks, and containers share the tree as it is there. A small image (5 MB, 300 files) beside it shows what
depends on the size. Peers where they are installed: podman --userns=auto, lxc-copy (-s), umoci unpack, tar.

Of each row: the wall time, which a busy machine and its disk lengthen (create waits for the disk, so that it outlives a crash);
the CPU time, user and system, of all processes; the disk used. Of several runs, the least and the median.
"""

import gzip
import hashlib
import io
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tarfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'frontend'))
from harness import Root, end_all_children, mount  # noqa: E402
from container import TOOLS  # noqa: E402

MEGABYTES, FILES, MANY = (int(word) for word in (sys.argv[2:] + ['300', '20000', '100'][len(sys.argv) - 2:]))
FIRST, BLOCK = 100000, 65536
BLOCK_SIZE = 4096  # of the file system
RUNS = 7
PLACE = f'/var/tmp/userns-bench-{os.getpid()}'


def root_tar(path, megabytes, files):
    """A busybox and many files."""
    with tarfile.open(path, 'w') as out:
        def add(name, data=None, mode=0o644, link=None):
            entry = tarfile.TarInfo(name)
            entry.mode = mode
            if link:
                entry.type, entry.linkname = tarfile.SYMTYPE, link
            elif data is None:
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            else:
                entry.size = len(data)
            out.addfile(entry, io.BytesIO(data) if data else None)
        for name in ('bin', 'etc', 'root', 'tmp', 'proc', 'sys', 'dev', 'run', 'data'):
            add(name)
        with open('/bin/busybox', 'rb') as file:
            add('bin/busybox', file.read(), 0o755)
        for tool in TOOLS:
            add(f'bin/{tool}', link='busybox')
        add('etc/passwd', b'root:x:0:0::/root:/bin/sh\n')
        noise = os.urandom(1 << 20)
        each = megabytes * 1_000_000 // files
        blocks, rest = each // BLOCK_SIZE, each % BLOCK_SIZE
        for number in range(files):
            if number % 200 == 0:
                add(f'data/{number // 200}')
            # A block more or less, so that all together take as many as told, and the last one is not full.
            size = (blocks + number % 3 - 1 + (number * 61 % BLOCK_SIZE < rest)) * BLOCK_SIZE - number * 37 % 1000
            at = number * 37 % (len(noise) - size) if size < len(noise) else 0
            add(f'data/{number // 200}/{number}', noise[at:at + size])


def layout(tar, path):
    """One image with this layer, compressed fast."""
    os.makedirs(f'{path}/blobs/sha256')

    def blob(data, kind):
        digest = hashlib.sha256(data).hexdigest()
        with open(f'{path}/blobs/sha256/{digest}', 'wb') as file:
            file.write(data)
        return {'mediaType': f'application/vnd.oci.image.{kind}', 'digest': f'sha256:{digest}', 'size': len(data)}
    with open(tar, 'rb') as file:
        plain = file.read()
    config = json.dumps({'architecture': 'amd64', 'os': 'linux', 'config': {'Cmd': ['true']},
                         'rootfs': {'type': 'layers', 'diff_ids': [f'sha256:{hashlib.sha256(plain).hexdigest()}']}}).encode()
    manifest = json.dumps({'schemaVersion': 2, 'config': blob(config, 'config.v1+json'),
                           'layers': [blob(gzip.compress(plain, 1), 'layer.v1.tar+gzip')]}).encode()
    entry = blob(manifest, 'manifest.v1+json') | {'annotations': {'org.opencontainers.image.ref.name': 'it'}}
    for name, text in (('index.json', {'schemaVersion': 2, 'manifests': [entry]}), ('oci-layout', {'imageLayoutVersion': '1.0.0'})):
        with open(f'{path}/{name}', 'w') as file:
            json.dump(text, file)


def used(path):
    """Bytes on disk."""
    return int(subprocess.run(['du', '-s', '--block-size=1', path], check=True, capture_output=True, text=True).stdout.split()[0])


def cpu_of_children():
    used_by = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used_by.ru_utime + used_by.ru_stime


class Taken:
    """Seconds of one run: wall and CPU."""

    def __init__(self):
        self.wall, self.cpu = time.perf_counter(), cpu_of_children()

    def end(self):
        self.wall, self.cpu = time.perf_counter() - self.wall, cpu_of_children() - self.cpu
        return self


class Bench:
    def __init__(self, root):
        self.root = root
        self.env = {'PATH': os.environ['PATH'], 'HOME': f'{PLACE}/home', 'XDG_DATA_HOME': f'{PLACE}/home/data'}
        self.store = f'{PLACE}/home/data/userns'

    def ours(self, *words):
        return self.timed([self.root.program('userns-run'), *words])

    def timed(self, argv, user=None, **env):
        taken = Taken()
        done = self.root.run(argv, user or self.root.alice, timeout=3600, env={**self.env, **env})
        taken.end()
        if done.code != 0:
            raise RuntimeError(done)
        return taken


def row(what, runs, size=None):
    """`runs`: one Taken or several; none where only the disk counts."""
    runs = runs if isinstance(runs, list) else [runs] if runs else []
    times = ''
    if runs:
        walls = [run.wall * 1000 for run in runs]
        times = f'{min(walls):9.1f} {statistics.median(walls):9.1f} {min(run.cpu for run in runs) * 1000:9.1f}'
    print(f'  {what:58} {times:30}{"" if size is None else f" {size / 1e6:9.2f}"}')
    sys.stdout.flush()


def head(text):
    print(f'{text} (load {os.getloadavg()[0]:.1f})\n  {"":58} {"ms, least":>9} {"median":>9} {"CPU ms":>9} {"MB":>10}')


def more_of(bench, image, prefix):
    """A first container of the image, and RUNS more."""
    row('create --image, the first (the image is unpacked)', bench.ours('create', f'{prefix}0', f'--image={image}'), used(bench.store))
    before = used(bench.store)
    runs = [bench.ours('create', f'{prefix}{number}', f'--image={image}') for number in range(1, RUNS + 1)]
    row(f'one more, by --image ({RUNS} runs; disk of one)', runs, (used(bench.store) - before) / RUNS)
    before = used(bench.store)
    runs = [bench.ours('create', f'{prefix}{number}', f'--from={prefix}0') for number in range(RUNS + 1, 2 * RUNS + 1)]
    row(f'one more, by --from ({RUNS} runs; disk of one)', runs, (used(bench.store) - before) / RUNS)


def ours(bench, image, tar):
    more_of(bench, image, 'c')
    row('its start to its end', [bench.ours('start', 'c1', '--foreground', '--', 'true') for _ in range(RUNS)])
    row('--image, throw-away, start to end', [bench.ours(f'--image={image}', '--', 'true') for _ in range(RUNS)])
    for number in range(2 * RUNS + 1, MANY):
        bench.ours('create', f'c{number}', f'--image={image}')
    row(f'{MANY} containers, disk used', None, used(bench.store))
    show_ids(bench)
    row('a copy (create --image --copy)', bench.ours('create', 'copy', f'--image={image}', '--copy'), used(f'{bench.store}/copy'))
    os.makedirs(f'{PLACE}/home/plain', exist_ok=True)
    os.chown(f'{PLACE}/home/plain', bench.root.alice.uid, bench.root.alice.gid)
    row('tar -xf, as the caller', bench.timed(['/usr/bin/tar', '-xf', tar, '-C', f'{PLACE}/home/plain']), used(f'{PLACE}/home/plain'))
    blobs = f'{PLACE}/large/blobs/sha256'
    layer = max((f'{blobs}/{name}' for name in os.listdir(blobs)), key=os.path.getsize)
    subprocess.run(['rm', '-rf', f'{PLACE}/home/plain'], check=True)
    os.makedirs(f'{PLACE}/home/plain')
    os.chown(f'{PLACE}/home/plain', bench.root.alice.uid, bench.root.alice.gid)
    row('tar -xzf of the layer, as the caller', bench.timed(['/usr/bin/tar', '-xzf', layer, '-C', f'{PLACE}/home/plain']), used(f'{PLACE}/home/plain'))


def show_ids(bench):
    """No two have an id in common: what their configs say, and what two of them show on the host."""
    firsts = set()
    for number in range(MANY):
        with open(f'{bench.store}/c{number}/config') as file:
            firsts.add(re.search(r'^map = u:0:(\d+):', file.read(), re.M).group(1))
    print(f'  blocks of ids: {len(firsts)}, all different: {len(firsts) == MANY}')
    for name in ('c1', 'c2'):
        bench.ours('start', name, '--', 'sh', '-c', 'echo x >/root/own; trap "exit 0" TERM; while :; do sleep 1000 & wait; done')
    for name in ('c1', 'c2'):
        shown = bench.root.run([bench.root.program('userns-run'), 'exec', name, '--', 'ls', '-ln', '/bin/busybox', '/root/own'],
                               bench.root.alice, env=bench.env, timeout=60).out.split('\n')
        done = bench.root.run([bench.root.program('userns-run'), 'info', name, '--json'], bench.root.alice, env=bench.env, timeout=60)
        pid = json.loads(done.out)['pid']
        owner = subprocess.run(['ps', '-o', 'uid=', '-p', str(pid)], capture_output=True, text=True).stdout.strip()
        on_disk = subprocess.run(['ls', '-ln', f'{bench.store}/{name}/upper/root/own'], capture_output=True, text=True).stdout.split()
        print(f'  {name}: ps: uid {owner}; ls -ln on the host: {on_disk[2]} own; inside: '
              + '; '.join(' '.join([line.split()[2], line.split()[-1]]) for line in shown if line))
    for name in ('c1', 'c2'):
        bench.ours('stop', name)


def umoci(bench, layout_path):
    if not shutil.which('umoci'):
        return print('  umoci is not installed')
    os.makedirs(f'{PLACE}/home/umoci', exist_ok=True)
    os.chown(f'{PLACE}/home/umoci', bench.root.alice.uid, bench.root.alice.gid)
    row('umoci unpack --rootless', bench.timed(['/usr/bin/umoci', 'unpack', '--rootless', '--image', f'{layout_path}:it', f'{PLACE}/home/umoci/b']))


def podman(bench, layout_path):
    """As root: --userns=auto is for root where the image store is."""
    if not shutil.which('podman'):
        return print('  podman is not installed')
    words = ['podman', f'--root={PLACE}/podman', f'--runroot={PLACE}/podman-run', '--storage-driver=overlay', '--cgroup-manager=cgroupfs']
    try:
        row('podman load (pull oci:), as root', timed_as_root([*words, 'pull', '-q', f'oci:{layout_path}:it']))
        image = subprocess.run([*words, 'images', '-q'], check=True, capture_output=True, text=True).stdout.split()[0]
        create = [*words, 'create', '--userns=auto:size=65536', '--network=none', image, 'true']
        row('podman create --userns=auto, the first', timed_as_root(create))
        before = used(f'{PLACE}/podman')
        runs = [timed_as_root(create) for _ in range(RUNS)]
        row('podman create --userns=auto, one more', runs, (used(f'{PLACE}/podman') - before) / RUNS)
    except subprocess.CalledProcessError as error:
        print(f'  podman: {error.stderr.strip().splitlines()[-1:]}')


def timed_as_root(argv):
    taken = Taken()
    subprocess.run(argv, check=True, capture_output=True, text=True)
    return taken.end()


def lxc(tar):
    """As root, with ids of its own kept by hand: lxc-copy gives the copy those of the first, and a snapshot needs root's overlay."""
    if not shutil.which('lxc-copy'):
        return print('  lxc-copy is not installed')
    place = f'{PLACE}/lxc'
    os.makedirs(f'{place}/first/rootfs')
    subprocess.run(['tar', '-xf', tar, '-C', f'{place}/first/rootfs'], check=True)
    with open(f'{place}/first/config', 'w') as file:
        file.write(f'lxc.rootfs.path = dir:{place}/first/rootfs\nlxc.uts.name = first\nlxc.net.0.type = empty\n')
    for what, words in (('lxc-copy (rsync), the same ids', []), ('lxc-copy -s (overlay), the same ids', ['-s', '-B', 'overlayfs'])):
        before = used(place)
        try:
            runs = [timed_as_root(['lxc-copy', f'--lxcpath={place}', '-n', 'first', '-N', f'{what[9:11].strip("( ")}{len(words)}{number}', *words])
                    for number in range(RUNS if words else 1)]
            row(what, runs, (used(place) - before) / len(runs))
        except subprocess.CalledProcessError as error:
            print(f'  {what}: {error.stderr.strip().splitlines()[-1:]}')


def main():
    root = Root(sys.argv[1])
    mount('tmpfs', '/etc/containers/registries.conf.d', 'tmpfs') if os.path.isdir('/etc/containers/registries.conf.d') else None
    for write in root.subuid, root.subgid:
        write(f'alice:{FIRST}:{(MANY + 12) * BLOCK}\ncontainers:50000000:{64 * BLOCK}\n')
    os.makedirs(f'{PLACE}/home/data')
    try:
        for name, megabytes, files in (('small', 5, 300), ('large', MEGABYTES, FILES)):
            root_tar(f'{PLACE}/{name}.tar', megabytes, files)
            layout(f'{PLACE}/{name}.tar', f'{PLACE}/{name}')
        for top, names, files in os.walk(f'{PLACE}/home'):
            for name in ['', *names, *files]:
                os.chown(os.path.join(top, name), root.alice.uid, root.alice.gid)
        bench = Bench(root)
        head('an image of 5 MB in 300 files')
        more_of(bench, f'oci:{PLACE}/small:it', 's')
        for number in range(2 * RUNS + 1):
            bench.ours('destroy', f's{number}')
        bench.ours('rmi', f'oci:{PLACE}/small:it')
        bench.ours('prune', '--all')
        head(f'an image of {MEGABYTES} MB in {FILES} files')
        ours(bench, f'oci:{PLACE}/large:it', f'{PLACE}/large.tar')
        umoci(bench, f'{PLACE}/large')
        podman(bench, f'{PLACE}/large')
        lxc(f'{PLACE}/large.tar')
    finally:
        end_all_children()
        subprocess.run(['rm', '-rf', PLACE], check=False)


main()
