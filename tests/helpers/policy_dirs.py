#!/usr/bin/env python3
"""net.conf.d and cgroup.conf.d: what userns-net and userns-cgroup read there, in which order, and what they refuse."""

import os
import re
import shutil
import signal
import stat
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from cgroups import Cgroups  # noqa: E402
from harness import ROOT, case, cases, main, skip, wait_for  # noqa: E402
from net_host import Container, Host  # noqa: E402

cgroups = Cgroups.become_tenant()
NET, CGROUP = '/etc/userns/net.conf', '/etc/userns/cgroup.conf'
_host = None


def host(root):
    global _host
    _host = _host or Host(root)
    _host.all_gone()
    return _host


def policy(root, conf, main_text, files=None):
    """A policy file (None: none) and what its directory holds."""
    for path in (conf, f'{conf}.d'):
        if os.path.lexists(path) and (os.path.islink(path) or not os.path.isdir(path)):
            os.unlink(path)
    shutil.rmtree(f'{conf}.d', ignore_errors=True)
    if main_text is not None:
        root.write(conf, main_text)
    if files is not None:
        os.mkdir(f'{conf}.d', 0o755)
        for name, text in files.items():
            root.write(f'{conf}.d/{name}', text)


def nets(root, container, bridge='br0'):
    """How many NICs the container's owner gets, and what the helper said to the one too many."""
    h, number = host(root), 0
    while True:
        done = h.add(container, bridge, '--name', f'eth{number}')
        if done.code != 0:
            return number, done.err
        number += 1
        assert number < 20


def enter(root, user=None, **how):
    """Status and words of `userns-cgroup enter`, and what pids.max it got."""
    user = user or root.alice
    if cgroups.why_not:
        skip(cgroups.why_not)
    cgroups.clear()
    done = root.run([root.program('userns-cgroup'), 'enter', 'x', '--', '/bin/true'], user, **how)
    if done.code != 0:
        return done.code, done.err
    limit = next((path for path in (f'{cgroups.v1.get("pids")}/userns-{user.uid}/pids.max', f'{cgroups.v2}/{user.uid}/pids.max') if os.path.exists(path)), None)
    if limit is None:
        return 0, 'no limit to see'
    with open(limit) as file:
        return 0, file.read().strip()


def base():
    if cgroups.why_not:
        skip(cgroups.why_not)
    return f'base = {cgroups.v2}\n'


# --- what is read, in which order -----------------------------------------------------------

@case('NR-POLICY: lines of net.conf and of net.conf.d add up, and a ban in any of them bans')
def _(root):
    h = host(root)
    with Container(root.alice) as c:
        policy(root, NET, 'alice veth br0 1\n', {'50-lab.conf': 'alice veth br0 2\n', '60-x.conf': 'bob veth br0 4\n'})
        number, said = nets(root, c)
        assert number == 3 and '[NR-QUOTA]' in said, (number, said)
    with Container(root.alice) as c:
        policy(root, NET, None, {'50-lab.conf': 'alice veth br0 2'})
        assert nets(root, c)[0] == 2
    with Container(root.alice) as c:
        policy(root, NET, 'alice veth br0 1\n', {'50-lab.conf': 'alice veth br0 0\n'})
        number, said = nets(root, c)
        assert number == 0 and '[NR-POLICY]' in said, (number, said)
    h.all_gone()


@case('names that begin with a dot or do not end in .conf are not read, and an empty directory changes nothing')
def _(root):
    others = {name: 'alice veth br0 7\nx\n' for name in ('50-lab', '.50-lab.conf', '50-lab.conf~', '50-lab.conf.dpkg-new', '50-lab.CONF', 'conf')}
    with Container(root.alice) as c:
        policy(root, NET, 'alice veth br0 1\n', others)
        assert nets(root, c)[0] == 1
    with Container(root.alice) as c:
        policy(root, NET, 'alice veth br0 1\n', {})
        assert nets(root, c)[0] == 1


@case('CG-POLICY: the first line that is for a user decides: cgroup.conf first, then files in the order of their bytes')
def _(root):
    def limit(main_text, **files):
        policy(root, CGROUP, main_text, {name.replace('_', '-') + '.conf': text for name, text in files.items()})
        return enter(root)
    assert limit(base() + 'alice pids.max=21\n', a='alice pids.max=22\n') == (0, '21')
    assert limit(base(), b='alice pids.max=22\n', a='alice pids.max=23\n') == (0, '23')
    policy(root, CGROUP, base(), {'9-x.conf': 'alice pids.max=9\n', '10-x.conf': 'alice pids.max=10\n'})
    assert enter(root) == (0, '10')
    policy(root, CGROUP, base(), {'a.conf': 'alice pids.max=22\n', 'Z.conf': 'alice pids.max=23\n'})
    assert enter(root) == (0, '23')
    # A wider line that stands before decides, whatever file it is in.
    assert limit(base() + '* pids.max=24\n', a='alice pids.max=22\n') == (0, '24')
    assert limit(base() + 'bob pids.max=24\n', a='* pids.max=25\n', b='alice pids.max=22\n') == (0, '25')


@case('CC-BASE: a base is given once in all the files, and in any of them')
def _(root):
    policy(root, CGROUP, 'alice pids.max=21\n', {'50-base.conf': base()})
    assert enter(root) == (0, '21')
    policy(root, CGROUP, base() + 'alice pids.max=21\n', {'50-base.conf': '# one more\n' + base()})
    code, said = enter(root)
    assert code == 125 and '[CC-BASE]' in said and f'{CGROUP}.d/50-base.conf:2:8: base is given twice' in said, said


# --- messages -------------------------------------------------------------------------------

@case('NC-LINE, CC-LINE: one malformed line in any file refuses everything, and the message names file, line and column')
def _(root):
    with Container(root.alice) as c:
        policy(root, NET, 'alice veth br0 1\n', {'40-x.conf': 'bob veth br0 1\n', '50-lab.conf': '# lab\n\nbob veth br0 x\n'})
        number, said = nets(root, c)
        assert number == 0 and f'{NET}.d/50-lab.conf:3:14: the count' in said and '[NC-LINE]' in said, said
    policy(root, CGROUP, base() + 'alice pids.max=21\n', {'50-lab.conf': '\nbob pids.max=x\n'})
    code, said = enter(root)
    assert code == 125 and f'{CGROUP}.d/50-lab.conf:2:14: ' in said and '[CC-VALUE]' in said, said
    policy(root, CGROUP, base(), {'50-lab.conf': '\nalice containers=0\n'})
    code, said = enter(root)
    assert code == 125 and f'{CGROUP}.d/50-lab.conf:2 denies' in said and '[CG-COUNT]' in said, said


# --- trust ----------------------------------------------------------------------------------

def _own_directory(root, d):
    os.chown(d, root.alice.uid, 0)


def _replaced(root, d, make):
    shutil.rmtree(d)
    make(d)


def _elsewhere(root, d, owner):
    place = f'{root.tmp}/home/alice/conf.d'
    shutil.rmtree(place, ignore_errors=True)
    os.rename(d, place) if os.stat(d).st_dev == os.stat(os.path.dirname(place)).st_dev else shutil.copytree(d, place)
    shutil.rmtree(d, ignore_errors=True)
    os.chown(place, owner, 0)
    os.symlink(place, d)


def _link_to_alices(root, d):
    root.write(f'{root.tmp}/home/alice/x.conf', '', owner=(root.alice.uid, 0))
    os.symlink(f'{root.tmp}/home/alice/x.conf', f'{d}/60-x.conf')


UNTRUSTED = [
    ('the directory can be written by its group', 'TF-PATH', lambda root, d: os.chmod(d, 0o775)),
    ('the directory can be written by others', 'TF-PATH', lambda root, d: os.chmod(d, 0o757)),
    ('the directory is a user\'s', 'TF-PATH', _own_directory),
    ('the directory is a file', 'TF-FILE', lambda root, d: _replaced(root, d, lambda p: root.write(p, ''))),
    ('the directory is a FIFO', 'TF-FILE', lambda root, d: _replaced(root, d, lambda p: os.mkfifo(p, 0o644))),
    ('the directory is a link to a place of a user\'s', 'TF-PATH', lambda root, d: _elsewhere(root, d, root.alice.uid)),
    ('a file is a user\'s', 'TF-FILE', lambda root, d: root.write(f'{d}/60-x.conf', '', owner=(root.alice.uid, 0))),
    ('a file can be written by its group', 'TF-FILE', lambda root, d: root.write(f'{d}/60-x.conf', '', mode=0o664)),
    ('a file can be written by others', 'TF-FILE', lambda root, d: root.write(f'{d}/60-x.conf', '', mode=0o646)),
    ('a file is a FIFO', 'TF-FILE', lambda root, d: os.mkfifo(f'{d}/60-x.conf', 0o644)),
    ('a file is a directory', 'TF-FILE', lambda root, d: os.mkdir(f'{d}/60-x.conf', 0o755)),
    ('a file is a device', 'TF-FILE', lambda root, d: os.mknod(f'{d}/60-x.conf', stat.S_IFCHR | 0o644, os.makedev(1, 3))),
    ('a file is a link to a file of a user\'s', 'TF-PATH', _link_to_alices),
    ('a file is a link to nothing', 'TF-FILE', lambda root, d: os.symlink('gone', f'{d}/60-x.conf')),
    ('a file is a link to itself', 'TF-PATH', lambda root, d: os.symlink('60-x.conf', f'{d}/60-x.conf')),
    ('a file has a name with a blank', 'TF-FILE', lambda root, d: root.write(f'{d}/60 x.conf', '')),
    ('a file has a name with an escape sequence', 'TF-FILE', lambda root, d: root.write(f'{d}/\x1b[31m.conf', '')),
]


@cases([(f'{rule}: {what}: both helpers refuse everybody', rule, spoil) for what, rule, spoil in UNTRUSTED])
def _(root, rule, spoil):
    with Container(root.alice) as c:
        policy(root, NET, 'alice veth br0 1\n', {'50-lab.conf': 'alice veth br0 1\n'})
        spoil(root, f'{NET}.d')
        number, said = nets(root, c)
    assert number == 0 and f'[{rule}]' in said and f'{NET}.d' in said and '\x1b' not in said, (number, said)
    policy(root, CGROUP, base() + 'alice pids.max=21\n', {'50-lab.conf': 'alice pids.max=22\n'})
    spoil(root, f'{CGROUP}.d')
    code, said = enter(root)
    assert code == 125 and f'[{rule}]' in said and f'{CGROUP}.d' in said, (code, said)


@case('links of root\'s to files and directories of root\'s are followed, as for the file itself')
def _(root):
    policy(root, NET, None, {})
    shutil.rmtree('/etc/userns/elsewhere', ignore_errors=True)
    os.mkdir('/etc/userns/elsewhere', 0o755)
    root.write('/etc/userns/elsewhere/a.conf', 'alice veth br0 1\n')
    root.write('/etc/userns/one', 'alice veth br0 1\n')
    os.symlink('/etc/userns/one', '/etc/userns/elsewhere/b.conf')
    os.rmdir(f'{NET}.d')
    os.symlink('elsewhere', f'{NET}.d')
    with Container(root.alice) as c:
        assert nets(root, c)[0] == 2


@case('TF-FILE: what a user cannot read gives that user nothing by userns-net; userns-cgroup reads as root')
def _(root):
    for mode in (0o600, None):
        with Container(root.alice) as c:
            policy(root, NET, 'alice veth br0 1\n', {'50-lab.conf': ''})
            os.chmod(f'{NET}.d/50-lab.conf' if mode else f'{NET}.d', mode or 0o700)
            number, said = nets(root, c)
        assert number == 0 and '[TF-' in said and 'Permission denied' in said, (number, said)
    policy(root, CGROUP, base(), {'50-lab.conf': 'alice pids.max=22\n'})
    os.chmod(f'{CGROUP}.d', stat.S_IRWXU)
    os.chmod(f'{CGROUP}.d/50-lab.conf', 0o600)
    assert enter(root) == (0, '22')


# --- bounds ---------------------------------------------------------------------------------

@case('CC-KEY: no word of a file that users cannot read is told to a caller, only its line and column; userns-net cannot read it either')
def _(root):
    for mode, is_told in ((0o644, True), (0o640, False), (0o600, False)):
        for files in (None, {'50-lab.conf': '\nalice s3cret=1\n'}):
            where = ':2:' if files is None else '.d/50-lab.conf:2:'
            texts = {}
            for conf in (NET, CGROUP):
                policy(root, conf, '\nalice s3cret=1\n' if files is None else '', files)
                os.chmod(conf if files is None else f'{conf}.d/50-lab.conf', mode)
            with Container(root.alice) as c:
                texts[NET] = nets(root, c)[1]
            texts[CGROUP] = enter(root)[1]
            for conf, said in texts.items():
                assert ('s3cret' in said) == is_told, (oct(mode), said)
                assert f'{conf}{where}7: ' in said if is_told or conf == CGROUP else '[TF-FILE]' in said, (oct(mode), said)
    policy(root, NET, '')
    policy(root, CGROUP, '')


@case('NC-READ, CC-READ: 64 files and 1 MiB are read; one more file or byte refuses everybody in clear words')
def _(root):
    def both(net, cgroup, files):
        policy(root, NET, net, {f'{n:03}.conf': text for n, text in enumerate(files)})
        policy(root, CGROUP, base() + cgroup, {f'{n:03}.conf': text for n, text in enumerate(files)})
        with Container(root.alice) as c:
            return nets(root, c), enter(root)
    (number, _), (code, _) = both('alice veth br0 1\n', 'alice pids.max=5\n', ['#\n'] * 64)
    assert (number, code) == (1, 0)
    (number, net), (code, cgroup) = both('alice veth br0 1\n', 'alice pids.max=5\n', ['#\n'] * 65)
    assert number == 0 and '65 files; at most 64 are read' in net and '[NC-READ]' in net, net
    assert code == 125 and '65 files; at most 64 are read' in cgroup and '[CC-READ]' in cgroup, cgroup
    # Of the limit the file itself has a part.
    line = 'alice veth br0 1\n'
    rest = (1 << 20) - len(line)
    policy(root, NET, line, {'a.conf': '#' * (rest // 2), 'b.conf': '#' * (rest - rest // 2)})
    with Container(root.alice) as c:
        assert nets(root, c)[0] == 1
    policy(root, NET, line, {'a.conf': '#' * (rest // 2), 'b.conf': '#' * (rest - rest // 2 + 1)})
    with Container(root.alice) as c:
        number, said = nets(root, c)
    assert number == 0 and f'{NET}.d/b.conf' in said and 'more than 1048576 bytes' in said and '[NC-READ]' in said, said


# --- faults, and the lock -------------------------------------------------------------------

CALLS = ('openat2', 'openat', 'getdents64', 'read', 'fstat', 'newfstatat', 'readlinkat', 'fcntl', 'lseek')


def each_fault(root, argv, allowed):
    """Every one of CALLS failing in turn, in the program that setpriv becomes; allowed(done) is asserted of each."""
    log = f'{root.tmp}/strace'
    strace = ['/usr/bin/strace', '-f', '-qq', '-o', log]
    as_alice = ['/usr/bin/setpriv', '--reuid', str(root.alice.uid), '--regid', str(root.alice.gid), '--clear-groups', '--']
    root.run(strace + as_alice + argv, ROOT)
    with open(log) as file:
        calls = [match.group(1) for match in re.finditer(r'^\d+ +(\w+)\(', file.read(), re.M)]
    first = calls.index('execve', calls.index('execve') + 1) + 1
    counted, faults = {}, 0
    for at, call in enumerate(calls):
        counted[call] = counted.get(call, 0) + 1
        if at < first or call not in CALLS:
            continue
        for error in ('EIO', 'EMFILE') if call == 'openat2' else ('EIO',):
            done = root.run(strace + ['-e', f'inject={call}:error={error}:syscall=getpid:when={counted[call]}'] + as_alice + argv, ROOT)
            allowed(call, counted[call], done)
            faults += 1
    return faults


@case('a system call that fails while the directory is read takes no ban away, in userns-net')
def _(root):
    h = host(root)
    policy(root, NET, 'alice veth br0 1\n', {'10-x.conf': 'alice veth br0 1\n', '50-ban.conf': 'alice veth br0 0\n', '60-x.conf': 'bob veth br0 1\n'})
    with Container(root.alice) as c:
        def allowed(call, when, done):
            assert done.code != 0 and h.ports() == [], (call, when, done)
        faults = each_fault(root, [h.helper, 'add', '--netns', f'pid:{c.pid}', '--bridge', 'br0'], allowed)
        assert faults > 25, faults
        policy(root, NET, 'alice veth br0 1\n', {'10-x.conf': ''})
        assert nets(root, c)[0] == 1, 'without the ban there is one'
    return f'{faults} faults'


@case('a system call that fails while the directory is read takes no ban away, in userns-cgroup')
def _(root):
    policy(root, CGROUP, base(), {'10-ban.conf': 'alice containers=0\n', '50-lab.conf': 'alice pids.max=5\n'})
    if cgroups.why_not:
        skip(cgroups.why_not)
    cgroups.clear()

    def allowed(call, when, done):
        assert done.code != 0 and 'it ran' not in done.out and cgroups.left() == [], (call, when, done)
    faults = each_fault(root, [root.program('userns-cgroup'), 'enter', 'x', '--', '/bin/echo', 'it ran'], allowed)
    assert faults > 25, faults
    policy(root, CGROUP, base(), {'50-lab.conf': 'alice pids.max=5\n'})
    assert enter(root) == (0, '5')
    return f'{faults} faults'


@case('userns-net reads the files before it is locked down, and none of them after')
def _(root):
    h = host(root)
    policy(root, NET, 'alice veth br0 1\n', {'50-lab.conf': 'alice veth br0 1\n'})
    log = f'{root.tmp}/strace'
    with Container(root.alice) as c:
        as_alice = ['/usr/bin/setpriv', '--reuid', str(root.alice.uid), '--regid', str(root.alice.gid), '--clear-groups', '--']
        done = root.run(['/usr/bin/strace', '-qq', '-y', '-o', log, *as_alice, h.helper, 'add', '--netns', f'pid:{c.pid}', '--bridge', 'br0'], ROOT)
    assert done.code == 0, done
    with open(log) as file:
        lines = file.read().splitlines()
    locked = next(n for n, line in enumerate(lines) if 'PR_SET_SECCOMP' in line)
    read = [n for n, line in enumerate(lines) if line.startswith('read(') and 'net.conf.d/50-lab.conf>' in line]
    assert len(read) >= 2 and not any('net.conf' in line for line in lines[locked:]), (read, locked)


# --- one moment -----------------------------------------------------------------------------

def held(root, argv, change):
    """What alice's program says that is stopped when it has listed its directory (a first call of two is cut short by a signal), until change() is done."""
    log = f'{root.tmp}/strace'
    root.write(log, '')
    as_alice = ['/usr/bin/setpriv', '--reuid', str(root.alice.uid), '--regid', str(root.alice.gid), '--clear-groups', '--']
    stop = ['-e', 'inject=getdents64:signal=SIGSTOP:when=2']
    with subprocess.Popen(['/usr/bin/strace', '-f', '-o', log, *stop, *as_alice, *argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
        def stopped():
            with open(log) as file:
                return re.search(r'^(\d+) +--- stopped by SIGSTOP', file.read(), re.M)
        wait_for(stopped, 'the program to be stopped')
        change()
        os.kill(int(stopped().group(1)), signal.SIGCONT)
        return run.communicate()[0]


def ban_then_grant(root, conf, ban, grant):
    root.write(f'{conf}.d/20-ban.conf', ban)
    root.write(f'{conf}.d/new', grant)
    os.rename(f'{conf}.d/new', f'{conf}.d/50-lab.conf')


@case('the files are those of one moment: no grant of a moment without the ban that was written before it')
def _(root):
    h = host(root)
    policy(root, NET, '', {'50-lab.conf': ''})
    with Container(root.alice) as c:
        said = held(root, [h.helper, 'add', '--netns', f'pid:{c.pid}', '--bridge', 'br0'], lambda: ban_then_grant(root, NET, 'alice veth br0 0\n', '* veth br0 1\n'))
        assert '[NR-POLICY]' in said and h.ports() == [], said
    policy(root, CGROUP, base(), {'50-lab.conf': ''})
    said = held(root, [root.program('userns-cgroup'), 'enter', 'x', '--', '/bin/echo', 'it ran'], lambda: ban_then_grant(root, CGROUP, 'alice containers=0\n', '* pids.max=5\n'))
    assert '[CG-' in said and 'it ran' not in said, said


@case('TF-FILE: a file or a directory that is a link to nothing takes no ban away')
def _(root):
    def gone(where):
        os.symlink('gone', where)
        with Container(root.alice) as c:
            number, said = nets(root, c) if where.startswith(NET) else (0, '')
        assert number == 0 and (where.startswith(CGROUP) or f'{where} cannot be opened' in said), (number, said)
        return where.startswith(NET) or enter(root)
    policy(root, NET, 'alice veth br0 1\n')
    gone(f'{NET}.d')
    policy(root, NET, None, {'a.conf': 'alice veth br0 1\n'})
    gone(NET)
    policy(root, CGROUP, None, {'a.conf': base() + 'alice pids.max=5\n'})
    code, said = gone(CGROUP)
    assert code == 125 and '[TF-FILE]' in said, said
    policy(root, CGROUP, base() + 'alice pids.max=5\n')
    code, said = gone(f'{CGROUP}.d')
    assert code == 125 and '[TF-FILE]' in said, said


main()
