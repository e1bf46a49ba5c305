"""A monitor that is stopped or hangs: every verb answers, and the container can be ended without it."""

import ctypes
import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
from container import fails, well  # noqa: E402
from named import IDLE, Store, alive, await_log  # noqa: E402
from harness import case, cases, main, status_of, wait_for  # noqa: E402


def stopped(store, name='web', *settings):
    """A container whose monitor is stopped: its state."""
    store.make(name, IDLE, *settings)
    well(store.do('start', name))
    await_log(store, name, 'up')
    state = store.state(name)
    stop(state)
    return state


def stop(state):
    pid = state['monitor']['pid']
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: status_of(pid)['State'].startswith('T'), 'the monitor to be stopped')


class Hung:
    """A monitor that nobody can wake: this program traces it, and does not let it go on."""

    SEIZE, INTERRUPT = 0x4206, 0x4207  # ptrace(2)

    def __init__(self, state):
        self.pid = state['monitor']['pid']

    def __enter__(self):
        libc = ctypes.CDLL(None, use_errno=True)
        for request in (self.SEIZE, self.INTERRUPT):
            assert libc.ptrace(request, self.pid, None, None) == 0, os.strerror(ctypes.get_errno())
        wait_for(lambda: status_of(self.pid)['State'].startswith('t'), 'the monitor to be held')

    def __exit__(self, *_):
        os.waitpid(self.pid, 0x40000000)  # __WALL: its end, which only its tracer sees


def nothing_runs(store, state, name='web'):
    wait_for(lambda: not alive(state['init']['pid']) and not alive(state['monitor']['pid']), 'all to end')
    wait_for(lambda: store.state(name) is None, 'its state to go')


@case('what only looks works without the monitor: list, info, ps, logs, config')
def _(root):
    store = Store(root)
    state = stopped(store)
    assert 'running' in well(store.do('list')).out
    assert str(state['init']['pid']) in well(store.do('info', 'web')).out
    assert str(state['init']['pid']) in well(store.do('ps', 'web')).out
    assert 'up' in well(store.do('logs', 'web')).out
    well(store.do('config', 'web', 'group=juju'))
    fails(store.do('start', 'web'), 'web runs since')
    os.kill(state['monitor']['pid'], signal.SIGCONT)
    well(store.do('stop', 'web'))


@case('what needs it says that it is stopped, and what to do; hundreds that wait for it change nothing')
def _(root):
    store = Store(root)
    state = stopped(store)
    pid = state['monitor']['pid']
    for verb in (['console', 'web'], ['wait', 'web']):
        fails(store.do(*verb, stdin=os.open('/dev/null', os.O_RDONLY)), 'web is stopped', f'kill -CONT {pid}', 'stop web')
    waiting = [store.begin('wait', 'web') for _ in range(80)]
    for child in waiting:
        fails(child.wait(60), 'web')
    well(store.do('exec', 'web', command=['true']))  # without a cgroup nobody is asked
    os.kill(pid, signal.SIGCONT)
    well(store.do('kill', 'web', '-s', 'TERM'))
    nothing_runs(store, state)


@cases([('stop', ['stop', 'web']), ('restart', ['restart', 'web']), ('kill', ['kill', 'web']),
        ('destroy --force', ['destroy', 'web', '--force'])])
def _(root, words):
    store = Store(root)
    state = stopped(store)
    done = well(store.do(*words))
    assert done.err == '', done
    wait_for(lambda: not alive(state['init']['pid']) and not alive(state['monitor']['pid']), 'all to end')
    if words[0] == 'stop':
        assert store.last('web')['exit_status'] == 0, 'it was asked, not killed'
    if words[0] == 'restart':
        assert alive(store.state('web')['init']['pid'])
        well(store.do('stop', 'web'))
    assert os.path.exists(f'{store.path}/web') == (words[0] != 'destroy')


@cases([('stop', ['stop', 'web', '--timeout=100ms']), ('destroy --force', ['destroy', 'web', '--force'])])
def _(root, words):
    store = Store(root)
    store.make('web', IDLE)
    well(store.do('start', 'web'))
    await_log(store, 'web', 'up')
    state = store.state('web')
    bystander = store.begin('wait', 'web')
    with Hung(state):
        done = well(store.do(*words, timeout=120))
    assert 'was killed' in done.err and str(state['monitor']['pid']) in done.err, done
    assert bystander.wait(60).code == 125
    assert not alive(state['init']['pid']) and not alive(state['monitor']['pid'])
    if words[0] == 'destroy':
        assert not os.path.exists(f'{store.path}/web')
        return
    nothing_runs(store, state)
    assert store.last('web')['exit_status'] == 137 and 'did not answer' in store.last('web')['text'], store.last('web')
    well(store.do('start', 'web'))
    well(store.do('stop', 'web'))


@case('a pid that is somebody else by now is let alone')
def _(root):
    store = Store(root)
    state = stopped(store)
    bystander = store.begin('wait', 'web')
    path = f'{store.path}/web/state.json'
    with open(path) as file:
        text = file.read()
    # As if the number had come again: another time of start.
    with open(path, 'w') as file:
        file.write(text.replace(f'"start":{state["monitor"]["start"]}', f'"start":{state["monitor"]["start"] + 1}'))
    done = store.do('stop', 'web', '--timeout=0', timeout=120)
    assert done.code == 125 and len(done.err.splitlines()) == 1, done
    assert alive(state['monitor']['pid']) and alive(state['init']['pid'])
    with open(path, 'w') as file:
        file.write(text)
    well(store.do('stop', 'web'))
    bystander.wait()
    nothing_runs(store, state)


@case('a post-stop hook takes the time that it takes')
def _(root):
    store = Store(root)
    store.make('web', IDLE, 'hook = post-stop=sleep 13')
    well(store.do('start', 'web'))
    await_log(store, 'web', 'up')
    began = time.monotonic()
    done = well(store.do('stop', 'web', '--timeout=0', timeout=120))
    assert done.err == '' and time.monotonic() - began >= 13 and store.last('web').get('text', '') == '', done


main()
