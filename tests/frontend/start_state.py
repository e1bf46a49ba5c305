#!/usr/bin/env python3
"""What a container's command inherits besides fds, environment and directory: each row of userns-run(1)'s table, at a start
and at an exec."""

import ctypes
import json
import os
import re
import resource
import shutil
import signal
import sys

sys.path.insert(0, os.path.dirname(__file__))
from container import PYTHON, rootfs, run, shell, well  # noqa: E402
from harness import case, cases, main, skip  # noqa: E402
from named import Store  # noqa: E402

libc = ctypes.CDLL(None, use_errno=True)
MANUAL = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'man', 'userns-run.1')
ADDR_NO_RANDOMIZE, READ_IMPLIES_EXEC, MMAP_PAGE_ZERO, UNAME26 = 0x40000, 0x400000, 0x100000, 0x20000
PR_SET_TIMERSLACK, PR_SET_THP_DISABLE = 29, 41

LOOK = """
import ctypes, json, os, resource, signal, struct
libc = ctypes.CDLL(None)
def status(name):
    return next(line.split(':')[1].strip() for line in open('/proc/self/status') if line.startswith(name + ':'))
print(json.dumps({
    'personality': libc.personality(0xffffffff), 'slack': libc.prctl(30, 0, 0, 0, 0), 'thp': libc.prctl(42, 0, 0, 0, 0),
    'oom': int(open('/proc/self/oom_score_adj').read()), 'cpus': sorted(os.sched_getaffinity(0)), 'nice': os.nice(0),
    'io': libc.syscall(252, 1, 0), 'scheduler': os.sched_getscheduler(0), 'dumpable': libc.prctl(3, 0, 0, 0, 0),
    'securebits': libc.prctl(27, 0, 0, 0, 0), 'ambient': status('CapAmb'), 'umask': status('Umask'), 'nnp': status('NoNewPrivs'),
    'cores': int(open('/proc/self/coredump_filter').read(), 16), 'nofile': resource.getrlimit(resource.RLIMIT_NOFILE),
    'blocked': status('SigBlk'), 'ignored': status('SigIgn'), 'reaper': struct.unpack('i', bytes(reaper(libc)))[0], 'death': death(libc)}))
"""
LOOK = """
import ctypes
def word(libc, option):
    value = ctypes.c_int(-1)
    libc.prctl(option, ctypes.byref(value), 0, 0, 0)
    return bytes(value)
def reaper(libc):
    return word(libc, 37)
def death(libc):
    return int.from_bytes(word(libc, 2), 'little')
""" + LOOK


def strange():
    """Becomes a process all of whose state is unlike the usual one."""
    libc.personality(ADDR_NO_RANDOMIZE | READ_IMPLIES_EXEC | MMAP_PAGE_ZERO | UNAME26)
    libc.prctl(PR_SET_TIMERSLACK, 77777, 0, 0, 0)
    libc.prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)
    libc.prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    libc.prctl(1, signal.SIGUSR1, 0, 0, 0)  # PR_SET_PDEATHSIG
    for name, text in (('oom_score_adj', '321'), ('coredump_filter', '0x7')):
        with open(f'/proc/self/{name}', 'w') as file:
            file.write(text)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    libc.syscall(251, 1, 0, 2 << 13 | 6)  # ioprio: best effort, 6
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    os.nice(7)
    resource.setrlimit(resource.RLIMIT_NOFILE, (111, 222))
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGWINCH})


def look(done):
    return json.loads(well(done).out.splitlines()[-1])


def check(seen, umask='0027', death=0):
    """`seen`: what the command of a strange caller has."""
    assert seen['personality'] == UNAME26, seen
    assert seen['slack'] == 77777 and seen['thp'] == 1 and seen['oom'] == 321 and seen['cores'] == 7, seen
    assert len(seen['cpus']) == 1 and seen['nice'] == 7 and seen['io'] == 2 << 13 | 6 and seen['scheduler'] == os.SCHED_BATCH, seen
    assert seen['nofile'] == [111, 222] and seen['umask'] == umask, seen
    assert int(seen['ignored'], 16) >> (signal.SIGUSR2 - 1) & 1 and int(seen['blocked'], 16) >> (signal.SIGWINCH - 1) & 1, seen
    assert seen['securebits'] == 0 and seen['ambient'] == '0' * 16 and seen['nnp'] == '0', seen
    assert seen['reaper'] == 0 and seen['death'] == death and seen['dumpable'] == 1, seen


@cases([('at a start the command inherits what the table says', ()), ('below --init, too', ('--init',))])
def _(root, args):
    check(look(run(root, *args, command=(PYTHON, '-c', LOOK), before=strange, umask=0o27)))


@case('the table of userns-run(1) has a row for everything that is tried here')
def _(_root):
    text = open(MANUAL).read()
    part = text[text.index('.Ss What the command inherits'):]
    part = part[:part.index('.S', 5)]
    rows = re.findall(r'^\.It (.*)$', part, re.M)
    for word in ('session keyring', 'personality', 'timer slack', 'oom_score_adj', 'CPU affinity', 'ioprio', 'core dump filter', 'huge pages',
                 'dumpable', 'securebits', 'ambient', 'umask', 'nice', 'resource limits', 'no_new_privs', 'subreaper', 'parent-death signal',
                 'signal mask'):
        assert any(word in row for row in rows), (word, rows)


# --- keyrings -------------------------------------------------------------------------------

def keyctl():
    return shutil.which('keyctl') or skip('keyutils is not installed')


ADD = 'keyctl add user topic topsecret @s >/dev/null && keyctl print %user:topic'
READ = 'keyctl print %user:topic 2>&1; keyctl search @s user topic 2>&1; keyctl rdescribe @s'
ENV = {'PATH': '/usr/bin:/bin'}


@cases([('in the host\'s tree', ()), ('below --init', ('--init',)), ('as the caller himself', ('--map-self',))])
def _(root, args):
    words = ' '.join((root.program('userns-run'), '--nesting', *args))
    done = well(root.run([keyctl(), 'session', '-', 'sh', '-c', f'{ADD} && {words} -- sh -c "{READ}"'], root.alice, env=ENV))
    assert done.out.count('topsecret') == 1 and done.out.splitlines()[-1].endswith(';_ses'), done


@case('what one container puts into its session keyring the next does not have')
def _(root):
    assert keyctl() and 'topsecret' in well(shell(root, ADD, '--nesting', env=ENV)).out
    assert 'topsecret' not in shell(root, READ, '--nesting', env=ENV).out


def container(root):
    """A running one that has the host's programs."""
    store = Store(root)
    binds = [f'bind = {place}:{place}' for place in ('/usr', '/lib', '/lib64') if os.path.exists(place)]
    store.make('web', 'nesting = yes', *binds, 'command = sleep 1000', tree=rootfs(root))
    well(store.do('start', 'web'))
    return store


@case('an exec leaves the caller\'s session keyring, too')
def _(root):
    assert keyctl()
    store = container(root)
    words = ' '.join(store.words('exec', 'web', command=['/usr/bin/keyctl']))
    script = f'{ADD} && for act in "print %user:topic" "search @s user topic" "rdescribe @s"; do {words} $act 2>&1; done'
    done = well(root.run([keyctl(), 'session', '-', 'sh', '-c', script], root.alice, env=ENV))
    well(store.do('kill', 'web'))
    assert done.out.count('topsecret') == 1 and done.out.splitlines()[-1].endswith(';_ses'), done


@case('at an exec the command inherits what the table says')
def _(root):
    store = container(root)
    seen = look(store.do('exec', 'web', command=[PYTHON, '-c', LOOK], before=strange, umask=0o27))
    well(store.do('kill', 'web'))
    check(seen, umask='0022', death=signal.SIGKILL)


main()
