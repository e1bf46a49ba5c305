#!/usr/bin/env python3
"""userns-run doctor: what is wrong with a host is found by it, and a failed start points to the same check."""

import json
import os
import pty
import re
import shutil
import sys

sys.path.insert(0, os.path.dirname(__file__))
from container import run, spawn  # noqa: E402
from cgroups import Cgroups  # noqa: E402
from filtered import filtered  # noqa: E402
from harness import (CLONE_NEWNET, CLONE_NEWNS, MS_BIND, MS_NOSUID, MS_REMOUNT, case, cases, main, mount, skip,  # noqa: E402
                     status_of, umount, unshare)

cgroups = Cgroups.become_tenant()
LEVELS = {'pass', 'note', 'warn', 'fail'}


def examine(root, user=None, code=None, **how):
    """{id or "id subject": check} as alice sees it."""
    done = root.run([root.program('userns-run'), 'doctor', '--json'], user or root.alice, timeout=60, **how)
    assert done.out, done
    report = json.loads(done.out)
    assert done.err == '' and done.code == (0 if report['ok'] else 1), done
    assert code is None or done.code == code, done
    assert report['ok'] == all(c['status'] != 'fail' for c in report['checks']), done
    for check in report['checks']:
        assert check['status'] in LEVELS and check['text'] and bool(check['fix']) == (check['status'] != 'pass'), check
    return {f"{c['id']} {c['subject']}".strip(): c for c in report['checks']}


def found(root, name, status, *pieces, **how):
    check = examine(root, **how)[name]
    assert check['status'] == status, check
    for piece in pieces:
        assert piece in check['text'] + ' ' + check['fix'], (piece, check)
    return check


class Mounted:
    """Something over a path, for as long as it takes."""

    def __init__(self, source, where, flags=MS_BIND, kind=None):
        self.args, self.where = (source, where, kind, flags), where

    def __enter__(self):
        mount(*self.args)

    def __exit__(self, *_):
        umount(self.where)


@case('in a container of the suite with --nesting doctor names as wrong only what is wrong there')
def _(root):
    mine = str(root.alice.uid)
    root.write('/etc/subuid', f'{mine}:100000:65536\n')
    done = root.run([root.program('userns-run'), '--map-self', '--nesting', '--env=container=userns', '--', root.program('userns-run'),
                     'doctor', '--json'], root.alice, timeout=60)
    checks = {check['id']: check for check in json.loads(done.out)['checks']}
    assert checks['start']['status'] == checks['seccomp']['status'] == checks['sys']['status'] == 'pass', checks
    assert 'container of userns-run' in checks['seccomp']['text'], checks


@case('a user with ids and setuid helpers has no failure, and the container for trial ran')
def _(root):
    checks = examine(root, code=0)
    for name in ('userns', 'namespaces', 'proc', 'newuidmap', 'newgidmap', 'subuid', 'subgid', 'start'):
        assert checks[name]['status'] == 'pass', checks[name]
    assert '65536 in /etc/subuid' in checks['subuid']['text'], checks['subuid']


@case('userns-names that users can read, of another owner or not there: a warning that says how it must be')
def _(root):
    program = root.program('userns-names')
    assert examine(root)['userns-names']['status'] == 'pass'
    try:
        os.chmod(program, 0o755)
        found(root, 'userns-names', 'warn', 'can be read', '0711')
        os.chmod(program, 0o711)
        os.chown(program, root.alice.uid, 0)
        found(root, 'userns-names', 'warn', "is not root's", '0711')
        os.chown(program, 0, 0)
        os.rename(program, f'{program}.away')
        found(root, 'userns-names', 'warn', 'not installed', 'install userns-helpers')
        os.rename(f'{program}.away', program)
    finally:
        if not os.path.exists(program):
            os.rename(f'{program}.away', program)
        os.chown(program, 0, 0)
        os.chmod(program, 0o711)


@cases([('a user database that hangs is given up after ten seconds, and said: login names', 'passwd: x\ngroup: files\n', 'asked for the login name of uid 70001'),
        ('a user database that hangs is given up after ten seconds, and said: subordinate ids',
         'passwd: files\ngroup: files\nsubid: x\n', 'ranges of uid 70001')])
def _(root, nsswitch, says):
    libraries = '/usr/lib/x86_64-linux-gnu'
    root.overlay(libraries)
    for name in ('libnss_x.so.2', 'libsubid_x.so'):
        shutil.copyfile(os.path.join(root.build, 'tests', 'helpers', 'libsubid_x.so'), f'{libraries}/{name}')
    root.write('/etc/subid-plugin', 'hang')
    root.write(f'{root.tmp}/witness', '', mode=0o666)
    root.write('/etc/nsswitch.conf', nsswitch)
    checks = examine(root, code=1)
    database, start = checks['user-database'], checks['start']
    assert database['status'] == 'warn' and 'did not answer within 10 s' in database['text'] and says in database['text'], database
    assert start['status'] == 'warn' and 'not tried' in start['text'], start
    assert 'did not answer' in checks['subuid']['text'] + checks['subgid']['text'], checks['subgid']
    # What still waits for an answer was ended with it: else it would be this program's child by now.
    with open(f'/proc/self/task/{os.getpid()}/children') as file:
        left = [pid for pid in file.read().split() if not status_of(pid)['State'].startswith('Z')]
    assert not left, left


@case('for people: aligned, without colours where no terminal is, counted at the end')
def _(root):
    done = root.run([root.program('userns-run'), 'doctor'], root.alice)
    assert done.code == 0 and '\033' not in done.out and ' as alice (uid 70001)\n' in done.out, done
    columns = {re.match(r'  \S+ +\S+ +', line).end() for line in done.out.splitlines() if line.startswith('  ok ')}
    assert len(columns) == 1 and done.out.splitlines()[-1].split()[1].startswith('ok'), done


@case('no ids: subuid and subgid fail, the start too, and the failed start points to the check')
def _(root):
    checks = examine(root, user=root.carol, code=1)
    assert [checks[n]['status'] for n in ('subuid', 'subgid', 'start')] == ['fail'] * 3, checks
    assert 'grant carol --ids 65536' in checks['subuid']['fix'], checks['subuid']
    assert 'carol has no subordinate ids' in checks['start']['text'] and 'doctor' not in checks['start']['text']
    done = run(root, user=root.carol)
    assert done.code == 125 and done.err.rstrip().endswith('(see subuid in userns-run doctor)'), done


@case('few ids are a warning; a malformed line of the user is named with its place')
def _(root):
    root.subuid('alice:100000:1000\n')
    found(root, 'subuid', 'warn', '1000 in /etc/subuid', code=0)
    root.subuid('bob:1:1\nalice:0x1000:65536\n')
    found(root, 'subuid', 'fail', '/etc/subuid:2 grants nothing', 'hexadecimal', code=1)


@case('a subid file that others can write is a failure with its reason')
def _(root):
    root.subuid('alice:100000:65536\n', mode=0o666)
    found(root, 'subuid', 'fail', 'TF-FILE', code=1)


@case('a helper that lost its setuid bit, is not root\'s, or is not there')
def _(root):
    if root.privilege != 'setuid':
        skip('with file capabilities there is no bit to lose')
    kept = root.newuidmap + '.kept'
    try:
        os.chmod(root.newuidmap, 0o755)
        found(root, 'newuidmap', 'fail', 'lost its setuid bit', f'chmod u+s {root.newuidmap}', code=1)
        os.chown(root.newuidmap, root.bob.uid, 0)
        found(root, 'newuidmap', 'fail', "not root's", code=1)
    finally:
        os.chown(root.newuidmap, 0, 0)
        os.chmod(root.newuidmap, 0o4755)
    os.rename(root.newuidmap, kept)
    try:
        found(root, 'newuidmap', 'fail', 'not installed', code=1, env={'PATH': '/nowhere'})
    finally:
        os.rename(kept, root.newuidmap)


@case('helpers on a nosuid mount')
def _(root):
    with Mounted(root.newuidmap, root.newuidmap):
        mount(None, root.newuidmap, None, MS_BIND | MS_REMOUNT | MS_NOSUID)
        found(root, 'newuidmap', 'fail', 'nosuid', code=1)


@case('another project\'s newuidmap is a warning, a program of another version too')
def _(root):
    fake = f'{root.tmp}/other'
    root.write(fake, "#!/bin/sh\necho 'newuidmap (userns suite) 0.0.1'\n", mode=0o4755)
    with Mounted(fake, root.newuidmap):
        found(root, 'newuidmap', 'warn', '0.0.1', 'same version')
    for script in ('exit 1', 'head -c 3000000 /dev/zero'):  # far more than a pipe holds
        root.write(fake, f'#!/bin/sh\n{script}\n', mode=0o4755)
        with Mounted(fake, root.newuidmap):
            found(root, 'newuidmap', 'warn', "another project's")
    root.write(fake, '#!/bin/sh\nexit 1\n', mode=0o4755)
    with Mounted(fake, root.newuidmap):
        found(root, 'newuidmap', 'warn', "another project's")


@case('no_new_privs and a poor bounding set are the caller\'s failures')
def _(root):
    found(root, 'no-new-privs', 'fail', '--map-self', code=1, no_new_privs=True)
    found(root, 'bounding-set', 'fail', 'CAP_SETUID', code=1, drop_bounding=(7,))


@case('a /proc that is masked, as container engines do')
def _(root):
    with Mounted('/dev/null', '/proc/timer_list'):
        found(root, 'proc', 'fail', '/proc/timer_list', 'systempaths', code=1)
        done = run(root)
        assert done.code == 125 and '(see proc in userns-run doctor)' in done.err, done


@case('net.conf: what it grants, whether the bridge is there, a line that refuses the file')
def _(root):
    root.write('/etc/userns/net.conf', '*  veth  br-none  2\n')
    checks = examine(root, code=1)
    assert checks['net-conf']['text'] == '2 NICs on br-none' and checks['bridge br-none']['status'] == 'fail', checks
    root.write('/etc/userns/net.conf', 'bob veth br-none 2\n')
    assert 'bridge br-none' not in examine(root, code=0)
    root.write('/etc/userns/net.conf', 'alice veth\n')
    found(root, 'net-conf', 'fail', '/etc/userns/net.conf:1:', code=1)
    root.write('/etc/userns/net.conf', '* veth br-none 1\n', mode=0o666)
    found(root, 'net-conf', 'fail', 'TF-FILE', code=1)
    root.write('/etc/userns/net.conf', '')


@case('a bridge is down, has no port, is well')
def _(root):
    root.write('/etc/userns/net.conf', 'alice veth br7 1\n')
    script = f'''set -e
mount -t sysfs sysfs /sys
doctor() {{ setpriv --reuid {root.alice.uid} --regid {root.alice.gid} --clear-groups \
  {root.program('userns-run')} doctor --json | python3 -c 'import json, sys
print([c["status"] for c in json.load(sys.stdin)["checks"] if c["id"] == "bridge"])'; }}
ip link add br7 type bridge; doctor
ip link set br7 up; doctor
ip link add port type veth peer other; ip link set port master br7 up; doctor
'''
    done = root.run(['/bin/sh', '-c', script], timeout=90, before=lambda: unshare(CLONE_NEWNS | CLONE_NEWNET))
    root.write('/etc/userns/net.conf', '')
    assert done.out.splitlines() == ["['fail']", "['warn']", "['pass']"], done


@case('cgroup.conf: the limits that are for the caller, a line that refuses the file')
def _(root):
    if cgroups.why_not or not {'memory', 'pids'} <= cgroups.v1.keys():
        skip(cgroups.why_not or 'no memory and pids controllers in v1')
    cgroups.clear()
    base = f'base = {cgroups.v2}\n'
    root.write('/etc/userns/cgroup.conf', base + 'bob pids.max=7\nalice memory.max=1G pids.max=100\n')
    found(root, 'cgroup-conf', 'pass', 'memory.max=', 'pids.max=100')
    assert cgroups.left() == [], 'the trial is released'
    # What only the act itself shows.
    root.write('/etc/userns/cgroup.conf', base + 'alice cpuset.cpus=4000\n')
    found(root, 'cgroup-conf', 'fail', 'for trial', 'cpuset.cpus', 'CG-LIMIT', code=1)
    root.write('/etc/userns/cgroup.conf', base + 'alice containers=0\n')
    found(root, 'cgroup-conf', 'fail', 'for trial', 'CG-COUNT', code=1)
    root.write('/etc/userns/cgroup.conf', 'alice memory.min=1\n')
    found(root, 'cgroup-conf', 'fail', '/etc/userns/cgroup.conf:1:', code=1)
    root.write('/etc/userns/cgroup.conf', '')


@case('the directory of containers: not to be written, noexec, nosuid')
def _(root):
    env = {'PATH': '/usr/bin:/bin', 'XDG_DATA_HOME': '/proc/1/x'}
    found(root, 'containers', 'fail', 'XDG_DATA_HOME', code=1, env=env)
    place = f'{root.tmp}/place'
    os.makedirs(place, exist_ok=True)
    for flag, status, word in ((8, 'fail', 'noexec'), (2, 'warn', 'nosuid')):
        mount('tmpfs', place, 'tmpfs', flag, 'mode=1777')
        found(root, 'containers', status, word, env={'PATH': '/usr/bin:/bin', 'XDG_DATA_HOME': place})
        umount(place)


# --- what the helpers say, doctor says (issue 15, E10) ------------------------------------------

@case('a directory of policy that its group can write to is refused, as the helpers refuse it')
def _(root):
    root.write('/etc/userns/net.conf', 'alice veth br-none 1\n')
    os.chmod('/etc/userns', 0o775)
    try:
        found(root, 'net-conf', 'fail', 'TF-PATH', code=1)
        found(root, 'cgroup-conf', 'fail', 'TF-PATH', code=1)
    finally:
        os.chmod('/etc/userns', 0o755)
        root.write('/etc/userns/net.conf', '')


@case('a FIFO, a directory and a device as net.conf are refused, and nothing waits')
def _(root):
    path = '/etc/userns/net.conf'
    for make in (os.mkfifo, os.mkdir, lambda p: os.mknod(p, 0o20644, os.makedev(1, 5))):
        os.unlink(path)
        make(path)
        found(root, 'net-conf', 'fail', 'TF-FILE', code=1)
        (os.rmdir if os.path.isdir(path) else os.unlink)(path)
        root.write(path, '')


@case('a base that is a user\'s is what the trial shows, also if root alone can read cgroup.conf')
def _(root):
    if cgroups.why_not:
        skip(cgroups.why_not)
    cgroups.clear()
    base = f'{cgroups.v2}/of-a-user'
    os.mkdir(base)
    try:
        for mode in (0o644, 0o600):
            os.chown(base, root.bob.uid, 0)
            root.write('/etc/userns/cgroup.conf', f'base = {base}\nalice pids.max=7\n', mode=mode)
            found(root, 'cgroup-conf', 'fail', 'TF-PATH', code=1)
            os.chown(base, 0, 0)
            found(root, 'cgroup-conf', 'pass', 'pids.max=7' if mode == 0o644 else 'I cannot see')
            for uid in os.listdir(base):
                if os.path.isdir(f'{base}/{uid}'):
                    os.rmdir(f'{base}/{uid}')
        root.write('/etc/userns/cgroup.conf', f'base = {base}\nbob pids.max=7\n', mode=0o600)
        found(root, 'cgroup-conf', 'note', 'no line for alice')
    finally:
        os.rmdir(base)
        root.write('/etc/userns/cgroup.conf', '')


@case('a store in which others can write, and a full disk, are what create would say')
def _(root):
    place = f'{root.tmp}/place'
    env = {'PATH': '/usr/bin:/bin', 'XDG_DATA_HOME': place}
    os.makedirs(place, exist_ok=True)
    mount('tmpfs', place, 'tmpfs', 0, 'mode=1777')
    try:
        os.makedirs(f'{place}/userns')
        os.chown(f'{place}/userns', root.alice.uid, root.alice.gid)
        os.chmod(f'{place}/userns', 0o777)
        refusal = root.run([root.program('userns-run'), 'list'], root.alice, env=env).err
        found(root, 'containers', 'fail', 'others can write', code=1, env=env)
        assert 'others can write' in refusal, refusal
    finally:
        umount(place)
    for options, word in (('size=4k', 'no blocks'), ('nr_inodes=2', 'no inodes')):
        mount('tmpfs', place, 'tmpfs', 0, 'mode=1777,' + options)
        try:
            with open(f'{place}/full', 'w') as file:
                file.write('x' * 4096 if 'size' in options else '')
            found(root, 'containers', 'fail', word, code=1, env=env)
        finally:
            umount(place)


@case('a helper that others can write is a failure')
def _(root):
    if root.privilege != 'setuid':
        skip('with file capabilities a change of mode is another matter')
    os.chmod(root.newuidmap, 0o4777)
    try:
        found(root, 'newuidmap', 'fail', 'chmod go-w', code=1)
    finally:
        os.chmod(root.newuidmap, 0o4755)


# --- what cannot be seen is not a value (E11) ---------------------------------------------------

@case('in a user namespace where root has no uid nothing fails that works')
def _(root):
    checks = json.loads(root.run(['/usr/bin/unshare', '-Ur', root.program('userns-run'), 'doctor', '--json'], root.alice, timeout=60,
                                 env={'PATH': '/usr/bin:/bin', 'HOME': f'{root.tmp}/home/alice'}).out)['checks']
    assert not [c for c in checks if c['status'] == 'fail'], checks
    assert {c['id']: c['status'] for c in checks}['start'] == 'pass', checks


@cases([(f'under a filter that lacks {name}, doctor agrees with a start', number, code)
        for name, number, code in (('mount(2)', 165, 1), ('mount(2), as an old filter', 165, 38), ('openat2(2)', 437, 38), ('openat2(2), refused', 437, 1))])
def _(root, number, code):
    act = spawn([root.program('userns-run'), '--net=none', '--', '/bin/true'], **filtered(root, number, code=code)).wait(60)
    done = spawn([root.program('userns-run'), 'doctor', '--json'], **filtered(root, number, code=code)).wait(60)
    checks = json.loads(done.out)['checks']
    failed = [c for c in checks if c['status'] == 'fail']
    assert bool(failed) == (act.code != 0), (act, failed)
    assert {c['id']: c['status'] for c in checks}['start'] == ('pass' if act.code == 0 else 'warn'), (act, failed)
    assert all('openat2(2)' in c['text'] for c in failed), failed


@case('without /proc, doctor says that /proc is missing, and of nothing else that it fails')
def _(root):
    done = root.run(['/bin/sh', '-c', f'umount -l /proc; exec setpriv --reuid {root.alice.uid} --regid {root.alice.gid} --clear-groups '
                     f'{root.program("userns-run")} doctor --json'], timeout=60, before=lambda: unshare(CLONE_NEWNS))
    failed = [c for c in json.loads(done.out)['checks'] if c['status'] == 'fail']
    assert failed and all('/proc' in c['text'] for c in failed), failed


# --- nothing waits for ever (E12) ---------------------------------------------------------------

@case('a helper that hangs on --version is given up, named, and no start waits for it')
def _(root):
    root.write(f'{root.tmp}/hangs', '#!/bin/sh\nexec sleep 1000\n', mode=0o755)
    helper = root.program('userns-net')
    with Mounted(f'{root.tmp}/hangs', helper):
        os.chmod(helper, 0o4755)
        checks = examine(root, code=1)
        assert checks[os.path.basename(helper)]['status'] == 'fail', checks
        assert '--version within' in checks[os.path.basename(helper)]['text'], checks
        assert checks['start']['status'] == 'warn' and 'not tried' in checks['start']['text'], checks['start']


@case('whether containers can share files: by the act, where they are kept')
def _(root):
    env = {'PATH': '/usr/bin:/bin', 'XDG_DATA_HOME': f'{root.tmp}/home/alice/data'}
    found(root, 'instant', 'pass', 'ids of its own', env=env)
    os.makedirs('/etc/data/userns')  # an overlay, in the tests' root
    for path in ('/etc/data', '/etc/data/userns'):
        os.chown(path, root.alice.uid, root.alice.gid)
    found(root, 'instant', 'note', 'ID-FILESYSTEM', env={**env, 'XDG_DATA_HOME': '/etc/data'})
    helper = root.program('userns-idmap')
    os.rename(helper, helper + '.gone')
    try:
        found(root, 'instant', 'note', 'cannot find userns-idmap', env=env)
    finally:
        os.rename(helper + '.gone', helper)


@case('what is not there and not needed is not a failure')
def _(root):
    checks = examine(root, code=0, env={'PATH': '/nowhere', 'HOME': root.tmp + '/home/alice'})
    assert [checks[n]['status'] for n in ('user-network', 'busybox')] == ['note', 'note'], checks


@case('colours only on a terminal, and never with NO_COLOR')
def _(root):
    for env, coloured in (({'TERM': 'xterm'}, True), ({'TERM': 'xterm', 'NO_COLOR': '1'}, False), ({'TERM': 'dumb'}, False)):
        ours, theirs = pty.openpty()
        child = spawn([root.program('userns-run'), 'doctor'], root.alice, fds={1: theirs}, env={'PATH': '/usr/bin:/bin', **env})
        os.close(theirs)
        said = b''
        try:
            while piece := os.read(ours, 4096):
                said += piece
        except OSError:
            pass
        child.wait()
        os.close(ours)
        assert (b'\033[' in said) == coloured and b'newuidmap' in said, said


@case('a closed or full standard output is a failure that says so; other words are refused')
def _(root):
    full = os.open('/dev/full', os.O_WRONLY)
    done = root.run([root.program('userns-run'), 'doctor'], root.alice, fds={1: full})
    os.close(full)
    assert done.code == 125 and 'standard output' in done.err, done
    for words in (['x'], ['--jsn'], ['--', 'true']):
        done = root.run([root.program('userns-run'), 'doctor', *words], root.alice)
        assert done.code == 125 and 'doctor' in done.err, done


@case('nothing is left behind: no process, no file')
def _(root):
    home = f'{root.tmp}/home/alice'
    before = sorted(os.listdir(home))
    examine(root, env={'PATH': '/usr/bin:/bin', 'HOME': home})
    assert before == sorted(os.listdir(home))


main()
