#!/usr/bin/env python3
"""The generated system call filters, for every CPU that the suite is built for: interpreted, not run.

The generators are programs of the build machine, so each writes the filters of each CPU here. What the helpers' C
libraries call on each is a record of runs (libc_calls.py).
"""

import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import bpf
from harness import build_dir, case, cases, main
from libc_calls import AFTER_THE_LOCK

TOP = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..'))
LOCKDOWN, DEFAULT = 'common/lockdown-generate', 'frontend/start/inside/seccomp-generate'
FILTER_OF = {'newuidmap': 'kNewidmapFilter', 'newgidmap': 'kNewidmapFilter', 'userns-net': 'kNetFilter',
             'userns-cgroup': 'kCgroupFilter', 'userns-idmap': 'kIdmapFilter'}
PROT_READ, PROT_EXEC, CODE_ARGUMENT = 1, 4, 2
SOCKETCALL = {'send': 9, 'recv': 10, 'sendto': 11, 'recvfrom': 12, 'getsockopt': 15, 'sendmsg': 16}  # linux/net.h


def written(generator, cpu, *before):
    return subprocess.run([*before, f'{build_dir()}/{generator}', cpu], check=True, capture_output=True, text=True).stdout


def says(cpu, name, call, *args):
    number = bpf.number_of(cpu, call)
    assert number is not None, f'{cpu} has no call {call}'
    return bpf.answer(bpf.filters_of(written(LOCKDOWN, cpu))[name], cpu, number, args)


# The arguments with which a run makes a call that is bound.
ARGUMENTS = {'mmap': (0, 4096, PROT_READ), 'mmap2': (0, 4096, PROT_READ), 'ioctl': (3, 0x8933), 'prctl': (8, 0),
             'unlinkat': (3, 0, 0x200), 'setresuid': (1000, 1000, 1000), 'setresuid32': (1000, 1000, 1000)}


@cases([(f'{cpu}: {program} may make every call that its C library was seen to make there', cpu, program)
        for cpu, programs in AFTER_THE_LOCK.items() for program in programs])
def _(_root, cpu, program):
    for call in sorted(AFTER_THE_LOCK[cpu][program]):
        call, _, inner = call.partition('.')  # socketcall.sendto
        args = (SOCKETCALL[inner],) if inner else ARGUMENTS.get(call, ())
        assert says(cpu, FILTER_OF[program], call, *args) == bpf.ALLOW, f'{call} is killed'


@cases([(f'{cpu}: no filter lets a helper open, run, connect, trace or mount', cpu) for cpu in bpf.CPUS])
def _(_root, cpu):
    for name in set(FILTER_OF.values()):
        for call in ('openat', 'execve', 'execveat', 'socket', 'connect', 'ptrace', 'mount', 'clone', 'fchmodat'):
            if bpf.number_of(cpu, call) is not None:
                assert says(cpu, name, call) == bpf.KILL, (name, call)
        if bpf.number_of(cpu, 'socketcall') is not None:
            for connect in (1, 3):
                assert says(cpu, name, 'socketcall', connect) == bpf.KILL, (name, connect)


@cases([(f'{cpu}: memory that is code is refused', cpu) for cpu in bpf.CPUS if cpu != 's390x'])
def _(_root, cpu):
    call = 'mmap' if cpu not in ('x86', 'arm') else 'mmap2'
    assert says(cpu, 'kNewidmapFilter', call, 0, 4096, PROT_READ) == bpf.ALLOW
    assert says(cpu, 'kNewidmapFilter', call, 0, 4096, PROT_READ | PROT_EXEC) == bpf.KILL
    if cpu == 'x86':  # its arguments are in memory
        assert says(cpu, 'kNewidmapFilter', 'mmap', 0, 4096, PROT_READ) == bpf.KILL


@cases([(f'{cpu}: memory may be given back, as musl does, and not otherwise advised', cpu) for cpu in bpf.CPUS])
def _(_root, cpu):
    for name in set(FILTER_OF.values()):
        assert says(cpu, name, 'madvise', 0, 4096, 8) == bpf.ALLOW
        assert says(cpu, name, 'madvise', 0, 4096, 4) == says(cpu, name, 'madvise', 0, 4096, 14) == bpf.KILL


@cases([(f'{cpu}: a helper may become the caller, and never effective uid 0', cpu) for cpu in bpf.CPUS])
def _(_root, cpu):
    call = 'setresuid' if cpu not in ('x86', 'arm') else 'setresuid32'
    for name in ('kNetFilter', 'kCgroupFilter'):
        assert says(cpu, name, call, 0, 1000, 0) == bpf.ALLOW
        assert says(cpu, name, call, 1000, 0, 0) == bpf.KILL


@cases([(f'{cpu}: a call through another table is killed', cpu) for cpu in bpf.CPUS])
def _(_root, cpu):
    program = bpf.filters_of(written(LOCKDOWN, cpu))['kNewidmapFilter']
    for other in bpf.CPUS:
        number = bpf.number_of(cpu, 'getpid')
        wanted = bpf.ALLOW if other == cpu else bpf.KILL
        assert bpf.answer(program, cpu, number, (), arch_of=other) == wanted, other


@cases([(f'{cpu}: the default profile blocks what it says, through both tables of that CPU', cpu) for cpu in bpf.CPUS])
def _(_root, cpu):
    program = bpf.filters_of(written(DEFAULT, cpu))['kDefaultProfile']
    sister = {'x86_64': 'x86', 'x86': 'x86_64', 'aarch64': 'arm', 'arm': 'aarch64'}.get(cpu)
    for table in filter(None, (cpu, sister)):
        for call in ('bpf', 'io_uring_setup', 'keyctl', 'kexec_load', 'swapon'):
            number = bpf.number_of(table, call)
            assert number is None or bpf.answer(program, table, number) == bpf.ERRNO, (table, call)
        assert bpf.answer(program, table, bpf.number_of(table, 'ioctl'), (0, 0x5412)) == bpf.ERRNO
        assert bpf.answer(program, table, bpf.number_of(table, 'ioctl'), (0, 0x5413)) == bpf.ALLOW
        assert bpf.answer(program, table, bpf.number_of(table, 'execve')) == bpf.ALLOW


@cases([(f'{generator}: the kernel of the builder has no say', generator) for generator in (LOCKDOWN, DEFAULT)])
def _(_root, generator):
    for cpu in bpf.CPUS:
        without = written(generator, cpu, 'strace', '-o', '/dev/null', '-e', 'trace=seccomp,prctl', '-e', 'inject=seccomp,prctl:error=ENOSYS')
        assert without == written(generator, cpu), cpu


@cases([('a CPU that libseccomp does not know', 'pdp11'), ('no CPU', '')])
def _(_root, cpu):
    done = subprocess.run([f'{build_dir()}/{LOCKDOWN}', cpu], capture_output=True, text=True)
    assert done.returncode == 1 and 'cannot find this CPU' in done.stderr, done


@cases([('a call that a CPU lacks', 'vm86', 'aarch64', 'aarch64 has no call vm86;'),
        ('a call that no CPU has', 'no_such_call', 'x86_64', 'that this libseccomp knows'),
        ('a bound on a call that goes through socketcall', 'recvmsg', 'x86', 'cannot judge')])
def _(_root, call, cpu, said):
    """Fails the build, instead of being left out of an allow-list in silence."""
    with tempfile.TemporaryDirectory() as work:
        os.makedirs(f'{work}/common/generate')
        for name in ('generate/lockdown_profile.h', 'generate/lockdown_cpus.h', 'generate/seccomp_text.h', 'generate/lockdown_generate.cc'):
            with open(f'{TOP}/common/{name}') as old, open(f'{work}/common/{name}', 'w') as new:
                bound = '{Is::kThis, 1, kInt, 1}' if said == 'cannot judge' else '{}'
                new.write(old.read().replace('{"read", {}},', f'{{"read", {{}}}}, {{"{call}", {bound}}},'))
        subprocess.run(['g++', '-std=c++23', '-O0', f'-I{work}', f'{work}/common/generate/lockdown_generate.cc', '-o', f'{work}/g', '-lseccomp'],
                       check=True)
        done = subprocess.run([f'{work}/g', cpu], capture_output=True, text=True)
    assert done.returncode == 1 and said in done.stderr, done


if __name__ == '__main__':
    main(need_root=False)
