#!/usr/bin/env python3
"""Named containers in broken surroundings: damaged files, full disks, crowds, races. The life of a container holds."""

import json
import os
import resource
import shutil
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
from container import fails, well  # noqa: E402
from named import IDLE, Store, alive, await_log  # noqa: E402
from harness import MS_BIND, MS_RDONLY, MS_REMOUNT, case, cases, main, mount, skip, spawn, wait_for  # noqa: E402

CROWD = 70


def on_small_disk(root, name):
    """A store on a file system of its own, which is gone with this test's mount namespace."""
    store = Store(root, name=name)
    mount('tmpfs', store.path, 'tmpfs', 0, f'size=2m,mode=0700,uid={store.user.uid},gid={store.user.gid}')
    return store


def fill(store):
    """Until the disk has no room left."""
    with open(f'{store.path}/filler', 'wb', buffering=0) as file:
        try:
            while True:
                file.write(b'\0' * 4096)
        except OSError:
            pass


def created(store, name, *more):
    well(store.do('create', name, '--template', 'busybox', '--ids', '1000', *more))


def maps(store, name):
    with open(f'{store.path}/{name}/config') as file:
        return [line.split('=')[1].strip() for line in file if line.startswith('map')]


def left_over(store):
    return [name for name in os.listdir(store.path) if name.startswith('.') and name not in ('.lock', '.index', '.events')]


# --- F1, F2: what a container has, when its config says it no longer ----------------------------------

@cases([('a map that is cut off', b'map = u:'), ('nothing', b''), ('bytes', b'\xff\xfe\0\x01map')])
def _(root, damage):
    """A damaged config gives nobody else the container's ids; list and info tell, and it does not start."""
    root.subuid('alice:100000:65536\n')
    store = Store(root)
    created(store, 'b')
    before = maps(store, 'b')
    assert len(before) == 2, before
    with open(f'{store.path}/b/config', 'wb') as file:
        file.write(damage)
    created(store, 'y')
    mine, others = ({line.split(':')[2] for line in found} for found in (before, maps(store, 'y')))
    assert not mine & others, (before, maps(store, 'y'))
    (facts,) = [one for one in json.loads(well(store.do('list', '--json')).out) if one['name'] == 'b']
    assert 'config' in facts.get('problem', ''), facts
    assert 'config' in store.do('info', 'b').out + store.do('info', 'b').err
    fails(store.do('start', 'b'), 'config')
    well(store.do('destroy', 'b'))
    well(store.do('destroy', 'y'))
    assert left_over(store) == [] and not os.path.exists(f'{store.path}/b')


@case('a container without its config is destroyed with all its files, at once')
def _(root):
    store = Store(root)
    created(store, 'c')
    os.unlink(f'{store.path}/c/config')
    well(store.do('destroy', 'c'))
    assert left_over(store) == [] and not os.path.exists(f'{store.path}/c'), os.listdir(store.path)


@case('a deletion that has lost its config on the way is finished by destroy, and holds its ids until then')
def _(root):
    store = Store(root)
    created(store, 'c')
    before = maps(store, 'c')
    os.unlink(f'{store.path}/c/config')
    os.rename(f'{store.path}/c', f'{store.path}/.c.gone-aaaaaa')
    well(store.do('destroy', 'c'))
    assert left_over(store) == [] and before, os.listdir(store.path)


@case('config map= takes no ids that are not the caller\'s')
def _(root):
    store = Store(root)
    created(store, 'c')
    before = maps(store, 'c')
    fails(store.do('config', 'c', 'map=u:0:300000:1000'), '300000')
    fails(store.do('config', 'c', 'map=u:0:0:1000'), '0')
    assert maps(store, 'c') == before
    well(store.do('destroy', 'c'))


# --- F3: crowds -------------------------------------------------------------------------------------

@case('70 clients that wait keep nobody from stopping it in order')
def _(root):
    store = Store(root)
    hook = f'{store.path}/hooked'
    store.make('web', IDLE, f'hook = post-stop=touch {hook}')
    well(store.do('start', 'web'))
    await_log(store, 'web', 'up')
    crowd = [store.begin('wait', 'web') for _ in range(CROWD)]
    time.sleep(1)
    begun = time.monotonic()
    done = store.do('stop', 'web', timeout=60)
    assert done.code == 0 and time.monotonic() - begun < 8, (done, time.monotonic() - begun)
    assert os.path.exists(hook) and store.last('web')['exit_status'] == 0, store.last('web')
    said = [child.wait() for child in crowd]
    assert len([one for one in said if one.out == '0\n']) >= 60, said
    assert all(one.out == '0\n' or 'clients' in one.err for one in said), said


# --- F4: logs -f ------------------------------------------------------------------------------------

@case('logs -f shows every line once, over two rotations between two looks')
def _(root):
    store = Store(root)
    store.make('web', IDLE)
    well(store.do('start', 'web', '--log-size=0'))
    log, old = f'{store.path}/web/console.log', f'{store.path}/web/console.log.1'
    out = f'{root.tmp}/followed'

    def write(path, first, last):
        with open(path, 'a') as file:
            file.writelines(f'line {number}\n' for number in range(first, last))
        os.chown(path, store.user.uid, store.user.gid)

    write(log, 0, 5)
    with open(out, 'w') as file:
        child = store.begin('logs', 'web', '-f', fds={1: file.fileno()})
        wait_for(lambda: 'line 4' in open(out).read(), 'the first lines')
        child.kill(signal.SIGSTOP)
        write(log, 5, 10)
        os.rename(log, old)
        write(log, 10, 15)
        os.rename(log, old)
        write(log, 15, 20)
        child.kill(signal.SIGCONT)
        wait_for(lambda: 'line 19' in open(out).read(), 'the last lines')
        well(store.do('stop', 'web'))
        child.wait()
    assert open(out).read() == ''.join(f'line {number}\n' for number in range(20)), open(out).read()


# --- F5: hooks that do not end ------------------------------------------------------------------------

def starting(store, *more):
    begun = f'{store.path}/begun'
    store.make('web', IDLE, f'hook = pre-start=sh -c "touch {begun}; sleep 1000"', *more)
    child = store.begin('start', 'web')
    wait_for(lambda: os.path.exists(begun), 'the hook')
    return child


@case('a start that hangs in a hook can be stopped')
def _(root):
    store = Store(root)
    child = starting(store)
    done = store.do('stop', 'web', timeout=20)
    assert done.code == 0, done
    assert child.wait().code == 125
    assert ' stopped ' in well(store.do('list')).out + ' '
    well(store.do('destroy', 'web'))


@case('a start that hangs is ended, and nobody who has the same file open, such as a backup')
def _(root):
    store = Store(root)
    store.make('web', IDLE)
    well(store.do('start', 'web'))
    well(store.do('stop', 'web'))
    script = f'import time; file = open("{store.path}/web/running"); time.sleep(1000)'
    backup = spawn(['/usr/bin/python3', '-c', script], store.user)
    try:
        fds = f'/proc/{backup.pid}/fd'
        wait_for(lambda: any(os.path.realpath(f'{fds}/{fd}').endswith('/running') for fd in os.listdir(fds)), 'the backup')
        with open(f'{store.path}/web/config', 'a') as file:
            file.write(f'hook = pre-start=sh -c "touch {store.path}/begun; sleep 1000"\n')
        child = store.begin('start', 'web')
        wait_for(lambda: os.path.exists(f'{store.path}/begun'), 'the hook')
        assert backup.pid < child.pid
        done = store.do('stop', 'web', timeout=20)
        assert done.code == 0 and child.wait().code == 125, done
        assert alive(backup.pid), 'the backup was ended'
    finally:
        backup.kill(signal.SIGKILL)
        backup.wait()


@case('who holds a container is named, and destroy --force ends a start that hangs in a hook')
def _(root):
    store = Store(root)
    child = starting(store)
    waiting = store.begin('config', 'web', 'stop-timeout=3')
    inode = os.stat(f'{store.path}/web/lock').st_ino
    wait_for(lambda: any('->' in line and f':{inode} ' in line for line in open('/proc/locks')), 'it to wait')
    done = store.do('destroy', 'web', '--force', timeout=20)
    assert done.code == 0 and not os.path.exists(f'{store.path}/web'), done
    assert child.wait().code == 125
    said = waiting.wait()
    assert str(child.pid) in said.err, said


@case('a hook has a time limit')
def _(root):
    store = Store(root)
    store.make('web', IDLE, 'hook = pre-start=sleep 1000', 'hook-timeout = 500ms')
    fails(store.do('start', 'web', timeout=20), 'hook', '500 ms', '--hook-timeout')
    fails(store.do('start', 'web', '--hook-timeout=200ms', timeout=20), '200 ms')


@case('a start whose caller was killed in a hook gives up')
def _(root):
    store = Store(root)
    child = starting(store)
    child.kill(signal.SIGKILL)
    wait_for(lambda: ' stopped ' in well(store.do('list')).out + ' ', 'the start to be over')
    well(store.do('destroy', 'web', timeout=20))


# --- F6: records ------------------------------------------------------------------------------------

@case('a record belongs to its run: with a full disk wait does not tell of an earlier one')
def _(root):
    store = on_small_disk(root, 'small')
    store.make('web')
    assert well(store.do('start', 'web', '--foreground', command=['sh', '-c', 'exit 7']), 7)
    assert store.do('wait', 'web').out == '7\n'
    typed, keyboard = os.pipe()
    child = store.begin('start', 'web', '--foreground', command=['sh', '-c', 'read x; exit 9'], stdin=typed)
    wait_for(lambda: (store.state('web') or {}).get('init', {}).get('pid'), 'the start')
    fill(store)
    os.write(keyboard, b'\n')
    assert child.wait().code == 9
    done = store.do('wait', 'web')
    assert done.out != '7\n', done


# --- F7, F8: records that cannot be read, a store that cannot be written, a socket that is gone ---------

@cases([('text', 'x\n'), ('a number', '7\n'), ('a list', '[1]\n'), ('other types', '{"boot_id": 7, "monitor": "x", "init": []}\n'), ('nothing', '')])
def _(root, text):
    """A damaged record of a container that runs: it is running, and stop, kill and logs work."""
    store = Store(root)
    for verb in ('stop', 'kill', 'restart'):
        store.make(verb, IDLE)
        well(store.do('start', verb))
        await_log(store, verb, 'up')
        pid = store.state(verb)['init']['pid']
        with open(f'{store.path}/{verb}/state.json', 'w') as file:
            file.write(text)
        (facts,) = [one for one in json.loads(well(store.do('list', '--json')).out) if one['name'] == verb]
        assert facts['state'] == 'running' and facts.get('problem'), facts
        assert 'up' in well(store.do('logs', verb)).out
        well(store.do(verb, verb, timeout=60))
        wait_for(lambda pid=pid: not alive(pid), 'its end')
    well(store.do('stop', 'restart'))


@case('in a store that cannot be written to list, logs, stop and kill work')
def _(root):
    store, sealed = Store(root), Store(root, name='sealed')
    pids = {}
    for verb in ('stop', 'kill'):
        store.make(verb, IDLE)
        well(store.do('start', verb))
        await_log(store, verb, 'up')
        pids[verb] = store.state(verb)['init']['pid']
    mount(store.path, sealed.path, None, MS_BIND)
    mount(None, sealed.path, None, MS_REMOUNT | MS_BIND | MS_RDONLY)
    assert well(sealed.do('list')).out.count(' running ') == 2
    for verb, pid in pids.items():
        assert 'up' in well(sealed.do('logs', verb)).out
        well(sealed.do(verb, verb, timeout=60))
        wait_for(lambda pid=pid: not alive(pid), 'its end')
    wait_for(lambda: ' running ' not in well(sealed.do('list')).out, 'both to end')


@case('without its socket a container is running: exec, kill and stop go by the kernel, and its hooks run')
def _(root):
    store = Store(root)
    hook = f'{store.path}/hooked'
    store.make('web', IDLE, 'cgroup = none', f'hook = post-stop=touch {hook}')
    well(store.do('start', 'web'))
    await_log(store, 'web', 'up')
    os.unlink(f'{store.path}/web/control')
    fails(store.do('start', 'web'), 'runs since')
    assert well(store.do('exec', 'web', command=['echo', 'in'])).out == 'in\n'
    assert 'sleep' in well(store.do('ps', 'web')).out
    well(store.do('kill', 'web', '--signal=CONT'))
    fails(store.do('console', 'web'), 'socket')
    begun = time.monotonic()
    well(store.do('stop', 'web', timeout=60))
    assert os.path.exists(hook) and time.monotonic() - begun < 4
    assert store.last('web')['exit_status'] == 0


# --- F10: races --------------------------------------------------------------------------------------

ENDS = 'command = sh -c "echo up; read line"'
SLOW = 150_000  # us that each of these calls takes


def slowed(call):
    return ['-qq', '-o', '/dev/null', '-e', f'trace={call}', '-e', f'inject={call}:delay_enter={SLOW}:delay_exit={SLOW}']


def end_of_input(store):
    """The end of its command: a key that its console types."""
    typed, keyboard = os.pipe()
    console = store.begin('console', 'web', stdin=typed)
    os.write(keyboard, b'\n')
    return console, (typed, keyboard)


def says_that_it_ended(done):
    assert 'killed' not in done.err and 'does not' not in done.err, done
    assert done.code == 0 or (done.code == 125 and 'is not running' in done.err), done


@cases([(f'stop that is slow at its {call} while the container ends says that it ended', call)
        for call in ('connect', 'sendmsg', 'recvmsg', 'poll', 'fcntl', 'openat2')])
def _(root, call):
    store = Store(root)
    store.make('web', ENDS)
    strace = shutil.which('strace') or skip('strace is not installed')
    well(store.do('start', 'web'))
    await_log(store, 'web', 'up')
    stop = spawn([strace, '-u', 'alice', *slowed(call), *store.words('stop', 'web')])
    console, ends = end_of_input(store)
    says_that_it_ended(stop.wait())
    console.wait()
    for end in ends:
        os.close(end)
    assert ' running' not in well(store.do('list')).out


@cases([(f'stop, at any time of an end whose monitor is slow at {call}, says that it ended', call)
        for call in ('unlinkat', 'renameat', 'rmdir')])
def _(root, call):
    """Each step of the end takes long, so that a stop falls between any two."""
    store = Store(root)
    store.make('web', ENDS)
    strace = shutil.which('strace') or skip('strace is not installed')
    well(store.do('start', 'web'))
    await_log(store, 'web', 'up')
    slow = spawn([strace, *slowed(call), '-p', str(store.state('web')['monitor']['pid'])])
    wait_for(lambda: 'TracerPid:\t0' not in open(f'/proc/{store.state("web")["monitor"]["pid"]}/status').read(), 'strace')
    console, ends = end_of_input(store)
    stops = []
    while os.path.exists(f'{store.path}/web/state.json') and len(stops) < 12:
        stops.append(store.begin('stop', 'web'))
        time.sleep(0.1)
    for stop in stops:
        says_that_it_ended(stop.wait())
    assert stops
    console.wait()
    slow.wait()
    for end in ends:
        os.close(end)


# --- F11: size ---------------------------------------------------------------------------------------

@case('a command of 12 times 100,000 bytes is started, listed, entered and restarted as it was')
def _(root):
    store = Store(root)
    store.make('web')
    long = ['x' * 100000] * 12
    well(store.do('start', 'web', command=['sh', '-c', 'echo $#; trap "exit 0" TERM; while :; do sleep 0.1; done', *long]))
    await_log(store, 'web', '11')
    assert ' running ' in well(store.do('list')).out
    assert len(store.state('web')['command']) == 15
    well(store.do('restart', 'web'))
    wait_for(lambda: store.log('web').count(b'11') == 2, 'the command again')
    well(store.do('stop', 'web'))


@case('40,000 variables take a time that grows with their number alone')
def _(root):
    def cpu(count):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        words = [root.program('userns-run'), '--cgroup=none', *(f'--env=NAME{number}=value' for number in range(count)), '--', '/bin/true']
        well(root.run(words, root.alice, timeout=120))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime - before.ru_utime

    few, many = cpu(10000), cpu(40000)
    assert many < 8 * few + 0.5, (few, many)
    return f'{few:.2f} s for 10,000, {many:.2f} s for 40,000'


# --- F12: a log that could not be written ----------------------------------------------------------------

@case('a log that could not be made anew is written to as soon as it can be')
def _(root):
    store = Store(root)
    store.make('web')
    well(store.do('start', 'web', '--log-size=4096', command=['sh', '-c', 'while read n; do i=0; while [ $i -lt $n ]; do echo line $i; i=$((i+1)); done; echo done $n; done']))
    typed, keyboard = os.pipe()
    console = store.begin('console', 'web', stdin=typed)
    os.write(keyboard, b'1\n')
    await_log(store, 'web', 'done 1')
    directory = f'{store.path}/web'
    os.chown(directory, 0, 0)  # nothing can be made in it: as with a disk that has no inode left
    os.write(keyboard, b'2000\n')
    time.sleep(1)
    os.chown(directory, store.user.uid, store.user.gid)
    os.write(keyboard, b'3\n')
    await_log(store, 'web', 'done 3')
    well(store.do('stop', 'web', '--timeout=1s'))
    console.wait()


# --- F13: ps ---------------------------------------------------------------------------------------------

@case('ps looks at all processes once, however many containers there are')
def _(root):
    store = Store(root)
    strace = shutil.which('strace') or skip('strace is not installed')

    def walks():
        trace = f'{root.tmp}/trace-of-ps'
        done = spawn([strace, '-qq', '-f', '-y', '-u', 'alice', '-o', trace, '-e', 'trace=getdents64', *store.words('ps')]).wait()
        assert done.code == 0, done
        with open(trace, encoding='utf-8') as file:
            text = file.read()
        return text.count('</proc>')

    seen = []
    for number in range(6):
        store.make(f'c{number}', IDLE)
        well(store.do('start', f'c{number}'))
        if number in (0, 5):
            seen.append(walks())
    assert seen[0] == seen[1] > 0, seen
    for number in range(6):
        well(store.do('stop', f'c{number}'))


if __name__ == '__main__':
    main()
