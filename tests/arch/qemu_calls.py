#!/usr/bin/env python3
"""usage: qemu_calls.py BUILD_DIR CPU QEMU COMPILER

What newuidmap's C library calls after the lock on another CPU, by qemu-user's -strace, against the filter that was built
for that CPU. qemu-user has no seccomp(2): a prctl(2) of our own, linked in, says yes in its place and marks the moment.
Run by packaging/cross, as root.
"""

import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import bpf  # noqa: E402

MARK = 'the lock'
SHIM = r'''
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>
int prctl(int what, ...) {
  va_list rest;
  va_start(rest, what);
  const unsigned long a = va_arg(rest, unsigned long), b = va_arg(rest, unsigned long);
  const unsigned long c = va_arg(rest, unsigned long), d = va_arg(rest, unsigned long);
  if (what != 22 /* PR_SET_SECCOMP */) return (int)syscall(SYS_prctl, what, a, b, c, d);
  static const char mark[] = "the lock\n";
  return write(2, mark, sizeof mark - 1) < 0;
}
/* Its name where time has 64 bits and a word 32 (armhf). */
int __prctl_time64(int what, ...) __attribute__((alias("prctl")));
'''
# The arguments of calls that are bound, as a run makes them.
ARGUMENTS = {'mmap': (0, 4096, 1), 'mmap2': (0, 4096, 1)}
SOCKET_CALLS = {'send': 9, 'recv': 10, 'sendto': 11, 'recvfrom': 12}


HELPER = 'helpers/newidmap/newuidmap'


def link_with_shim(build, compiler, work):
    """The helper linked once more as ninja links it, statically or not."""
    with open(f'{work}/shim.c', 'w') as file:
        file.write('#define _GNU_SOURCE\n' + SHIM)
    subprocess.run([compiler, '-fPIE', '-c', f'{work}/shim.c', '-o', f'{work}/shim.o'], check=True)
    commands = subprocess.check_output(['ninja', '-C', build, '-t', 'commands', HELPER], text=True).splitlines()
    link = commands[-1].replace(f' -o {HELPER} ', f' -o {work}/newuidmap {work}/shim.o ')
    assert link != commands[-1], commands[-1]
    subprocess.run(link, shell=True, check=True, cwd=build)
    return f'{work}/newuidmap'


def calls_after_the_lock(build, qemu, compiler):
    with tempfile.TemporaryDirectory() as work:
        helper = link_with_shim(build, compiler, work)
        with subprocess.Popen(['unshare', '--user', 'sh', '-c', 'echo ready; exec sleep 300'], stdout=subprocess.PIPE) as target:
            target.stdout.readline()
            done = subprocess.run([qemu, '-strace', helper, str(target.pid), '0', '0', '1'], capture_output=True, text=True, errors='replace')
            with open(f'/proc/{target.pid}/uid_map') as file:
                written = file.read().split()
            target.kill()
    assert done.returncode == 0 and written == ['0', '0', '1'], (written, done.stderr[-2000:])
    assert MARK in done.stderr, 'the helper did not lock itself'
    return set(re.findall(r'^\d+ ([a-z_0-9]+)\(', done.stderr.split(MARK, 1)[1], re.M))


def allowed(program, cpu, call):
    number = bpf.number_of(cpu, call)
    if number is not None:
        return bpf.answer(program, cpu, number, ARGUMENTS.get(call, ())) == bpf.ALLOW
    assert call in SOCKET_CALLS, f'{cpu} has no call {call}'
    return bpf.answer(program, cpu, bpf.number_of(cpu, 'socketcall'), (SOCKET_CALLS[call],)) == bpf.ALLOW


def main(build, cpu, qemu, compiler):
    calls = calls_after_the_lock(build, qemu, compiler)
    assert {'write', 'capset', 'exit_group'} <= calls, calls
    with open(f'{build}/common/lockdown_blob.h') as file:
        program = bpf.filters_of(file.read())['kNewidmapFilter']
    killed = [call for call in sorted(calls) if not allowed(program, cpu, call)]
    print(f'{cpu}: newuidmap after the lock: {" ".join(sorted(calls))}')
    assert not killed, f'the filter of {cpu} kills {killed}'


if __name__ == '__main__':
    main(*sys.argv[1:])
