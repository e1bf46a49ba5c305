"""What tests make once and use again, outside of the tree: guest images, distributions' tars, minimal Debians.

    path = cache.path(build, 'distros', f'{name}-{key}.tar')
    cache.once(path, make)          # make(half) makes it under another name; nothing where `path` is there already

It lies in $USERNS_CHECK_CACHE, else ${XDG_CACHE_HOME:-$HOME/.cache}/userns-check, else below the build directory: there too,
where that cannot be written or is not the caller's own. All of it can be made again: remove it at any time that no test runs.
Several runs may share it: one makes a thing, the others wait. Names hold a hash of what a thing is made of (`key`), so that
a changed recipe makes a new one, and the old one goes after a month without use.
"""

import fcntl
import functools
import hashlib
import os
import shutil
import stat
import sys
import time

UNUSED_DAYS = 30


def key(*recipe):
    return hashlib.sha256('\0'.join(map(str, recipe)).encode()).hexdigest()[:12]


def _wanted():
    if own := os.environ.get('USERNS_CHECK_CACHE'):
        return own
    base = os.environ.get('XDG_CACHE_HOME') or (os.environ['HOME'] + '/.cache' if os.environ.get('HOME') else None)
    return base and base + '/userns-check'


def _usable(path):
    """Whether it can be written, and by nobody else: root unpacks and boots what lies there."""
    try:
        os.makedirs(path, mode=0o755, exist_ok=True)
        found = os.stat(path)
    except OSError:
        return False
    return found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and os.access(path, os.W_OK)


@functools.cache
def directory(build):
    wanted = _wanted()
    if wanted and os.path.isabs(wanted) and _usable(wanted):
        return wanted
    return os.path.join(os.path.abspath(build), 'cache')


def path(build, *names):
    return os.path.join(directory(build), *names)


def once(where, make):
    """Has make(half) make `where` if it is absent; the half-made has another name until it is whole."""
    os.makedirs(os.path.dirname(where), exist_ok=True)
    with open(where + '.lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(where):
            # The suffix stays the last: by it mmdebstrap knows what to make.
            half = os.path.join(os.path.dirname(where), 'half-' + os.path.basename(where))
            _remove(half)
            make(half)
            os.rename(half, where)
            _forget_old(os.path.dirname(where))
        os.utime(where)
    return where


def _remove(where):
    if os.path.isdir(where) and not os.path.islink(where):
        shutil.rmtree(where)
    elif os.path.lexists(where):
        os.unlink(where)


def _forget_old(folder):
    """Removes what nobody has used for long, and holds the lock of."""
    for name in os.listdir(folder):
        where = os.path.join(folder, name)
        if name.endswith('.lock') or name.startswith('half-') or time.time() - os.stat(where).st_mtime < UNUSED_DAYS * 86400:
            continue
        with open(where + '.lock', 'w') as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            _remove(where)


def found(build):
    """[name] of what is there already, whole."""
    top = directory(build)
    return sorted(os.path.join(folder, name) for folder in (os.listdir(top) if os.path.isdir(top) else [])
                  for name in os.listdir(os.path.join(top, folder)) if not name.endswith('.lock') and not name.startswith('half-'))


if __name__ == '__main__':  # cache.py BUILD_DIR: says where it is and what is warm
    warm = found(sys.argv[1])
    print(f'{directory(sys.argv[1])}: {", ".join(warm) if warm else "nothing yet"}')
