#!/usr/bin/env python3
"""The examples of userns-run(1), run word for word by a user with uid 1000 and real setuid helpers.

Every block after a comment `.\\" example: NAME` has its check below, and every check its block.
"""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
from harness import case, main, spawn  # noqa: E402

MANUAL = os.path.join(os.path.dirname(__file__), '..', '..', 'man', 'userns-run.1')


def blocks():
    """{name: commands} of the manual."""
    with open(MANUAL) as file:
        found = re.findall(r'^\.\\" example: (.+)\n\.Bd -literal.*\n((?:(?!\.Ed).*\n)+)\.Ed', file.read(), re.M)
    return {name: [line[2:] for line in text.splitlines() if line.startswith('$ ')] for name, text in found}


EXAMPLES = blocks()
CHECKS = {}


def example(*names):
    """The check of an example: called with the root and a function that runs the block as the user."""
    def register(function):
        for name in names:
            CHECKS[name] = function

        @case(f'the example {names[0].split()[0]} does what the manual says')
        def _(root):
            function(root, lambda name: run(root, EXAMPLES[name]))
        return function
    return register


def user(root):
    if not hasattr(root, 'mark'):
        root.mark = root.add_user('mark', 1000)
        root.home = f'{root.tmp}/home/mark'
    for path in ('/etc/subuid', '/etc/subgid'):
        root.write(path, '1000:100000:65536\n')  # by uid: the machine may have another name for it
    return root.mark


def start(root, commands, **how):
    owner = user(root)
    path = os.path.dirname(root.program('userns-run'))
    return spawn(['/bin/bash', '-ec', '\n'.join(commands)], owner, cwd=root.home,
                 env={'HOME': root.home, 'PATH': f'{path}:/usr/bin:/bin:/usr/sbin:/sbin'}, **how)


def run(root, commands):
    done = start(root, commands).wait()
    assert done.code == 0, done
    return done.out


@example('own-id')
def _(_root, run_it):
    assert run_it('own-id') == '0\n1000\n'


@example('many-ids')
def _(_root, run_it):
    lines = run_it('many-ids').splitlines()
    assert lines[0].split() == ['0', '100000', '65536'] and lines[1] == '100500', lines


@example('netns')
def _(_root, run_it):
    names = re.findall(r'^[\w@]+', run_it('netns'), re.M)
    assert sorted(names) == ['left@right', 'lo', 'right@left'], names


@example('home')
def _(_root, run_it):
    assert re.search(r' root +root .* /root/letter$', run_it('home'), re.M)


@example('two-terminals first', 'two-terminals second')
def _(root, _run_it):
    read, write = os.pipe()
    first = start(root, EXAMPLES['two-terminals first'], stdin=read)
    os.close(read)
    said = b''
    while b'\n' not in said:
        piece = os.read(first._err, 4096)
        assert piece, said
        said += piece
    pid = re.search(rb'process (\d+)', said)[1].decode()
    second = start(root, [line.replace('PID', pid) for line in EXAMPLES['two-terminals second']]).wait()
    assert second.code == 0 and second.out == '', second
    os.write(write, b'\n')
    os.close(write)
    done = first.wait()
    assert done.code == 0 and done.out.split() == ['0', '110000', '10000'], done


@example('give')
def _(_root, run_it):
    assert run_it('give') == '100000\n1000\n'


def make_debian(root):
    """A stand-in for the root file system of the manual, small and owned as that one is."""
    user(root)
    debian = f'{root.home}/debian'
    for name in ('bin', 'etc', 'proc', 'sys', 'dev', 'run', 'tmp'):
        os.makedirs(f'{debian}/{name}')
    with open('/bin/busybox', 'rb') as file:
        root.write(f'{debian}/bin/busybox', file.read(), mode=0o755)
    for name in ('sh', 'rm', 'touch', 'hostname'):
        os.symlink('busybox', f'{debian}/bin/{name}')
    for where, names, files in os.walk(debian):
        for name in ('.', *names, *files):
            os.lchown(f'{where}/{name}', 100000, 100000)


@example('rootfs')
def _(root, run_it):
    make_debian(root)
    lines = run_it('rootfs').split()
    assert 'etc' in lines and 'new' not in lines and lines[-1] == 'box', lines


@example('nested')
def _(_root, run_it):
    assert run_it('nested') == '7\n'


@example('dry-run')
def _(_root, run_it):
    out = run_it('dry-run')
    assert "'debian', read-only" in out and "'make' 'check'" in out, out


@case('each example of the manual is checked, and each check has its example')
def _(_root):
    assert EXAMPLES.keys() == CHECKS.keys() and all(EXAMPLES.values()), EXAMPLES.keys() ^ CHECKS.keys()


main()
