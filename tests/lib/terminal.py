"""A program on a terminal of its own, as a person types at it and reads it.

    with Terminal(store.words('shell', 'web'), root.alice) as terminal:
        terminal.type('echo a$((1+1))\\n')
        terminal.expect('a2')
        terminal.type('exit\\n')
        assert terminal.end() == 0
"""

import fcntl
import os
import pty
import re
import select
import struct
import termios
import time

from harness import spawn


class Terminal:
    def __init__(self, words, user, size=(24, 80), **how):
        self._master, follower = pty.openpty()
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack('HHHH', *size, 0, 0))
        self.text = ''
        os.chown(os.ttyname(follower), user.uid, 5)
        self.child = spawn(words, user, stdin=follower, fds={1: follower, 2: follower},
                           before=lambda: (os.setsid(), fcntl.ioctl(0, termios.TIOCSCTTY, 0)), **how)
        os.close(follower)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child.code is None:
            self.child.kill()
            self.child.wait()
        os.close(self._master)

    def _read(self, seconds):
        if not select.select([self._master], [], [], seconds)[0]:
            return True
        try:
            piece = os.read(self._master, 1 << 16)
        except OSError:  # the last one that had the terminal has closed it
            return False
        self.text += piece.decode(errors='replace')
        return bool(piece)

    def type(self, text):
        os.write(self._master, text.encode())

    def expect(self, pattern, seconds=30):
        """Waits for the pattern, returns the match and forgets all up to its end."""
        end = time.monotonic() + seconds
        while True:
            found = re.search(pattern, self.text)
            if found:
                self.text = self.text[found.end():]
                return found
            if time.monotonic() > end or not self._read(0.1):
                raise AssertionError(f'{pattern!r} did not come; the terminal says: {self.text[-3000:]}')

    def end(self, seconds=30):
        """The exit status; all that it still says is in `text`."""
        end = time.monotonic() + seconds
        while self._read(0.1) and time.monotonic() < end:
            continue
        return self.child.wait(seconds).code
