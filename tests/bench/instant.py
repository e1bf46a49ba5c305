#!/usr/bin/env python3
"""A second container of an image, and a hundred of them, beside what others do, in one run.

usage: instant.py BUILD_DIR [MEGABYTES] [FILES] [CONTAINERS]    (root; not a test: nothing here judges)

An image of 300 MB in 20,000 files unless told, from an OCI layout in the file system of /var/tmp, warm. Peers where they are
installed: podman --userns=auto, lxc-copy -s, umoci unpack, tar.
"""

import gzip
import hashlib
import io
import json
import os
import re
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
PLACE = f'/var/tmp/userns-bench-{os.getpid()}'


def root_tar(path):
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
        size = MEGABYTES * 1_000_000 // FILES
        for number in range(FILES):
            if number % 200 == 0:
                add(f'data/{number // 200}')
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


class Bench:
    def __init__(self, root):
        self.root = root
        self.env = {'PATH': os.environ['PATH'], 'HOME': f'{PLACE}/home', 'XDG_DATA_HOME': f'{PLACE}/home/data'}
        self.store = f'{PLACE}/home/data/userns'

    def ours(self, *words):
        return self.timed([self.root.program('userns-run'), *words])

    def timed(self, argv, user=None, **env):
        begun = time.perf_counter()
        done = self.root.run(argv, user or self.root.alice, timeout=3600, env={**self.env, **env})
        taken = time.perf_counter() - begun
        if done.code != 0:
            raise RuntimeError(done)
        return taken


def row(what, seconds, size=None):
    print(f'  {what:58} {seconds * 1000:10.1f} ms{"" if size is None else f" {size / 1e6:10.2f} MB"}')
    sys.stdout.flush()


def ours(bench, image, tar):
    row('create --image, the first (the image is unpacked)', bench.ours('create', 'c0', f'--image={image}'), used(bench.store))
    name = subprocess.run([bench.root.program('userns-run'), 'images', '--names'], env=bench.env, user=bench.root.alice.uid,
                          group=bench.root.alice.gid, capture_output=True, text=True, check=True).stdout.strip()
    bench.image = name
    times, before = [], used(bench.store)
    for number in range(1, 6):
        times.append(bench.ours('create', f'c{number}', f'--image={name}') if name[0] != 'o' else
                     bench.ours('create', f'c{number}', '--from=c0'))
    row('one more (median of 5)', statistics.median(times), (used(bench.store) - before) / 5)
    row('its start to its end', bench.ours('start', 'c1', '--foreground', '--', 'true'))
    row('--image, throw-away, start to end', bench.ours(f'--image={image}', '--', 'true'))
    for number in range(6, MANY):
        bench.ours('create', f'c{number}', '--from=c0')
    row(f'{MANY} containers, disk used', 0, used(bench.store))
    firsts = set()
    for number in range(MANY):
        with open(f'{bench.store}/c{number}/config') as file:
            firsts.add(re.search(r'^map = u:0:(\d+):', file.read(), re.M).group(1))
    print(f'  blocks of ids: {len(firsts)}, all different: {len(firsts) == MANY}')
    row('a copy (create --image --copy)', bench.ours('create', 'copy', f'--image={image}', '--copy'), used(f'{bench.store}/copy'))
    os.makedirs(f'{PLACE}/home/plain', exist_ok=True)
    os.chown(f'{PLACE}/home/plain', bench.root.alice.uid, bench.root.alice.gid)
    row('tar -xf, as the caller', bench.timed(['/usr/bin/tar', '-xf', tar, '-C', f'{PLACE}/home/plain']), used(f'{PLACE}/home/plain'))


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
        for what in ('first', 'second'):
            before = used(f'{PLACE}/podman')
            taken = timed_as_root([*words, 'create', '--userns=auto:size=65536', '--network=none', image, 'true'])
            row(f'podman create --userns=auto, {what}', taken, used(f'{PLACE}/podman') - before)
    except subprocess.CalledProcessError as error:
        print(f'  podman: {error.stderr.strip().splitlines()[-1:]}')


def timed_as_root(argv):
    begun = time.perf_counter()
    subprocess.run(argv, check=True, capture_output=True, text=True)
    return time.perf_counter() - begun


def main():
    root = Root(sys.argv[1])
    mount('tmpfs', '/etc/containers/registries.conf.d', 'tmpfs') if os.path.isdir('/etc/containers/registries.conf.d') else None
    for write in root.subuid, root.subgid:
        write(f'alice:{FIRST}:{(MANY + 12) * BLOCK}\ncontainers:50000000:{64 * BLOCK}\n')
    os.makedirs(f'{PLACE}/home/data')
    try:
        root_tar(f'{PLACE}/image.tar')
        layout(f'{PLACE}/image.tar', f'{PLACE}/layout')
        for top, names, files in os.walk(f'{PLACE}/home'):
            for name in ['', *names, *files]:
                os.chown(os.path.join(top, name), root.alice.uid, root.alice.gid)
        bench = Bench(root)
        print(f'an image of {MEGABYTES} MB in {FILES} files:')
        ours(bench, f'oci:{PLACE}/layout:it', f'{PLACE}/image.tar')
        umoci(bench, f'{PLACE}/layout')
        podman(bench, f'{PLACE}/layout')
    finally:
        end_all_children()
        subprocess.run(['rm', '-rf', PLACE], check=False)


main()
