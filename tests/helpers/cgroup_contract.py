#!/usr/bin/env python3
"""userns-cgroup's contract: installed setuid, run by scratch users, on the cgroups of this host."""

import contextlib
import json
import os
import resource
import signal
import stat
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from cgroups import Cgroups, V1, below, pids_in, read, remove, write  # noqa: E402
from harness import (CAP, FIRST_GID, FIRST_UID, SYSCALL, case, cases, main, mount, open_fds, prctl, skip, spawn,  # noqa: E402
                     status_of, trace, umount, wait_for)

cgroups = Cgroups.become_tenant()
SLEEP = ['/bin/sleep', '60']
READY_AND_SLEEP = ['/bin/sh', '-c', 'echo ready; exec sleep 60']
FILES_HANDED_OVER = {'', 'cgroup.procs', 'cgroup.threads', 'cgroup.subtree_control'}


def setup(root, lines, base=None, **how):
    """Writes the policy; skips where this host has no cgroups for tests."""
    cgroups.begin(root, lines, base, **how)


def needs(*controllers):
    for controller in controllers:
        if controller not in cgroups.v1:
            skip(f'no cgroup v1 {controller} hierarchy on this host')


def enter(root, name, command, user=None, **how):
    return root.run([root.program('userns-cgroup'), 'enter', name, '--', *command], user or root.alice, **how)


def spawned(root, name, command, user=None, **how):
    """The same by a new process; its output is there when it has ended."""
    return root.run([root.program('userns-cgroup'), 'spawn', name, '--', *command], user or root.alice, **how)


def helper(root, *words, user=None, **how):
    return root.run([root.program('userns-cgroup'), *words], user or root.alice, **how)


def running(root, name, user=None, command=SLEEP, **how):
    """A container with a process in it."""
    user = user or root.alice
    child = spawn([root.program('userns-cgroup'), 'enter', name, '--', *command], user, **how)
    wait_for(lambda: child.pid in pids_of(user, name), f'{name} to be entered')
    return child


def node(user):
    return f'{cgroups.v2}/{user.uid}'


def pids_of(user, name):
    try:
        return pids_in(f'{node(user)}/{name}')
    except FileNotFoundError:
        return []


def refused(done, rule, *texts):
    assert done.code == 125 and f'[{rule}]' in done.err, done
    for text in texts:
        assert text in done.err, (text, done)
    assert done.out == '', done
    assert cgroups.left() == [], cgroups.left()


# --- what enter makes -----------------------------------------------------------------------

@case('enter runs the command in BASE/UID/NAME and nowhere else')
def _(root):
    setup(root, 'alice containers=2')
    done = enter(root, 'web', ['/bin/cat', '/proc/self/cgroup'])
    assert done.code == 0 and f'0::/{os.path.basename(cgroups.v2)}/{root.alice.uid}/web\n' in done.out, done


@case('what is handed over is the directory, cgroup.procs, cgroup.threads and cgroup.subtree_control, and nothing else')
def _(root):
    setup(root, 'alice containers=2')
    running(root, 'web')
    box = f'{node(root.alice)}/web'
    owned = {name for name in ['', *os.listdir(box)] if os.stat(f'{box}/{name}').st_uid == root.alice.uid}
    assert owned == FILES_HANDED_OVER, owned
    for name in os.listdir(node(root.alice)) + ['']:
        facts = os.stat(f'{node(root.alice)}/{name}')
        assert name == 'web' or facts.st_uid == 0, name
        assert not facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH), name


@case("the user's node can be passed through but neither listed nor locked by him")
def _(root):
    setup(root, 'alice containers=2')
    running(root, 'web')
    done = root.run(['/bin/ls', node(root.alice)], root.alice)
    assert done.code != 0 and 'Permission denied' in done.err, done
    assert root.run(['/bin/ls', f'{node(root.alice)}/web'], root.alice).code == 0


@case('cgroup.max.descendants and cgroup.max.depth are always set')
def _(root):
    setup(root, 'alice containers=2')
    running(root, 'web')
    assert read(f'{node(root.alice)}/cgroup.max.descendants') == '4096'
    assert read(f'{node(root.alice)}/cgroup.max.depth') == '16'
    setup(root, 'alice descendants=7 depth=3')
    running(root, 'web')
    assert read(f'{node(root.alice)}/cgroup.max.descendants') == '7'
    assert read(f'{node(root.alice)}/cgroup.max.depth') == '3'


@case('v2 limits are set on the node, and its controllers are there for the container')
def _(root):
    if cgroups.why_not or 'hugetlb' not in read(cgroups.v2 + '/cgroup.controllers'):
        skip(cgroups.why_not or 'no v2 controller to try here')
    setup(root, 'alice hugetlb.2MB.max=4M')
    running(root, 'web')
    assert read(f'{node(root.alice)}/hugetlb.2MB.max') == str(4 << 20)
    assert 'hugetlb' in read(f'{node(root.alice)}/web/cgroup.controllers')
    assert read(f'{node(root.alice)}/web/hugetlb.2MB.max') != str(4 << 20), 'the limit sits one level above the user'


@case("an administrator's edit takes effect at the next enter, also one that takes a limit back")
def _(root):
    setup(root, 'alice containers=2 descendants=9')
    running(root, 'web')
    assert read(f'{node(root.alice)}/cgroup.max.descendants') == '9'
    root.write('/etc/userns/cgroup.conf', f'base = {cgroups.v2}\nalice containers=2\n')
    assert enter(root, 'web', ['/bin/true']).code == 0
    assert read(f'{node(root.alice)}/cgroup.max.descendants') == '4096'


@case('a container that runs can be entered again')
def _(root):
    setup(root, 'alice containers=1')
    running(root, 'web')
    running(root, 'web')
    assert len(pids_of(root.alice, 'web')) == 2


@case('it can be entered from inside itself and from a leaf of it')
def _(root):
    setup(root, 'alice containers=1')
    program = root.program('userns-cgroup')
    script = (f'mkdir {node(root.alice)}/web/leaf && echo $$ > {node(root.alice)}/web/leaf/cgroup.procs && '
              f'exec {program} enter web -- cat /proc/self/cgroup')
    done = enter(root, 'web', ['/bin/sh', '-c', script])
    assert done.code == 0 and f'/{root.alice.uid}/web\n' in done.out and 'leaf' not in done.out, done


@case("what a user's memory is charged to outlives his containers: release and a failed enter give no limit afresh")
def _(root):
    needs('memory')
    setup(root, 'alice memory.max=64M')
    shm = f'{root.tmp}/shm'
    os.makedirs(shm, exist_ok=True)
    mount('tmpfs', shm, 'tmpfs', 0, 'mode=1777')
    try:
        def fill(number):
            return enter(root, 'm', ['/bin/dd', 'if=/dev/zero', f'of={shm}/f{number}', 'bs=1M', 'count=50'], timeout=60)
        assert fill(1).code == 0
        facts = os.stat(f"{cgroups.v1['memory']}/userns-{root.alice.uid}"), os.stat(node(root.alice))
        assert helper(root, 'release', 'm').code == 0
        # A limit that the kernel does not take: refused half-way.
        root.write('/etc/userns/cgroup.conf', f'base = {cgroups.v2}\nalice memory.max=64M cpuset.cpus=4000\n')
        assert '[CG-LIMIT]' in enter(root, 'm', ['/bin/true']).err
        root.write('/etc/userns/cgroup.conf', f'base = {cgroups.v2}\nalice memory.max=64M\n')
        assert fill(2).code == -signal.SIGKILL
        assert int(read(f"{cgroups.v1['memory']}/userns-{root.alice.uid}/memory.usage_in_bytes")) <= 64 << 20
        now = os.stat(f"{cgroups.v1['memory']}/userns-{root.alice.uid}"), os.stat(node(root.alice))
        assert [f.st_ino for f in facts] == [f.st_ino for f in now], "a user's node was made anew"
    finally:
        umount(shm)


@case('CG-FULL: no more processes than pids.max are let in, though the kernel counts forks alone; the others leave nothing')
def _(root):
    needs('pids')
    setup(root, 'alice pids.max=5')
    program = root.program('userns-cgroup')
    children = [spawn([program, 'enter', 'y', '--', *SLEEP], root.alice) for _ in range(12)]
    wait_for(lambda: sum(1 for c in children if c._reap()) == 7, 'seven to be refused')
    refusals = [c.wait() for c in children if c.code is not None]
    assert all(r.code == 125 and '[CG-FULL]' in r.err and '5' in r.err for r in refusals), refusals
    inside = sorted(c.pid for c in children if c.code is None)
    assert sorted(pids_of(root.alice, 'y')) == inside == sorted(
        pids_in(f"{cgroups.v1['pids']}/userns-{root.alice.uid}/y")) and len(inside) == 5
    done = enter(root, 'z', ['/bin/true'])
    assert done.code == 125 and '[CG-FULL]' in done.err and not os.path.exists(f'{node(root.alice)}/z'), done


@case('without a base the top of the hierarchy is used, where root needs its right of way (0555); the tops of v1, too')
def _(root):
    setup(root, '')
    lines = 'alice containers=4' + (' pids.max=40' if 'pids' in cgroups.v1 else '')
    root.write('/etc/userns/cgroup.conf', lines + '\n')
    tops = [(cgroups.top, str(root.alice.uid)), *((f'/sys/fs/cgroup/{c}', f'userns-{root.alice.uid}') for c in cgroups.v1)]
    for top, name in tops:  # what a trial of doctor's has left there: a user's node stays
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(f'{top}/{name}')
    assert all(os.stat(top).st_mode & 0o777 == 0o555 and not os.path.exists(f'{top}/{name}') for top, name in tops), tops
    # From where a session of a host without systemd is: the top of each hierarchy.
    words = ['/bin/sh', '-c', 'for top; do echo $$ >$top/cgroup.procs || exit 9; done; exec setpriv --reuid '
             f'{root.alice.uid} --regid {root.alice.gid} --clear-groups {root.program("userns-cgroup")} enter x -- cat /proc/self/cgroup',
             'sh', *(f'/sys/fs/cgroup/{c}' for c in cgroups.v1)]
    try:
        done = root.run(words)
        assert done.code == 0 and f'0::/{root.alice.uid}/x\n' in done.out, done
        assert 'pids' not in cgroups.v1 or f':pids:/userns-{root.alice.uid}/x\n' in done.out, done
    finally:
        for top, name in tops:
            remove(f'{top}/{name}')


def from_cgroup(root, path, words, user=None):
    """Runs userns-cgroup as a user who is in the v2 cgroup `path`."""
    user = user or root.alice
    return root.run(['/bin/sh', '-c', 'echo $$ >$0/cgroup.procs || exit 9; exec "$@"', path, '/usr/bin/setpriv', '--reuid', user.uid,
                     '--regid', user.gid, '--clear-groups', root.program('userns-cgroup'), *words])


@case('CG-FROM: a grant is no way out of a job: whoever is in its cgroup stays there, and ends with it')
def _(root):
    setup(root, '')
    job, base = cgroups.v2 + '/job', cgroups.v2 + '/base'
    for path in (job, base, job + '/step'):
        os.mkdir(path)
    os.chown(job + '/step', root.alice.uid, root.alice.gid)
    words = ['enter', 'esc', '--', '/bin/cat', '/proc/self/cgroup']
    inside = '/' + os.path.relpath(job, cgroups.top)

    def policy(settings):
        root.write('/etc/userns/cgroup.conf', f'base = {base}\n* containers=3 {settings}\n')
    for where in (job, job + '/step'):
        policy('')
        done = from_cgroup(root, where, words)
        assert done.code == 125 and '[CG-FROM]' in done.err and inside in done.err and 'from=' in done.err, done
        policy(f'from={inside[:-1]}')
        assert '[CG-FROM]' in from_cgroup(root, where, words).err
        for said in ('any', f'/elsewhere,{inside}', '/'):
            policy(f'from={said}')
            done = from_cgroup(root, where, words)
            assert done.code == 0 and f'/base/{root.alice.uid}/esc\n' in done.out, (said, done)
    # Another user's container is a job, too; one's own is not.
    policy('')
    assert from_cgroup(root, f'{base}/{root.alice.uid}/esc', words).code == 0
    assert '[CG-FROM]' in from_cgroup(root, f'{base}/{root.alice.uid}/esc', words, root.bob).err
    assert from_cgroup(root, job, ['list']).code == 0 and from_cgroup(root, job, ['release', 'esc']).code == 0


@case('CG-FROM: out of a session of their own users may go, out of that of another they may not')
def _(root):
    setup(root, '* containers=3')
    slices = [f'{cgroups.top}/user.slice', *(f'{cgroups.top}/user.slice/user-{u}.slice' for u in (root.alice.uid, 0))]
    if os.path.exists(slices[0]):
        skip('there is a user.slice on this host: tests/system tries it')
    try:
        for path in slices:
            os.mkdir(path)
        words = ['enter', 'web', '--', '/bin/true']
        assert from_cgroup(root, slices[1], words).code == 0
        for where, user in ((slices[1], root.bob), (slices[2], root.alice), (slices[0], root.alice)):
            done = from_cgroup(root, where, words, user)
            assert done.code == 125 and '[CG-FROM]' in done.err and f'user-{user.uid}.slice' in done.err, done
    finally:
        remove(slices[0])


@case('CG-FROM: in a cgroup namespace whose top is a job the job is not taken for the top of the hierarchy')
def _(root):
    setup(root, 'alice containers=3')
    job = cgroups.v2 + '/job'
    os.mkdir(job)
    words = ['/bin/sh', '-c', f'echo $$ >{job}/cgroup.procs; exec unshare --cgroup setpriv --reuid {root.alice.uid} --regid {root.alice.gid} '
             f'--clear-groups sh -c "grep ^0: /proc/self/cgroup; exec {root.program("userns-cgroup")} enter esc -- /bin/true"']
    done = root.run(words)
    assert done.code == 125 and done.out == '0::/\n' and '[CG-FROM]' in done.err, done


@case('CG-FROM: with base.v1 it holds in cgroup v1, too')
def _(root):
    needs('pids')
    setup(root, '')
    job, users = cgroups.v1['pids'] + '/job', cgroups.v1['pids'] + '/users'
    os.mkdir(job), os.mkdir(users)
    inner = users.removeprefix('/sys/fs/cgroup/pids')
    root.write('/etc/userns/cgroup.conf', f'base = {cgroups.v2}\nbase.v1 = {inner}\nalice pids.max=20\n')
    words = ['enter', 'esc', '--', '/bin/true']
    done = from_cgroup(root, job, words)
    assert done.code == 125 and '[CG-FROM]' in done.err and '/job' in done.err, done
    assert from_cgroup(root, cgroups.v1['pids'], words).code == 0


# --- spawn: the same by a new process -------------------------------------------------------

@case('spawn runs the command in BASE/UID/NAME/monitor, as a new process of the same parent, and ends at once')
def _(root):
    setup(root, 'alice containers=2')
    fifo = f'{root.tmp}/spawned'
    os.mkfifo(fifo)
    os.chown(fifo, root.alice.uid, root.alice.gid)
    # The helper has ended while its command still waits.
    script = (f'echo shell $$; {root.program("userns-cgroup")} spawn web -- /bin/sh -c "read x <{fifo}; echo parent \\$PPID; cat /proc/self/cgroup"; '
              f'echo status $?; echo >{fifo}; wait; sleep 0.1; cat /proc/self/cgroup')
    done = root.run(['/bin/sh', '-c', script], root.alice)
    lines = done.out.split('\n')
    inside = f'0::/{os.path.basename(cgroups.v2)}/{root.alice.uid}/web/monitor'
    assert lines[1] == 'status 0' and f'parent {lines[0].split()[1]}' in lines, done
    assert lines.count(inside) == 1, 'the caller itself stays where it is'


@case('spawn: whoever is refused by enter is refused by it: no line, a job (CG-FROM), containers= (CG-COUNT)')
def _(root):
    setup(root, 'bob containers=1')
    refused(spawned(root, 'web', ['/bin/true']), 'CG-POLICY')
    running(root, 'one', root.bob)
    done = spawned(root, 'two', ['/bin/true'], root.bob)
    assert done.code == 125 and '[CG-COUNT]' in done.err and not os.path.exists(f'{node(root.bob)}/two'), done
    setup(root, '')
    job, base = cgroups.v2 + '/job', cgroups.v2 + '/base'
    for path in (job, base):
        os.mkdir(path)
    root.write('/etc/userns/cgroup.conf', f'base = {base}\n* containers=3\n')
    done = from_cgroup(root, job, ['spawn', 'esc', '--', '/bin/cat', '/proc/self/cgroup'])
    assert done.code == 125 and '[CG-FROM]' in done.err and done.out == '', done


@case('spawn: limits of v1 hold for the command and what it starts, and a full one is a refusal (CG-FULL)')
def _(root):
    needs('memory', 'pids', 'cpu', 'cpuset')
    setup(root, V1_LIMITS)
    done = spawned(root, 'web', ['/bin/cat', '/proc/self/cgroup'])
    for controller in ('memory', 'pids', 'cpu', 'cpuset'):
        assert f':{controller}:' in done.out and f'/userns-{root.alice.uid}/web\n' in done.out.split(f':{controller}:')[1], done
    setup(root, 'alice pids.max=3')
    running(root, 'one', command=['/bin/sh', '-c', 'sleep 60 & sleep 60 & wait'])
    wait_for(lambda: len(pids_of(root.alice, 'one')) == 3, 'three processes')
    done = spawned(root, 'two', ['/bin/true'])
    assert done.code == 125 and '[CG-FULL]' in done.err and not os.path.exists(f'{node(root.alice)}/two'), done


@case('spawn: the new process has no privilege, and what a command of enter has')
def _(root):
    setup(root, 'alice containers=2')
    user = root.alice.but(groups=[70050, 70051])
    how = {'umask': 0o137, 'cwd': root.tmp, 'ignore': (signal.SIGUSR1,), 'block': (signal.SIGTERM,),
           'rlimits': {resource.RLIMIT_NOFILE: (64, 128)}}
    tell = ['/bin/sh', '-c', 'umask; pwd; ulimit -n; env; id; grep -E "^(Sig|Cap|NoNew|Seccomp|Uid|Gid)" /proc/self/status; ls /proc/self/fd']
    there, plain = (run(root, 'web', tell, user, **how) for run in (spawned, enter))
    assert there.code == 0 and there.out == plain.out, (there, plain)


@case('spawn: the process is in the container before it runs the first instruction, without a capability')
def _(root):
    setup(root, 'alice containers=2')
    seen = []

    def look(stop):
        status = status_of(stop.pid)
        seen.append((stop.number, int(status['CapEff'], 16)))
    child = spawn([root.program('userns-cgroup'), 'spawn', 'web', '--', '/bin/true'], root.alice, traced=True)
    assert trace(child, look).code == 0
    clone3 = [caps for number, caps in seen if number == 435]  # clone3
    assert clone3 == [0], clone3
    assert not [s for s in seen if s[0] == SYSCALL['execve']][1:], 'the helper itself becomes nothing'


@case('spawn: the leaf is handed over, with the controllers of the policy enabled above it')
def _(root):
    if cgroups.why_not or 'hugetlb' not in read(cgroups.v2 + '/cgroup.controllers'):
        skip(cgroups.why_not or 'no v2 controller to try here')
    setup(root, 'alice hugetlb.2MB.max=4M')
    box = f'{node(root.alice)}/web'
    script = f'mkdir {box}/payload && echo 2097152 >{box}/payload/hugetlb.2MB.max && cat {box}/payload/hugetlb.2MB.max {box}/cgroup.subtree_control'
    done = spawned(root, 'web', ['/bin/sh', '-c', script])
    assert done.out == '2097152\nhugetlb\n', done
    owned = {name for name in ['', *os.listdir(f'{box}/monitor')] if os.stat(f'{box}/monitor/{name}').st_uid == root.alice.uid}
    assert owned == FILES_HANDED_OVER, owned
    # A limit of the leaf is the user's to set and nobody's to need: that of the node holds.
    assert read(f'{node(root.alice)}/hugetlb.2MB.max') == str(4 << 20)


@case('spawn: where processes are in the container itself it says so, and leaves it as it is')
def _(root):
    if cgroups.why_not or 'hugetlb' not in read(cgroups.v2 + '/cgroup.controllers'):
        skip(cgroups.why_not or 'no v2 controller to try here')
    setup(root, 'alice hugetlb.2MB.max=4M')
    inside = running(root, 'web')
    done = spawned(root, 'web', ['/bin/true'])
    assert done.code == 125 and 'cgroup.subtree_control' in done.err and pids_of(root.alice, 'web') == [inside.pid], done


@case('spawn: a leaf that is left over is made anew, one that is in use is left alone')
def _(root):
    setup(root, 'alice containers=2')
    leaf = f'{node(root.alice)}/web/monitor'
    for _ in range(2):
        assert spawned(root, 'web', ['/bin/cat', '/proc/self/cgroup']).out.endswith('/web/monitor\n')
        assert os.stat(leaf).st_uid == root.alice.uid
    fifo = f'{root.tmp}/leaf'
    os.mkfifo(fifo)
    os.chown(fifo, root.alice.uid, root.alice.gid)
    reads = spawn([root.program('userns-cgroup'), 'spawn', 'web', '--', '/bin/cat', fifo], root.alice)
    assert reads.wait().code == 0 and (there := pids_in(leaf))
    done = spawned(root, 'web', ['/bin/true'])
    assert done.code == 125 and 'monitor' in done.err and pids_in(leaf) == there, done
    open(fifo, 'w').close()
    wait_for(lambda: not pids_in(leaf), 'it to end')


# --- v1 and hybrid hosts --------------------------------------------------------------------

V1_LIMITS = 'alice memory.max=64M pids.max=20 cpu.max=50% cpu.weight=200 cpuset.cpus=0'


@case('v1: limits are translated and set per hierarchy, below the cgroup that the caller is in')
def _(root):
    needs('memory', 'pids', 'cpu', 'cpuset')
    setup(root, V1_LIMITS)
    child = running(root, 'web')
    wanted = {'memory': {'memory.limit_in_bytes': str(64 << 20)}, 'pids': {'pids.max': '20'},
              'cpu': {'cpu.cfs_period_us': '100000', 'cpu.cfs_quota_us': '50000', 'cpu.shares': '2048'},
              'cpuset': {'cpuset.cpus': '0', 'cpuset.mems': read(cgroups.v1['cpuset'] + '/cpuset.mems')}}
    for controller, files in wanted.items():
        place = f'{cgroups.v1[controller]}/userns-{root.alice.uid}'
        for file, text in files.items():
            assert read(f'{place}/{file}') == text, (file, read(f'{place}/{file}'))
        assert child.pid in pids_in(f'{place}/web'), controller


@case('v1: nothing is handed over')
def _(root):
    needs('memory', 'pids', 'cpu', 'cpuset')
    setup(root, V1_LIMITS)
    running(root, 'web')
    for controller in ('memory', 'pids', 'cpu', 'cpuset'):
        for path in below(f'{cgroups.v1[controller]}/userns-{root.alice.uid}'):
            for name in ['', *os.listdir(path)]:
                facts = os.stat(f'{path}/{name}')
                assert facts.st_uid == 0 and not facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH), (path, name)


@case('v1: who enters from inside his node gets the same node again, not one below it')
def _(root):
    needs('pids')
    setup(root, 'alice pids.max=20')
    program = root.program('userns-cgroup')
    done = enter(root, 'one', [program, 'enter', 'two', '--', '/bin/cat', '/proc/self/cgroup'])
    assert done.code == 0 and f'/userns-{root.alice.uid}/two\n' in done.out and '/one' not in done.out, done


@case('v1: the pids limit stops a fork bomb of the sum of his containers')
def _(root):
    needs('pids')
    setup(root, 'alice pids.max=12')
    many = 'for i in 1 2 3 4 5 6 7 8; do sleep 60 & done; wait'
    running(root, 'one', command=['/bin/sh', '-c', many])
    wait_for(lambda: len(pids_of(root.alice, 'one')) == 9, 'eight children')
    done = enter(root, 'two', ['/bin/sh', '-c', many], timeout=20)
    assert done.code != 0 and 'fork' in done.err, done


@case('v1: the memory limit kills the offender and nobody else')
def _(root):
    needs('memory')
    setup(root, 'alice memory.max=48M\nbob memory.max=48M')
    other = running(root, 'calm', root.bob)
    hog = enter(root, 'hog', ['/usr/bin/python3', '-c', 'x = bytearray(200 << 20); print(len(x))'], timeout=60)
    assert hog.code == -signal.SIGKILL and hog.out == '', hog
    assert status_of(other.pid)['State'].startswith('S')


@case('v1: a limit that has no counterpart there is a refusal (CG-CONTROLLER)')
def _(root):
    setup(root, 'alice memory.high=64M')
    if 'memory' in read(cgroups.v2 + '/cgroup.controllers'):
        skip('v2 has the memory controller here')
    refused(enter(root, 'web', ['/bin/true']), 'CG-CONTROLLER', 'memory.high')


@case('v1: a limit that was taken out of the line is taken back at the next enter')
def _(root):
    needs('memory', 'pids', 'cpu', 'cpuset')
    setup(root, V1_LIMITS)
    running(root, 'web')
    place = {c: f'{cgroups.v1[c]}/userns-{root.alice.uid}' for c in ('memory', 'pids', 'cpu', 'cpuset')}
    unlimited = read(cgroups.v1['memory'] + '/memory.limit_in_bytes')
    assert read(place['memory'] + '/memory.limit_in_bytes') == str(64 << 20)
    # One hierarchy stays in use, one keeps another of its limits, two have none any more.
    root.write('/etc/userns/cgroup.conf', f'base = {cgroups.v2}\nalice pids.max=30 cpu.weight=300\n')
    assert enter(root, 'web', ['/bin/true']).code == 0
    assert read(place['memory'] + '/memory.limit_in_bytes') == unlimited
    assert read(place['pids'] + '/pids.max') == '30'
    assert read(place['cpu'] + '/cpu.cfs_quota_us') == '-1' and read(place['cpu'] + '/cpu.shares') == '3072'
    assert read(place['cpuset'] + '/cpuset.cpus') == read(cgroups.v1['cpuset'] + '/cpuset.cpus')


@case('v1: a device that the line names no more is not limited any more')
def _(root):
    needs('blkio')
    devices = [f"{words[0]}:{words[1]}" for words in map(str.split, read('/proc/partitions').splitlines()[2:])]
    if not devices or not os.path.exists(cgroups.v1['blkio'] + '/blkio.throttle.read_bps_device'):
        skip('no block device, or no throttling, to try here')
    setup(root, f'alice io.max={devices[0]},rbps=500M,wiops=9000')
    running(root, 'web')
    place = f"{cgroups.v1['blkio']}/userns-{root.alice.uid}"
    assert read(place + '/blkio.throttle.read_bps_device') == f'{devices[0]} {500 << 20}'
    assert read(place + '/blkio.throttle.write_iops_device') == f'{devices[0]} 9000'
    for line, left in ((f'alice io.max={devices[0]},rbps=500M', f'{devices[0]} {500 << 20}'), ('alice containers=1', '')):
        root.write('/etc/userns/cgroup.conf', f'base = {cgroups.v2}\n{line}\n')
        assert enter(root, 'web', ['/bin/true']).code == 0
        assert read(place + '/blkio.throttle.read_bps_device') == left
        assert read(place + '/blkio.throttle.write_iops_device') == ''


@case('v2: a page size that the line names no more is not limited any more')
def _(root):
    if cgroups.why_not or 'hugetlb' not in read(cgroups.v2 + '/cgroup.controllers'):
        skip(cgroups.why_not or 'no v2 controller to try here')
    setup(root, 'alice hugetlb.2MB.max=4M')
    running(root, 'web')
    root.write('/etc/userns/cgroup.conf', f'base = {cgroups.v2}\nalice containers=1\n')
    assert enter(root, 'web', ['/bin/true']).code == 0
    assert read(f'{node(root.alice)}/hugetlb.2MB.max') == 'max'


@case('v1: base.v1 is where the nodes are, wherever the caller is (CG-BASE, TF-PATH)')
def _(root):
    needs('pids', 'memory', 'cpu')
    setup(root, 'alice pids.max=20')
    limits = {'pids': 'pids.max=20', 'memory': 'memory.max=64M', 'cpu': 'cpu.max=50%'}
    # The test may be in different cgroups of two hierarchies; base.v1 is one path for all that limits are in.
    inner = cgroups.v1['memory'].removeprefix('/sys/fs/cgroup/memory')
    top = {c: f'{cgroups.v1[c]}/users' for c in limits if cgroups.v1[c] == f'/sys/fs/cgroup/{c}{inner}'}
    root.write('/etc/userns/cgroup.conf', f'base = {cgroups.v2}\nbase.v1 = {inner}/users\n'
               f"alice {' '.join(limits[c] for c in top)}\n")
    refused(enter(root, 'web', ['/bin/true']), 'CG-BASE', '/users')
    for path in top.values():
        os.mkdir(path)
    child = running(root, 'web')
    for path in top.values():
        assert child.pid in pids_in(f'{path}/userns-{root.alice.uid}/web'), path
    os.chown(top['memory'], root.alice.uid, -1)
    assert '[TF-PATH]' in enter(root, 'web', ['/bin/true']).err


class WithoutV2:
    """The host as if it had no cgroup v2, in the private mount namespace of the test."""

    def __enter__(self):
        if cgroups.top == '/sys/fs/cgroup':
            skip('v2 alone is mounted here')
        mount('none', cgroups.top, 'tmpfs', 0, 'mode=755')

    def __exit__(self, *_):
        umount(cgroups.top)


def v1_alone(root, lines):
    setup(root, 'alice containers=1')
    root.write('/etc/userns/cgroup.conf', lines + '\n')


@case('without v2: limits hold, containers are listed, counted and released in a v1 hierarchy')
def _(root):
    needs('pids', 'memory')
    v1_alone(root, 'alice pids.max=20 memory.max=64M containers=2')
    place = {c: f'{cgroups.v1[c]}/userns-{root.alice.uid}' for c in ('pids', 'memory')}
    with WithoutV2():
        started = []
        for name in ('one', 'two'):
            started.append(spawn([root.program('userns-cgroup'), 'enter', name, '--', *SLEEP], root.alice))
            wait_for(lambda: os.path.isdir(f"{place['pids']}/{name}") and pids_in(f"{place['pids']}/{name}"), name)
        assert started[0].pid in pids_in(place['memory'] + '/one')
        assert read(place['pids'] + '/pids.max') == '20'
        assert read(place['memory'] + '/memory.limit_in_bytes') == str(64 << 20)
        for path in [p for top in place.values() for p in below(top)]:
            assert os.stat(path).st_uid == 0 and os.stat(path + '/cgroup.procs').st_uid == 0, path
        full = enter(root, 'three', ['/bin/true'])
        assert full.code == 125 and '[CG-COUNT]' in full.err, full
        listed = json.loads(helper(root, 'list', '--json').out)
        assert [(c['name'], c['populated']) for c in listed] == [('one', True), ('two', True)], listed
        assert listed[0]['path'] == place['pids'] + '/one'
        busy = helper(root, 'release', 'one')
        assert busy.code == 125 and '[CG-BUSY]' in busy.err, busy
        for child in started:
            child.kill()
            child.wait()
        assert enter(root, 'three', ['/bin/true']).code == 0, 'empty ones are swept'
        assert helper(root, 'release', 'three').code == 0
        assert '[CG-GONE]' in helper(root, 'release', 'one').err
    assert cgroups.left() == [], cgroups.left()


@case('v1: what is swept is swept in every hierarchy, so that no name leaves a directory behind')
def _(root):
    needs('memory')
    setup(root, 'alice memory.max=64M containers=2')
    for number in range(12):
        assert enter(root, f'n{number}', ['/bin/true']).code == 0
    assert len(below(f"{cgroups.v1['memory']}/userns-{root.alice.uid}")) <= 3, cgroups.left()


@case('without v2: a limit that v1 has not is a refusal (CG-CONTROLLER), so is a base (CG-BASE); nothing is left')
def _(root):
    needs('pids', 'memory')
    absent = [] if 'hugetlb' in read('/proc/self/cgroup') else [('alice hugetlb.2MB.max=4M', 'CG-CONTROLLER')]
    for lines, rule in (('alice memory.high=64M', 'CG-CONTROLLER'), ('alice descendants=5', 'CG-CONTROLLER'), *absent,
                        (f'base = {cgroups.top}\nalice pids.max=5', 'CG-BASE')):
        v1_alone(root, lines)
        with WithoutV2():
            done = enter(root, 'web', ['/bin/true'])
        refused(done, rule)


# --- who may --------------------------------------------------------------------------------

@cases([
    ('a line by name grants', 'alice containers=3', True),
    ('a line by uid grants', f'{FIRST_UID} containers=3', True),
    ('a line for everybody grants', '* containers=3', True),
    ('a line for a group that the caller is in grants', '@crew containers=3', True),
    ('a line for his primary group grants', '@alice containers=3', True),
    ('a line for another group does not (CG-POLICY)', '@bob containers=3', False),
    ('a line for a group that does not exist does not (CG-POLICY)', '@nobodyknows containers=3', False),
    ('a line for another user does not (CG-POLICY)', 'bob containers=3', False),
    ('a name that only begins like his does not (CG-POLICY)', 'ali containers=3\nalices containers=3', False),
    ('the first line that matches decides (CG-COUNT)', 'alice containers=0\n* containers=3', False),
    ('no line, no cgroup (CG-POLICY)', '', False),
])
def _(root, line, granted):
    setup(root, line)
    with open('/etc/group', 'a') as file:
        file.write('crew:x:70900:\n')
    done = enter(root, 'web', ['/bin/true'], root.alice.but(groups=[70900]))
    if granted:
        assert done.code == 0, done
        return
    refused(done, 'CG-COUNT' if 'containers=0' in line else 'CG-POLICY')


@case('a group that cannot be looked up is a refusal, whatever the lines after it say (SU-NAME)')
def _(root):
    # What cannot be read: the look-up fails, which is not the same as "no such group".
    before = read('/etc/group')
    root.write('/etc/nsswitch.conf', 'passwd: files\ngroup: files\n')
    os.unlink('/etc/group')
    os.mkdir('/etc/group')
    try:
        setup(root, '@crowd containers=1\nalice containers=3')
        refused(enter(root, 'web', ['/bin/true']), 'SU-NAME', 'no usable answer')
    finally:
        os.rmdir('/etc/group')
        root.write('/etc/group', before + '\n')
    assert enter(root, 'web', ['/bin/true']).code == 0


@case('without a policy file nobody may (CG-POLICY)')
def _(root):
    setup(root, '')
    os.unlink('/etc/userns/cgroup.conf')
    done = enter(root, 'web', ['/bin/true'])
    assert done.code == 125 and '[CG-' in done.err, done
    assert cgroups.left() == []


@cases([
    ('a file that others can write (TF-FILE)', {'mode': 0o666}),
    ('a file that its group can write (TF-FILE)', {'mode': 0o664}),
    ("a file that is a user's (TF-FILE)", {'owner': (FIRST_UID, FIRST_GID)}),
])
def _(root, how):
    setup(root, 'alice containers=3', **how)
    refused(enter(root, 'web', ['/bin/true']), 'TF-FILE', '/etc/userns/cgroup.conf')


@cases([
    ('a key that is not known refuses the file (CC-KEY)', 'CC-KEY', 'alice memory.maxi=4G', ':2:7:'),
    ('a key that is set twice refuses it (CC-KEY)', 'CC-KEY', 'alice pids.max=4 pids.max=5', ':2:18:'),
    ('a value that is none refuses it (CC-VALUE)', 'CC-VALUE', 'alice memory.max=4X', ':2:18:'),
    ('a value out of bounds refuses it (CC-VALUE)', 'CC-VALUE', 'alice depth=65', ':2:13:'),
    ('a line without settings refuses it (CC-LINE)', 'CC-LINE', 'alice', ':2:1:'),
    ('a line without a user refuses it (CC-LINE)', 'CC-LINE', '  memory.max=4G', ':2:3:'),
    ('a DOS line end refuses it (CC-LINE)', 'CC-LINE', 'alice pids.max=4\r', ':2:17:'),
    ('a second base refuses it (CC-BASE)', 'CC-BASE', 'base = /sys/fs/cgroup', ':2:8:'),
    ("another user's line refuses it, too (CC-KEY)", 'CC-KEY', 'alice pids.max=4\nbob nonsense=1', ':3:5:'),
])
def _(root, rule, line, where):
    setup(root, line)
    refused(enter(root, 'web', ['/bin/true']), rule, '/etc/userns/cgroup.conf' + where)


@cases([(f'{name!r} is not a container name (CG-NAME)', name) for name in (
    '', '.', '..', 'a/b', '../bob', '/etc', 'a.b', 'cgroup.procs', 'A', '-a', '_a', 'a b', 'a\n', 'é', 'a' * 33, '*')])
def _(root, name):
    setup(root, 'alice containers=3')
    refused(enter(root, name, ['/bin/true']), 'CG-NAME')
    refused(helper(root, 'release', name), 'CG-NAME')


@case('a name of 32 bytes is one')
def _(root):
    setup(root, 'alice containers=3')
    assert enter(root, 'a-_9' * 8, ['/bin/true']).code == 0


@cases([('words that are missing or too many (CG-ARGS): ' + repr(words), words) for words in (
    [], ['enter'], ['enter', 'web'], ['enter', 'web', '--'], ['enter', 'web', '/bin/true', '--'], ['release'],
    ['release', 'a', 'b'], ['list', '--yaml'], ['list', '--json', '--json'], ['remove', 'web'])])
def _(root, words):
    setup(root, 'alice containers=3')
    refused(helper(root, *words), 'CG-ARGS', 'usage')


@cases([
    ('a base that is not a cgroup directory (CG-BASE)', 'CG-BASE', '/usr'),
    ('a base that does not exist (CG-BASE)', 'CG-BASE', '/sys/fs/cgroup/nowhere'),
    ('a base below a directory that others can write (TF-PATH)', 'TF-PATH', '/tmp/x'),
])
def _(root, rule, base):
    setup(root, 'alice containers=3', base)
    refused(enter(root, 'web', ['/bin/true']), rule, base)


@case("a base that is a user's (TF-PATH)")
def _(root):
    setup(root, 'alice containers=3')
    os.mkdir(cgroups.v2 + '/theirs')
    os.chown(cgroups.v2 + '/theirs', root.alice.uid, -1)
    root.write('/etc/userns/cgroup.conf', f'base = {cgroups.v2}/theirs\nalice containers=3\n')
    done = enter(root, 'web', ['/bin/true'])
    assert done.code == 125 and '[TF-PATH]' in done.err, done
    assert os.listdir(cgroups.v2 + '/theirs') and not os.path.exists(f'{cgroups.v2}/theirs/{root.alice.uid}')


@case('where systemd runs, a base that no unit delegates is refused (CG-WRITER), one in a delegated unit is not')
def _(root):
    setup(root, 'alice containers=3')
    root.overlay('/run')
    os.makedirs('/run/systemd/system')
    try:
        refused(enter(root, 'web', ['/bin/true']), 'CG-WRITER', 'userns-cgroup.service', cgroups.v2)
        os.setxattr(cgroups.v2, 'user.delegate', b'1')
        assert enter(root, 'web', ['/bin/true']).code == 0
        os.setxattr(cgroups.v2, 'user.delegate', b'0')
        assert '[CG-WRITER]' in enter(root, 'web', ['/bin/true']).err
        os.removexattr(cgroups.v2, 'user.delegate')
    finally:
        os.rmdir('/run/systemd/system')


@case('where systemd is older than 251, root can say that the base is in a delegated unit (CG-WRITER)')
def _(root):
    setup(root, 'alice containers=3')
    root.overlay('/run')
    os.makedirs('/run/systemd/system')
    unit = cgroups.v2 + '/mine.service'
    os.mkdir(unit)
    try:
        for base, granted in ((unit, False), (unit + ' delegated', True), (cgroups.v2 + ' delegated', False)):
            root.write('/etc/userns/cgroup.conf', f'base = {base}\nalice containers=3\n')
            done = enter(root, 'web', ['/bin/true'])
            assert done.code == (0 if granted else 125) and granted == ('[CG-WRITER]' not in done.err), done
    finally:
        os.rmdir('/run/systemd/system')


@case('a limit that the kernel does not take is a refusal, and nothing is left (CG-LIMIT)')
def _(root):
    needs('cpuset')
    setup(root, 'alice cpuset.cpus=4000')
    refused(enter(root, 'web', ['/bin/true']), 'CG-LIMIT', 'cpuset.cpus', '4000')


# --- counting, releasing, listing -----------------------------------------------------------

@case('containers= is counted in the tree: what runs counts (CG-COUNT), an empty leftover is swept')
def _(root):
    setup(root, 'alice containers=2')
    running(root, 'one')
    assert enter(root, 'two', ['/bin/true']).code == 0
    three = running(root, 'three')
    assert sorted(n for n in os.listdir(node(root.alice)) if n in ('one', 'two', 'three')) == ['one', 'three']
    done = enter(root, 'four', ['/bin/true'])
    assert done.code == 125 and '[CG-COUNT]' in done.err, done
    assert not os.path.exists(f'{node(root.alice)}/four')
    assert enter(root, 'three', ['/bin/true']).code == 0, 'what runs can still be entered'
    three.kill()
    three.wait()
    assert enter(root, 'four', ['/bin/true']).code == 0


@case('two users count apart')
def _(root):
    setup(root, '* containers=1')
    running(root, 'one')
    running(root, 'one', root.bob)
    assert '[CG-COUNT]' in enter(root, 'two', ['/bin/true']).err


@case('release refuses what has processes (CG-BUSY), also in a leaf')
def _(root):
    setup(root, 'alice containers=2')
    leaf = f'{node(root.alice)}/web/leaf'
    script = f'mkdir {leaf} && echo $$ > {leaf}/cgroup.procs && exec sleep 60'
    child = running(root, 'web', command=['/bin/sh', '-c', script])
    wait_for(lambda: os.path.isdir(leaf) and pids_in(leaf), 'the leaf')
    done = helper(root, 'release', 'web')
    assert done.code == 125 and '[CG-BUSY]' in done.err and os.path.isdir(leaf), done
    child.kill()
    child.wait()
    assert helper(root, 'release', 'web').code == 0
    assert cgroups.left() == []


@case("release removes all below, whoever made it; the user's node stays, with its limits")
def _(root):
    setup(root, V1_LIMITS if cgroups.v1 else 'alice containers=2')
    tree = f'cd {node(root.alice)}/web && mkdir -p a/b/c/d a/e f && chmod 0 a/b && chmod 0 .'
    assert enter(root, 'web', ['/bin/sh', '-c', tree]).code == 0
    os.mkdir(f'{node(root.alice)}/web/a/by-root')
    os.chown(f'{node(root.alice)}/web/a/by-root', 100000, 100000)
    assert len(cgroups.left()) > 8
    done = helper(root, 'release', 'web')
    assert done.code == 0 and done.out == '', done
    assert cgroups.left() == [], cgroups.left()


@case("release of what is not there, or another user's (CG-GONE)")
def _(root):
    setup(root, '* containers=2')
    running(root, 'web', root.bob)
    for name in ('web', 'other'):
        done = helper(root, 'release', name)
        assert done.code == 125 and '[CG-GONE]' in done.err, done


@case('who lost his line can still release what he has')
def _(root):
    setup(root, 'alice containers=2')
    assert enter(root, 'web', ['/bin/true']).code == 0
    root.write('/etc/userns/cgroup.conf', f'base = {cgroups.v2}\n')
    assert helper(root, 'release', 'web').code == 0
    assert cgroups.left() == []


@case("list shows the caller's containers and nobody else's, as text and as JSON")
def _(root):
    setup(root, '* containers=3')
    running(root, 'web')
    assert enter(root, 'db', ['/bin/true']).code == 0
    running(root, 'secret', root.bob)
    assert helper(root, 'list').out == f'db empty {node(root.alice)}/db\nweb running {node(root.alice)}/web\n'
    assert json.loads(helper(root, 'list', '--json').out) == [
        {'name': 'db', 'populated': False, 'path': f'{node(root.alice)}/db'},
        {'name': 'web', 'populated': True, 'path': f'{node(root.alice)}/web'}]
    assert helper(root, 'list', user=root.carol).out == ''
    assert json.loads(helper(root, 'list', '--json', user=root.carol).out) == []


# --- transparent like nice(1) ---------------------------------------------------------------

@case('the environment comes back whole, with what the loader takes from setuid programs')
def _(root):
    setup(root, 'alice containers=2')
    env = {'PATH': '/usr/bin:/bin', 'LD_LIBRARY_PATH': '/nowhere', 'TMPDIR': '/mnt', 'EMPTY': '', 'ODD': 'a=b\nc',
           'MALLOC_TRACE': '/x', 'HOME': '/h'}
    done = enter(root, 'web', ['env', '-0'], env=env)
    assert done.code == 0, done
    assert done.raw_out == b''.join(f'{k}={v}\0'.encode() for k, v in env.items()), done
    assert enter(root, 'web', ['/usr/bin/env'], env={}).out == ''


def facts_of(pid):
    """What a command inherits."""
    status = status_of(pid)
    with open(f'/proc/{pid}/limits') as file:
        limits = file.read()
    keys = ('Umask', 'SigBlk', 'SigIgn', 'SigPnd', 'ShdPnd', 'Groups', 'Uid', 'Gid', 'CapInh', 'CapPrm', 'CapEff',
            'CapBnd', 'CapAmb', 'NoNewPrivs', 'Seccomp')
    return ({key: status[key] for key in keys}, limits, os.readlink(f'/proc/{pid}/cwd'), open_fds(pid).keys())


@case('cwd, umask, rlimits, signals, groups, fds, bounding set and no_new_privs are as they would be without it')
def _(root):
    setup(root, 'alice containers=2')
    secret = os.open('/etc/passwd', os.O_RDONLY)
    how = {'umask': 0o137, 'cwd': root.tmp, 'ignore': (signal.SIGCHLD, signal.SIGUSR1, signal.SIGPIPE),
           'block': (signal.SIGTERM, signal.SIGALRM), 'fds': {9: secret, 33: secret}, 'drop_bounding': (CAP['sys_admin'],),
           'rlimits': {resource.RLIMIT_FSIZE: (0, 1 << 20), resource.RLIMIT_NOFILE: (64, 128),
                       resource.RLIMIT_CORE: (4096, 8192)}}
    user = root.alice.but(groups=[70050, 70051])
    plain = spawn(SLEEP, user, **how)
    inside = running(root, 'web', user, **how)
    wait_for(lambda: os.readlink(f'/proc/{plain.pid}/exe').endswith('sleep'), 'sleep')
    wait_for(lambda: os.readlink(f'/proc/{inside.pid}/exe').endswith('sleep'), 'sleep')
    assert facts_of(plain.pid) == facts_of(inside.pid), (facts_of(plain.pid), facts_of(inside.pid))
    os.close(secret)


@case('a standard fd that was closed is null for the command: the C library fills it for setuid programs')
def _(root):
    setup(root, 'alice containers=2')
    inside = running(root, 'web', closed=(0, 1, 2))
    wait_for(lambda: os.readlink(f'/proc/{inside.pid}/exe').endswith('sleep'), 'sleep')
    assert open_fds(inside.pid) == {0: '/dev/full', 1: '/dev/null', 2: '/dev/null'}, open_fds(inside.pid)


@case('no error text goes into a file that took the place of a closed stderr')
def _(root):
    setup(root, 'alice containers=2 descendants=1')
    for closed in ((2,), (0, 1, 2)):
        assert enter(root, 'web', ['/nowhere'], closed=closed).code == 127
        assert helper(root, 'release', 'web', closed=closed).code == 0


@case('a policy file that is longer than a mebibyte is refused, not cut (CC-READ)')
def _(root):
    setup(root, '* containers=3\n' + '# filler\n' * 120_000)
    refused(enter(root, 'web', ['/bin/true']), 'CC-READ', '/etc/userns/cgroup.conf')


@case('a command that cannot be executed says so (ST-EXEC)')
def _(root):
    setup(root, 'alice containers=2')
    done = enter(root, 'web', ['/no/such\x1bprogram'])
    assert done.code == 127 and '[ST-EXEC]' in done.err and "'/no/such\\x1bprogram'" in done.err, done


@cases([('exit status', ['/bin/sh', '-c', 'exit 7'], 7), ('a signal', ['/bin/sh', '-c', 'kill -9 $$'], -9),
        ('127: not found', ['/no/such/program'], 127), ('126: not executable', ['/etc/passwd'], 126)])
def _(root, command, code):
    setup(root, 'alice containers=2')
    assert enter(root, 'web', command).code == code


@case('the command is looked up in the PATH of the caller')
def _(root):
    setup(root, 'alice containers=2')
    root.write(f'{root.tmp}/mycommand', '#!/bin/sh\necho mine', mode=0o755)
    assert enter(root, 'web', ['mycommand'], env={'PATH': root.tmp}).out == 'mine\n'


# --- privilege ------------------------------------------------------------------------------

@case('the command has no capability, no id but the caller\'s, and no fd of a cgroup file')
def _(root):
    setup(root, V1_LIMITS if cgroups.v1 else 'alice containers=2')
    inside = running(root, 'web')
    wait_for(lambda: os.readlink(f'/proc/{inside.pid}/exe').endswith('sleep'), 'sleep')
    status = status_of(inside.pid)
    assert status['Uid'].split() == [str(root.alice.uid)] * 4 and status['Gid'].split() == [str(root.alice.gid)] * 4
    assert all(int(status[cap], 16) == 0 for cap in ('CapPrm', 'CapEff', 'CapInh', 'CapAmb')), status
    assert sorted(open_fds(inside.pid)) == [0, 1, 2], open_fds(inside.pid)


KEPT = sum(1 << number for number in (0, 1, CAP['setuid'], CAP['audit_write']))


@case('while it works: four capabilities permitted, effective only in brackets, all uids root, undumpable')
def _(root):
    setup(root, V1_LIMITS if cgroups.v1 else 'alice containers=2')
    seen = []

    def look(stop):
        status = status_of(stop.pid)
        seen.append((stop.number, int(status['CapPrm'], 16), int(status['CapEff'], 16), status['Uid'].split()[0]))
    child = spawn([root.program('userns-cgroup'), 'enter', 'web', '--', '/bin/true'], root.alice, traced=True)
    assert trace(child, look).code == 0
    dropped = next(i for i, s in enumerate(seen) if s[1] == KEPT)
    mkdirat = [s for s in seen if s[0] == 258]
    assert mkdirat and all(s[1:] == (KEPT, 0, '0') for s in mkdirat), mkdirat
    allowed = {0, 1 << 1, 1 << CAP['audit_write'], 1 << 0 | 1 << 1, 1 << CAP['setuid']}
    assert {s[2] for s in seen[dropped:]} <= allowed, seen
    raised = {s[0] for s in seen[dropped:] if s[2]}
    names = {'capget': 125, 'capset': 126, 'openat2': 437, 'fchownat': 260, 'unlinkat': 263, 'setresuid': 117,
             'socket': 41, 'fcntl': 72, 'sendto': 44, 'readlink': 89, 'poll': 7, 'recvfrom': 45, 'close': 3}
    assert raised <= set(names.values()), raised - set(names.values())
    last = [s for s in seen if s[0] == SYSCALL['execve']][0]
    assert last[1:] == (0, 0, str(root.alice.uid)), last


@case('a refusal is reported without any capability')
def _(root):
    setup(root, 'bob containers=2')
    caps = []
    child = spawn([root.program('userns-cgroup'), 'enter', 'web', '--', '/bin/true'], root.alice, traced=True)
    done = trace(child, lambda s: caps.append(status_of(s.pid)['CapPrm']) if (s.number, s.args[0]) == (1, 2) else None)
    assert done.code == 125 and caps and all(int(c, 16) == 0 for c in caps), (done, caps)


@case('the caller can neither stop, kill nor look into it while it holds privilege')
def _(root):
    setup(root, 'alice containers=2')
    tried = []

    def look(stop):
        if stop.number != 258:  # mkdirat
            return
        script = (f'kill -STOP {stop.pid} && echo stopped; kill -KILL {stop.pid} && echo killed; '
                  f'cat /proc/{stop.pid}/environ && echo read; ls /proc/{stop.pid}/fd && echo listed')
        tried.append(root.run(['/bin/sh', '-c', script], root.alice))
    child = spawn([root.program('userns-cgroup'), 'enter', 'web', '--', '/bin/true'], root.alice, traced=True)
    assert trace(child, look).code == 0
    assert tried and all(t.out == '' for t in tried), tried


@case('every signal is blocked while it works, so that no key of a terminal stops it')
def _(root):
    setup(root, 'alice containers=2')
    masks = []
    child = spawn([root.program('userns-cgroup'), 'enter', 'web', '--', '/bin/true'], root.alice, traced=True)
    assert trace(child, lambda s: masks.append(status_of(s.pid)['SigBlk']) if s.number == 258 else None).code == 0
    for number in (signal.SIGTSTP, signal.SIGINT, signal.SIGHUP, signal.SIGTTOU, signal.SIGALRM, signal.SIGXCPU):
        assert masks and all(int(m, 16) >> (number - 1) & 1 for m in masks), (number, masks)


@case('without the setuid bit, on nosuid or under no_new_privs it says so (PR-MISSING)')
def _(root):
    setup(root, 'alice containers=2')
    plain = root.copy_program(root.program('userns-cgroup'), f'{root.tmp}/userns-cgroup', None)
    refused(root.run([plain, 'enter', 'web', '--', '/bin/true'], root.alice), 'PR-MISSING', 'userns-run doctor')
    refused(enter(root, 'web', ['/bin/true'], no_new_privs=True), 'PR-MISSING', 'userns-run doctor')


@case('root may use it, too')
def _(root):
    setup(root, 'root containers=2')
    done = root.run([root.program('userns-cgroup'), 'enter', 'web', '--', '/usr/bin/id', '-u'])
    assert done.code == 0 and done.out == '0\n', done
    assert root.run([root.program('userns-cgroup'), 'release', 'web']).code == 0


# --- what the kernel then holds -------------------------------------------------------------

@case('the user can raise no limit, make no sibling and move nothing out')
def _(root):
    setup(root, V1_LIMITS if cgroups.v1 else 'alice containers=2')
    inside = running(root, 'web')
    writable = ['/bin/sh', '-c', 'for f; do [ -w "$f" ] && echo "$f"; done; true', 'sh']
    places = [node(root.alice), cgroups.v2] + [f'{path}/userns-{root.alice.uid}' for path in cgroups.v1.values()]
    files = [f'{place}/{name}' for place in places if os.path.isdir(place) for name in os.listdir(place)] + places
    files = [f for f in files if not f.endswith('/web')]
    assert len(files) > 30
    assert root.run([*writable, *files], root.alice).out == ''
    for where in (cgroups.v2, node(root.alice)):
        done = root.run(['/bin/sh', '-c', f'echo {inside.pid} > {where}/cgroup.procs'], root.alice)
        assert done.code != 0 and inside.pid in pids_of(root.alice, 'web'), done


@case("no process can be moved in from outside, nor between users, nor between one user's containers")
def _(root):
    setup(root, '* containers=2')
    mine, his, other = running(root, 'web'), running(root, 'web', root.bob), running(root, 'db')
    outside = spawn(SLEEP, root.alice)
    box = f'{node(root.alice)}/web/cgroup.procs'
    for user, pid in ((root.alice, outside.pid), (root.bob, his.pid), (root.alice, other.pid)):
        done = root.run(['/bin/sh', '-c', f'echo {pid} > {box}'], user)
        assert done.code != 0, (done, pid)
    assert pids_of(root.alice, 'web') == [mine.pid]


@case('inside, the user makes leaves and moves his processes without help')
def _(root):
    setup(root, 'alice containers=2')
    box = f'{node(root.alice)}/web'
    done = enter(root, 'web', ['/bin/sh', '-c', f'mkdir {box}/payload; sleep 60 & echo $! > {box}/payload/cgroup.procs; '
                                                f'grep -qx $! {box}/payload/cgroup.procs && echo moved; '
                                                f'echo 1 > {box}/payload/cgroup.kill; wait; rmdir {box}/payload && echo gone'])
    assert done.code == 0 and done.out == 'moved\ngone\n', done


main()
