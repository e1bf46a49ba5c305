"""userns-run start, stop and the rest of a named container's life."""

import os
import signal
import sys

sys.path.insert(0, os.path.dirname(__file__))
from container import fails, well  # noqa: E402
from named import Store, alive, await_log  # noqa: E402
from harness import case, main, wait_for  # noqa: E402


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
    with open(f'/proc/{state["init"]["pid"]}/fd/0', 'wb') as file:
        pass
    well(store.do('kill', 'web', '--signal', 'KILL'))
    done = waiter.wait()
    assert (done.code, done.out) == (137, '137\n'), done
    assert store.last('web')['exit_status'] == 137
    wait_for(lambda: not alive(state['monitor']['pid']), 'the monitor to end')
    assert store.files('web') == {'config', 'lock', 'running', 'console.log', 'last.json'}, store.files('web')


main()
