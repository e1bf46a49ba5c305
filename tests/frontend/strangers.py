"""What a hostile image, archive or container says: it never means what only the caller may mean."""

import json
import os
import signal
import sys

sys.path.insert(0, os.path.dirname(__file__))
from container import fails, rootfs, well  # noqa: E402
from images import busybox_layer, image  # noqa: E402
from named import Store, await_log  # noqa: E402
from harness import case, cases, main, wait_for  # noqa: E402

PRINT_ALL = ['/bin/sh', '-c', 'env; echo directory=$(pwd); id; echo over']


def created(root, config, *layers, options=(), **how):
    """(the store, Done of create) of a container `web` from an image."""
    store = Store(root)
    return store, store.do('create', 'web', '--tar', image(root, config, *layers), *options, **how)


def said(root, config, *layers, options=(), env=None):
    """What an image's command that prints its environment, directory and ids has printed."""
    store, done = created(root, {'Cmd': PRINT_ALL, **config}, *layers, options=options)
    well(done)
    well(store.do('start', 'web', env=env))
    text = await_log(store, 'web', 'over').decode().replace('\r', '')
    store.do('destroy', 'web', '--force')
    return text.splitlines(), done


# --- Env --------------------------------------------------------------------------------------

@cases([('an Env entry without = gets nothing of the caller\'s', ()), ('nor with --clear-env', ('--clear-env',))])
def _(root, options):
    lines, done = said(root, {'Env': ['SECRET', 'GOOD=1']}, options=options,
                       env={'PATH': '/usr/bin:/bin', 'SECRET': 'hush'})
    assert 'GOOD=1' in lines, lines
    assert not any('hush' in line or line.startswith('SECRET') for line in lines), lines
    assert 'SECRET' in done.err, done


@case('a variable that the caller names with --env still passes')
def _(root):
    lines, _ = said(root, {'Env': ['SECRET']}, options=('--env', 'SECRET'),
                    env={'PATH': '/usr/bin:/bin', 'SECRET': 'told'})
    assert 'SECRET=told' in lines, lines


@case('lines in values of an image become no settings')
def _(root):
    store, done = created(root, {'Env': ['A=1\nbind = /:/host\nhook = start=/bin/false'], 'Cmd': ['/bin/sh\nmap-self = yes'],
                                 'WorkingDir': '/x\nhook = start=/bin/false', 'StopSignal': 'TERM\nnet = host'})
    well(done)
    keys = [line.split(' = ')[0] for line in well(store.do('config', 'web')).out.splitlines()]
    assert set(keys) <= {'map', 'env', 'command', 'cwd'}, keys


# --- User -------------------------------------------------------------------------------------

@cases([(f'an image of the user {user!r} is refused, and nothing of it is left', user) for user in
        ('-1', '4294967295', '4294967296', '4294967296:0', '18446744073709551616', 'nobody-knows', '0:nogroup', '0:-1', ':5',
         '0x10', '+0', ' 0', '65536', '0:65536', '1:2:3')])
def _(root, user):
    store, done = created(root, {'User': user, 'Cmd': PRINT_ALL})
    fails(done, 'user', '--uid')
    assert os.listdir(store.path) in ([], ['.lock']) or not [n for n in os.listdir(store.path) if 'web' in n], os.listdir(store.path)


@case('the caller can decide for such an image')
def _(root):
    lines, _ = said(root, {'User': 'nobody-knows'}, options=('--uid', '7', '--gid', '8'))
    assert any(line.startswith('uid=7 gid=8') for line in lines), lines


@case('a user of the image whose name is a number of another is the number')
def _(root):
    lines, _ = said(root, {'User': '33'}, busybox_layer(passwd='33:x:0:0::/:/bin/sh\nweb:x:33:44::/:/bin/sh\n'))
    assert any(line.startswith('uid=33') and 'gid=44' in line for line in lines), lines


# --- WorkingDir -------------------------------------------------------------------------------

@cases([('an image without a working directory starts in /, not in one named as the caller\'s', {}),
        ('so does one that says /', {'WorkingDir': '/'})])
def _(root, config):
    layer = busybox_layer().directory('etc/deep')
    store, done = created(root, {'Cmd': PRINT_ALL, **config}, layer)
    well(done)
    text = well(store.do('start', 'web', '--foreground', cwd='/etc')).out.replace('\r', '')
    assert 'directory=/\n' in text, text


@cases([(f'a working directory {name} is no way out (CVE-2024-21626)', name, link) for name, link in
        [('/proc/self/fd/%d' % number, False) for number in (3, 4, 5, 6, 7, 8, 9, 10)] + [('/out', True), ('/proc/self/cwd', False)]])
def _(root, name, link):
    layer = busybox_layer()
    for number in range(3, 20) if link else ():
        layer.link(f'out{number}', f'/proc/self/fd/{number}')
    layer.link('out', '/proc/self/fd/7')
    store, done = created(root, {'Cmd': ['/bin/sh', '-c', 'ls -d ../../../../../../../home/*; ls -id .; echo over'], 'WorkingDir': name}, layer)
    well(done)
    done = store.do('start', 'web')
    text = store.log('web') if done.code else await_log(store, 'web', 'over')
    assert b'alice' not in text, text


@case('a working directory that is missing is made, by root inside; none is made through a link')
def _(root):
    layer = busybox_layer().link('out', '/tmp')
    for name, made in (('/srv/app/', 'srv/app'), ('/out/app', None), ('/etc/passwd/app', None), ('/srv/../../../x', None)):
        store, done = created(root, {'Cmd': ['/bin/sh', '-c', 'pwd; echo over'], 'WorkingDir': name}, layer)
        well(done)
        rootfs = f'{store.path}/web/rootfs'
        done = store.do('start', 'web')
        if made:
            assert os.stat(f'{rootfs}/{made}').st_uid == os.stat(rootfs).st_uid, name
            assert b'/srv/app' in await_log(store, 'web', 'over') and done.code == 0, done
        else:
            assert not any('app' in names for _, names, _ in os.walk(rootfs)) and not os.path.exists(f'{root.tmp}/x'), name


@case('what an image says that nothing is done about is said once, and shown by info, in one line each and safe for a terminal')
def _(root):
    store, done = created(root, {'Cmd': ['/bin/true'], 'Volumes': {'/data': {}, '/x\nState: fine': {}}, 'ExposedPorts': {'80/tcp': {}},
                                 'Healthcheck': {'Test': ['CMD', 'curl', EVIL]}, 'Labels': {'a': 'b', EVIL: '1'}})
    assert 'the image names 2 volumes, 1 port, 1 healthcheck' in well(done).err, done
    info = well(store.do('info', 'web')).out
    for line in ('volume /data', 'port 80/tcp', 'label a=b', 'healthcheck CMD curl'):
        assert any(text.startswith('Image:') and line in text for text in info.splitlines()), info
    assert 'State: fine\n' not in info.replace('/x State: fine', '') and '\x1b' not in info and '\x9b' not in info, info
    assert 'port 80/tcp' in json.loads(well(store.do('info', 'web', '--json')).out)['image']


# --- the rest ---------------------------------------------------------------------------------

@case('StopSignal, Volumes, Labels, ExposedPorts and the like mean nothing but the one signal')
def _(root):
    store, done = created(root, {'Cmd': ['/bin/true'], 'StopSignal': 'SIGUSR1', 'Volumes': {'/../../../../etc': {}, '/etc/shadow': {}},
                                 'Labels': {'io.userns.hook': 'start=/bin/false', 'bind': '/:/host', 'run': 'docker run --privileged'},
                                 'ExposedPorts': {'22/tcp': {}}, 'OnBuild': ['RUN true'], 'Healthcheck': {'Test': ['CMD', 'true']},
                                 'Hostname': 'h', 'NetworkDisabled': True, 'Memory': 1})
    well(done)
    config = well(store.do('config', 'web')).out
    lines = [line for line in config.splitlines() if not line.startswith('map')]
    assert sorted(lines) == ['command = /bin/true', 'cwd = /', 'stop-signal = SIGUSR1'], config
    assert not os.path.exists(f'{store.path}/web/rootfs/etc/shadow')


@cases([('Entrypoint of no text', {'Entrypoint': [1]}), ('Cmd that is not a list', {'Cmd': 'sh -c true'}),
        ('Env that is not a list', {'Env': {'A': '1'}}), ('Env with a NUL', {'Env': ['A=\0B']}),
        ('User that is not a text', {'User': 0}), ('WorkingDir that is not a text', {'WorkingDir': ['/']}),
        ('StopSignal that is not a text', {'StopSignal': 15}), ('User with a NUL', {'User': '0\x00'})])
def _(root, config):
    _, done = created(root, config)
    fails(done, 'image')


# --- what is shown ----------------------------------------------------------------------------

EVIL = 'x\u009b31my\x1b]0;t\x07z\u202e\u2066w\x7f'
OBEYED = [b'\xc2\x9b', b'\x1b', b'\x07', b'\x9b', '\u202e'.encode(), '\u2066'.encode(), b'\x7f']


def is_safe(done, what):
    """Neither output holds anything that a terminal would obey; raw bytes are looked at, not characters."""
    for name, text in (('stdout', done.out), ('stderr', done.err)):
        data = text.encode('utf-8', 'surrogateescape') if isinstance(text, str) else text
        for bad in OBEYED:
            assert not (bad in data if bad != b'\x9b' else '\x9b' in data.decode('utf-8', 'replace')), (what, name, bad, text)


@case('an image cannot speak to the terminal by its variables, user, command, directory or signal')
def _(root):
    store, done = created(root, {'Env': [f'A={EVIL}', EVIL, f'{EVIL}=1'], 'Cmd': ['/bin/echo', EVIL], 'WorkingDir': f'/{EVIL}', 'StopSignal': EVIL})
    is_safe(well(done), 'create')
    for verb, *args in (('config', 'web'), ('config', 'web', '--all'), ('info', 'web'), ('info', 'web', '--json'), ('list',), ('list', '--json'),
                        ('list', '--names'), ('start', 'web'), ('exec', 'web', '--', EVIL), ('start', 'web', '--', EVIL), ('destroy', 'web', '--force')):
        is_safe(store.do(verb, *args), verb)
    is_safe(created(root, {'User': EVIL})[1], 'create')


@case('nor can an archive, by the names in it')
def _(root):
    from rootfs_tree import Archive
    store = Store(root)
    for number, archive in enumerate((Archive().add(f'{EVIL}/../x', b''), Archive().add('a', b'').hard(f'b{EVIL}', f'{EVIL}'),
                                      Archive().add(EVIL, type=b'?'), Archive().add(EVIL, b'x', uid=1 << 21))):
        path = archive.write(f'{root.tmp}/{EVIL}{number}.tar')
        done = store.do('create', 'web', '--tar', path)
        is_safe(done, 'create')
        if done.code == 0:
            well(store.do('destroy', 'web'))


@case('nor can a process inside, by its name and words')
def _(root):
    store = Store(root)
    store.make('web', 'command = sh -c "sleep 1000; true"')
    well(store.do('start', 'web'))
    child = store.begin('exec', 'web', command=['sh', '-c', 'sleep 1000; true', EVIL])
    wait_for(lambda: 'true x?' in store.do('ps', 'web').out, 'it to be listed')
    for args in (('web',), ('web', '--json')):
        is_safe(well(store.do('ps', *args)), 'ps')
    for option in ('--host', '--namespaces'):
        for form in ([], ['--json']):
            is_safe(root.run([root.program('userns-run'), 'ps', option, *form]), f'ps {option}')
    child.kill(signal.SIGTERM)  # it takes its command with it
    child.wait()
    well(store.do('destroy', 'web', '--force'))


@case('nor can arguments that a script has passed on')
def _(root):
    tree = rootfs(root)
    program = root.program('userns-run')
    for words in ([EVIL], [f'--{EVIL}'], ['--rootfs', EVIL], ['--rootfs', tree, '--bind', f'{EVIL}:/x'], ['--bind', f'/tmp:{EVIL}'], ['--hostname', EVIL],
                  ['--net', EVIL], ['--net', f'bridge={EVIL}'], ['--map', EVIL], ['--env', f'{EVIL}'], ['--cwd', f'/{EVIL}', '--rootfs', tree], ['--uid', EVIL],
                  ['--memory', EVIL], ['--cap-drop', EVIL], ['--stop-signal', EVIL], ['--pid-file', f'/{EVIL}/x'], ['--tmpfs', EVIL], ['--unshare', EVIL],
                  ['--publish', EVIL], ['--rlimit', EVIL], ['--group', EVIL], ['--seccomp', EVIL]):
        is_safe(root.run([program, *words, '--', 'true'], root.alice), words)
        is_safe(root.run([program, *words, '--dry-run', '--', EVIL], root.alice), words)
        is_safe(root.run([program, 'create', 'web', *words], root.alice), words)
    for words in (['start', EVIL], ['info', EVIL], ['create', EVIL], ['create', 'web', '--tar', EVIL], ['create', 'web', '--template', EVIL],
                  ['create', 'web', '--from', EVIL], ['create', 'web', '--template', 'busybox', '--group', EVIL], ['list', '--path', EVIL], ['doctor', EVIL],
                  ['shift', EVIL, '--from', EVIL], ['shift', EVIL, '--from', '0:1', '--to', '5:1'], ['convert', EVIL], ['exec', EVIL, '--', 'x'],
                  ['start', '--group', EVIL], ['logs', 'web', '--lines', EVIL], ['kill', 'web', '--signal', EVIL], ['config', EVIL, EVIL],
                  ['create', 'web', '--template', 'busybox', '--hook', EVIL], ['create', 'web', '--template', 'debian', '--suite', EVIL]):
        is_safe(root.run([program, *words], root.alice), words)


@case('nor can files of policy, by userns-policy')
def _(root):
    line = f'{EVIL}:100000:65536\nalice:{EVIL}:1\nalice:100000:65536\n'
    root.subuid(line)
    root.subgid(line)
    for name in ('net.conf', 'cgroup.conf'):
        root.write(f'/etc/userns/{name}', f'{EVIL} veth {EVIL} 1 {EVIL}\nalice {EVIL}={EVIL}\n')
    program = root.program('userns-policy')
    for words in (['check'], ['check', '--json'], ['explain', 'alice'], ['explain', '--json', 'alice'], ['explain', EVIL], ['check', EVIL], ['grant', EVIL], [EVIL],
                  ['grant', 'alice', '--count', EVIL], ['import-lxc', EVIL], ['revoke', EVIL], ['explain', 'alice', '--bridge', EVIL]):
        is_safe(root.run([program, *words]), words)
    is_safe(root.run([root.program('userns-run'), 'doctor'], root.alice), 'doctor')


if __name__ == '__main__':
    main()
