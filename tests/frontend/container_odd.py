"""Named containers in odd surroundings: first processes that hide, --init, umask, closed fds, limits on files."""

import json
import os
import stat
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
from container import FIRST, fails, rootfs, well  # noqa: E402
from named import IDLE, Store, alive, await_log  # noqa: E402
from harness import ROOT, case, cases, main, spawn, wait_for  # noqa: E402

# Leaves a child behind in the container's user namespace, and goes into one of its own.
HIDES = '''
import ctypes, os, time
if os.fork() == 0:
    while True:
        os.write(1, b"tick\\n")
        time.sleep(0.02)
os.write(1, b"hidden %d\\n" % ctypes.CDLL(None).unshare(0x10000000))
while True:
    time.sleep(1)
'''


def stands_still(store, name):
    """What it has written before may reach the log later."""
    def is_still():
        before = len(store.log(name))
        time.sleep(0.2)
        return len(store.log(name)) == before
    return wait_for(is_still, f'{name} to stand still')


def goes_on(store, name):
    before = len(store.log(name))
    return wait_for(lambda: len(store.log(name)) > before, f'{name} to go on')


@case('a first process that goes into a user namespace of its own hides nothing from ps and freeze, and exec says why it cannot be root there')
def _(root):
    store = Store(root)
    tree = rootfs(root, 'trees/web')
    for top in ('usr', 'lib', 'lib64'):
        os.makedirs(f'{tree}/{top}')
        os.lchown(f'{tree}/{top}', FIRST, FIRST)
    with open(f'{tree}/hides.py', 'w') as file:
        file.write(HIDES)
    store.make('web', 'cgroup = none', *(f'bind = /{top}:/{top}:ro' for top in ('usr', 'lib', 'lib64')), tree=tree)
    well(store.do('start', 'web', command=['/usr/bin/python3', '/hides.py']))
    await_log(store, 'web', 'hidden 0')
    assert well(store.do('ps', 'web')).out.count('hides.py') == 2
    fails(store.do('exec', 'web', command=['id', '-u']), 'a user namespace of its own where no id is mapped', '--map-root-user')
    assert well(store.do('freeze', 'web')).out == 'web: frozen by SIGSTOP to 2 processes\n'
    assert stands_still(store, 'web')
    well(store.do('thaw', 'web'))
    assert goes_on(store, 'web')
    well(store.do('stop', 'web', '--timeout=1s'))


@case('under --init, which hides from all, exec, ps and freeze find the command')
def _(root):
    store = Store(root)
    store.make('web', 'init = yes', 'cgroup = none')
    well(store.do('start', 'web', command=['sh', '-c', 'while :; do echo b; sleep 0.02; done']))
    await_log(store, 'web', 'b')
    done = well(store.do('exec', 'web', command=['sh', '-c', 'id -u; readlink /proc/self/ns/pid; readlink /proc/self/ns/mnt']))
    init = store.state('web')['init']['pid']
    assert done.out.split() == ['0'] + [os.readlink(f'/proc/{init}/ns/{kind}') for kind in ('pid', 'mnt')], done
    listed = json.loads(well(store.do('ps', 'web', '--json')).out)
    assert [(p['pid'], p['pid_inside'], p['command']) for p in listed][0] == (init, 1, 'userns-init'), listed
    assert any('while :' in p['command'] for p in listed), listed
    well(store.do('freeze', 'web'))
    assert stands_still(store, 'web') and ' frozen ' in well(store.do('list')).out
    well(store.do('thaw', 'web'))
    assert ' running ' in well(store.do('list')).out
    well(store.do('stop', 'web', '--timeout=1s'))
    assert not alive(init)


@case("process 1 of --init shows its name, and not the words of the host's command line, to who is inside")
def _(root):
    store = Store(root)
    store.make('web', 'init = yes', 'cgroup = none')
    well(store.do('start', 'web', '--env=SECRET=hush', command=['sleep', '1000']))
    done = well(store.do('exec', 'web', command=['cat', '/proc/1/cmdline', '/proc/1/comm']))
    assert done.out == 'userns-init\0userns-init\n', done
    well(store.do('stop', 'web', '--timeout=1s'))
    done = root.run([root.program('userns-run'), '--map-self', '--init', '--env=SECRET=hush', '--', 'cat', '/proc/1/cmdline'], root.alice)
    assert (done.code, done.out) == (0, 'userns-init\0'), done


@case('exec --user USER:GROUP names which of the two the container does not have')
def _(root):
    store = Store(root)
    store.make('web', IDLE)
    well(store.do('start', 'web'))
    await_log(store, 'web', 'up')
    script = 'echo joe:x:50:60::/:/bin/sh >> /etc/passwd; echo dev:x:77: >> /etc/group; echo more:x:88:joe >> /etc/group'
    well(store.do('exec', 'web', command=['sh', '-c', script]))
    assert '88(more)' in well(store.do('exec', 'web', '--user=joe', command=['id'])).out
    assert well(store.do('exec', 'web', '--user=joe:dev', command=['id'])).out == 'uid=50(joe) gid=77(dev)\n'  # and no other
    fails(store.do('exec', 'web', '--user=joe:nix', command=['id']), "has no group 'nix': see its /etc/group, or give a number")
    fails(store.do('exec', 'web', '--user=jim:dev', command=['id']), "has no user 'jim': see its /etc/passwd, or give a number")
    well(store.do('stop', 'web', '--timeout=1s'))


def odd(root, store, shell, verb, *args, command=None):
    return root.run(['/bin/sh', '-c', f'{shell}; exec "$@"', 'sh', *store.words(verb, *args, command=command)], root.alice)


@case('a umask that takes everything away leaves their owner his files')
def _(root):
    store = Store(root)
    well(odd(root, store, 'umask 0777', 'create', 'web', '--template=busybox', '--', 'sleep', '1000'))
    well(odd(root, store, 'umask 0777', 'config', 'web', 'init=yes'))
    well(odd(root, store, 'umask 0777', 'start', 'web'))
    well(odd(root, store, 'umask 0777', 'exec', 'web', command=['true']))
    for name in ('config', 'state.json', 'console.log', 'running', 'lock'):
        assert stat.S_IMODE(os.stat(f'{store.path}/web/{name}').st_mode) == 0o600, name
    well(store.do('logs', 'web'))
    well(store.do('stop', 'web', '--timeout=1s'))
    well(store.do('destroy', 'web'))


@cases([(f'started with {which} closed', closed) for which, closed in
        (('stdin', '<&-'), ('stdout', '>&-'), ('both', '<&- >&-'), ('all three', '<&- >&- 2>&-'))])
def _(root, closed):
    store = Store(root)
    store.make('web', IDLE)
    well(odd(root, store, f'exec {closed}', 'start', 'web'))
    await_log(store, 'web', 'up')
    well(odd(root, store, f'exec {closed}', 'exec', 'web', command=['true']))
    well(odd(root, store, f'exec {closed}', 'stop', 'web', '--timeout=1s'))
    if '>&-' in closed:
        assert odd(root, store, f'exec {closed}', 'list').code == 125
    assert store.files('web') == {'config', 'lock', 'running', 'console.log', 'console.times', 'last.json'}


def make_known(store, *settings):
    """A container that was started before: where it is, is written down on the disk, once."""
    store.make('web', IDLE, *settings)
    well(store.do('start', 'web'))
    well(store.do('stop', 'web', '--timeout=0'))
    os.unlink(f'{store.path}/web/console.log')


@case('a start waits for no disk')
def _(root):
    store = Store(root)
    make_known(store)
    trace = f'{root.tmp}/trace'
    child = spawn(['/usr/bin/strace', '-f', '-qq', '-u', 'alice', '-o', trace, '-e', 'trace=fsync,fdatasync,sync,syncfs,renameat',
                   *store.words('start', 'web')], ROOT)
    await_log(store, 'web', 'up')
    well(store.do('stop', 'web', '--timeout=0'))  # until then strace waits for the monitor
    child.wait()
    with open(trace) as file:
        calls = [line for line in file if 'sync(' in line or 'renameat(' in line]
    names = [line.split('"')[-2] if 'renameat(' in line else 'sync' for line in calls if '"hosts"' not in line]
    assert names[:2] == ['started', 'state.json'], calls


@case('where no file may be written, the start says so and leaves nothing')
def _(root):
    store = Store(root)
    make_known(store, f'env = A={"x" * 2000}')  # in state.json, not in what start was called with
    before = store.files('web')
    for blocks, name in ((0, 'started'), (1, 'state.json')):
        fails(odd(root, store, f'ulimit -f {blocks}', 'start', 'web'), name, 'File too large')
        assert store.files('web') == before - {'last.json', 'console.log'} or store.files('web') == before, store.files('web')


@case('a log that reaches the limit of file sizes ends the log, not the container')
def _(root):
    store = Store(root)
    store.make('web')
    loud = 'i=0; while [ $i -lt 300 ]; do dd if=/dev/zero bs=1024 count=1 2>/dev/null; i=$((i+1)); done; while :; do sleep 1; done'
    well(odd(root, store, 'ulimit -f 100', 'start', 'web', command=['sh', '-c', loud]))
    monitor = store.state('web')['monitor']['pid']
    wait_for(lambda: len(store.log('web')) >= 51200, 'the log to be full', 60)
    time.sleep(0.3)
    assert len(store.log('web')) == 51200 and alive(monitor)
    well(store.do('exec', 'web', command=['true']))
    well(store.do('stop', 'web', '--timeout=1s'))


@case('info shows what a config says without what it says to the terminal')
def _(root):
    store = Store(root)
    store.make('web')
    well(store.do('config', 'web', 'command=echo "\x1b]0;title\x07" \x7f "\u009b31m" "\u00e4"'))
    done = well(store.do('info', 'web'))
    assert not any(c in done.out for c in '\x1b\x07\x7f\u009b') and '\u00e4' in done.out and ']0;title' in done.out, done


main()
