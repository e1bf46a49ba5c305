"""What the tests of userns-run share: a small root file system, and running things in it."""

import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
from harness import spawn, skip, wait_for  # noqa: E402,F401

TOOLS = ('sh ls cat mount id ps touch mkdir sleep kill true false echo ln stat hostname env pwd stty tty umount test '
         'rm readlink head grep chown tr wc dd setsid od').split()
PYTHON = '/usr/bin/python3'  # one that every user may run
FIRST = 100000  # alice's first subordinate id


def rootfs(root, name='rootfs', owner=FIRST):
    """A root file system with a static busybox, owned by alice's container root; fresh for each name."""
    if not os.path.exists('/bin/busybox'):
        skip('busybox-static is not installed')
    path = f'{root.tmp}/{name}'
    shutil.rmtree(path, ignore_errors=True)
    for directory in ('bin', 'etc', 'root', 'home/u'):
        os.makedirs(f'{path}/{directory}')
    shutil.copy('/bin/busybox', f'{path}/bin/busybox')
    for tool in TOOLS:
        os.symlink('busybox', f'{path}/bin/{tool}')
    with open(f'{path}/etc/passwd', 'w') as file:
        file.write('root:x:0:0::/root:/bin/sh\nu:x:1000:1000::/home/u:/bin/sh\n')
    give(path, owner)
    return path


def give(path, owner):
    """The tree's own files; of a link itself the link, never what it names: that may be the machine's."""
    os.lchown(path, owner, owner)
    if os.path.islink(path):
        return
    for directory, names, files in os.walk(path):
        for name in [''] + names + files:
            os.lchown(os.path.join(directory, name), owner, owner)


def words(root, *args, command=('true',), where=None):
    """The argv of userns-run; `where`: a rootfs."""
    place = ['--rootfs', where] if where else []
    return [root.program('userns-run'), *place, *args, '--', *command]


def run(root, *args, command=('true',), where=None, user=None, timeout=30, **how):
    return root.run(words(root, *args, command=command, where=where), user or root.alice, timeout=timeout, **how)


def shell(root, script, *args, where=None, **how):
    return run(root, *args, command=('sh', '-c', script), where=where, **how)


def start(root, *args, command=('true',), where=None, user=None, **how):
    """Leaves it running: a Child."""
    return spawn(words(root, *args, command=command, where=where), user or root.alice, **how)


def well(done, code=0):
    assert done.code == code, done
    return done


def fails(done, *pieces, code=125):
    """One sentence on stderr with these pieces, and nothing else."""
    assert done.code == code, done
    lines = done.err.splitlines()
    assert len(lines) == 1 and lines[0].startswith('userns-run: '), done
    for piece in pieces:
        assert piece in lines[0], (piece, done)
    return done


def ended(code):
    """The exit status as a shell shows it."""
    return 128 - code if code < 0 else code
