"""userns-run exec: a command in a container that runs, and what a hostile one gets of it."""

import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(__file__))
from container import fails, well  # noqa: E402
from named import IDLE, Store, alive, await_log  # noqa: E402
from harness import case, main, spawn, wait_for  # noqa: E402



def started(root, *settings, name='web', **how):
    store = Store(root)
    store.make(name, IDLE, *settings, **how)
    well(store.do('start', name))
    await_log(store, name, 'up')
    return store


@case('a command runs in all namespaces of the container, as its root, with its exit status')
def _(root):
    store = started(root)
    pid = store.state('web')['init']['pid']
    inner = {kind: os.readlink(f'/proc/{pid}/ns/{kind}') for kind in ('user', 'pid', 'mnt', 'net', 'ipc', 'uts', 'cgroup')}
    done = well(store.do('exec', 'web', command=['sh', '-c', 'for n in user pid mnt net ipc uts cgroup; do readlink /proc/self/ns/$n; done; '
                                                 'id -u; id -g; pwd; hostname; exit 7']), 7)
    lines = done.out.split()
    assert lines == [*inner.values(), '0', '0', '/', 'web'], (lines, inner)
    well(store.do('exec', 'web', command=['sh', '-c', 'kill -9 $$']), 137)
    fails(store.do('exec', 'web', command=['nothing-there']), 'nothing-there', code=127)
    fails(store.do('exec', 'web', command=['/etc/passwd']), '/etc/passwd', code=126)
    well(store.do('stop', 'web'))
    fails(store.do('exec', 'web', command=['true']), 'web is not running', 'userns-run start web')


@case('user, group, working directory and environment are those asked for, by the files of the container')
def _(root):
    store = started(root, 'env = FROM_CONFIG=1')
    script = 'id -u; id -g; pwd; echo $HOME $USER $A $FROM_CONFIG $SECRET; env | wc -l'
    done = well(store.do('exec', 'web', '--user=u', '--cwd=/home', '--env=A=b c', command=['sh', '-c', script],
                         env={'PATH': '/usr/bin:/bin', 'SECRET': 'x'}))
    assert done.out.splitlines()[:4] == ['1000', '1000', '/home', '/home/u u b c 1'], done
    done = well(store.do('exec', 'web', '--user=7', '--group-id=8', command=['id']))
    assert 'uid=7' in done.out and 'gid=8' in done.out, done
    fails(store.do('exec', 'web', '--user=nobody-there', command=['id']), 'nobody-there')
    fails(store.do('exec', 'web', '--user=99999', command=['id']), '99999')
    fails(store.do('exec', 'web', '--cwd=/nowhere', command=['id']), '/nowhere')


main()
