#!/usr/bin/env python3
"""packaging/demo: every attack is refused, and it is fit to be shown."""

import os
import pty
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import build_dir, case, main, skip, with_own_pids  # noqa: E402

with_own_pids()  # ids are chosen that no process in sight has
DEMO = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'packaging', 'demo')


def possible():
    if os.geteuid() != 0:
        skip('needs root: run it with sudo')
    if not os.path.exists('/bin/busybox'):
        skip('busybox-static is not installed')


@case('every attack is refused, each with its reason, in lines that fit')
def _(_root):
    possible()
    done = subprocess.run([DEMO, build_dir()], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=200)
    assert done.returncode == 0, done.stdout
    assert 'FELL' not in done.stdout and done.stdout.count('   held  ') >= 28, done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100 and '\x1b' not in done.stdout, done.stdout
    for name in ('alice/web', 'alice/mail', 'bob/web', 'bob/games'):
        assert f' {name} ' in done.stdout, done.stdout
    outside = re.findall(r'process 1 .* uid 0 .* uid (\d+)\n', done.stdout)
    assert len(set(outside)) == 4 and '0' not in outside, done.stdout


@case('colours where somebody looks')
def _(_root):
    possible()
    master, terminal = pty.openpty()
    demo = subprocess.Popen([DEMO, build_dir()], stdin=subprocess.DEVNULL, stdout=terminal, stderr=terminal)
    os.close(terminal)
    said = b''
    try:
        while piece := os.read(master, 1 << 16):
            said += piece
    except OSError:
        pass
    os.close(master)
    assert demo.wait(100) == 0 and b'\x1b[32m' in said and b'\x1b[0m' in said, said.decode()


main(need_root=False)
