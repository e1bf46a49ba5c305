"""What a generated system call filter says to a call: seccomp's BPF, interpreted, for any CPU."""

import ctypes
import re

KILL, ALLOW, ERRNO = 0x80000000, 0x7fff0000, 0x00050000

# libseccomp's name -> (AUDIT_ARCH of the kernel, big-endian)
CPUS = {'x86_64': (0xc000003e, False), 'x86': (0x40000003, False), 'arm': (0x40000028, False), 'aarch64': (0xc00000b7, False),
        'ppc64le': (0xc0000015, False), 's390x': (0x80000016, True), 'riscv64': (0xc00000f3, False)}


def number_of(cpu, call):
    """The kernel's number of a call on that CPU; None if it has none."""
    library = ctypes.CDLL('libseccomp.so.2')
    token = library.seccomp_arch_resolve_name(cpu.encode())
    found = library.seccomp_syscall_resolve_name_arch(ctypes.c_uint32(token), call.encode())
    return found if found >= 0 else None


def filters_of(text):
    """{name of the array: [(code, jump if true, jump if false, k)]} of a generator's output."""
    return {name: [tuple(map(int, one)) for one in re.findall(r'\{(\d+), (\d+), (\d+), (\d+)U\}', body)]
            for name, body in re.findall(r'sock_filter (\w+)\[\] = \{\n(.*?)\n\};', text, re.S)}


def _word(cpu, number, args, offset):
    """The 32 bits of struct seccomp_data at `offset`, as that CPU loads them."""
    arch, big = CPUS[cpu]
    if offset < 16:
        return {0: number, 4: arch}[offset]
    which, half = divmod(offset - 16, 8)
    upper = (half == 0) == big
    value = args[which] if which < len(args) else 0
    return (value >> 32 if upper else value) & 0xffffffff


_TESTS = {0x10: lambda a, k: a == k, 0x20: lambda a, k: a > k, 0x30: lambda a, k: a >= k, 0x40: lambda a, k: a & k != 0}


def answer(program, cpu, number, args=(), arch_of=None):
    """The action, without its data, for call `number` on `cpu`; `arch_of`: a call through another CPU's table."""
    at, value = 0, 0
    while True:
        code, if_true, if_false, k = program[at]
        at += 1
        if code == 0x20:
            value = _word(arch_of or cpu, number, args, k) if k == 4 else _word(cpu, number, args, k)
        elif code == 0x54:
            value &= k
        elif code == 0x05:
            at += k
        elif code & 7 == 5:
            at += if_true if _TESTS[code & 0xf0](value, k) else if_false
        elif code == 0x06:
            return k & 0xffff0000
        else:
            raise AssertionError(f'an instruction that no filter of ours has: {code:#x}')
