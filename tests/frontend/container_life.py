"""userns-run start, stop and the rest of a named container's life."""

import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import sys
import termios
import time
import tty

sys.path.insert(0, os.path.dirname(__file__))
from container import FIRST, fails, well  # noqa: E402
from named import IDLE, Store, alive, await_log  # noqa: E402
from harness import case, cases, main, skip, spawn, status_of, wait_for  # noqa: E402


def gone(store, name, state):
    wait_for(lambda: not alive(state['monitor']['pid']) and not alive(state['init']['pid']), f'{name} to be gone')
    left = store.files(name) - {'config', 'lock', 'running', 'console.log', 'console.log.1', 'console.times', 'last.json'}
    assert not left, left


# --- start --------------------------------------------------------------------------------------

@case('started in the background, it runs until its command ends, and leaves its exit status')
def _(root):
    store = Store(root)
    store.make('web', 'command = sh -c "echo up; read line; exit 7"')
    done = well(store.do('start', 'web'))
    assert (done.out, done.err) == ('', ''), done
    state = store.state('web')
    assert alive(state['init']['pid']) and alive(state['monitor']['pid']) and state['kind'] == 'command', state
    await_log(store, 'web', 'up')
    fails(store.do('start', 'web'), 'web runs since', str(state['init']['pid']))
    waiter = store.begin('wait', 'web')
    read, write = os.pipe()
    os.write(write, b'\r')
    well(store.do('console', 'web', stdin=read), 7)
    done = waiter.wait()
    assert (done.code, done.out) == (7, '7\n'), done
    assert store.last('web')['exit_status'] == 7
    gone(store, 'web', state)
    assert well(store.do('wait', 'web'), 7).out == '7\n'  # of the last run
    store.make('new', IDLE)
    fails(store.do('wait', 'new'), 'new is not running')


@cases([
    ('a command that is not there', ['--', '/bin/nothing'], 127, 'cannot run'),
    ('a command that is not a program', ['--', '/etc/passwd'], 126, 'cannot run'),
    ('a root file system that is not there', ['--rootfs=/nowhere'], 125, '/nowhere'),
    ('an id that is not mapped', ['--uid=70000'], 125, '70000'),
    ('a bind mount of nothing', ['--bind=/nowhere:/mnt'], 125, '/nowhere'),
    ('a hook that fails', ['hook'], 125, 'the hook'),
])
def _(root, words, code, piece):
    store = Store(root)
    store.make('web', IDLE, *(['hook = pre-start=false'] if words == ['hook'] else []))
    done = store.do('start', 'web', *([] if words == ['hook'] else words))
    fails(done, 'web', piece, code=code)
    assert store.state('web') is None and store.files('web') <= {'config', 'lock', 'running'}, store.files('web')
    if words != ['hook']:
        well(store.do('start', 'web', command=['true']))


@case('options of the command line go over those of the config; the caller keeps nothing open')
def _(root):
    store = Store(root)
    store.make('web', IDLE, 'hostname = one')
    well(store.do('start', 'web', '--hostname=two', '--env=A=1', command=['sh', '-c', 'hostname; echo $A; ls /proc/self/fd; echo end; sleep 1000']))
    text = await_log(store, 'web', 'end').decode()
    assert text.startswith('two\r\n1\r\n'), text
    assert text.split()[2:-1] == ['0', '1', '2', '3'], text
    monitor = store.state('web')['monitor']['pid']
    links = [os.readlink(f'/proc/{monitor}/fd/{n}') for n in (0, 1, 2)]
    assert links == ['/dev/null'] * 3, links
    assert status_of(monitor)['Name'] == 'userns-monitor' and os.readlink(f'/proc/{monitor}/cwd') == '/'
    assert int(status_of(monitor)['VmRSS'].split()[0]) <= 2048, status_of(monitor)['VmRSS']
    return f"monitor: VmRSS {status_of(monitor)['VmRSS']}"


@case('it lives on when the session and terminal it was started from are gone')
def _(root):
    store = Store(root)
    store.make('web', IDLE)
    master, slave = os.openpty()

    def own():
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.chown(os.ttyname(slave), root.alice.uid, 5)
    child = store.begin('start', 'web', stdin=slave, fds={1: slave, 2: slave}, before=own)
    well(child.wait())
    os.close(slave)
    os.close(master)
    state = store.state('web')
    time.sleep(0.1)
    assert alive(state['init']['pid']) and os.getsid(state['monitor']['pid']) == state['monitor']['pid']
    well(store.do('stop', 'web'))
    gone(store, 'web', state)


@case('several at once, by name and by label, and autostart only those that want it')
def _(root):
    store = Store(root)
    for name, lines in (('a', ['group = juju']), ('b', ['group = juju', 'autostart = yes']), ('c', [])):
        store.make(name, IDLE, *lines)
    well(store.do('start', '--autostart'))
    assert store.state('b') and not store.state('a') and not store.state('c')
    well(store.do('start', '--autostart'))
    well(store.do('start', 'a', 'c'))
    for name in 'abc':
        await_log(store, name, 'up')
    well(store.do('stop', '--group=juju'))
    assert not store.state('b') and not store.state('a') and store.state('c')
    fails(store.do('stop', '--group=nothing'), 'nothing')


@case('autostart starts the others where one can not be looked at or does not start, and says which')
def _(root):
    store = Store(root)
    store.make('b', IDLE, 'autostart = yes')
    store.make('typo', IDLE, 'autostart = yes', 'autostrat = yes')
    done = well(store.do('start', '--autostart'), 125)
    assert 'typo' in done.err and len(done.err.splitlines()) == 1, done
    await_log(store, 'b', 'up')
    well(store.do('stop', 'b'))
    os.unlink(f'{store.path}/typo/config')
    os.rmdir(f'{store.path}/typo')
    store.make('astray', IDLE, 'autostart = yes', 'rootfs = /nowhere')
    done = well(store.do('start', '--autostart'), 125)
    assert 'astray' in done.err and '/nowhere' in done.err, done
    assert store.state('b') and not store.state('astray')


def fails_until(store, name, *lines):
    """A container with a pre-start hook that fails until the file is there whose name is returned."""
    hook, there = f'{store.path}/{name}.sh', f'{store.path}/{name}.there'
    with open(hook, 'w') as file:
        file.write(f'#!/bin/sh\n[ -e {there} ]\n')
    os.chmod(hook, 0o755)
    store.make(name, IDLE, f'hook = pre-start={hook}', *lines)
    return there


def is_locked(store, name):
    return name in well(store.do('list', '--running', '--names')).out.split()


def failed_starts(store, name):
    return store.log(name).count(b'cannot start it')


@case('autostart: a start that fails is tried again by the restart setting, until it succeeds')
def _(root):
    store = Store(root)
    there = fails_until(store, 'web', 'autostart = yes', 'restart = always')
    done = well(store.do('start', '--autostart'), 125)
    assert 'web' in done.err and 'it is tried again, as its restart setting says' in done.err, done
    wait_for(lambda: failed_starts(store, 'web') >= 3, 'two more failures')
    assert 'cannot start it' in store.last('web')['text'], store.last('web')
    assert 'the next try is in 400 ms' in store.log('web').decode(), store.log('web')
    with open(there, 'w'):
        pass
    await_log(store, 'web', 'up')
    assert store.state('web')['restarts'] >= 2, store.state('web')
    well(store.do('stop', 'web'))
    assert store.last('web')['exit_status'] == 0, store.last('web')


@case('autostart: stop ends the tries; on-failure:2 ends after two more; without restart, or by hand, there are none')
def _(root):
    store = Store(root)
    fails_until(store, 'web', 'autostart = yes', 'restart = always')
    fails_until(store, 'few', 'autostart = yes', 'restart = on-failure:2')
    fails_until(store, 'once', 'autostart = yes')
    fails_until(store, 'hand', 'restart = always')
    well(store.do('start', '--autostart'), 125)
    assert 'tried again' not in well(store.do('start', 'hand'), 125).err
    wait_for(lambda: failed_starts(store, 'web') >= 2, 'the next failure')
    listed = well(store.do('list', '--running', '--autostart', '--names')).out.split()
    assert 'web' in listed and 'once' not in listed and 'hand' not in listed, listed
    store.do('stop', 'web')
    assert not is_locked(store, 'web')
    ended = failed_starts(store, 'web')
    wait_for(lambda: not is_locked(store, 'few'), 'the last try')
    assert failed_starts(store, 'few') == 3, store.log('few')
    assert (failed_starts(store, 'web'), failed_starts(store, 'once'), failed_starts(store, 'hand')) == (ended, 0, 0)
    assert well(store.do('list', '--running', '--names')).out == ''


@case('one whose config was broken after its start is listed and stopped by the labels and the autostart that it was started with')
def _(root):
    store = Store(root, name='userns')
    for name, lines in (('a', ['group = juju', 'autostart = yes']), ('b', ['group = ju']), ('old', ['autostart = yes'])):
        store.make(name, IDLE, *lines)
    well(store.do('start', 'a', 'b', 'old'))
    for name in ('a', 'b', 'old'):
        with open(f'{store.path}/{name}/config', 'a') as file:
            file.write('autostrat = yes\n')
    with open(f'{store.path}/old/state.json', 'r+') as file:  # as an older version wrote it
        state = {key: value for key, value in json.load(file).items() if key not in ('autostart', 'groups')}
        file.seek(0)
        file.truncate()
        json.dump(state, file)
    names = lambda *words: well(store.do('list', '--names', *words)).out.split()  # noqa: E731
    assert names('--running') == ['a', 'b', 'old']
    assert names('--running', '--autostart') == ['a'] and names('--group=ju') == ['b']
    info = json.loads(well(store.do('info', 'a', '--json')).out)
    assert info['autostart'] and info['groups'] == ['juju'] and 'autostrat' in info['problem'], info
    well(store.do('stop', '--group=ju'))
    assert store.state('a') and store.state('old') and not store.state('b')
    with open(os.path.join(os.path.dirname(__file__), '../../packaging/systemd/userns-autostart.service.in')) as file:
        line = re.search(r'^ExecStop=-(.*)$', file.read(), re.M)[1]
    words = shlex.split(line.replace('@BINDIR@', os.path.dirname(root.program('userns-run'))))
    done = root.run(words, root.alice, env={'PATH': '/usr/bin:/bin', 'XDG_DATA_HOME': store.user_home()})
    assert done.code == 0 and store.state('old') and not store.state('a'), done
    assert names('--autostart') == []  # what it would be started with nobody knows
    well(store.do('stop', 'old'))


@case('in the foreground its end is ours, and our end is its')
def _(root):
    store = Store(root)
    store.make('web', IDLE)
    done = well(store.do('start', 'web', '--foreground', command=['sh', '-c', 'echo hello; exit 3']), 3)
    assert done.out == 'hello\r\n', done
    for number, code in ((signal.SIGTERM, 0), (signal.SIGKILL, -9)):
        child = store.begin('start', 'web', '--foreground')
        await_log(store, 'web', 'up')
        state = store.state('web')
        child.kill(number)
        assert child.wait().code == code
        gone(store, 'web', state)
        os.unlink(f'{store.path}/web/console.log')


@case('in the foreground the status is that of the command, however soon it ends and whatever it leaves unread')
def _(root):
    store = Store(root)
    store.make('web')
    for _ in range(20):
        done = well(store.do('start', 'web', '--foreground', command=['sh', '-c', 'exit 7']), 7)
        assert (done.out, done.err) == ('', ''), done
    store.make('loud')
    read, write = os.pipe()
    child = store.begin('start', 'loud', '--foreground', fds={1: write},
                        command=['sh', '-c', 'dd if=/dev/zero bs=4096 count=200; exit 8'])
    os.close(write)
    state = wait_for(lambda: store.state('loud'), 'it to run')
    gone(store, 'loud', state)  # nobody has read: its last words did not find room
    with open(read, 'rb') as file:
        assert file.read().startswith(bytes(4096))
    well(child.wait(), 8)


@case('--rm: nothing is left when it has ended, whatever its status; a start that fails destroys nothing')
def _(root):
    store = Store(root)
    for status in (0, 5):
        store.make('web')
        well(store.do('start', 'web', '--rm', command=['sh', '-c', f'sleep 0.2; exit {status}']))
        done = store.do('wait', 'web')
        assert done.code == status or 'is not running' in done.err or 'there is no container' in done.err, done
        wait_for(lambda: not os.path.exists(f'{store.path}/web'), 'it to be destroyed')
        assert os.listdir(store.path) == ['.events'], os.listdir(store.path)
        store.make('web')
        done = well(store.do('start', 'web', '--foreground', '--rm', command=['sh', '-c', f'echo hello; exit {status}']), status)
        assert (done.out, done.err) == ('hello\r\n', ''), done
        assert os.listdir(store.path) == ['.events'], 'gone when its end is told'
    store.make('web')
    fails(store.do('start', 'web', '--rm', command=['/bin/nothing']), 'web', code=127)
    assert store.files('web') <= {'config', 'lock', 'running'}, store.files('web')


@case('without an init there is a shell, which ends when it is asked to')
def _(root):
    store = Store(root)
    store.make('web')
    well(store.do('start', 'web'))
    wait_for(lambda: '# ' in store.do('logs', 'web').out, 'its prompt')
    well(store.do('stop', 'web', '--timeout=1000s'))


@cases([('a pipe', False), ('a terminal', True)])
def _(root, terminal):
    """Who does not read holds up neither the end nor the removal, and gets the last words when he does."""
    store = Store(root)
    store.make('web')
    read, write = os.openpty() if terminal else os.pipe()
    if terminal:
        os.chown(os.ttyname(write), root.alice.uid, 5)
        tty.setraw(write)
    child = store.begin('start', 'web', '--foreground', '--rm', fds={1: write},
                        command=['sh', '-c', 'dd if=/dev/zero bs=4096 count=400 2>/dev/null; echo last words; exit 8'])
    os.close(write)
    wait_for(lambda: not os.path.exists(f'{store.path}/web'), 'it to be destroyed', 60)
    assert alive(child.pid), 'it has something to say still'
    text = b''
    while True:
        try:
            piece = os.read(read, 65536)
        except OSError:  # a terminal's other side is gone
            break
        if not piece:
            break
        text += piece
    assert text.startswith(bytes(4096)) and text.endswith(b'last words\r\n'), text[-50:]
    well(child.wait(), 8)
    os.close(read)


@case('whoever does not read can still end it by a signal')
def _(root):
    store = Store(root)
    store.make('web')
    read, write = os.pipe()
    child = store.begin('start', 'web', '--foreground', fds={1: write}, command=['sh', '-c', 'dd if=/dev/zero bs=4096; sleep 100'])
    os.close(write)
    await_log(store, 'web', bytes(1 << 19))
    child.kill(signal.SIGTERM)
    wait_for(lambda: store.state('web') is None, 'its end')

    def ends():
        if alive(child.pid):
            child.kill(signal.SIGTERM)  # it may not have heard of the end yet
        return not alive(child.pid)
    wait_for(ends, 'who watched to end')
    child.wait()
    os.close(read)


@case('a signal while it starts stops it as soon as it runs; a second one does not wait for that')
def _(root):
    store = Store(root)
    begun, go = f'{store.path}/begun', f'{store.path}/go'
    store.make('web', IDLE, f'hook = pre-start=sh -c "touch {begun}; while [ ! -e {go} ]; do sleep 0.02; done"')

    def starting():
        child = store.begin('start', 'web', '--foreground')
        wait_for(lambda: os.path.exists(begun), 'the start')
        child.kill(signal.SIGTERM)
        wait_for(lambda: not int(status_of(child.pid)['ShdPnd'], 16), 'the signal to be heard')
        os.unlink(begun)
        return child

    child = starting()
    assert alive(child.pid)
    open(go, 'w').close()
    done = child.wait()
    assert done.code in (0, 143) and done.err == '', done
    wait_for(lambda: store.state('web') is None, 'its end')
    assert store.last('web')['exit_status'] == done.code, store.last('web')
    os.unlink(go)
    child = starting()
    child.kill(signal.SIGTERM)
    fails(child.wait(), 'web', 'given up', code=143)
    open(go, 'w').close()
    wait_for(lambda: store.do('start', 'web').code == 0, 'the start that was given up to end')
    well(store.do('stop', 'web'))
    for delay in range(20):
        child = store.begin('start', 'web', '--foreground')
        time.sleep(delay / 500)
        child.kill(signal.SIGTERM)
        done = child.wait()
        assert done.code in (0, 143, -signal.SIGTERM) and done.err == '', (delay, done)
        assert store.state('web') is None, (delay, done)


# --- the end ------------------------------------------------------------------------------------

@cases([
    ('a command that obeys', 'trap "exit 5" TERM; echo up; while :; do sleep 1000 & wait; done', '10s', 5),
    ('a command that has no handler: process 1 is deaf to it', 'echo up; sleep 1000', '10s', 143),
    ('a command that ignores everything', 'trap "" TERM INT HUP USR1; echo up; while :; do sleep 1000 & wait; done', '200ms', 137),
])
def _(root, script, timeout, status):
    store = Store(root)
    store.make('web')
    well(store.do('start', 'web', command=['sh', '-c', script]))
    await_log(store, 'web', 'up')
    state = store.state('web')
    well(store.do('stop', 'web', f'--timeout={timeout}'))
    assert not alive(state['init']['pid']) and store.last('web')['exit_status'] == status, store.last('web')
    gone(store, 'web', state)
    fails(store.do('stop', 'web'), 'web is not running')


@case('restart brings it back, and it starts what does not run')
def _(root):
    store = Store(root)
    store.make('web', IDLE)
    well(store.do('restart', 'web'))
    await_log(store, 'web', 'up')
    first = store.state('web')
    well(store.do('restart', 'web'))
    second = store.state('web')
    assert second['init'] != first['init'] and not alive(first['init']['pid']) and alive(second['init']['pid'])


@case('restart starts it as it was started: options, command, its end, and --rm; what was stopped starts plainly')
def _(root):
    store = Store(root)
    out = f'{store.path}/hooks'
    store.make('web', IDLE, f'hook = post-stop=sh -c "echo end >> {out}"')
    os.makedirs(f'{store.path}/shown')
    os.chown(f'{store.path}/shown', FIRST, FIRST)
    script = 'trap "exit 0" TERM; hostname; ls -d /mnt/it; echo "$0" $A; echo up; while :; do sleep 1000 & wait; done'
    open(f'{store.path}/shown/it', 'w').close()
    words = ['--hostname=two', '--bind=shown:/mnt', '--env=A=x y', '--log-size=64K', '--restart=on-failure:3', '--rm']
    well(store.do('start', 'web', *words, command=['sh', '-c', script, 'a b\n'], before=lambda: os.chdir(store.path)))
    for turn in (1, 2, 3):
        wait_for(lambda: store.log('web').count(b'up\r\n') == turn, f'turn {turn}')
        assert store.log('web').count(b'two\r\n/mnt/it\r\na b\r\n x y\r\nup\r\n') == turn, store.log('web')
        if turn < 3:
            well(store.do('restart', 'web'))
    with open(out) as file:
        assert file.read() == 'end\nend\n'
    # Its own failure, too; and the end destroys it still.
    well(store.do('kill', 'web'))
    wait_for(lambda: store.log('web').count(b'up\r\n') == 4, 'its own restart')
    assert store.log('web').count(b'two\r\n/mnt/it\r\na b\r\n x y\r\nup\r\n') == 4, store.log('web')
    well(store.do('stop', 'web'))
    wait_for(lambda: not os.path.exists(f'{store.path}/web'), 'it to be destroyed')
    with open(out) as file:
        assert file.read() == 'end\n' * 4
    store.make('plain', IDLE)
    well(store.do('start', 'plain', '--hostname=two'))
    well(store.do('stop', 'plain'))
    assert 'started' not in store.files('plain')
    well(store.do('restart', 'plain'))
    assert well(store.do('exec', 'plain', command=['hostname'])).out == 'plain\n'


@case('it is asked to stop by the signal that its config names')
def _(root):
    store = Store(root)
    store.make('web', 'stop-signal = QUIT')
    script = 'trap "exit 3" QUIT; trap "exit 4" TERM; echo up; while :; do sleep 1000 & wait; done'
    well(store.do('start', 'web', command=['sh', '-c', script]))
    await_log(store, 'web', 'up')
    well(store.do('stop', 'web'))
    assert store.last('web')['exit_status'] == 3, store.last('web')
    well(store.do('start', 'web', '--stop-signal=SIGTERM', command=['sh', '-c', script]))
    wait_for(lambda: store.log('web').count(b'up') == 2, 'it to run')
    well(store.do('stop', 'web'))
    assert store.last('web')['exit_status'] == 4, store.last('web')
    fails(store.do('start', 'web', '--stop-signal=NOPE'), 'NOPE')


@case('on failure it is started again as often as was said, and then has ended')
def _(root):
    store = Store(root)
    store.make('web', 'restart = on-failure:2')
    well(store.do('start', 'web', command=['sh', '-c', 'echo turn; sleep 0.2; exit 9']))
    done = well(store.do('wait', 'web', timeout=60), 9)
    assert done.out == '9\n' and store.log('web').count(b'turn') == 3, store.log('web')
    well(store.do('start', 'web', command=['sh', '-c', 'echo fine']))
    wait_for(lambda: store.state('web') is None, 'its end')
    time.sleep(0.3)
    assert store.log('web').count(b'fine') == 1
    well(store.do('start', 'web', '--restart=always', command=['sh', '-c', 'echo again']))
    wait_for(lambda: store.log('web').count(b'again') >= 2, 'a second turn')
    well(store.do('stop', 'web'))
    assert store.state('web') is None


@case('hooks run at their moments, with the name and the status')
def _(root):
    store = Store(root)
    out = f'{store.path}/hooks'
    for event in ('pre-start', 'start', 'post-stop'):
        with open(f'{store.path}/{event}.sh', 'w') as file:
            file.write(f'#!/bin/sh\necho {event} $USERNS_NAME $USERNS_STATUS $((USERNS_PID > 0)) >> {out}\n')
        os.chmod(f'{store.path}/{event}.sh', 0o755)
    store.make('web', *(f'hook = {event}={store.path}/{event}.sh' for event in ('pre-start', 'start', 'post-stop')))
    well(store.do('start', 'web', command=['sh', '-c', 'sleep 0.1; exit 4']))
    wait_for(lambda: store.state('web') is None, 'its end')
    with open(out) as file:
        assert file.read() == 'pre-start web 0 0\nstart web 0 1\npost-stop web 4 1\n'


@case('what a stopped scope sends to all of its processes (SIGURG) stops a container in order, once')
def _(root):
    store = Store(root)
    out = f'{store.path}/ends'
    with open(f'{store.path}/end.sh', 'w') as file:
        file.write(f'#!/bin/sh\necho $USERNS_STATUS >> {out}\n')
    os.chmod(f'{store.path}/end.sh', 0o755)
    store.make('web', f'hook = post-stop={store.path}/end.sh')
    script = 't=; trap "echo got; t=1" TERM; echo up; while [ -z "$t" ]; do sleep 1000 & wait; done; sleep 1; echo bye; exit 7'
    well(store.do('start', 'web', command=['sh', '-c', script]))
    await_log(store, 'web', 'up')
    state = store.state('web')
    for process in ('init', 'monitor'):
        os.kill(state[process]['pid'], signal.SIGURG)
    wait_for(lambda: store.state('web') is None, 'its end')
    with open(out) as file:
        assert file.read() == '7\n' and store.last('web')['exit_status'] == 7, store.last('web')
    log = store.log('web')
    assert (log.count(b'got'), log.count(b'bye')) == (1, 1), log


@case('kill sends the signal that is named, to the first process')
def _(root):
    store = Store(root)
    store.make('web')
    script = 'for s in HUP USR1 USR2; do trap "echo got $s" $s; done; echo up; while :; do sleep 1000 & wait; done'
    well(store.do('start', 'web', command=['sh', '-c', script]))
    await_log(store, 'web', 'up')
    for name in ('HUP', 'SIGUSR1', '12'):
        well(store.do('kill', 'web', '-s', name))
        await_log(store, 'web', {'SIGUSR1': 'got USR1', 'HUP': 'got HUP'}.get(name, 'got USR2'))
    fails(store.do('kill', 'web', '--signal=NOPE'), 'NOPE')
    well(store.do('kill', 'web'))
    wait_for(lambda: store.state('web') is None, 'its end')


@case('frozen it does nothing, thawed it goes on, and a stop works either way')
def _(root):
    store = Store(root)
    store.make('web')
    well(store.do('start', 'web', command=['sh', '-c', '(while :; do echo b; sleep 0.02; done) & while :; do echo a; sleep 0.02; done']))
    await_log(store, 'web', 'b')
    done = well(store.do('freeze', 'web'))
    assert re.fullmatch(r'web: frozen by (its cgroup|SIGSTOP to \d+ processes)\n', done.out), done
    assert json.loads(store.do('list', '--json').out)[0]['state'] == 'frozen'
    def is_still():  # what it has written before may reach the log later
        before = len(store.log('web'))
        time.sleep(0.2)
        return len(store.log('web')) == before
    wait_for(is_still, 'it to stand still')
    before = len(store.log('web'))
    well(store.do('thaw', 'web'))
    assert json.loads(store.do('list', '--json').out)[0]['state'] == 'running'
    wait_for(lambda: len(store.log('web')) > before + 20, 'it to go on')
    well(store.do('freeze', 'web'))
    well(store.do('stop', 'web', '--timeout=1s'))
    assert store.state('web') is None


# --- looking at it ------------------------------------------------------------------------------

@case('ps shows the processes with their numbers on both sides')
def _(root):
    store = Store(root)
    store.make('web', IDLE)
    well(store.do('start', 'web'))
    await_log(store, 'web', 'up')
    child = store.begin('exec', 'web', '--user=u', command=['sleep', '77'])
    state = store.state('web')

    def look():
        rows = json.loads(well(store.do('ps', 'web', '--json')).out)
        return rows if any(r['command'] == 'sleep 77' for r in rows) else None
    rows = wait_for(look, 'the process of exec in ps')
    by = {r['command']: r for r in rows}
    assert by['sleep 77']['uid'] == 101000 and by['sleep 77']['uid_inside'] == 1000, rows
    init = next(r for r in rows if r['pid_inside'] == 1)
    assert init['pid'] == state['init']['pid'] and init['uid'] == 100000 and init['uid_inside'] == 0
    assert init['user_namespace'] == os.stat(f'/proc/{init["pid"]}/ns/user').st_ino
    assert all(r['pid'] != state['monitor']['pid'] for r in rows)
    table = well(store.do('ps')).out
    assert 'sleep 77' in table and str(init['pid']) in table and table.startswith('CONTAINER'), table
    child.kill()
    fails(store.do('ps', '--namespaces'), 'root')
    spaces = json.loads(well(root.run([root.program('userns-run'), 'ps', '--namespaces', '--json'])).out)
    ours = [s for s in spaces if s['id'] == init['user_namespace']]
    assert len(ours) == 1 and ours[0]['owner'] == root.alice.uid and ours[0]['user'] == 'alice', ours


@case('which limits a run met is said by wait, and by info and list afterwards')
def _(root):
    store = Store(root)
    store.make('web', 'command = sh -c "exit 7"')
    assert 'Last end' not in well(store.do('info', 'web')).out
    well(store.do('start', 'web'))
    done = well(store.do('wait', 'web'), 7)
    assert (done.out, done.err) == ('7\n', ''), done
    assert re.search('^Last end: +status 7, .* ago$', well(store.do('info', 'web')).out, re.M)
    path = f'{store.path}/web/last.json'
    with open(path) as file:
        last = json.load(file)
    assert json.loads(well(store.do('list', '--json')).out)[0]['last_end'] == {**last, 'text': None}
    with open(path, 'w') as file:
        json.dump({**last, 'text': 'the memory limit\x1b[2J (--memory 64M) was reached'}, file)
    done = well(store.do('wait', 'web'), 7)
    assert done.out == '7\n' and done.err.startswith('userns-run: web: the memory limit'), done
    assert '\x1b' not in store.do('info', 'web').out
    assert json.loads(store.do('info', 'web', '--json').out)['last_end']['text'].endswith('(--memory 64M) was reached')
    with open(f'{store.path}/web/state.json', 'w') as file:
        file.write('{}')  # as a monitor leaves it that was killed: what was before is not how that run ended
    assert json.loads(store.do('info', 'web', '--json').out)['last_end'] is None


@case('ps of all leaves out one that ends while it looks; one that is named must run')
def _(root):
    store = Store(root)
    for name in ('a', 'b'):
        store.make(name, IDLE, 'group = juju')
    well(store.do('start', 'a', 'b'))
    for name in ('a', 'b'):
        await_log(store, name, 'up')
    # Stopped when it has found both and reaches for the first.
    strace = shutil.which('strace') or skip('strace is not installed')
    log = f'{root.tmp}/strace'
    with open(log, 'w') as file:
        os.fchown(file.fileno(), root.alice.uid, root.alice.gid)
    child = spawn([strace, '-o', log, '-e', 'trace=connect', '-e', 'inject=connect:signal=SIGSTOP:when=1',
                   *store.words('ps', '--json')], root.alice)

    def is_stopped():
        with open(log) as file:
            return 'stopped by SIGSTOP' in file.read()
    wait_for(is_stopped, 'ps to be at its first container')
    with open(f'/proc/{child.pid}/task/{child.pid}/children') as file:
        pid = next(int(word) for word in file.read().split() if os.readlink(f'/proc/{word}/exe').endswith('userns-run'))
    well(store.do('stop', 'a'))
    os.kill(pid, signal.SIGCONT)
    done = well(child.wait())
    assert {row['container'] for row in json.loads(done.out)} == {'b'} and done.err == '', done
    assert {row['container'] for row in json.loads(well(store.do('ps', '--group=juju', '--json')).out)} == {'b'}
    fails(store.do('ps', 'b', 'a'), 'a is not running')


@case('another user can neither see nor reach it; verbs on one container take turns, those on others do not wait')
def _(root):
    store = Store(root)
    store.make('web', IDLE)
    store.make('other', IDLE)
    well(store.do('start', 'web'))
    for verb in ('stop', 'console', 'logs', 'kill', 'freeze'):
        done = store.do(verb, 'web', user=root.bob)
        assert done.code == 125, done
    assert store.state('web')
    starts = [store.begin('start', 'other') for _ in range(6)]
    codes = sorted(child.wait().code for child in starts)
    assert codes == [0] + [125] * 5, codes
    well(store.do('stop', 'other'))
    with open(f'{store.path}/web/lock', 'w') as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        stop = store.begin('stop', 'web')
        well(store.do('start', 'other'))
        well(store.do('stop', 'other'))
        assert alive(stop.pid) and store.state('web')
    well(stop.wait())


main()
