"""What the tests of named containers share: a store of alice's, and containers in it made by hand."""

import contextlib
import json
import os
import shutil
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
from container import FIRST, rootfs  # noqa: E402
from harness import spawn, status_of, wait_for  # noqa: E402,F401


# A command that waits for ever and ends when asked to.
IDLE = 'command = sh -c "trap \'exit 0\' TERM; echo up; while :; do sleep 1000 & wait; done"'


class Store:
    def __init__(self, root, user=None, name='store', first=FIRST):
        self.root, self.user, self.first = root, user or root.alice, first
        self.path = f'{self.user_home()}/{name}'
        shutil.rmtree(self.path, ignore_errors=True)
        # Which ids the containers of the case before had: these are other ones, with the same names.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f'{self.user_home()}/.local/share/userns/.index')
        os.makedirs(self.path, 0o700)
        os.chown(self.path, self.user.uid, self.user.gid)

    def user_home(self):
        return f'{self.root.tmp}/home/{self.user.name}'

    def make(self, name, *settings, tree=None):
        """A container with these lines in its config, on a busybox of its own or on `tree`."""
        directory = f'{self.path}/{name}'
        os.makedirs(directory, 0o700)
        where = tree or rootfs(self.root, f'trees/{name}', self.first)
        lines = list(settings)
        if not any(s.startswith('rootfs') for s in settings):
            lines.append(f'rootfs = {where}')
        with open(f'{directory}/config', 'w') as file:
            file.write(''.join(f'{line}\n' for line in lines))
        for path in (directory, f'{directory}/config'):
            os.chown(path, self.user.uid, self.user.gid)
        return directory

    def words(self, verb, *args, command=None):
        return [self.root.program('userns-run'), verb, f'--path={self.path}', *args,
                *([] if command is None else ['--', *command])]

    def do(self, verb, *args, command=None, user=None, timeout=30, **how):
        return self.root.run(self.words(verb, *args, command=command), user or self.user, timeout=timeout, **how)

    def begin(self, verb, *args, command=None, user=None, **how):
        return spawn(self.words(verb, *args, command=command), user or self.user, **how)

    def state(self, name):
        """What state.json says; None where there is none."""
        try:
            with open(f'{self.path}/{name}/state.json') as file:
                return json.load(file)
        except FileNotFoundError:
            return None

    def log(self, name):
        try:
            with open(f'{self.path}/{name}/console.log', 'rb') as file:
                return file.read()
        except FileNotFoundError:
            return b''

    def last(self, name):
        with open(f'{self.path}/{name}/last.json') as file:
            return json.load(file)

    def files(self, name):
        return set(os.listdir(f'{self.path}/{name}'))


def alive(pid):
    try:
        with open(f'/proc/{pid}/stat') as file:
            return file.read().rpartition(')')[2].split()[0] != 'Z'
    except (FileNotFoundError, ProcessLookupError):
        return False


def below(pid):
    """Whether a process is below this program, which is the reaper of all that it has started."""
    while pid > 1:
        if pid == os.getpid():
            return True
        pid = int(status_of(pid)['PPid'])
    return False


def await_log(store, name, piece, seconds=20):
    piece = piece.encode() if isinstance(piece, str) else piece
    return wait_for(lambda: piece in store.log(name) and store.log(name), f'{piece!r} in the log of {name}', seconds)


__all__ = ['IDLE', 'Store', 'alive', 'await_log', 'below', 'time']
