#!/usr/bin/env python3
"""newuidmap and newgidmap: what privilege they hold, at every system call that they make."""

import os
import signal

from newidmap import both, granted, refused, unmapped
from harness import CAP, MS_NOSUID, SYSCALL, main, mount, open_fds, spawn, status_of, trace

AUDIT_WRITE = 1 << CAP['audit_write']


class Step:
    """The state of the helper before one system call."""

    def __init__(self, stop):
        status = status_of(stop.pid)
        self.number, self.args = stop.number, stop.args
        self.permitted, self.effective, self.inheritable, self.bounding, self.ambient = (
            int(status[name], 16) for name in ('CapPrm', 'CapEff', 'CapInh', 'CapBnd', 'CapAmb'))
        self.uids = [int(word) for word in status['Uid'].split()]
        self.status = status
        self.writes = ''
        if stop.number == SYSCALL['write']:
            self.writes = os.path.basename(os.readlink(f'/proc/{stop.pid}/fd/{stop.args[0]}'))
            self.fds = open_fds(stop.pid)
            self.proc_owner = os.stat(f'/proc/{stop.pid}/status').st_uid
            self.cwd = os.readlink(f'/proc/{stop.pid}/cwd')


def traced_run(root, kind, target, *numbers, **how):
    steps = []
    done = trace(spawn([kind.program(root), target.pid, *numbers], root.alice, traced=True, **how),
                 lambda stop: steps.append(Step(stop)))
    return done, steps


def after_drop(steps, user):
    """The steps from the first one on at which every uid is the caller's and no_new_privs is set."""
    for at, step in enumerate(steps):
        if step.uids == [user.uid] * 4 and step.status['NoNewPrivs'] == '1':
            return steps[at:]
    raise AssertionError('privilege was never dropped')


def brackets(steps):
    """[(capabilities raised, numbers of the calls made with them)]"""
    found, raised = [], 0
    for step in steps:
        if step.effective and step.effective != raised:
            found.append((step.effective, []))
        if step.effective:
            found[-1][1].append(step.number)
        raised = step.effective
    return found


@both('PR-DROP: at the write of the map it is the caller, with the one capability effective, and that of the record permitted')
def _(root, kind):
    with root.target(root.alice) as target:
        done, steps = traced_run(root, kind, target, 0, 100000, 65536, umask=0, block=[signal.SIGTERM],
                                 ignore=[signal.SIGHUP])
        granted(done)
        (at,) = [step for step in steps if step.writes == kind.map_file]
    assert at.uids == [root.alice.uid] * 4, at.uids
    assert at.permitted == kind.capability | AUDIT_WRITE and at.effective == kind.capability, at.status
    assert at.inheritable == at.ambient == 0
    assert at.status['NoNewPrivs'] == '1' and at.proc_owner == 0, 'not dumpable: its files are root\'s'
    assert at.status['Umask'] == '0077' and at.cwd == '/'
    # With file capabilities there is no CAP_SETGID to do this with.
    if root.privilege == 'setuid' and kind.which == 'gid':
        assert at.status['Groups'].strip() == ''


@both('PR-DROP: after the drop nothing is permitted but the one capability and that of the record')
def _(root, kind):
    with root.target(root.alice) as target:
        done, steps = traced_run(root, kind, target, 0, 100000, 65536)
        granted(done)
    steps = after_drop(steps, root.alice)
    assert len(steps) > 20
    for step in steps:
        assert step.permitted & ~(kind.capability | AUDIT_WRITE) == 0, (step.number, hex(step.permitted))
        assert step.inheritable == step.ambient == 0
        assert step.uids == [root.alice.uid] * 4
    assert steps[-1].effective == 0, 'at the exit'


@both('capabilities are effective in four brackets: opening the map and the log, the record, writing the map')
def _(root, kind):
    with root.target(root.alice) as target:
        done, steps = traced_run(root, kind, target, 0, 100000, 65536)
        granted(done)
    found = brackets(after_drop(steps, root.alice))
    assert [caps for caps, _ in found] == [kind.capability, AUDIT_WRITE, AUDIT_WRITE, kind.capability], found
    capget, capset = 125, 126
    for (_, calls), needed in ((found[0], SYSCALL['openat2']), (found[3], SYSCALL['write'])):
        work = [number for number in calls if number not in (capget, capset)]
        assert needed in work and set(work) <= {needed, 8}, work  # 8: lseek
    fcntl, poll, recvfrom, readlink = 72, 7, 45, 89
    for (_, calls), needed in ((found[1], [SYSCALL['socket']]), (found[2], [readlink, SYSCALL['sendto'], poll, recvfrom, recvfrom])):
        # libaudit looks at the kernel's answer twice, once to see whose it is, and up to 3.1 makes its socket so that no program gets it by fcntl(2).
        assert [number for number in calls if number not in (capget, capset, fcntl)] == needed, calls


@both('the record is sent before the map is written, and the capability for one that says it failed is still there')
def _(root, kind):
    with root.target(root.alice) as target:
        done, steps = traced_run(root, kind, target, 0, 100000, 65536)
        granted(done)
    sent = [at for at, step in enumerate(steps) if step.number == SYSCALL['sendto'] and step.effective == AUDIT_WRITE]
    write = [at for at, step in enumerate(steps) if step.writes == kind.map_file]
    assert sent and sent[-1] < write[0] and steps[write[0]].permitted & AUDIT_WRITE


@both('a refusal ends with at most one capability, none of them effective')
def _(root, kind):
    with root.target(root.alice) as target:
        for numbers in ((0, 500000, 1), (0, 0, 0), (0,), ('x', 1, 1)):
            done, steps = traced_run(root, kind, target, *numbers)
            assert done.code == 1, done
            last = steps[-1]
            assert last.number == SYSCALL['exit_group'] and last.effective == 0
            assert last.permitted in (0, kind.capability), hex(last.permitted)
            assert last.uids == [root.alice.uid] * 4
        unmapped(target)


@both('the message of a refusal is written without any capability')
def _(root, kind):
    with root.target(root.alice) as target:
        done, steps = traced_run(root, kind, target, 0, 500000, 1)
        refused(done, 'IM-RANGE')
        (message,) = [step for step in steps if step.number == SYSCALL['write'] and step.args[0] == 2]
        assert message.effective == message.permitted == 0


@both('the version is written without any capability')
def _(root, kind):
    steps = []
    done = trace(spawn([kind.program(root), '--version'], root.alice, traced=True), lambda stop: steps.append(Step(stop)))
    assert done.code == 0 and done.out, done
    (line,) = [step for step in steps if step.number == SYSCALL['write'] and step.args[0] == 1]
    assert line.effective == line.permitted == 0 and line.uids == [root.alice.uid] * 4, line.status


@both('at the write of the map only the standard fds, the process, its map, the policy, the child and the logs are open')
def _(root, kind):
    leaks = [os.open('/etc/passwd', os.O_RDONLY) for _ in range(20)]
    with root.target(root.alice) as target:
        steps = []
        given = {number: fd for number, fd in zip([3, 4, 5, 6, 9, 100, 250, 600], leaks)}
        for word, fd in ((target.pid, None), ('fd:9', target.dirfd), ('fd:9', target.pidfd)):
            with root.target(root.alice) as other:
                fds = dict(given)
                if fd is not None:
                    fds[9] = other.dirfd if fd == target.dirfd else other.pidfd
                steps.clear()
                child = spawn([kind.program(root), word if fd is not None else other.pid, 0, 100000, 1], root.alice,
                              traced=True, fds=fds)
                granted(trace(child, lambda stop: steps.append(Step(stop))))
                (at,) = [step for step in steps if step.writes == kind.map_file]
                others = {number: what for number, what in at.fds.items() if number > 2}
                allowed = {f'/proc/{other.pid}', f'/proc/{other.pid}/{kind.map_file}', 'anon_inode:[pidfd]',
                           f'pidfd:[{other.pid}]', '/etc/nsswitch.conf', kind.file}
                if kind.which == 'gid':
                    allowed.add(f'/proc/{other.pid}/setgroups')
                # The logs and the child's socket are open because no socket can be made any more.
                files = [what for what in others.values() if not what.startswith('socket:')]
                assert all(what in allowed or what.startswith('pidfd') for what in files), others
                assert len(others) - len(files) <= 3 and len(files) <= 6, others
    for fd in leaks:
        os.close(fd)


@both('works with no CAP_SYS_ADMIN in the bounding set')
def _(root, kind):
    with root.target(root.alice) as target:
        granted(root.run([kind.program(root), target.pid, 0, 100000, 1], root.alice, drop_bounding=[CAP['sys_admin']]))


@both('works with a bounding set of its own capability alone')
def _(root, kind):
    mine = kind.capability.bit_length() - 1
    with root.target(root.alice) as target:
        others = [cap for cap in range(41) if cap != mine]
        done = root.run([kind.program(root), target.pid, 0, 100000, 1], root.alice, drop_bounding=others)
        if root.privilege == 'filecaps':
            # The kernel runs a program with effective file capabilities with all of them or not at all.
            assert done.code == 121, done
            unmapped(target)
        else:
            granted(done)


@both('PR-MISSING: a bounding set without its capability')
def _(root, kind):
    with root.target(root.alice) as target:
        done = root.run([kind.program(root), target.pid, 0, 100000, 1], root.alice,
                        drop_bounding=[kind.capability.bit_length() - 1])
        if root.privilege == 'filecaps':
            assert done.code == 121, done
        else:
            refused(done, 'PR-MISSING', 'CAP_SET' + kind.which.upper(), 'userns-run doctor')
        unmapped(target)


@both('PR-MISSING: a lost setuid bit, or lost file capabilities')
def _(root, kind):
    bare = root.copy_program(kind.program(root), f'{root.tmp}/{kind.name}', None)
    with root.target(root.alice) as target:
        refused(root.run([bare, target.pid, 0, 100000, 1], root.alice), 'PR-MISSING', 'userns-run doctor')
        unmapped(target)


@both('PR-MISSING: a nosuid mount')
def _(root, kind):
    where = f'{root.tmp}/nosuid-{kind.name}'
    os.mkdir(where)
    mount('tmpfs', where, 'tmpfs', MS_NOSUID, 'mode=0755')
    there = root.copy_program(kind.program(root), f'{where}/{kind.name}', root.privilege)
    with root.target(root.alice) as target:
        refused(root.run([there, target.pid, 0, 100000, 1], root.alice), 'PR-MISSING', 'userns-run doctor')
        unmapped(target)


@both('PR-MISSING: no_new_privs')
def _(root, kind):
    with root.target(root.alice) as target:
        refused(root.run([kind.program(root), target.pid, 0, 100000, 1], root.alice, no_new_privs=True), 'PR-MISSING',
                'userns-run doctor')
        unmapped(target)


@both('the caller cannot trace it')
def _(root, kind):
    with root.target(root.alice) as target:
        held = []

        def attach(stop):
            if stop.number == SYSCALL['write'] and not held:
                held.append(root.run(['/usr/bin/python3', '-c', 'import ctypes, sys; l = ctypes.CDLL(None, use_errno=True); '
                                      f'sys.exit(l.ptrace(0x4206, {stop.pid}, 0, 0) == -1 and ctypes.get_errno())'],
                                     root.alice).code)
                held.append(root.run(['/bin/cat', f'/proc/{stop.pid}/environ'], root.alice).code)
        granted(trace(spawn([kind.program(root), target.pid, 0, 100000, 1], root.alice, traced=True), attach))
        assert held == [1, 1], held


if __name__ == '__main__':
    main()
