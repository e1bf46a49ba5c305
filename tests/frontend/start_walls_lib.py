"""What tests of a container's walls share: the attack program, and a root file system that can run it."""

import os
import shutil
import stat
import sys

sys.path.insert(0, os.path.dirname(__file__))
from container import FIRST, PYTHON, rootfs, run, well  # noqa: E402

ATTACK = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'attack_mounts.py')
WAYS = 88
USR = [word for path in ('/usr', '/lib', '/lib64', '/etc/ld.so.cache') if os.path.exists(path)
       for word in ('--bind', f'{path}:{path}:ro')]
LOOSE = [word.removesuffix(':ro') for word in USR]  # what is held then is held without a wish for read-only
ZERO = os.makedev(1, 5)


def python_rootfs(root, name='rootfs'):
    """A root file system that has the host's Python, and the attack."""
    where = rootfs(root, name)
    root.write(f'{where}/attack.py', open(ATTACK).read(), 0o644, (FIRST, FIRST))
    return where


def attack(root, kind, path, *args, where=None, program='/attack.py'):
    """What the ways found, after all were tried."""
    done = well(run(root, *args, command=(PYTHON, program, kind, path), where=where, timeout=120))
    lines = done.out.splitlines()
    assert lines and lines[-1].startswith(f'tried {WAYS} '), done
    return lines[:-1]


def open_directory(root, name='outside'):
    path = f'{root.tmp}/{name}'
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    os.chmod(path, 0o777)
    return path


def node(root, path, owner=FIRST):
    """A device that gives bytes to whoever may read it, as the container's root may."""
    if os.path.exists(path):
        os.unlink(path)
    os.mknod(path, stat.S_IFCHR | 0o666, ZERO)
    os.chown(path, owner, owner)
