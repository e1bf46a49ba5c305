"""What a helper's C library calls after the lock, on each CPU: a record of runs.

Of x86 (i386) and x86_64 the real programs under strace; of the others under qemu-user's -strace, of Debian 13's C
library (packaging/cross --calls). `socketcall.sendto` is socketcall(2) with that first argument.
"""

AFTER_THE_LOCK = {
    'x86_64': {
        'newuidmap': 'capget capset close exit_group getpid lseek sendto write'.split(),
    },
}
