#!/usr/bin/env python3
"""What of /proc and /sys a container with a root of its own sees, and what --nesting lifts."""

import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from container import FIRST, PYTHON, fails, give, rootfs, run, shell, well  # noqa: E402
from harness import ROOT, case, cases, main  # noqa: E402


def text(root, where, script, *args, **how):
    return well(shell(root, script, *args, where=where, **how)).out


@case('the kernel\'s own files in /proc and /sys are empty or read-only')
def _(root):
    where = rootfs(root)
    for name in ('keys', 'kcore', 'timer_list', 'sched_debug', 'latency_stats'):
        if os.path.exists(f'/proc/{name}'):
            assert text(root, where, f'cat /proc/{name}') == '', name
    for name in ('/proc/acpi', '/proc/scsi', '/sys/firmware', '/sys/devices/virtual/powercap'):
        if os.path.isdir(name):
            assert text(root, where, f'ls -A {name}; mkdir {name}/x 2>/dev/null || true') == '', name
    shown = text(root, where, 'mount')
    for name in ('/proc/sys', '/proc/irq', '/proc/bus', '/proc/fs', '/sys', '/proc/sysrq-trigger'):
        if os.path.exists(name):
            assert any(f' on {name} type ' in line and '(ro,' in line for line in shown.splitlines()), (name, shown)


@case('values of the container\'s own namespaces can be set, those of the host not even by host root inside')
def _(root):
    where = rootfs(root)
    assert text(root, where, 'echo 1 > /proc/sys/net/ipv4/ip_forward; cat /proc/sys/net/ipv4/ip_forward') == '1\n'
    assert text(root, where, 'echo 60000 > /proc/sys/kernel/msgmax; cat /proc/sys/kernel/msgmax') == '60000\n'
    give(where, 0)
    before = open('/proc/sys/vm/swappiness').read()
    done = shell(root, 'echo 7 > /proc/sys/vm/swappiness', '--map', 'b:0:0:1', where=where, user=ROOT)
    assert done.code != 0 and 'Read-only file system' in done.err, done
    assert open('/proc/sys/vm/swappiness').read() == before


@case('what the host has covered stays covered, and a hostile /proc of the image leads nowhere')
def _(root):
    where = rootfs(root)
    os.symlink('/etc', where + '/proc')
    done = shell(root, 'ls /etc/self/ns >/dev/null && cat /etc/keys', where=where)
    assert done.code == 0 and done.out == '', done


@case('--nesting: /proc is whole, keyrings answer, and the devices that containers want are there')
def _(root):
    where = rootfs(root)
    shown = text(root, where, 'mount', '--nesting')
    assert ' on /proc/' not in shown and ' on /sys type' in shown, shown
    if os.path.exists('/dev/net/tun'):
        text(root, where, 'test -c /dev/net/tun', '--nesting')
        assert text(root, where, 'ls /dev').split().count('net') == 0
    if os.path.exists('/dev/fuse'):
        text(root, where, 'test -c /dev/fuse', '--nesting')
    ask = 'import ctypes; c = ctypes.CDLL(None, use_errno=True); r = c.syscall(250, 0, ctypes.c_int(-3), 0); print(r < 0 and ctypes.get_errno())'
    assert well(run(root, command=(PYTHON, '-c', ask))).out == '38\n'
    assert well(run(root, '--nesting', command=(PYTHON, '-c', ask))).out != '38\n'


@cases([('bpf(2) and kexec stay blocked with --nesting', 321), ('perf_event_open(2), too', 298)])
def _(root, number):
    ask = f'import ctypes; c = ctypes.CDLL(None, use_errno=True); c.syscall({number}, 0, 0, 0, 0, 0); print(ctypes.get_errno())'
    assert well(run(root, '--nesting', command=(PYTHON, '-c', ask))).out == '1\n'


def put_program(root, where):
    """userns-run and what it needs, in a root file system."""
    shutil.copy(root.program('userns-run'), f'{where}/bin/userns-run')
    listed = subprocess.run(['ldd', root.program('userns-run')], stdout=subprocess.PIPE, check=True).stdout.decode()
    for word in listed.split():
        if word.startswith('/'):
            os.makedirs(os.path.dirname(where + word), exist_ok=True)
            shutil.copy(os.path.realpath(word), where + word)


@case('two levels deep: each with a fresh /proc, ids, a network and a root of its own')
def _(root):
    where = rootfs(root)
    inner = rootfs(root, 'rootfs/inner')
    innermost = rootfs(root, 'rootfs/inner/inner')
    assert innermost
    put_program(root, where)
    put_program(root, inner)
    nest = 'userns-run --nesting --rootfs /inner --'
    done = well(shell(root, f'{nest} {nest} sh -c "id -u; ps | wc -l; ls / | grep -c inner; cat /proc/self/uid_map; touch /made"',
                      '--nesting', where=where))
    words = done.out.split()
    assert words[0] == '0' and int(words[1]) < 9 and words[2] == '0' and words[3:] == ['0', '0', '65536'], done
    assert os.stat(innermost + '/made').st_uid == FIRST


@case('without --nesting a container inside says what it needs')
def _(root):
    where = rootfs(root)
    rootfs(root, 'rootfs/inner')
    put_program(root, where)
    fails(shell(root, 'userns-run --rootfs /inner -- true', where=where), '--nesting')


main()
