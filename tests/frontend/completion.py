"""Shell completions, in the shells themselves."""

import fcntl
import json
import os
import re
import select
import shutil
import struct
import sys
import termios

sys.path.insert(0, os.path.dirname(__file__))
from container import well  # noqa: E402
from harness import build_dir, case, cases, main, skip, spawn  # noqa: E402

BASH = r'''
source "$1"; shift
compopt() { :; }
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
"_${1//-/_}"
printf '%s\n' "${COMPREPLY[@]}"
'''


def file_of(name):
    room = 'policy_tool' if 'policy' in name else 'cli'
    path = f'{build_dir()}/frontend/{room}/completions/{name}'
    return path if os.path.exists(path) else skip('the completions are not built')


def environment(root):
    return {'HOME': f'{root.tmp}/home/alice', 'PATH': '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin', 'TERM': 'dumb'}


def containers(root):
    """Alice has web and db."""
    for name in ('web', 'db'):
        if not os.path.isdir(f'{root.tmp}/home/alice/.local/share/userns/{name}'):
            tree = f'{root.tmp}/tree'
            os.makedirs(tree, exist_ok=True)
            os.chown(tree, root.alice.uid, root.alice.gid)
            well(root.run([root.program('userns-run'), 'create', name, '--rootfs', tree, '--map-self'], root.alice,
                          env=environment(root)))


def images(root):
    """An index of hers that names one; what it leads to is not looked at."""
    path = f'{root.tmp}/home/alice/.local/share/userns/.images'
    if os.path.isdir(path):
        return
    well(root.run([root.program('userns-run'), 'images'], root.alice, env=environment(root)))
    entry = {'digest': f'sha256:{"0" * 64}', 'mediaType': 'application/vnd.oci.image.manifest.v1+json', 'size': 1,
             'annotations': {'org.opencontainers.image.ref.name': 'localhost/mine'}}
    root.write(f'{path}/index.json', json.dumps({'schemaVersion': 2, 'manifests': [entry]}), 0o644)
    os.chown(f'{path}/index.json', root.alice.uid, root.alice.gid)


def bash(root, *words):
    return well(root.run(['/bin/bash', '-c', BASH, 'bash', root.bash, *words], root.alice, env=environment(root))).out.split()


def copied(root, name):
    """Where the user can read it."""
    path = f'{root.tmp}/{name}'
    shutil.copyfile(file_of(name), path)
    os.chmod(path, 0o644)
    return path


@cases([
    ('verbs', ['userns-run', 'cr'], ['create']),
    ('all verbs', ['userns-run', ''], ['create', 'destroy', 'list', 'info', 'config', 'start', 'stop', 'doctor']),
    ('options of a throw-away container', ['userns-run', '--map-'], ['--map-self']),
    ('options of a verb', ['userns-run', 'create', 'x', '--tem'], ['--template']),
    ('options of a container after a verb that takes them', ['userns-run', 'create', 'x', '--read'], ['--read-only']),
    ('words of a value', ['userns-run', 'create', 'x', '--template', ''], ['busybox', 'debian']),
    ('words of a value behind =', ['userns-run', '--cgroup', '=', 'he'], ['helper']),
    ('container names', ['userns-run', 'start', ''], ['db', 'web']),
    ('container names that begin so', ['userns-run', 'destroy', 'w'], ['web']),
    ('container names as a value', ['userns-run', 'create', 'x', '--from', 'd'], ['db']),
    ('--image of a throw-away container', ['userns-run', '--imag'], ['--image']),
    ('names of images as a value', ['userns-run', 'create', 'x', '--image', 'local'], ['localhost/mine']),
    ('names of images for a throw-away container', ['userns-run', '--image', '=', ''], ['localhost/mine']),
    ('names of images for rmi', ['userns-run', 'rmi', ''], ['localhost/mine']),
    ('no names for a new container', ['userns-run', 'create', ''], []),
    ('names for config, then keys', ['userns-run', 'config', ''], ['db', 'web']),
    ('keys of config', ['userns-run', 'config', 'web', 'autos'], ['autostart=']),
    ('nothing for a value that is free', ['userns-run', '--hostname', ''], []),
])
def _(root, words, expected):
    containers(root)
    images(root)
    root.bash = copied(root, 'userns-run.bash')
    got = bash(root, *words)
    assert set(got) >= set(expected) and (expected or not got), (got, expected)
    assert len(words[-1]) == 0 or all(word.startswith(words[-1]) for word in got), got


@case('bash: files after --tar, and a command after --')
def _(root):
    root.bash = copied(root, 'userns-run.bash')
    assert '/etc/passwd' in bash(root, 'userns-run', 'create', 'x', '--tar', '/etc/passw')
    assert 'true' in bash(root, 'userns-run', '--', 'tru')


@case('userns-policy in bash: every verb and every option that --help names, and nothing else')
def _(root):
    program = root.program('userns-policy')
    root.bash = copied(root, 'userns-policy.bash')
    verbs = re.findall(r'^  ([a-z-]+) ', root.run([program, '--help'], root.alice).out, re.M)
    assert len(verbs) >= 11 and sorted(bash(root, 'userns-policy', '')) == sorted(verbs), verbs
    for verb in verbs:
        options = re.findall(r'^  (--[a-z-]+)', root.run([program, verb, '--help'], root.alice).out, re.M)
        assert sorted(bash(root, 'userns-policy', verb, '--')) == sorted([*options, '--help']), verb


@cases([
    ('users', ['grant', 'ali'], ['alice']),
    ('a user, then what to explain', ['explain', 'alice', ''], ['map', 'net', 'cgroup']),
    ('a bridge', ['explain', 'alice', 'net', 'l'], ['lo']),
    ('a bridge of a value', ['grant', 'alice', '--net', 'l'], ['lo']),
    ('a policy file to edit', ['edit', 'sub'], ['subuid', 'subgid']),
    ('the kind of a file', ['check', '--as', 'net'], ['net.conf']),
    ('files', ['check', '/etc/passw'], ['/etc/passwd']),
    ('files of a value', ['apply', '--from', '=', '/etc/passw'], ['/etc/passwd']),
    ('directories of a value', ['check', '--root', '/et'], ['/etc']),
    ('nothing for a number', ['grant', 'alice', '--ids', ''], []),
])
def _(root, words, expected):
    root.bash = copied(root, 'userns-policy.bash')
    got = bash(root, 'userns-policy', *words)
    assert set(got) >= set(expected) and (expected or not got), (got, expected)
    assert all(word.startswith(words[-1]) for word in got), got


@case('zsh takes the file, and completes verbs and names')
def _(root):
    if not shutil.which('zsh'):
        skip('zsh is not installed')
    containers(root)
    directory = f'{root.tmp}/zsh'
    os.makedirs(directory, exist_ok=True)
    os.chmod(directory, 0o755)
    for name in ('_userns-run', '_userns-policy'):
        shutil.copyfile(file_of(name), f'{directory}/{name}')
        os.chmod(f'{directory}/{name}', 0o644)
    # A zsh in a terminal of its own; what it shows is what a person sees.
    master, slave = os.openpty()
    os.chown(os.ttyname(slave), root.alice.uid, 5)
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', 50, 200, 0, 0))
    child = spawn(['/usr/bin/zsh', '-f', '-i'], root.alice, env=environment(root), stdin=slave, fds={1: slave, 2: slave},
                  before=lambda: (os.setsid(), fcntl.ioctl(0, termios.TIOCSCTTY, 0)))
    typed(master, f"PS1=; fpath=({directory} $fpath); autoload -Uz compinit; compinit -u -D; LISTMAX=0; print rea''dy\r", 'ready')
    for line, piece in (('userns-run cr', 'userns-run create'), ('userns-run start d', 'userns-run start db'),
                        ('userns-run create x --templ', '--template'), ('userns-run create x --template busy', 'busybox'),
                        ('userns-policy explain ali', 'userns-policy explain alice'),
                        ('userns-policy explain alice cgr', 'cgroup'), ('userns-policy check --err', '--errors-only'),
                        ('userns-policy edit subu', 'subuid')):
        typed(master, line + '\t', piece)
        typed(master, "\x15print ne''xt\r", 'next')
    child.kill()
    child.wait()
    os.close(master)
    os.close(slave)


def typed(master, keys, piece):
    """Types, and waits until the terminal shows something."""
    text = ''
    os.write(master, keys.encode())
    while piece not in text:
        assert select.select([master], [], [], 30)[0], f'no {piece!r} on the terminal after {keys!r}, only {text!r}'
        text += os.read(master, 4096).decode(errors='replace')


@cases([
    ('verbs', 'userns-run cr', 'create'),
    ('options', 'userns-run create x --tem', '--template'),
    ('container names', 'userns-run start ', 'web'),
    ('words of a value', 'userns-run create x --template ', 'busybox'),
    ('verbs', 'userns-policy rep', 'report'),
    ('options', 'userns-policy check --err', '--errors-only'),
    ('users', 'userns-policy explain ali', 'alice'),
    ('topics', 'userns-policy explain alice ', 'cgroup'),
    ('policy files', 'userns-policy edit ', 'subgid'),
])
def _(root, line, expected):
    if not shutil.which('fish'):
        skip('fish is not installed')
    containers(root)
    done = well(root.run(['/usr/bin/fish', '--no-config', '-c', 'source $argv[1]; complete -C $argv[2]',
                          copied(root, f'{line.split()[0]}.fish'), line], root.alice, env=environment(root)))
    assert expected in [word.split('\t')[0].strip() for word in done.out.splitlines()], done


main()
