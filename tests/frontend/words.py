#!/usr/bin/env python3
"""The words that people type: verbs of other tools, a command without "--", shell, -h, and a first screen of help that fits."""

import os
import re
import shlex
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from terminal import Terminal  # noqa: E402
from container import FIRST, fails, rootfs, run, well  # noqa: E402
from named import IDLE, Store  # noqa: E402
from harness import case, cases, main, spawn, wait_for  # noqa: E402


def begin(root, passwd=None):
    store = Store(root)
    where = rootfs(root, 'trees/web')
    if passwd is not None:
        with open(f'{where}/etc/passwd', 'w') as file:
            file.write(passwd)
    store.make('web', IDLE, tree=where)
    well(store.do('start', 'web'))
    return store


def end(store):
    well(store.do('stop', 'web'))


@case('the first screen of --help fits 24 lines of 80 columns, and -h is the same; each verb is in it')
def _(root):
    program = root.program('userns-run')
    text = well(root.run([program, '--help'], root.alice)).out
    lines = text.splitlines()
    assert len(lines) <= 23 and max(map(len, lines)) < 80, (len(lines), max(lines, key=len))
    assert well(root.run([program, '-h'], root.alice)).out == text
    words = set(text.replace(';', ' ').split())
    whole = well(root.run([program, '--help', 'all'], root.alice)).out
    assert '\n  --image REF ' in whole and '  --image REF ' in text
    verbs = [line.split()[0] for line in whole.partition('Verbs')[2].partition('\n\n')[0].splitlines()[1:]]
    assert len(verbs) > 25 and set(verbs) <= words, set(verbs) - words
    for verb in verbs:
        assert well(root.run([program, verb, '-h'], root.alice)).out.startswith(f'usage: userns-run {verb}'), verb


@cases([(f'{other} is {verb}', other, verb) for other, verb in
        (('ls', 'list'), ('rm', 'destroy'), ('delete', 'destroy'), ('inspect', 'info'), ('mv', 'rename'), ('attach', 'console'),
         ('pause', 'freeze'), ('unpause', 'thaw'), ('enter', 'shell'), ('login', 'shell'))])
def _(root, other, verb):
    done = well(root.run([root.program('userns-run'), other, '--help'], root.alice))
    assert done.out.startswith(f'usage: userns-run {verb} '), done


@cases([(f'{word} says what to do instead', word, piece) for word, piece in
        (('run', 'userns-run --image'), ('launch', 'create NAME'), ('init', 'create NAME'), ('copy', '--from'), ('clone', '--from'),
         ('import', 'create NAME --import'), ('load', '--tar'), ('port', 'info NAME'), ('help', 'userns-run --help'), ('version', '--version'), ('build', 'buildah'), ('compose', '--group'), ('set', 'config'))])
def _(root, word, piece):
    fails(root.run([root.program('userns-run'), word, 'web'], root.alice), f'there is no verb {word}: ', piece)


@case('exec takes a command without "--": what follows the name is the command, options and all')
def _(root):
    store = begin(root)
    for words, out in ((['web', 'echo', '-n', 'x'], 'x'), (['web', 'echo', '--help', '--', '-h'], '--help -- -h\n'),
                       (['--user', 'u', 'web', 'id', '-u'], '1000\n'), (['web', '--user=1000', 'id', '-u'], '1000\n'),
                       (['web', '--cwd', '/etc', 'sh', '-c', 'pwd'], '/etc\n'), (['web', '--', 'echo', 'a'], 'a\n'),
                       (['web', '--user=u', '--', 'id', '-u'], '1000\n'), (['web', 'sh', '-c', 'echo "$@"', 'x', '--user=root'], '--user=root\n')):
        assert well(store.do('exec', *words)).out == out, words
    assert store.do('exec', 'web', 'sh', '-c', 'exit 7').code == 7
    fails(store.do('exec', 'web'), 'what is to be run')
    fails(store.do('exec', '--nosuch', 'web', 'id'), 'no option', '--nosuch')
    fails(store.do('exec', 'nosuch', 'id'), 'nosuch')
    end(store)


@case('exec --env-file: values, the caller\'s own, comments; --env counts more; errors name file and line')
def _(root):
    store = begin(root)
    path = f'{root.tmp}/home/alice/vars'
    with open(path, 'w') as file:
        file.write('# comment\nA=1 2\n\nB=x=y\nC=first\nHOME\n')
    os.chmod(path, 0o644)
    done = well(store.do('exec', f'--env-file={path}', '--env=C=second', 'web', 'sh', '-c', 'echo "$A|$B|$C|$HOME"'))
    assert done.out.startswith('1 2|x=y|second|/'), done
    with open(path, 'w') as file:
        file.write('A=1\n=bad\n')
    fails(store.do('exec', f'--env-file={path}', 'web', 'env'), f'{path}:2')
    fails(store.do('exec', '--env-file=/no/such', 'web', 'env'), '--env-file', '/no/such')
    end(store)


def typed(text):
    """A pipe with that in it."""
    read, write = os.pipe()
    os.write(write, text.encode())
    os.close(write)
    return read


PASSWD = 'root:x:0:0::/root:/bin/sh\nu:x:1000:1000::/home/u:/bin/loud\nodd:x:1001:1001::relative:relative\n'


@case('shell: the login shell and the home that the container\'s passwd names, root or --user, on a real terminal')
def _(root):
    store = begin(root, PASSWD)
    tree = f'{root.tmp}/trees/web'
    with open(f'{tree}/bin/loud', 'w') as file:
        file.write('#!/bin/sh\necho "loud $* $SHELL $(pwd) $(id -u) $HOME"\n')
    os.chmod(f'{tree}/bin/loud', 0o755)
    done = well(store.do('shell', 'web', stdin=typed('echo "in $0 $(pwd) $HOME $SHELL"; exit 5\n')), 5)
    assert done.out == 'in /bin/sh /root /root /bin/sh\n', done
    assert well(store.do('shell', 'web', '--user=u')).out == 'loud -l /bin/loud /home/u 1000 /home/u\n'
    assert well(store.do('shell', 'web', '--user=odd', stdin=typed('echo $SHELL; pwd\n'))).out == '/bin/sh\n/\n'
    assert store.do('shell', 'web', '--user=nosuch').code == 125
    fails(store.do('shell', 'web', command=['id']), 'exec NAME COMMAND')
    with Terminal(store.words('shell', 'web'), root.alice) as console:
        console.type('tty; echo ready-$((40+2))\n')
        console.expect('ready-42')
        console.type('exit 3\n')
        assert console.end() == 3
    end(store)
    fails(store.do('shell', 'web'), 'is not running', 'userns-run start web')


@case('wait --condition: ready when a command runs, at once or when it is started; stopped as before; what has ended is never ready')
def _(root):
    store = begin(root)
    well(store.do('wait', 'web', '--condition=ready'))
    child = store.begin('wait', 'web', '--condition=stopped')
    end(store)
    assert child.wait().out == '0\n'
    fails(store.do('wait', 'web', '--condition=ready'), 'web is not running', 'userns-run start web')
    fails(store.do('wait', 'web', '--condition=up'), '--condition is ready or stopped')
    assert well(store.do('wait', 'web')).out == '0\n'


@case('update: what holds later is said, with the reason; a stopped container needs no word; the config is that of config')
def _(root):
    store = begin(root)
    done = well(store.do('update', 'web', 'hostname=other'))
    assert 'web: hostname holds from the next start on' in done.err and done.out == '', done
    assert 'hostname = other' in well(store.do('config', 'web')).out
    end(store)
    done = well(store.do('update', 'web', '--unset=hostname', 'env+=A=1'))
    assert done.err == '' and 'hostname' not in well(store.do('config', 'web')).out, done
    fails(store.do('update', 'web'), 'what is to be changed')
    fails(store.do('update'), 'what is to be changed')
    fails(store.do('update', 'web', 'nosuch=1'), 'nosuch')
    fails(store.do('update', 'nosuch', 'env=A'), 'nosuch')


@case('userns@.service: its words start a container in the foreground and stop it in order')
def _(root):
    store = begin(root)
    end(store)
    with open(os.path.join(os.path.dirname(__file__), '../../packaging/systemd/userns@.service.in')) as file:
        unit = file.read()
    words = {key: shlex.split(re.search(rf'^{key}=(.*)$', unit, re.M)[1].replace('@BINDIR@', os.path.dirname(root.program('userns-run'))).replace('%i', 'web'))
             for key in ('ExecStart', 'ExecStop')}
    how = {'env': {'PATH': '/usr/bin:/bin', 'XDG_DATA_HOME': f'{root.tmp}/home/alice/data', 'HOME': f'{root.tmp}/home/alice'}}
    os.makedirs(f'{root.tmp}/home/alice/data', exist_ok=True)
    os.symlink(store.path, f'{root.tmp}/home/alice/data/userns')
    child = spawn(words['ExecStart'], root.alice, **how)
    well(wait_until_it_runs(store))
    well(root.run(words['ExecStop'], root.alice, **how))
    assert child.wait().code in (0, 143)
    assert store.state('web') is None


def wait_until_it_runs(store):
    wait_for(lambda: (store.state('web') or {}).get('init', {}).get('pid'), 'it to run')
    return store.do('wait', 'web', '--condition=ready')


main()
