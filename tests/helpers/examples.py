#!/usr/bin/env python3
"""The examples of the manuals and of README.md, run word for word by a user with uid 1000 and real setuid helpers.

A block of commands in a manual ("$ ...") stands below a comment `.\\" example: NAME`, or below `.\\" not run: WHY`. What it must
come to is said by a check below; without one it must end well. `.\\" example: NAME as root` has commands behind "# ".
"""

import glob
import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
from harness import ROOT, case, main, spawn  # noqa: E402

TOP = os.path.join(os.path.dirname(__file__), '..', '..')
MANUALS = sorted(glob.glob(TOP + '/man/*.[1-9]'))
BLOCK = re.compile(r'^(?:\.\\" (example|not run): (.+)\n)?\.Bd -literal.*\n((?:(?!\.Ed).*\n)+)\.Ed', re.M)


def commands(text, prompt='$ '):
    """The words behind the prompt; a line that is not begun so belongs to the command above while a quote of it is open."""
    found = []
    for line in text.splitlines():
        if line.startswith(prompt):
            found.append(line[2:])
        elif found and found[-1].count("'") % 2:
            found[-1] += '\n' + line
    return [unescaped(command) for command in found]


def unescaped(text):
    return text.replace(r'\(aq', "'").replace(r'\e', '\\').replace(r'\-', '-').replace(r'\&', '')


def blocks():
    """{name: commands}, and the places of blocks without a name."""
    named, unnamed = {}, []
    for path in MANUALS:
        with open(path) as file:
            for kind, name, text in BLOCK.findall(file.read()):
                if kind == 'example' and name.endswith(' as root'):
                    named[name] = commands(text, '# ')
                elif kind == 'example':
                    assert name not in named, f'two examples are named {name}'
                    named[name] = commands(text)
                elif not kind and (commands(text) or commands(text, '# userns-')):
                    unnamed.append(f'{os.path.basename(path)}: {text.splitlines()[0]}')
    return named, unnamed


EXAMPLES, UNNAMED = blocks()
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


def start(root, commands, owner=None, **how):
    owner = owner or user(root)
    path = os.path.dirname(root.program('userns-run'))
    return spawn(['/bin/bash', '-ec', '\n'.join(commands)], owner, cwd=root.home,
                 env={'HOME': root.home, 'PATH': f'{path}:/usr/bin:/bin:/usr/sbin:/sbin'}, **how)


def run(root, commands, owner=None):
    done = start(root, commands, owner).wait()
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


@example('doctor-json')
def _(_root, run_it):
    failed = run_it('doctor-json').split()
    assert set(failed) <= {'userns-net', 'userns-cgroup'}, failed


@example('policy-explain')
def _(root, _run_it):
    done = start(root, EXAMPLES['policy-explain']).wait()
    assert done.code == 1 and '65537' in done.out, done


@case('every other example ends well')
def _(root):
    with open('/etc/group', 'a') as file:
        file.write('students:x:7777:\n')
    root.program('userns-policy')
    for name, lines in EXAMPLES.items():
        if name not in CHECKS:
            run(root, lines, ROOT if name.endswith(' as root') else None)


@case('the commands that README.md gives a user end well')
def _(root):
    with open(TOP + '/README.md') as file:
        block, = re.findall(r'Then as that user.*?```sh\n(.*?)```', file.read(), re.S)
    for line in filter(None, block.splitlines()):
        run(root, [line])
        assert 'userns-run' in line, line


@case('every block of commands in a manual is an example, or says why it is not run; every check has its example')
def _(_root):
    assert not UNNAMED, UNNAMED
    assert set(CHECKS) <= set(EXAMPLES) and all(EXAMPLES.values()), set(CHECKS) - set(EXAMPLES)


def file_example(page):
    """The policy file that the EXAMPLES section of a manual shows."""
    with open(f'{TOP}/man/{page}') as file:
        return re.search(r'^\.Sh EXAMPLES\n.*?^\.Bd -literal.*?\n(.*?)^\.Ed', file.read(), re.M | re.S)[1]


@case('the examples of policy files, shown and shipped, are well-formed')
def _(root):
    texts = {}
    for name, page in (('net.conf', 'net.conf.5'), ('cgroup.conf', 'cgroup.conf.5')):
        with open(f'{TOP}/packaging/{name}.example') as file:
            shipped = file.read()
        uncommented = re.sub(r'^#(?=[a-z@*0-9][^ ]*( +[^ ]+)+$)', '', shipped, flags=re.M)
        texts[name] = (file_example(page), shipped, uncommented)
        assert uncommented != shipped, shipped
    for net, cgroup in zip(texts['net.conf'], texts['cgroup.conf']):
        root.write('/etc/userns/net.conf', net)
        root.write('/etc/userns/cgroup.conf', cgroup)
        done = root.run([root.program('userns-run'), 'doctor', '--json'], user(root))
        for check in json.loads(done.out)['checks']:
            if check['id'] in ('net-conf', 'cgroup-conf'):
                assert 'refused as a whole' not in check['text'], check
    for name in texts:
        root.write(f'/etc/userns/{name}', '')


main()
