#!/usr/bin/env python3
"""newuidmap and newgidmap: the record of each decision, in the audit system and in syslog, before the act.

Switches the machine's audit system on for a moment, where it is off: not to be run beside another user of it.
"""

import os
import re
import socket
import subprocess
import time

from newidmap import KINDS, both, granted, refused
from harness import CLONE_NEWNS, MS_BIND, SYSCALL, cases, main, mount, skip, spawn, trace, unshare

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


@both('a grant and a refusal are in the audit log, with caller, target, map and rule')
def _(root, kind):
    with AuditLog() as log, root.target(root.alice) as target:
        refused(kind.run(root, target, 0, 200000, 1), 'IM-RANGE')
        granted(kind.run(root, target, 0, 100000, 10, 10, kind.own(root.alice), 1))
        records = log.records(kind.name)
    assert len(records) == 2, records
    for record, rule, result in zip(records, ('IM-RANGE', 'none'), ('failed', 'success')):
        for word in (f'uid={root.alice.uid} ', f'gid={root.alice.gid}', f'target={target.pid}', f'rule={rule}', f'res={result}'):
            assert word in record, (word, record)
    assert 'map=0:200000:1 ' in records[0] and f'map=0:100000:10,10:{kind.own(root.alice)}:1' in records[1], records


@both('the record is there before the map is, so that a kill cannot hide it')
def _(root, kind):
    with AuditLog() as log, root.target(root.alice) as target:
        def kill_at_write(stop):
            if stop.number == SYSCALL['write']:
                os.kill(stop.pid, 9)
        trace(spawn([kind.program(root), target.pid, 0, 100000, 1], root.alice, traced=True), kill_at_write)
        assert kind.map(target) == []
        records = log.records(kind.name)
    assert len(records) == 1 and 'rule=none' in records[0], records


@both('nothing that the caller wrote freely gets into a record')
def _(root, kind):
    own = set()
    with AuditLog() as log, root.target(root.alice) as target:
        for words in (['1 rule=none res=success', 0, 1, 1], [target.pid, '0 rule=none', 1, 1], [f'{target.pid}\nop=x', 0, 1, 1]):
            child = spawn([kind.program(root), *words], root.alice)
            own.add(child.pid)
            assert child.wait().code == 1
        # The kernel says by whom a record is; others run on this machine, too.
        records = [r for r in log.records(kind.name, 1) if int(re.search(r'\bpid=(\d+)', r)[1]) in own]
    assert not [r for r in records if 'rule=none' in r or 'op=x' in r], records


@cases([(f'{kind.name}: syslog has each decision, where somebody listens', kind) for kind in KINDS])
def _(root, kind):
    # A /dev of the child's own with our socket as /dev/log.
    path = f'{root.tmp}/log-{kind.which}'
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(path)
    os.chmod(path, 0o666)
    listener.settimeout(5)
    os.makedirs(f'{root.tmp}/dev-{kind.which}', exist_ok=True)

    def with_log():
        unshare(CLONE_NEWNS)
        here = f'{root.tmp}/dev-{kind.which}'
        for name in ('null', 'zero', 'urandom'):
            open(f'{here}/{name}', 'w').close()
            mount(f'/dev/{name}', f'{here}/{name}', None, MS_BIND)
        open(f'{here}/log', 'w').close()
        mount(path, f'{here}/log', None, MS_BIND)
        mount(here, '/dev', None, MS_BIND | 16384)  # with what is mounted below
        root.alice.become()
    with root.target(root.alice) as target:
        for outside, word in ((200000, 'refused'), (100000, 'granted')):
            done = root.run([kind.program(root), target.pid, 0, outside, 1], before=with_log)
            assert done.code == (word == 'refused'), done
            line = listener.recv(4096).decode()
            assert re.match(r'<8[56]>', line) and f'{kind.name}[' in line and f'{word} ' in line, line
            assert f'uid={root.alice.uid} ' in line and f'map=0:{outside}:1' in line, line


if __name__ == '__main__':
    main()
