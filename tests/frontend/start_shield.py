#!/usr/bin/env python3
"""What of /proc and /sys a container with a root of its own sees, and what --nesting lifts."""

import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from container import FIRST, PYTHON, fails, give, rootfs, run, shell, well  # noqa: E402
from harness import ROOT, case, cases, main  # noqa: E402


def text(root, where, script, *args, **how):
    return well(shell(root, script, *args, where=where, **how)).out


def table():
    """(path, how) of those of frontend/SECURITY.md's table that this kernel has."""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'frontend', 'SECURITY.md')) as file:
        rows = re.findall(r'^\| `(/(?:proc|sys)\S*)` \| (covered|read-only) \|', file.read(), re.M)
    assert len(rows) > 10, rows
    return [(path, how) for path, how in rows if os.path.exists(path)]


def is_read_only(path, mounts):
    return any(f' on {path} type ' in line and '(ro,' in line for line in mounts.splitlines())


@case('the kernel\'s own files in /proc and /sys are empty or read-only')
def _(root):
    where = rootfs(root)
    mounts = text(root, where, 'mount')
    for path, how in table():
        if how == 'read-only':
            assert is_read_only(path, mounts), (path, mounts)
        elif os.path.isdir(path):
            assert text(root, where, f'ls -A {path}; mkdir {path}/x 2>/dev/null || true') == '', path
        else:
            assert text(root, where, f'cat {path}') == '', path


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
    assert ' on /proc/' not in shown and is_read_only('/sys', shown), shown
    for path, _ in table():
        assert path == '/sys' or f' on {path} type ' not in shown, (path, shown)
    lines = text(root, where, 'cat /proc/self/mountinfo', '--nesting').splitlines()
    assert all(' shared:' in line for line in lines if line.split()[4] == '/'), lines
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


@case('without --nesting, and in one that is read-only, a container inside starts, too')
def _(root):
    where = rootfs(root)
    inner = rootfs(root, 'rootfs/inner')
    put_program(root, where)
    for name in ('proc', 'sys', 'dev', 'run', 'tmp', 'lib', 'lib64', 'usr'):
        os.makedirs(f'{where}/{name}', exist_ok=True)
        os.makedirs(f'{inner}/{name}', exist_ok=True)
    for outer in ((), ('--read-only',), ('--bind', '/usr:/etc:ro')):
        done = well(shell(root, 'userns-run --rootfs /inner -- sh -c "cat /proc/keys; ls /proc/1 | grep -c maps"', *outer, where=where))
        assert int(done.out) > 0, (outer, done)


@case('a container that has the host\'s root gets no /proc without covers: neither it nor a sandbox in it')
def _(root):
    where = rootfs(root)
    give(where, 0)
    script = 'umount /proc/keys; mount -t proc proc /tmp; unshare -Urmpf mount -t proc proc /tmp; cat /proc/keys /tmp/keys'
    os.symlink('busybox', f'{where}/bin/unshare')
    done = shell(root, script, '--map', 'b:0:0:1', where=where, user=ROOT)
    assert done.code != 0 and done.out == '' and "can't open '/tmp/keys'" in done.err, done
    well(shell(root, 'unshare -Urmpf mount -t proc proc /tmp', where=rootfs(root, 'other')))


main()
