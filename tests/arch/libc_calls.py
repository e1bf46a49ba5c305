"""What a helper's C library calls after the lock, on CPUs other than x86_64: a record of runs.

x86 (i386): the real setuid programs of Debian 13 under strace, tests/helpers/lockdown.py, which compares again whenever it
runs there. aarch64 and ppc64le: newuidmap by qemu-user (tests/arch/qemu_calls.py). `socketcall.send` is socketcall(2) with that first argument. (tests/evidence/system-calls.md has the calls of x86_64.)
"""

_MAP_WRITERS = ('_llseek capget capset exit_group getpid poll read readlink socketcall.recv socketcall.recvfrom '
                'socketcall.send socketcall.sendto write').split()

AFTER_THE_LOCK = {
    'aarch64': {
        'newuidmap': 'capget capset close exit_group getpid lseek ppoll readlinkat recvfrom sendto write'.split(),
    },
    'ppc64le': {  # and recvfrom, sendto, by numbers that libseccomp 2.5 does not know
        'newuidmap': '_llseek capset exit_group getpid poll readlink write'.split(),
    },
    'x86': {
        'newuidmap': _MAP_WRITERS,
        'newgidmap': _MAP_WRITERS,
        'userns-net': ('capget capset clock_nanosleep close dup exit_group getpid ioctl poll prctl readlink '
                       'setresuid32 socketcall.recv socketcall.recvfrom socketcall.sendto write').split(),
        'userns-cgroup': ('capget capset clock_nanosleep close dup exit_group fcntl64 flock fstatfs64 getdents64 getpid '
                          'landlock_add_rule landlock_create_ruleset landlock_restrict_self openat2 poll read readlink readlinkat '
                          'setresuid32 socketcall.recvfrom socketcall.sendto statx unlinkat write').split(),
        'userns-idmap': ('_llseek capget capset clone3 close exit_group getpid mount_setattr move_mount open_tree pipe2 '
                         'poll read readlink socketcall.getsockopt socketcall.recvfrom socketcall.sendmsg socketcall.sendto statx unshare '
                         'wait4 write').split(),
    },
}
