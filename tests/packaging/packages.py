"""The Debian packages of this tree, built once and kept in BUILD/packages until a file of the tree changes."""

import fcntl
import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import skip  # noqa: E402

TOP = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..'))
# Not in the packages, and changed often.
ELSEWHERE = ('tests/', '.ci/', 'build')

def _shell(command):
    """What a function of packaging/lib.sh says."""
    return subprocess.run(['bash', '-c', f'. {TOP}/packaging/lib.sh && {command}'], stdout=subprocess.PIPE, check=True).stdout.decode()


# With the flags of packaging/check's own build, whose objects are in the compiler's cache.
FLAGS = {'DEB_CXXFLAGS_APPEND': _shell('echo "$package_append"').strip()}
CACHE = dict(line.split('=', 1) for line in _shell('use_compiler_cache; env').splitlines() if line.startswith('CCACHE_'))


def need(*programs):
    """Skips the case where one of them, pairs of program and package, is not there."""
    missing = [package for program, package in programs if not shutil.which(program, path=os.environ['PATH'] + ':/usr/sbin:/sbin')]
    if missing:
        skip(f'apt-get install {" ".join(missing)}')


def _fingerprint():
    total = hashlib.sha256()
    for name in sorted(_shell('tree_files').split('\0')):
        path = os.path.join(TOP, name)
        if name and not name.startswith(ELSEWHERE) and os.path.isfile(path):
            with open(path, 'rb') as file:
                total.update(f'{name} {os.stat(path).st_mode:o}\n'.encode() + file.read())
    return total.hexdigest()


@functools.cache
def _once(build_dir, name, *command, **variables):
    """Runs the command with --out BUILD/NAME, unless what lies there was made of the same files. variables: of its environment."""
    out = os.path.join(os.path.abspath(build_dir), name)
    os.makedirs(out, exist_ok=True)
    with open(out + '/lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several tests want them at the same time
        want = _fingerprint()
        try:
            with open(out + '/of') as file:
                if file.read() == want:
                    return out
        except FileNotFoundError:
            pass
        print(f'# {command[0]} builds (some minutes, once)', flush=True)
        env = {**os.environ, 'PATH': '/usr/lib/ccache:' + os.environ['PATH'], **CACHE, **variables}
        with open(out + '/log', 'w') as log:
            done = subprocess.run([f'{TOP}/packaging/{command[0]}', *command[1:], '--out', out], stdin=subprocess.DEVNULL,
                                  stdout=log, stderr=subprocess.STDOUT, env=env)
        if done.returncode != 0:
            with open(out + '/log') as log:
                raise AssertionError(f'packaging/{command[0]} failed:\n' + log.read()[-3000:])
        with open(out + '/of', 'w') as file:
            file.write(want)
    return out


def build(build_dir):
    """The directory with the .debs, `log` (what the build said), .dsc and .changes."""
    need(('dpkg-buildpackage', 'dpkg-dev'), ('dh', 'debhelper'), ('dh_apparmor', 'dh-apparmor'))
    return _once(build_dir, 'packages', 'build-deb', '--nocheck', **FLAGS)


def build_rpm(build_dir):
    """The directory with the .rpms."""
    need(('rpmbuild', 'rpm'))
    # The rpm of a Debian sets no compiler flags. With those of the .debs all is in the compiler's cache.
    flags = {name: _shell(f'package_flags {name}').strip() for name in ('CPPFLAGS', 'CXXFLAGS', 'LDFLAGS')}
    return _once(build_dir, 'packages-rpm', 'build-rpm', **flags)


def deb(out, name):
    """The path of the package `name`."""
    found = [f for f in os.listdir(out) if re.fullmatch(re.escape(name) + r'_[^_]+_\w+\.deb', f)]
    assert len(found) == 1, (name, found)
    return os.path.join(out, found[0])


def text_of(*argv, **how):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **how)
    return done.returncode, done.stdout.decode(errors='replace')


def must(*argv, **how):
    code, text = text_of(*argv, **how)
    assert code == 0, f'{" ".join(argv)} ended with {code}:\n{text[-3000:]}'
    return text
