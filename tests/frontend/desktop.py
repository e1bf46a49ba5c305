#!/usr/bin/env python3
"""--home, --gpu, --wayland, --x11, --audio: what of the caller's session goes in, and that nothing else does."""

import glob
import json
import os
import shutil
import socket
import struct
import sys
import threading

sys.path.insert(0, os.path.dirname(__file__))
import container  # noqa: E402
from container import fails, shell, well  # noqa: E402
from harness import case, main, skip, wait_for  # noqa: E402
from named import Store  # noqa: E402
from start_walls_lib import USR, python_rootfs  # noqa: E402

CONNECT = ('import os, socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); '
           's.sendall(b"from inside"); print(s.recv(99).decode())')

INSIDE = '/run/host/wayland'


class Session:
    """A home and a runtime directory of alice's, with servers that answer."""

    def __init__(self, root):
        self.alice, self.servers = root.alice, []
        self.home, self.runtime = f'{root.tmp}/homes/alice', f'{root.tmp}/runtime'
        for path, mode in ((os.path.dirname(self.home), 0o755), (self.home, 0o700), (self.runtime, 0o700)):
            shutil.rmtree(path, ignore_errors=True)
            os.makedirs(path)
            os.chmod(path, mode)
        for path in (self.home, self.runtime):
            self.own(path)
        self.env = {'HOME': self.home, 'XDG_RUNTIME_DIR': self.runtime, 'SHELL': '/bin/sh', 'LANG': 'de_DE.UTF-8',
                    'PATH': os.environ['PATH']}

    def own(self, path):
        os.lchown(path, self.alice.uid, self.alice.gid)

    def serve(self, path, mode=0o755):
        """A socket there; who connects is answered what the server heard."""
        if not os.path.isdir(os.path.dirname(path)):
            os.makedirs(os.path.dirname(path), 0o700)
            self.own(os.path.dirname(path))
        server = socket.socket(socket.AF_UNIX)
        server.bind(path)
        self.own(path)
        os.chmod(path, mode)
        server.listen()
        self.servers.append(server)

        def answer():
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                with peer:
                    peer.sendall(b'heard ' + peer.recv(99))
        threading.Thread(target=answer, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for server in self.servers:
            server.shutdown(socket.SHUT_RDWR)
            server.close()


N = 1000  # whom alice is inside: her uid is not among the container's ids


def rootfs(root, owner=container.FIRST):
    """One in which nobody has that number."""
    path = container.rootfs(root, owner=owner)
    with open(f'{path}/etc/passwd', 'w') as file:
        file.write('root:x:0:0::/root:/bin/sh\n')
    with open(f'{path}/etc/group', 'w') as file:
        file.write('root:x:0:')
    container.give(f'{path}/etc/group', owner)
    return path


def inside(root, session, script, *options, tree=None, **env):
    return shell(root, script, *options, where=tree or rootfs(root), env={**session.env, **env})


@case('--home: the caller is the same uid inside and on disk, with name, shell, language and the files of home')
def _(root):
    with Session(root) as here:
        root.write(f'{here.home}/mine', 'mine\n', 0o600, (root.alice.uid, root.alice.gid))
        done = well(inside(root, here, 'id -u; cat "$HOME/mine"; echo new >~/new; ls -ln ~/new; echo $HOME $LANG $USER; grep alice /etc/passwd /etc/group',
                           '--home'))
        uid = N
        lines = done.out.splitlines()
        assert lines[:2] == [str(uid), 'mine'] and lines[2].split()[2] == str(uid), done
        assert lines[3] == f'{here.home} de_DE.UTF-8 alice', done
        assert f'/etc/passwd:alice:x:{uid}:{uid}::{here.home}:/bin/sh' in lines and f'/etc/group:alice:x:{uid}:' in lines, done
        facts = os.stat(f'{here.home}/new')
        assert (facts.st_uid, facts.st_gid) == (root.alice.uid, root.alice.gid)


@case('--home: the container has no process of the caller\'s id; with --uid the caller is that one inside')
def _(root):
    with Session(root) as here:
        done = well(inside(root, here, 'cat /proc/self/uid_map', '--home'))
        assert all(int(line.split()[1]) > root.alice.uid for line in done.out.splitlines()), done
        well(inside(root, here, f'touch {here.home}/roots', '--home', '--uid=0'))
        assert os.stat(f'{here.home}/roots').st_uid == root.alice.uid


@case('create --home: info says what it hands in, shell is the caller\'s, a line of passwd is written once, exports do not bring it')
def _(root):
    with Session(root) as here:
        store = Store(root)
        first = 53_000_000  # ids that no neighbour's process has
        for kind in ('subuid', 'subgid'):
            root.write(f'/etc/{kind}', f'alice:{container.FIRST}:65536\nalice:{first}:65536\n')
        tree = rootfs(root, first)
        well(store.do('create', 'box', f'--rootfs={tree}', '--home', f'--map={first}:65536',
                      command=('sh', '-c', 'trap "exit 0" TERM; while :; do sleep 1000 & wait; done'), env=here.env))
        said = well(store.do('info', 'box', env=here.env)).out
        assert 'Hands in' in said and 'home directory' in said and '(home)' in said, said
        assert json.loads(well(store.do('info', 'box', '--json', env=here.env)).out)['hands_in'] == ['home']
        for turn in range(2):
            well(store.do('start', 'box', env=here.env))
            name = f'{here.home}/by-root-{turn}'
            os.chmod(here.home, 0o777)
            well(store.do('exec', 'box', command=('touch', name), env=here.env))
            assert os.stat(name).st_uid == first, os.stat(name)
            os.chmod(here.home, 0o700)
            done = root.run(['/bin/sh', '-c', 'printf "id -u; pwd\n" | "$@"', 'sh', *store.words('shell', 'box')], root.alice, env=here.env)
            assert done.out.split() == ['1000', here.home], done
            well(store.do('stop', 'box', env=here.env))
        with open(f'{tree}/etc/passwd') as file:
            assert file.read().count('\nalice:') == 1
        well(store.do('destroy', 'box', env=here.env))


@case('a command that joins a container has the variables of its sockets, too; --dry-run makes no directory')
def _(root):
    with Session(root) as here:
        here.serve(f'{here.runtime}/wayland-0')
        env = {**here.env, 'WAYLAND_DISPLAY': 'wayland-0'}
        well(shell(root, 'true', '--wayland', '--dry-run', where=rootfs(root), env=env))
        assert os.listdir(here.runtime) == ['wayland-0'], os.listdir(here.runtime)
        store = Store(root)
        store.make('box', 'command = sh -c "trap \'exit 0\' TERM; while :; do sleep 1000 & wait; done"', 'wayland = yes')
        well(store.do('start', 'box', env=env))
        said = well(store.do('exec', 'box', command=('sh', '-c', 'echo $WAYLAND_DISPLAY; test -S $WAYLAND_DISPLAY && echo there'), env=here.env)).out
        assert said.split() == [f'{INSIDE}/wayland-0', 'there'], said
        well(store.do('stop', 'box', env=env))


@case('--home refuses what is not a home of the caller\'s')
def _(root):
    with Session(root) as here:
        other = f'{root.tmp}/homes/other'
        os.makedirs(other, exist_ok=True)
        file = f'{here.home}/file'
        root.write(file, '', 0o644, (root.alice.uid, root.alice.gid))
        for home, said in (('/', 'below /'), ('', 'below /'), ('relative', 'below /'), (file, 'below /'), (f'{root.tmp}/none', 'below /'),
                           ('/etc', 'does not belong'), (other, 'does not belong'), (f'{here.home}/../other', '--home')):
            done = inside(root, here, 'true', '--home', HOME=home)
            fails(done, said)
        # A link that the caller made leads to what is the caller's; one to another's tree to nothing.
        link = f'{here.home}/link'
        os.symlink(other, link)
        here.own(link)
        fails(inside(root, here, 'true', '--home', HOME=link), 'does not belong')


@case('--home: names that cannot stand in passwd, one that is taken, and a passwd that is a link change nothing')
def _(root):
    with Session(root) as here:
        tree = rootfs(root)
        with open(f'{tree}/etc/passwd', 'a') as file:
            file.write('alice:x:77:77::/:/bin/sh\n')
        before = open(f'{tree}/etc/passwd').read()
        well(inside(root, here, 'true', '--home', tree=tree))
        assert open(f'{tree}/etc/passwd').read() == before
        victim = f'{root.tmp}/victim'
        root.write(victim, 'root:x:0:0::/:/bin/sh\n', 0o666, (root.alice.uid, root.alice.gid))
        os.unlink(f'{tree}/etc/passwd')
        os.symlink(victim, f'{tree}/etc/passwd')
        well(inside(root, here, 'true', '--home', tree=tree))
        assert open(victim).read() == 'root:x:0:0::/:/bin/sh\n' and os.path.islink(f'{tree}/etc/passwd')


@case('--wayland and --audio: a program inside connects to the caller\'s sockets, and sees nothing beside them')
def _(root):
    tree = python_rootfs(root)
    with Session(root) as here:
        here.serve(f'{here.runtime}/wayland-1')
        here.serve(f'{here.runtime}/pulse/native', 0o700)
        here.serve(f'{here.runtime}/pipewire-0')
        here.serve(f'{here.runtime}/bus')
        for options in ((), ('--home',)):
            done = well(inside(root, here, f'for s in "$WAYLAND_DISPLAY" "${{PULSE_SERVER#unix:}}" "$PIPEWIRE_REMOTE"; do '
                               f"/usr/bin/python3 -c '{CONNECT}' $s || exit; done; ls -a /run/host/*; ls -d /run/user {here.runtime} 2>&1; true",
                               '--wayland', '--audio', *options, *USR, tree=tree, WAYLAND_DISPLAY='wayland-1'))
            assert done.out.count('heard from inside') == 3, done
            names = set(done.out.split()) & {'bus', 'wayland-1', 'native', '/run/user'}
            assert not names and 'wayland-0' in done.out, done
        # Only what is asked for, whatever another container has.
        done = inside(root, here, 'ls -d /run/host/audio; ls -a /run/host/wayland; rm /run/host/wayland/wayland-0', '--wayland', WAYLAND_DISPLAY='wayland-1')
        assert done.code != 0 and 'pulse' not in done.out, done
        assert os.path.exists(f'{here.runtime}/wayland-1')


@case('a compositor that was started again: the next start has its new socket')
def _(root):
    tree = python_rootfs(root)
    with Session(root) as here:
        for _ in range(2):
            path = f'{here.runtime}/wayland-0'
            if os.path.exists(path):
                os.unlink(path)
            here.serve(path)
            done = well(inside(root, here, f"/usr/bin/python3 -c '{CONNECT}' $WAYLAND_DISPLAY", '--wayland', *USR, tree=tree))
            assert done.out.strip() == 'heard from inside', done
        left = [name for _, _, names in os.walk(f'{here.runtime}/userns-desktop') for name in names]
        assert left == ['wayland-0'], left


@case('a container of one compositor gets nothing of another: not when a later one is started with it, nor by a link that is left')
def _(root):
    tree = python_rootfs(root)
    with Session(root) as here:
        for name in ('wayland-0', 'wayland-9'):
            here.serve(f'{here.runtime}/{name}')

        first, second = (str(os.stat(f'{here.runtime}/{name}').st_ino) for name in ('wayland-9', 'wayland-0'))
        look = f'stat -c %i {INSIDE}/*'
        read, write = os.pipe()
        held = container.start(root, '--wayland', *USR, command=('sh', '-c', f'{look}; : >/ready; read x; {look}'), where=tree, stdin=read,
                               env={**here.env, 'WAYLAND_DISPLAY': 'wayland-9'})
        wait_for(lambda: os.path.exists(f'{tree}/ready'), 'the first container to run')
        done = well(inside(root, here, look, '--wayland', *USR, tree=tree, WAYLAND_DISPLAY='wayland-0'))
        assert done.out.split() == [second], (done, first, second)
        os.write(write, b'go\n')
        assert well(held.wait()).out.split() == [first, first], (first, second)
        for fd in (read, write):
            os.close(fd)


@case('what is not the caller\'s own session is not handed in: a link, a file, another\'s socket or directory, none at all')
def _(root):
    with Session(root) as here:
        path = f'{here.runtime}/wayland-0'
        fails(inside(root, here, 'true', '--wayland'), 'no socket', 'wayland-0')
        fails(inside(root, here, 'true', '--audio'), 'pulse/native', 'pipewire-0')
        here.serve(f'{here.runtime}/bus')
        os.symlink('bus', path)
        here.own(path)
        fails(inside(root, here, 'true', '--wayland'), 'not a socket of yours')
        os.unlink(path)
        root.write(path, '', 0o600, (root.alice.uid, root.alice.gid))
        fails(inside(root, here, 'true', '--wayland'), 'not a socket of yours')
        os.unlink(path)
        here.serve(path)
        os.chown(path, root.bob.uid, root.bob.gid)
        fails(inside(root, here, 'true', '--wayland'), 'not a socket of yours')
        here.own(path)
        for name in ('../runtime/bus', '/run/bus', f'{here.runtime}/../runtime/bus', 'a/b', '..', '.'):
            fails(inside(root, here, 'true', '--wayland', WAYLAND_DISPLAY=name), '--wayland' if '/' in name else 'not a socket')
        well(inside(root, here, 'true', '--wayland', WAYLAND_DISPLAY=path))
        for runtime in ('', 'relative', f'{root.tmp}/none'):
            fails(inside(root, here, 'true', '--wayland', XDG_RUNTIME_DIR=runtime), 'XDG_RUNTIME_DIR')
        os.chmod(here.runtime, 0o777)
        fails(inside(root, here, 'true', '--wayland'), 'you alone can write')
        os.chmod(here.runtime, 0o700)
        # The directory of ours, replaced by a link to one with more in it.
        ours = f'{here.runtime}/userns-desktop'
        shutil.rmtree(ours)
        os.symlink('.', ours)
        here.own(ours)
        fails(inside(root, here, 'true', '--wayland'), 'userns-desktop')


def cookie(host, number, data):
    def counted(text):
        return struct.pack('>H', len(text)) + text
    return struct.pack('>H', 256) + b''.join(map(counted, (host, number, b'MIT-MAGIC-COOKIE-1', data)))


@case('--x11: the socket of this display, and its cookie alone, for any host name')
def _(root):
    tree = python_rootfs(root)
    with Session(root) as here:
        fails(inside(root, here, 'true', '--x11'), 'DISPLAY')
        for display in ('elsewhere:0', ':x', ':0x', ':-1', ':0/../1', ''):
            fails(inside(root, here, 'true', '--x11', DISPLAY=display), 'DISPLAY')
        fails(inside(root, here, 'true', '--x11', DISPLAY=':97'), 'X97', 'is not there')
        os.makedirs('/tmp/.X11-unix', exist_ok=True)
        path = '/tmp/.X11-unix/X97'
        here.serve(path, 0o777)
        try:
            with open(f'{here.home}/.Xauthority', 'wb') as file:
                file.write(cookie(b'box', b'97', b'x' * 16) + cookie(b'box', b'1', b'y' * 16) + b'\x01')
            here.own(f'{here.home}/.Xauthority')
            os.chmod(f'{here.home}/.Xauthority', 0o600)
            done = well(inside(root, here, f"/usr/bin/python3 -c '{CONNECT}' /tmp/.X11-unix/X97; od -An -c $XAUTHORITY; echo $DISPLAY; ls /tmp/.X11-unix",
                               '--x11', '--uid', '5', *USR, tree=tree, DISPLAY=':97.0'))
            assert 'heard from inside' in done.out and done.out.split()[-2:] == [':97', 'X97'], done
            assert done.out.count('x') >= 16 and 'y   y' not in done.out and '377 377' in done.out, done
            os.chmod(path, 0o755)
            fails(inside(root, here, 'true', '--x11', DISPLAY=':97'), 'only its owner')
        finally:
            os.unlink(path)


@case('--x11: no cookie of another display goes in, and no socket of a directory in which others can replace it')
def _(root):
    tree = python_rootfs(root)
    sockets = '/tmp/.X11-unix'
    with Session(root) as here:
        os.makedirs(sockets, exist_ok=True)
        with open(f'{here.home}/.Xauthority', 'wb') as file:
            file.write(cookie(b'box', b'96', b'x' * 16) + cookie(b'box', b'95', b'y' * 16))
        here.own(f'{here.home}/.Xauthority')
        paths = [f'{sockets}/X{number}' for number in (96, 95)]
        mode = os.stat(sockets).st_mode & 0o7777
        try:
            for path in paths:
                here.serve(path, 0o777)
            for number, own in ((96, 'x'), (95, 'y')):
                done = well(inside(root, here, 'cat ${XAUTHORITY%/*}/*', '--x11', *USR, tree=tree, DISPLAY=f':{number}'))
                assert {letter for letter in 'xy' if letter * 16 in done.out} == {own}, done
            os.chmod(sockets, 0o777)
            fails(inside(root, here, 'true', '--x11', DISPLAY=':96'), 'other users can replace', '1777')
            os.chmod(sockets, 0o1777)
            well(inside(root, here, 'true', '--x11', *USR, tree=tree, DISPLAY=':96'))
        finally:
            os.chmod(sockets, mode)
            for path in paths:
                os.unlink(path)


@case('--gpu: the render nodes that there are, or a sentence that says that there is none')
def _(root):
    with Session(root) as here:
        nodes = [*glob.glob('/dev/dri/renderD*'), *glob.glob('/dev/nvidia*'), *glob.glob('/dev/kfd')]
        if not nodes and not glob.glob('/dev/dri/card*'):
            fails(inside(root, here, 'true', '--gpu'), 'no GPU was found', '/dev/dri/renderD128')
            return 'there is no GPU here'
        done = inside(root, here, f'ls {" ".join(nodes)}', '--gpu')
        if done.code == 125:
            skip(f'alice may not use it: {done.err.strip()}')
        well(done)


@case('without a root file system of its own there is nothing to hand in')
def _(root):
    with Session(root) as here:
        fails(shell(root, 'true', '--home', env=here.env), '--rootfs')


main()
