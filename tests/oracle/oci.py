#!/usr/bin/env python3
"""userns-oci against crun: the same bundle, and what the process inside finds."""

import copy
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
from bundle import Bundle  # noqa: E402
from harness import case, cases, main, skip, umount  # noqa: E402

SCRIPT = '''grep -E "^(Cap|NoNewPrivs|Seccomp:|Groups|Umask|Uid|Gid)" /proc/self/status
id -u; id -g; id -G; hostname; pwd; umask; ulimit -n; ulimit -Hn; ulimit -c; cat /proc/self/oom_score_adj /proc/sys/kernel/shmmax /proc/sys/kernel/domainname
env | grep -vE "^(SHLVL|PWD|OLDPWD)="; readlink /proc/self/fd/0; busybox uname -m; busybox ifconfig lo | grep -c UP
for n in net ipc user uts pid mnt cgroup; do echo $n $(readlink /proc/self/ns/$n); done
for n in null zero full random urandom tty fd stdin stdout stderr ptmx pts/ptmx; do echo $n $(stat -c "%F %t %T %a" /dev/$n); done
for f in /proc/keys /proc/kcore /proc/sys/kernel/shmmax /x /tmp/x /dev/shm/x /proc/bus; do test -e $f; echo -n "$? "; test -r $f; echo -n "$? "; test -w $f; echo "$f $?"; done
cut -d" " -f 5- /proc/self/mountinfo | grep -vE "^/dev/(null|zero|full|random|urandom|tty) "'''


def crun(root):
    if not shutil.which('crun'):
        skip('crun is not installed')
    # crun 1.8 wants either of the two, and not a hybrid.
    if os.path.ismount('/sys/fs/cgroup/unified'):
        umount('/sys/fs/cgroup/unified')
    return ['/usr/bin/crun', '--cgroup-manager=disabled']


def of_mount(line):
    """What both must agree in: place, type, and flags; ours adds nodev."""
    place, flags, *optional, rest = line.split(' ', 2) if ' - ' not in line else (*line.split(' ')[:2], line.split(' - ')[1])
    kind = rest.split(' ')[0]
    propagation = sorted(word.split(':')[0] for word in line.split(' - ')[0].split(' ')[2:])
    # A device can be written to on a mount that is read-only, too.
    unseen = {'nodev', 'relatime'} | ({'ro', 'rw'} if kind == 'devtmpfs' else set())
    # Of an empty directory that covers another only that it is read-only counts.
    if kind == 'tmpfs' and place.startswith(('/proc', '/sys')):
        unseen |= {'nosuid', 'noexec'}
    return (place, kind, tuple(sorted(set(flags.split(',')) - unseen)), tuple(propagation))


def seen(done, spaces):
    """The lines of the output; namespaces by whether they are the caller's; mounts without an order, which covers may have."""
    plain, mounts = [], []
    for line in done.out.splitlines():
        word = line.split(' ')
        if word[0] in spaces:
            plain.append((word[0], word[1] == spaces[word[0]]))
        elif ' - ' in line:
            mounts.append(of_mount(line))
        else:
            plain.append(line)
    return done.code, plain, sorted(mounts), done.err


def no_change(config):
    return config


def user(config):
    config['process'].update(user={'uid': 5, 'gid': 6, 'additionalGids': [7, 9], 'umask': 0o27}, cwd='/tmp')


def capabilities(config):
    config['process']['capabilities'] = {'bounding': ['CAP_CHOWN', 'CAP_KILL', 'CAP_SETUID', 'CAP_NET_RAW'], 'permitted': ['CAP_CHOWN', 'CAP_KILL'],
                                         'effective': ['CAP_CHOWN'], 'inheritable': ['CAP_KILL'], 'ambient': ['CAP_KILL']}
    config['process']['noNewPrivileges'] = False


def user_with_ambient(config):
    user(config)
    capabilities(config)
    for kind in ('permitted', 'effective'):
        config['process']['capabilities'][kind] = ['CAP_KILL']


def no_capabilities(config):
    del config['process']['capabilities']


def limits(config):
    config['process'].update(oomScoreAdj=200, rlimits=[{'type': 'RLIMIT_NOFILE', 'soft': 50, 'hard': 60}, {'type': 'RLIMIT_CORE', 'soft': 0, 'hard': 0}])
    config['linux']['sysctl'] = {'kernel.shmmax': '54321'}


def writable(config):
    config['root']['readonly'] = False
    config['mounts'] += [{'destination': '/tmp', 'type': 'tmpfs', 'source': 'tmpfs', 'options': ['mode=1777', 'noexec', 'noatime']},
                         {'destination': '/a/b', 'source': '/etc/hosts', 'options': ['bind', 'ro', 'nosuid']},
                         {'destination': '/c', 'source': '/etc', 'options': ['rbind', 'ro', 'noexec']}]


def shared_namespaces(config):
    config['linux']['namespaces'] = [space for space in config['linux']['namespaces'] if space['type'] in ('mount', 'user', 'pid')]
    config['mounts'] = [mount for mount in config['mounts'] if mount['destination'] != '/sys']
    del config['hostname']


def filtered(config):
    config['linux']['seccomp'] = {'defaultAction': 'SCMP_ACT_ALLOW', 'architectures': ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86'],
                                  'syscalls': [{'names': ['getcwd'], 'action': 'SCMP_ACT_ERRNO', 'errnoRet': 28},
                                               {'names': ['umask'], 'action': 'SCMP_ACT_ERRNO', 'args': [{'index': 0, 'value': 0, 'op': 'SCMP_CMP_EQ'}]}]}


def slave(config):
    config['linux']['rootfsPropagation'] = 'rslave'


def more_covers(config):
    config['linux']['maskedPaths'] += ['/proc/scsi', '/proc/acpi', '/sys/firmware', '/nowhere']
    config['linux']['readonlyPaths'] += ['/proc/fs', '/proc/irq', '/nowhere']


@cases([(f'the same inside: {change.__name__.replace("_", " ")}', change)
        for change in (no_change, user, capabilities, user_with_ambient, no_capabilities, limits, writable, shared_namespaces, filtered, slave, more_covers)])
def _(root, change):
    reference = crun(root)
    bundle = Bundle(root, root.alice)
    change(bundle.config)
    bundle.config['process']['env'] = ['PATH=/bin', 'TERM=xterm', 'HOME=/root', 'A=b=c']
    kept = copy.deepcopy(bundle.config)
    spaces = {name: os.readlink(f'/proc/self/ns/{name}') for name in ('net', 'ipc', 'user', 'uts', 'pid', 'mnt', 'cgroup')}
    found = []
    for runtime in ([root.program('userns-oci')], reference):
        bundle.runtime, bundle.config = runtime, copy.deepcopy(kept)
        found.append(seen(bundle.sh(SCRIPT), spaces))
    ours, theirs = found
    assert ours[0] == theirs[0] == 0, found
    for mine, other in zip(ours[1], theirs[1]):
        assert mine == other, (mine, other)
    assert len(ours[1]) == len(theirs[1]) and len(ours[1]) > 50, found
    assert ours[2] == theirs[2], (set(ours[2]) ^ set(theirs[2]))


@cases([
    ('exit 0', ['true'], 0), ('exit 9', ['sh', '-c', 'exit 9'], 9), ('a signal', ['sh', '-c', 'kill -9 $$; sleep 1; kill -TERM $$; exit 3'], None)])
def _(root, args, code):
    reference = crun(root)
    bundle = Bundle(root, root.alice)
    codes = []
    for runtime in ([root.program('userns-oci')], reference):
        bundle.runtime = runtime
        codes.append(bundle.run(*args).code)
    assert codes[0] == codes[1] and (code is None or codes[0] == code), codes


@case('states that a caller sees: created, running, stopped, gone')
def _(root):
    reference = crun(root)
    bundle = Bundle(root, root.alice)
    found = []
    for runtime in ([root.program('userns-oci')], reference):
        bundle.runtime = runtime
        bundle.write('sleep', '1000')
        steps = []
        for words in (['create', '-b', bundle.path, 'c'], ['create', '-b', bundle.path, 'c'], ['exec', 'c', 'true'], ['delete', 'c', ], ['state', 'c'],
                      ['create', '-b', bundle.path, 'c'], ['start', 'c'], ['start', 'c'], ['delete', 'c'], ['kill', 'c', 'KILL']):
            steps.append((words[0], bundle.call(*words).code == 0, (bundle.state() or {}).get('status')))
        bundle.call('delete', '--force', 'c')
        found.append([step for step in steps if step[0] not in ('kill', 'exec')])
    assert found[0] == found[1], found


main()
