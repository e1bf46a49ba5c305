#!/usr/bin/env python3
"""In the booted guest: programs one after another, as one: several.py NAME[:PATTERN][,...] [-k PATTERN]."""

import os
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))


def run(name, words, before):
    """Prints what the program says, its cases numbered on from `before`; returns (cases, exit status)."""
    begun, cases, planned = time.monotonic(), before, 0
    program = subprocess.Popen([sys.executable, f'{HERE}/{name}.py', '.', *words], stdout=subprocess.PIPE, text=True)
    for line in program.stdout:
        if plan := re.match(r'1\.\.(\d+)$', line):
            planned = int(plan[1])
            continue
        if got := re.match(r'((?:not )?ok) \d+(.*)', line):
            cases += 1
            line = f'{got[1]} {cases}{got[2]}\n'
        print(line, end='', flush=True)
    print(f'# note: {name}: {time.monotonic() - begun:.0f} s', flush=True)
    status = program.wait()
    if cases - before != planned:
        print(f'# {name} planned {planned} cases and ran {cases - before}', flush=True)
    return cases, status or cases - before != planned


def main():
    # The test starts users' processes itself: from the top of the hierarchy, which is nobody's unit (CG-FROM). systemd
    # clears the top now and then, so each start goes there again (harness.py).
    os.environ['START_AT_THE_TOP'] = '1'
    cases, failed = 0, 0
    for name in sys.argv[1].split(','):
        name, _, pattern = name.partition(':')
        cases, status = run(name, ['-k', pattern] if pattern else sys.argv[2:], cases)
        failed = failed or status
    print(f'1..{cases}')
    return failed


sys.exit(main())
