"""A booted system as a person at its console sees it.

    with System(root, '--rootfs', where) as system:     # userns-run --boot on a terminal
        system.login()
        code, text = system.shell('id -u')
    assert system.end(...)
"""

import json
import os
import pty
import re
import select
import time

from harness import spawn, wait_for


class System:
    """Runs until it is told otherwise, and is never killed because the machine is slow; `slow`: factor on all waiting
    (an emulated CPU)."""

    def __init__(self, program, user, *words, env=None, slow=1):
        self.slow, self.text, self._pending = slow, '', b''
        self._master, terminal = pty.openpty()
        self._info, info = os.pipe()
        if '--stop-timeout' not in words:
            words = ('--stop-timeout', '1000', *words)
        env = env or {'PATH': '/usr/local/bin:/usr/bin:/bin', 'TERM': 'vt100'}
        self.child = spawn([program, '--info-fd', '9', '--boot', *words], user, env=env,
                           fds={0: terminal, 1: terminal, 2: terminal, 9: info})
        os.close(terminal)
        os.close(info)

    def event(self, seconds=90):
        """The next line of --info-fd."""
        end = time.monotonic() + seconds * self.slow
        while b'\n' not in self._pending:
            self._pump(0.1)
            if select.select([self._info], [], [], 0)[0]:
                piece = os.read(self._info, 1 << 16)
                if not piece:
                    raise AssertionError('no more events; the console says: ' + self.text[-3000:])
                self._pending += piece
            if time.monotonic() > end:
                raise AssertionError('no event; the console says: ' + self.text[-3000:])
        line, self._pending = self._pending.split(b'\n', 1)
        return json.loads(line)

    def _pump(self, seconds):
        """False: the terminal is gone."""
        if not select.select([self._master], [], [], seconds)[0]:
            return True
        try:
            piece = os.read(self._master, 1 << 16)
        except OSError:
            return False
        self.text += piece.decode(errors='replace')
        return bool(piece)

    def expect(self, pattern, seconds=90):
        """Waits for the pattern on the console, returns the match and forgets all up to its end."""
        end = time.monotonic() + seconds * self.slow
        while True:
            found = re.search(pattern, self.text)
            if found:
                self.text = self.text[found.end():]
                return found
            if time.monotonic() > end or not self._pump(0.1):
                raise AssertionError(f'{pattern!r} did not come; the console says: {self.text[-3000:]}')

    def type(self, text):
        os.write(self._master, text.encode())

    def login(self, user='root', password='pw'):
        self.expect('login: $')
        self.type(user + '\n')
        self.expect('assword: ?$')
        self.type(password + '\n')
        self.expect(r'[#$] $')
        self.type("stty -echo; PS1= PS2=; bind 'set enable-bracketed-paste off' 2>/dev/null; export PAGER=cat; echo '='0=\n")
        self.expect(r'[\r\n]=0=[\r\n]+')

    def shell(self, command, seconds=90):
        """(exit status, output) of a command in the shell that is logged in."""
        self.type(f"{{ {command}\n}} 2>&1; c=$?; echo; echo '='$c=\n")
        found = self.expect(r'(?s)(.*?)[\r\n]=(\d+)=[\r\n]+', seconds)
        return int(found[2]), re.sub(r'\x1b\[[?0-9;]*[a-zA-Z]', '', found[1]).replace('\r', '').strip('\n ')

    def works(self, command, *pieces, seconds=90):
        code, text = self.shell(command, seconds)
        assert code == 0 and all(piece in text for piece in pieces), (command, code, text)
        return text

    def ends(self, seconds=100):
        """Its exit status; what it still says stays in `text`."""
        end = time.monotonic() + seconds * self.slow

        def ended():
            self._pump(0)
            return self.child._reap()
        wait_for(ended, f'the end of the system; its console says: {self.text[-1000:]}', end - time.monotonic())
        while self._pump(0) and select.select([self._master], [], [], 0)[0]:
            pass
        self.child.wait()
        return self.child.code

    def stop(self, number=15):
        """Its exit status after a stop that is asked for by a signal."""
        self.child.kill(number)
        return self.ends()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child.code is None:
            self.child.kill()
            self.child.wait()
        os.close(self._master)
        os.close(self._info)
