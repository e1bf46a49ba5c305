#!/usr/bin/env python3
"""Figures of the map helpers and of userns-run beside those of other programs, in one run, as ratios.

usage: ids.py BUILD_DIR [helpers|stages|files|start|rootfs]...        (root; not a test: nothing here judges)
"""

import json
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
from harness import Root, end_all_children, mount

PATH = '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin'
REFERENCE = '/usr/bin/newuidmap'


def measure(root, user, *words):
    program = f'{root.tmp}/measure'
    if not os.path.exists(program):
        root.copy_program(f'{root.build}/tests/bench/measure', program, None)
    done = root.run([program, *words], user, timeout=600, env={'PATH': PATH, 'HOME': f'{root.tmp}/home/alice', 'LANG': 'C'},
                    cwd=f'{root.tmp}/home/alice')
    if done.code != 0:
        raise RuntimeError(done)
    return [[float(number) for number in line.split()] for line in done.out.splitlines()]


def show(title, rows, unit):
    """The first row is ours; the ratio says how much of it the others take."""
    print(f'{title}:')
    for name, figure in rows:
        ratio = '' if figure is rows[0][1] else f'   ours is {rows[0][1] / figure:.2f} of it'
        print(f'  {name:44} {figure:12.0f} {unit}{ratio}')
    sys.stdout.flush()


def timed(root, title, commands, runs=300, target=False):
    """Commands that are there, in turns; the first must be."""
    there = {name: words for name, words in commands.items() if shutil.which(words[0], path=PATH)}
    words = []
    for command in there.values():
        words += (['---'] if words else []) + [str(word) for word in command]
    taken = measure(root, root.alice, 'time', runs, *(['--target'] if target else []), *words)
    show(title + ', median', [(name, row[1]) for name, row in zip(there, taken)], 'us')
    show(title + ', minimum', [(name, row[0]) for name, row in zip(there, taken)], 'us')


def maps(root, program):
    return [program, '{pid}', 0, 100000, 65536, 65536, root.alice.uid, 1]


def bench_helpers(root):
    programs = {'newuidmap (ours)': maps(root, root.newuidmap), 'newuidmap (shadow)': maps(root, REFERENCE)}
    for sources in ('files systemd', 'files'):
        root.write('/etc/nsswitch.conf', f'passwd: {sources}\ngroup: {sources}\n')
        timed(root, f'newuidmap, 2 triples, small files, "passwd: {sources}"', programs, target=True)
    # Without the setuid bit and as root: a tracer may follow it then.
    root.subuid('root:100000:65536\n')
    rows = []
    for name, source in (('newuidmap (ours)', root.newuidmap), ('newuidmap (shadow)', REFERENCE)):
        copy = root.copy_program(source, f'{root.tmp}/plain', None)
        rows.append((name, measure(root, None, 'instructions', '--target', copy, '{pid}', 0, 100000, 65535, 65536, 0, 1)[0][0]))
    show('newuidmap, 2 triples, small files, instructions', rows, '')


# What newuidmap does, each from its first function to that of the next (common/helper.h).
STAGES = [('start of main, sanitise', 'userns::newidmap::run('), ('drop', 'userns::drop_all_but('), ('open the process', 'userns::Process::open('),
          ('names: read, fork', 'userns::Asker::start('), ('open the map and subuid', 'userns::Process::open_file('), ('open the logs', 'userns::AuditLog::open('),
          ('lock', 'userns::lock_down('), ('parse, gather, decide', 'userns::IdMap::parse('), ('record', 'userns::AuditLog::granted('),
          ('(the write)', 'userns::write_once(')]


def bench_stages(root, runs=60):
    """By a build whose every function notes when it is entered, which takes time itself."""
    program = root.copy_program(f'{root.build}/tests/helpers/newuidmap-injected', f'{root.tmp}/injected', 'setuid')
    listing = subprocess.check_output(['nm', '-C', program], text=True)
    names = {line.split(' ', 2)[2]: line.split(' ', 2)[0] for line in listing.splitlines() if line[17:19] in ('T ', 't ')}
    at = [next(address for name, address in names.items() if name.startswith(start) and '[clone' not in name) for _, start in STAGES]
    taken = []
    for _ in range(runs):
        with root.target(root.alice) as target:
            done = root.run([program, target.pid, 0, 100000, 65536], root.alice, env={'USERNS_INJECT': f'{at[-1]} list'})
        entered = {}
        for line in done.err.splitlines():
            entered.setdefault(line.split()[0], int(line.split()[1], 16))
        taken.append([entered[address] for address in at])
    print('newuidmap by stage, median of a run whose functions are all counted:')
    for i, (name, _) in enumerate(STAGES[:-1]):
        spent = sorted(run[i + 1] - run[i] for run in taken)
        print(f'  {name:44} {spent[len(spent) // 2] / 1000:12.0f} us')


def bench_files(root):
    for count, runs in ((10, 200), (10_000, 100), (1_000_000, 10)):
        root.subuid(''.join(f'user{i}:{1000000 + i * 10}:65536\n' for i in range(count - 1)) + 'alice:100000:65536\n')
        programs = {'newuidmap (ours)': maps(root, root.newuidmap), 'newuidmap (shadow)': maps(root, REFERENCE)}
        timed(root, f'newuidmap, {count} lines', programs, runs=runs, target=True)
    rows = []
    for name, program in (('newuidmap (ours)', root.newuidmap), ('newuidmap (shadow)', REFERENCE)):
        # A refusal reads the file as a grant does.
        done = subprocess.run(['/usr/bin/time', '-f', '%M', program, str(os.getpid()), '0', '1', '1'], capture_output=True,
                              text=True, check=False)
        if done.stderr.strip():
            rows.append((name, float(done.stderr.split()[-1])))
    show('newuidmap, 1000000 lines, peak memory', rows, 'KiB')


def bench_start(root):
    unshare = ['unshare', '--user', '--map-auto', '--map-root-user']
    # The same namespaces as userns-run's own choice, and a fresh /proc as well.
    alike = unshare + ['--mount', '--pid', '--fork', '--mount-proc', '--ipc', '--uts', '--net', '--cgroup']
    map_floor = root.copy_program(f'{root.build}/tests/bench/map_floor', f'{root.tmp}/map_floor', 'setuid')
    start_floor = root.copy_program(f'{root.build}/tests/bench/start_floor', f'{root.tmp}/start_floor', None)
    timed(root, 'run true in a container: all namespaces, full id maps', {
        'userns-run': [root.program('userns-run'), '--tty', 'no', '--', 'true'],
        'unshare --map-auto, same namespaces': alike + ['true'],
        'their floor: no checks, no files read': [start_floor, map_floor, 'true'],
        'bwrap --unshare-all (no id maps)': ['bwrap', '--unshare-all', '--dev-bind', '/', '/', 'true'],
        'lxc-usernsexec (user namespace only)': ['lxc-usernsexec', '-m', 'b:0:100000:65536', '--', 'true'],
    }, runs=200)
    timed(root, 'run true: user and mount namespace only', {
        'userns-run --unshare mount': [root.program('userns-run'), '--tty', 'no', '--unshare', 'mount', '--', 'true'],
        'unshare --map-auto --mount': unshare + ['--mount', 'true'],
    }, runs=200)


def crun_bundle(root, where):
    """A bundle of busybox alone, started as crun's own `spec --rootless` says, but for cgroups."""
    for name in ('bin', 'proc', 'dev', 'sys', 'tmp', 'run', 'etc'):
        os.makedirs(f'{where}/rootfs/{name}')
    shutil.copy('/bin/busybox', f'{where}/rootfs/bin/true')
    subprocess.run(['chown', '-R', f'{root.alice.uid}:{root.alice.gid}', where], check=True)
    done = root.run(['crun', 'spec', '--rootless'], root.alice, path='/usr/bin/crun', cwd=where)
    if done.code != 0:
        raise RuntimeError(done)
    with open(f'{where}/config.json') as file:
        config = json.load(file)
    config['process'].update(args=['/bin/true'], terminal=False)
    config['mounts'] = [m for m in config['mounts'] if 'cgroup' not in m['destination']]
    config['linux']['namespaces'] = [n for n in config['linux']['namespaces'] if n['type'] != 'cgroup']
    config['linux'].pop('resources', None)
    root.write(f'{where}/config.json', json.dumps(config), owner=(root.alice.uid, root.alice.gid))
    if os.path.isdir('/sys/fs/cgroup/unified'):  # on a hybrid machine crun runs only where it sees no cgroup v2
        mount('tmpfs', '/sys/fs/cgroup/unified', 'tmpfs', 0, 'mode=0755')


def bench_rootfs(root):
    if not os.path.exists('/usr/bin/crun') or not os.path.exists('/bin/busybox'):
        print('skipped beside crun: crun or busybox is not installed')
        return
    home = f'{root.tmp}/home/alice'
    crun_bundle(root, f'{home}/bundle')
    timed(root, 'run true of busybox in a root directory, full id maps', {
        'userns-run --rootfs': [root.program('userns-run'), '--tty', 'no', '--rootfs', f'{home}/bundle/rootfs', '--', '/bin/true'],
        'crun (no cgroups)': ['crun', f'--root={home}/run', '--cgroup-manager=disabled', 'run', '-b', f'{home}/bundle', 'bench'],
    }, runs=40)


def main():
    build, chosen = sys.argv[1], sys.argv[2:] or ['helpers', 'stages', 'files', 'start', 'rootfs']
    root = Root(build)
    try:
        for name in chosen:
            root.reset()
            {'helpers': bench_helpers, 'stages': bench_stages, 'files': bench_files, 'start': bench_start, 'rootfs': bench_rootfs}[name](root)
    finally:
        end_all_children()


if __name__ == '__main__':
    main()
