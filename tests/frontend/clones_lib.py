"""What the tests of copies and snapshots share: a container of alice's that was made by create, and looking into it."""

import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
sys.path.insert(0, os.path.dirname(__file__))
from container import well  # noqa: E402
from harness import trace  # noqa: E402
from named import Store  # noqa: E402

IDLE = ('--', 'sh', '-c', 'trap "exit 0" TERM; echo up; sleep 1000 & wait')


RENAMEAT2 = 316


def killed_after_renaming(store, name, verb, *args):
    """The verb is killed before the next system call once it has renamed what is called `name` or begins with it."""
    seen = []

    def watch(stop):
        if seen:
            os.kill(stop.pid, signal.SIGKILL)
        elif stop.number == RENAMEAT2 and stop.memory(stop.args[1], len(name)) == name:
            seen.append(stop.number)
    done = trace(store.begin(verb, *args, traced=True), watch)
    assert seen and done.code == -signal.SIGKILL, (seen, done)


def made(root, *settings, name='web'):
    with open('/etc/subuid', 'w') as uids, open('/etc/subgid', 'w') as gids:
        for file in (uids, gids):
            file.write(f'alice:100000:{8 * 65536}\n')
    store = Store(root)
    well(store.do('create', name, '--template=busybox', *settings, *IDLE, timeout=60))
    return store


def first_of(store, name):
    return os.stat(f'{store.path}/{name}/rootfs').st_uid


def put(store, name, path, text):
    where = f'{store.path}/{name}/rootfs/{path}'
    first = first_of(store, name)
    os.makedirs(os.path.dirname(where), exist_ok=True)
    os.chown(os.path.dirname(where), first, first)
    with open(where, 'w') as file:
        file.write(text)
    os.chown(where, first, first)
    os.chmod(where, 0o600)


def inside(store, name, command):
    """What a start of it says to that."""
    well(store.do('start', name))
    out = well(store.do('exec', name, command=['sh', '-c', command])).out
    well(store.do('stop', name))
    return out


def gone(store, *names):
    for name in names:
        well(store.do('destroy', name, '--force', timeout=60))
