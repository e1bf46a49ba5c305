"""Meets the process inside a container on its way to its exec: stops it before each of its system calls.

The starter, its helpers and the monitor run on untouched; they are traced only to find what they start.
"""

import ctypes
import os
import signal

from harness import Stop, _SyscallInfo, _checked, libc, own_children, status_of, wait_for

CONT, DETACH, SYSCALL, SETOPTIONS, GETEVENTMSG, SYSCALL_INFO = 7, 17, 24, 0x4200, 0x4201, 0x420e
BORN, EXECED = (1, 2, 3), 4  # a fork, a vfork, a clone
# TRACESYSGOOD, TRACEFORK, TRACEVFORK, TRACECLONE, TRACEEXEC, EXITKILL
OPTIONS = 1 | 2 | 4 | 8 | 0x10 | 0x100000
WALL = 0x40000000


def _ptrace(what, pid, address=None, data=None):
    return libc.ptrace(what, pid, ctypes.c_void_p(address), data)


def _is_inside(pid):
    try:
        return os.readlink(f'/proc/{pid}/ns/user') != os.readlink('/proc/self/ns/user')
    except (FileNotFoundError, ProcessLookupError):
        return False


def _enters_call(pid):
    info = _SyscallInfo()
    _ptrace(SYSCALL_INFO, pid, ctypes.sizeof(info), ctypes.byref(info))
    return Stop(pid, info.words[0], list(info.words[1:7])) if info.op == 1 else None


class Traced:
    """The processes that are traced: {pid: is it inside}; None: it was born, and has not stopped yet. Its birth and its
    first stop, or its end, are told in either order: one whose stop was not waited for would stand still for ever.
    """

    def __init__(self, first):
        self.inside, self._announced, self._ended = {first: False}, {first}, set()

    def born_of(self, pid):
        told = ctypes.c_ulong()
        if _ptrace(GETEVENTMSG, pid, None, ctypes.byref(told)) < 0:
            return  # it was killed meanwhile
        if told.value in self._ended:
            self._ended.discard(told.value)
        else:
            self._announced.add(told.value)
            self.inside.setdefault(told.value, None)

    def has_ended(self, pid):
        # Its first stop, and its end, may come before the word of who made it.
        self.inside.pop(pid, None)
        if pid not in self._announced:
            self._ended.add(pid)
        self._announced.discard(pid)


def trace_inside(child, on_entry):
    """Calls on_entry(Stop) before each system call of what a Child (spawned traced) starts in another user namespace, up
    to its exec. Returns Done when the Child and all that it has started are gone, or let go at their exec inside.
    """
    os.waitpid(child.pid, 0)
    _checked(_ptrace(SETOPTIONS, child.pid, 0, ctypes.c_void_p(OPTIONS)), 'ptrace')
    traced = Traced(child.pid)
    inside = traced.inside
    _ptrace(CONT, child.pid)
    while inside:
        pid, status = os.waitpid(-1, WALL)
        if not os.WIFSTOPPED(status):
            traced.has_ended(pid)
            if pid == child.pid:
                child.code = os.waitstatus_to_exitcode(status)
            continue
        number, event = os.WSTOPSIG(status), status >> 16
        new = inside.get(pid) is None
        if new:
            inside[pid] = _is_inside(pid)
        if event in BORN:
            traced.born_of(pid)
        if event == EXECED and inside[pid]:
            _ptrace(DETACH, pid)
            traced.has_ended(pid)
            continue
        if number == signal.SIGTRAP | 0x80 and (stop := _enters_call(pid)):
            on_entry(stop)
        passed_on = 0 if new or event or number == signal.SIGTRAP | 0x80 else number
        _ptrace(SYSCALL if inside[pid] else CONT, pid, None, ctypes.c_void_p(passed_on))
    return child.wait()


class Killer:
    """Kills the process inside before a system call: the nth (from 1) of a number. Where that does not come, at the exec: `met` is False."""

    def __init__(self, number, nth):
        self.number, self.left, self.met = number, nth, False

    def __call__(self, stop):
        if stop.number == self.number:
            self.left -= 1
            if self.left == 0:
                self.met = True
                os.kill(stop.pid, signal.SIGKILL)
        elif stop.number == EXECVE:
            os.kill(stop.pid, signal.SIGKILL)


SENDMSG, RECVMSG, EXECVE = 46, 47, 59


def calls_until_exec(child, how):
    """Every system call on the way, as (number, nth of that number). It is killed at its exec."""
    calls, counts = [], {}

    def note(stop):
        counts[stop.number] = counts.get(stop.number, 0) + 1
        calls.append((stop.number, counts[stop.number]))
        if stop.number == EXECVE:
            os.kill(stop.pid, signal.SIGKILL)
    how(child, note)
    return calls


def moments(calls, kinds):
    """Where to kill: directly before and after each word between the two sides, and before the first of each kind of call."""
    chosen = {call for i, call in enumerate(calls)
              if kinds and call[1] == 1 or any(number in (SENDMSG, RECVMSG) for number, _ in calls[max(i - 1, 0):i + 1])}
    return sorted(chosen | {calls[-1]}, key=calls.index)


def mounts():
    with open('/proc/self/mountinfo') as file:
        return file.read()


def killed_at_each_moment(begin, how=trace_inside, left=0, kinds=True):
    """Has what `begin()` starts killed at each moment of its way (inside, or with how=trace itself), and waits until all
    but `left` processes and every mount is gone. kinds: at each kind of system call, too. Yields (place of the moment, places of all words, Done).
    """
    before = mounts()
    calls = calls_until_exec(begin(), how)
    words = [i for i, (number, _) in enumerate(calls) if number in (SENDMSG, RECVMSG)]
    assert len(words) >= 2, calls
    for moment in moments(calls, kinds):
        for _ in range(5):  # what comes in one piece or in two is not the same in each run
            killer = Killer(*moment)
            done = how(begin(), killer)
            must_leave(left, before, f'what was killed at {moment}: {done}')
            if killer.met:
                yield calls.index(moment), words, done
                break


def must_leave(count, mounted, what):
    """Waits until that many processes are left, and the mounts that there were; a failure says what is."""
    def is_so():
        return len([pid for pid in own_children() if not is_zombie(pid)]) == count and mounts() == mounted
    try:
        wait_for(is_so, f'{count} processes to be left of {what}')
    except AssertionError as error:
        raise AssertionError(f'{error}\nleft: {[shown(pid) for pid in own_children()]}, '
                             f'mounts: {sorted(set(mounts().splitlines()) ^ set(mounted.splitlines()))}') from None


def shown(pid):
    """A process for a failure's text."""
    try:
        status = status_of(pid)
        return {name: status[name] for name in ('Pid', 'Name', 'State', 'PPid', 'TracerPid', 'SigPnd', 'ShdPnd')}
    except (FileNotFoundError, ProcessLookupError):
        return {'Pid': pid, 'State': 'gone'}


def is_zombie(pid):
    try:
        return status_of(pid)['State'].startswith('Z')
    except (FileNotFoundError, ProcessLookupError):
        return True
