"""Known faults of other runtimes, tried here from inside a container or with a hostile tree or image (tests/evidence/past-faults.md)."""

import ctypes
import os
import resource
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(__file__))
from container import FIRST, fails, rootfs, run, shell, well  # noqa: E402
from images import busybox_layer, image  # noqa: E402
from named import IDLE, Store, await_log  # noqa: E402
from harness import case, cases, main, skip  # noqa: E402

RENAME_EXCHANGE = 2
libc = ctypes.CDLL(None)


class Swapper:
    """A process of a container's root (by id) that exchanges two names of its tree as fast as it can."""

    def __init__(self, *pairs):
        self.pid = os.fork()
        if self.pid == 0:
            os.setgid(FIRST)
            os.setuid(FIRST)
            while True:
                for a, b in pairs:
                    libc.renameat2(-100, os.fsencode(a), -100, os.fsencode(b), RENAME_EXCHANGE)

    def __enter__(self):
        return self

    def __exit__(self, *what):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def outside(root):
    """A directory of the host's that everybody can write to: whatever gets out would show here."""
    path = f'{root.tmp}/outside'
    shutil.rmtree(path, ignore_errors=True)
    os.mkdir(path)
    os.chmod(path, 0o777)
    return path


def planted(tree, name, target):
    """A link beside `name` in a tree, of the container root's."""
    os.symlink(target, f'{tree}/{name}')
    os.chown(f'{tree}/{name}', FIRST, FIRST, follow_symlinks=False)


def made(tree, name, mode=0o755):
    os.mkdir(f'{tree}/{name}', mode)
    os.chown(f'{tree}/{name}', FIRST, FIRST)


# --- races in the tree while it is mounted ------------------------------------------------------

@cases([('the destination of a bind is swapped for a link out (CVE-2021-30465)', 'x', '/x/deep/er'),
        ('a directory on its way is (CVE-2024-45310)', 'x', '/x/y/z')])
def _(root, name, destination):
    tree, beyond, source = rootfs(root), outside(root), f'{root.tmp}/source'
    os.makedirs(source, exist_ok=True)
    root.write(f'{source}/mark', 'mark')
    made(tree, name)
    planted(tree, 'link', '/' + '../' * 12 + beyond.lstrip('/'))
    statuses = set()
    with Swapper((f'{tree}/{name}', f'{tree}/link')):
        for _ in range(25):
            statuses.add(run(root, '--bind', f'{source}:{destination}', command=('true',), where=tree).code)
            assert os.listdir(beyond) == [], os.listdir(beyond)
    return f'statuses {sorted(statuses)}'


@cases([('/proc', 'proc', 'true'), ('/sys', 'sys', 'true'), ('/dev', 'dev', 'true'), ('/run', 'run', 'true')])
def _(root, name, look):
    """What the kernel's own paths are covered on is swapped for a link (CVE-2023-27561, CVE-2019-19921, CVE-2025-52881)."""
    tree, beyond = rootfs(root), outside(root)
    made(tree, name)
    made(tree, 'else')
    planted(tree, 'link', '/else')
    checks = 'test ! -s /proc/kcore && ! (echo x > /proc/sys/kernel/core_pattern) 2>/dev/null'
    statuses = set()
    with Swapper((f'{tree}/{name}', f'{tree}/link')):
        for _ in range(25):
            done = shell(root, f'{look}; {checks} && echo covered', where=tree)
            assert done.code == 125 or 'covered' in done.out, done
            statuses.add(done.code)
    assert os.listdir(beyond) == []
    return f'statuses {sorted(statuses)}'


@case('/dev/null and /dev/console of the tree are links, and swapped, when parts of /proc are covered (CVE-2025-31133, CVE-2025-52565)')
def _(root):
    tree, beyond = rootfs(root), outside(root)
    made(tree, 'dev')
    for name in ('null', 'console', 'ptmx', 'pts', 'tty', 'shm'):
        planted(tree, f'dev/{name}', '/proc/sys/kernel/core_pattern')
    script = ('test ! -s /proc/kcore; echo kcore=$?; cat /proc/keys /proc/timer_list; test -L /dev/null; echo link=$?; '
              '(echo x > /proc/sys/kernel/core_pattern); echo write=$?')
    for tty in ('yes', 'no'):
        done = shell(root, script, '--tty', tty, where=tree)
        assert [word for word in done.out.split() if '=' in word] == ['kcore=0', 'link=1', 'write=1'], done
    made(tree, 'dev2')
    with Swapper((f'{tree}/dev', f'{tree}/dev2')):
        for tty in ('yes', 'no') * 5:
            said = shell(root, script, '--tty', tty, where=tree).out.split()
            assert 'kcore=1' not in said and 'write=0' not in said, said
    assert os.listdir(beyond) == []


# --- what a process inside has ------------------------------------------------------------------

@cases([('its root', ()), ('another user', ('--uid', '1000', '--gid', '1000'))])
def _(root, who):
    """No inheritable capability, so that a file capability gives none (CVE-2022-24769, CVE-2022-27649, CVE-2022-27650, CVE-2022-29162)."""
    tree = rootfs(root)
    done = well(run(root, *who, command=('grep', '-E', 'Cap(Inh|Amb)', '/proc/self/status'), where=tree))
    assert [line.split()[1] for line in done.out.splitlines()] == ['0' * 16] * 2, done
    store = Store(root)
    store.make('web', IDLE)
    well(store.do('start', 'web'))
    done = well(store.do('exec', 'web', *(('--user', 'u') if who else ()), command=['grep', '-E', 'Cap(Inh|Amb)', '/proc/self/status']))
    assert [line.split()[1] for line in done.out.splitlines()] == ['0' * 16] * 2, done
    well(store.do('destroy', 'web', '--force'))


@case('the groups of a user are those of the image and no other: none of the caller\'s, the primary one first (CVE-2022-36109, CVE-2023-25173)')
def _(root):
    layer = busybox_layer(passwd='root:x:0:0::/root:/bin/sh\nweb:x:33:44::/:/bin/sh\n', group='root:x:0:\nweb:x:44:\nlog:x:4:web\n')
    store = Store(root)
    well(store.do('create', 'web', '--tar', image(root, {'User': 'web', 'Cmd': ['/bin/sh', '-c', 'grep -E "^(Gid|Groups)" /proc/self/status; echo over; sleep 1000']}, layer)))
    well(store.do('start', 'web'))
    lines = await_log(store, 'web', 'over').decode().split('\n')
    assert lines[0].split()[1:] == ['44'] * 4 and set(lines[1].split()[1:]) in ({'4'}, {'4', '44'}), lines
    done = well(store.do('exec', 'web', '--user', 'web', command=['grep', '-E', '^(Gid|Groups)', '/proc/self/status']))
    lines = done.out.split('\n')
    assert lines[0].split()[1:] == ['44'] * 4 and set(lines[1].split()[1:]) in ({'4'}, {'4', '44'}), lines
    well(store.do('destroy', 'web', '--force'))


@case('with the host\'s processes in sight their environments, memory and directories are closed (CVE-2021-3602)')
def _(root):
    done = shell(root, 'for p in /proc/[0-9]*; do grep -lz HOSTSECRET $p/environ; ls $p/root/ $p/cwd/ $p/fd/ ; head -c1 $p/mem; done 2>/dev/null | grep -v "^$" | head -50; echo over',
                 '--share', 'pid', '--clear-env', '--env', 'PATH', where=rootfs(root), env={'PATH': '/usr/bin:/bin', 'HOSTSECRET': 'HOSTSECRET'})
    seen = [line for line in well(done).out.splitlines() if 'environ' in line and line.startswith('/proc')]
    assert not seen and 'over' in done.out, done


@case('cgroups of the host cannot be written from inside, with or without a cgroup namespace, nor be mounted anew with a release_agent (CVE-2023-25809, CVE-2022-0492)')
def _(root):
    tree = rootfs(root)
    made(tree, 'mnt')
    for share in ((), ('--share', 'cgroup'), ('--share', 'net'), ('--share', 'cgroup,net')):
        done = shell(root, 'n=0; for f in $(ls -d /sys/fs/cgroup /sys/fs/cgroup/* /sys/fs/cgroup/*/* 2>/dev/null); do '
                           'mkdir $f/attack 2>/dev/null && { rmdir $f/attack; test -e $f/cgroup.procs && echo made in $f; }; '
                           'test -e $f/release_agent && (echo /x > $f/release_agent) 2>/dev/null && echo agent $f; done; '
                           'for c in memory pids rdma devices freezer; do mount -t cgroup -o $c none /mnt 2>/dev/null && '
                           '{ (echo /x > /mnt/release_agent) 2>/dev/null && echo agent by mount; umount /mnt; }; done; echo over', *share, where=tree)
        # A cgroup of the container's own, that its root may divide, has no agent and ends with it.
        lines = well(done).out.split('\n')
        assert 'over' in lines and not [line for line in lines if 'agent' in line], done
        if 'cgroup' in ','.join(share):
            assert not [line for line in lines if 'made in' in line], done


# --- what is run or read on the host ------------------------------------------------------------

@case('no program and no library of the container\'s is run by ps, exec, console, stop or info (CVE-2022-1227, CVE-2019-14271, CVE-2025-32463)')
def _(root):
    store = Store(root)
    directory = store.make('web', IDLE)
    tree = f'{root.tmp}/trees/web'
    for name in ('nsenter', 'ps', 'getent', 'login', 'tar', 'cat2'):
        root.write(f'{tree}/bin/{name}' if name not in ('ps',) else f'{tree}/bin/ps2', '#!/bin/sh\necho ran >> /ran\n', mode=0o755, owner=(FIRST, FIRST))
    os.makedirs(f'{tree}/lib/x86_64-linux-gnu')
    os.mkfifo(f'{tree}/etc/nsswitch.conf')  # who opens it waits for ever
    for name in ('libnss_files.so.2', 'libnss_evil.so.2', 'libc.so.6', 'ld-linux-x86-64.so.2'):
        os.mkfifo(f'{tree}/lib/x86_64-linux-gnu/{name}')
    well(store.do('start', 'web'))
    assert 'sleep 1000' in well(store.do('ps', 'web')).out
    assert well(store.do('exec', 'web', '--user', 'u', command=['id', '-u'])).out == '1000\n'
    well(store.do('exec', 'web', '--user', 'u', '--group-id', '5', command=['true']))
    for verb in ('info', 'list', 'logs'):
        well(store.do(verb, *(() if verb == 'list' else ('web',))))
    well(store.do('stop', 'web'))
    assert not os.path.exists(f'{tree}/ran') and os.path.isdir(directory)
    well(store.do('destroy', 'web', '--force'))


@cases([('a link to the host\'s', lambda layer: layer.link('etc/passwd', '/' + '../' * 9 + 'etc/passwd')),
        ('an absolute link to the host\'s', lambda layer: layer.link('etc/passwd', '/etc/passwd-host')),
        ('an endless file', lambda layer: layer.link('etc/passwd', '/dev/zero')),
        ('a file of /proc', lambda layer: layer.link('etc/passwd', '/proc/self/root/etc/passwd')),
        ('a fifo', lambda layer: layer.add('etc/passwd', type=b'6'))])
def _(root, plant):
    """The passwd file of an image is read in the image, if it is a file and short (CVE-2024-9676)."""
    store = Store(root)
    done = store.do('create', 'web', '--tar', image(root, {'User': 'alice'}, plant(busybox_layer())), timeout=20)
    fails(done, "'alice'", 'not in the passwd')


@case('a hook on the host gets nothing of the image\'s environment (CVE-2025-23266)')
def _(root):
    seen = f'{root.tmp}/hook-seen'
    root.write(f'{root.tmp}/hook', f'#!/bin/sh\nenv > {seen}\n', mode=0o755)
    store = Store(root)
    if os.path.exists(seen):
        os.unlink(seen)
    root.write(seen, '', mode=0o666)
    evil = {'LD_PRELOAD': '/tmp/evil.so', 'LD_AUDIT': '/tmp/evil.so', 'PATH': '/evil', 'BASH_ENV': '/evil', 'USERNS_NAME': 'evil'}
    well(store.do('create', 'web', '--tar', image(root, {'Env': [f'{k}={v}' for k, v in evil.items()], 'Cmd': ['/bin/true']}), '--hook', f'start={root.tmp}/hook',
                  '--hook', f'pre-start={root.tmp}/hook'))
    well(store.do('start', 'web', '--foreground'))
    with open(seen) as file:
        text = file.read()
    assert 'USERNS_NAME=web' in text and 'evil' not in text, text


@cases([(f'a command of an image that begins with {words[0]} is a command', words) for words in
        (['--bind', '/:/host', 'true'], ['--', '--map-self'], ['-c', 'true'], ['--rootfs=/'])])
def _(root, words):
    """Words of an image are never options of ours (CVE-2024-32462)."""
    store = Store(root)
    done = store.do('create', 'web', '--tar', image(root, {'Entrypoint': words[:1], 'Cmd': words[1:]}))
    well(done)
    config = well(store.do('config', 'web')).out
    assert 'bind' not in config.replace("--bind", '') and 'map-self =' not in config and 'rootfs =' not in config, config
    done = store.do('start', 'web', '--foreground')
    assert done.code in (126, 127) and words[0] in done.err, done
    well(store.do('destroy', 'web', '--force'))


@case('no socket of ours can be reached by a container that shares the host\'s network (CVE-2020-15257)')
def _(root):
    store = Store(root)
    store.make('web', IDLE, 'net = host')
    well(store.do('start', 'web'))
    with open('/proc/net/unix') as file:
        abstract = [line.split()[-1] for line in file if ' @' in line]
    assert not [name for name in abstract if 'userns' in name or 'web' in name or 'monitor' in name], abstract
    done = well(store.do('exec', 'web', command=['sh', '-c', 'grep " @" /proc/net/unix | grep -c userns; ls -d /mnt/home 2>/dev/null; echo over']))
    assert done.out.split() == ['0', 'over'], done
    well(store.do('destroy', 'web', '--force'))


@case('what exec and the console of a container print takes no memory of ours (CVE-2022-31030, CVE-2022-1708)')
def _(root):
    store = Store(root)
    store.make('web', 'command = sh -c "head -c 100000000 /dev/zero | tr \'\\\\\\\\0\' x; echo; echo over; sleep 1000"')
    well(store.do('start', 'web'))
    monitor = store.state('web')['monitor']['pid']
    done = store.do('exec', 'web', command=['sh', '-c', 'head -c 300000000 /dev/zero | wc -c; head -c 30000000 /dev/zero | tr "\\\\0" x | tail -c 10'],
                    rlimits={resource.RLIMIT_DATA: 64 << 20}, timeout=120)
    assert '300000000' in well(done).out, done
    with open(f'/proc/{monitor}/status') as file:
        peak = int(next(line for line in file if line.startswith('VmHWM')).split()[1])
    assert peak < 32 << 10, f'{peak} kB'
    well(store.do('destroy', 'web', '--force'))
    return f'{peak} kB'


@case('a setuid program in a container\'s tree is out of reach of the host\'s other users (CVE-2021-41091)')
def _(root):
    store = Store(root)
    layer = busybox_layer().add('bin/suid', b'#!/bin/sh\n', mode=0o4755)
    well(store.do('create', 'web', '--tar', image(root, {}, layer)))
    path = f'{store.path}/web/rootfs/bin/suid'
    assert os.stat(path).st_mode & 0o4000, 'the bit is there'
    done = root.run(['/bin/cat', path], root.bob)
    assert done.code != 0 and 'Permission denied' in done.err, done
    well(store.do('destroy', 'web', '--force'))


@case('a document of an image that is an index and a manifest at once is neither (CVE-2021-41190)')
def _(root):
    import json
    from rootfs_tree import Archive
    whole = Archive().add('oci-layout', b'{"imageLayoutVersion": "1.0.0"}')
    digest = 'sha256:' + 'a' * 64
    whole.add('index.json', json.dumps({'schemaVersion': 2, 'manifests': [{'digest': digest}], 'layers': [], 'config': {'digest': digest}}).encode())
    fails(Store(root).do('create', 'web', '--tar', whole.write(f'{root.tmp}/both.tar')), 'an index and a manifest')


@case('a start makes nothing in /tmp that another user could have made before (CVE-2019-12439)')
def _(root):
    if not shutil.which('strace'):
        skip('strace is not installed')
    home = f'{root.tmp}/home/alice'
    os.makedirs(home, exist_ok=True)
    os.chown(home, root.alice.uid, root.alice.gid)
    log = f'{home}/strace'
    subprocess.run(['setpriv', f'--reuid={root.alice.uid}', f'--regid={root.alice.gid}', '--clear-groups', 'strace', '-f', '-o', log, '-e', 'trace=%file',
                    root.program('userns-run'), '--map-self', '--overlay', '--', '/bin/true'], check=True, env={'PATH': '/usr/bin:/bin'}, cwd='/', capture_output=True)
    with open(log, errors='replace') as file:
        made = [line for line in file if '"/tmp' in line and ('O_CREAT' in line or 'mkdir' in line or 'mount(' in line)]
    assert not made, made


if __name__ == '__main__':
    main()
