"""The records of the machine's audit system, which is switched on for that long: not beside another user of it."""

import re
import socket
import subprocess
import time

from harness import skip

NETLINK_AUDIT, READLOG = 9, 1


class AuditLog:
    """The records that the kernel's audit system gives out while it is open."""

    def __enter__(self):
        said = subprocess.run(['auditctl', '-s'], capture_output=True, text=True)
        if said.returncode != 0:
            skip('no audit system, or no auditctl: ' + said.stderr.strip())
        self.before = re.search(r'^enabled (\d)', said.stdout, re.M)[1]
        if self.before == '0' and subprocess.run(['auditctl', '-e', '1'], capture_output=True).returncode != 0:
            skip('the audit system can not be switched on here')
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_AUDIT)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind((0, READLOG))
        self.socket.settimeout(0.2)
        return self

    def records(self, program, seconds=3):
        """Those of this program that came in, after waiting for the first."""
        found, end = [], time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                text = self.socket.recv(65536)[16:].decode(errors='replace')
            except socket.timeout:
                if found:
                    break
                continue
            if f'op={program} ' in text:
                found.append(text.rstrip('\0'))
        return found

    def __exit__(self, *_):
        self.socket.close()
        if self.before == '0':
            subprocess.run(['auditctl', '-e', '0'], capture_output=True, check=True)
