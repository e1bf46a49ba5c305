"""userns-run: ids, namespaces, exit status, environment, rights."""

import json
import os
import re
import resource
import signal
import sys

sys.path.insert(0, os.path.dirname(__file__))
from container import FIRST, PYTHON, fails, rootfs, run, shell, start, well  # noqa: E402
from harness import case, cases, main, skip, wait_for  # noqa: E402


# --- ids ------------------------------------------------------------------------------------

def maps_inside(root, *args, **how):
    done = well(run(root, *args, command=('cat', '/proc/self/uid_map', '/proc/self/gid_map', '/proc/self/setgroups'), **how))
    lines = done.out.split('\n')
    rows = [tuple(int(w) for w in line.split()) for line in lines if line and line[0] in ' 0123456789']
    return rows, lines[-2]


@case('auto maps the first 65536 delegated ids and makes the first of them root')
def _(root):
    root.subuid('alice:300000:10\nalice:100000:131072\n')
    assert maps_inside(root) == ([(0, 100000, 65536), (0, 100000, 65536)], 'allow')


@case('auto takes what there is where less than a block is delegated, from several ranges')
def _(root):
    root.subuid('alice:100000:1000\nalice:300000:50\n')
    root.subgid('alice:400000:7\n')
    assert maps_inside(root)[0] == [(0, 100000, 1000), (1000, 300000, 50), (0, 400000, 7)]


@case('auto without delegated ids says what to do and falls back to nothing')
def _(root):
    fails(run(root, user=root.carol), 'carol has no subordinate ids in /etc/subuid', 'userns-policy grant carol --ids 65536', '--map-self')


@case('auto with uids but no gids names /etc/subgid')
def _(root):
    root.subgid('')
    fails(run(root), 'no subordinate ids in /etc/subgid')


@case('--map-self needs no helper: the caller is root, setgroups is denied')
def _(root):
    os.rename(root.newuidmap, root.newuidmap + '.away')
    try:
        rows = [(0, root.carol.uid, 1), (0, root.carol.gid, 1)]
        assert maps_inside(root, '--map-self', user=root.carol) == (rows, 'deny')
    finally:
        os.rename(root.newuidmap + '.away', root.newuidmap)


@case('--map by hand gives exactly these extents')
def _(root):
    rows, _ = maps_inside(root, '--map', 'b:0:100000:1', '--map', f'u:1000:{root.alice.uid}:1', '--map', f'g:1000:{root.alice.gid}:1')
    assert rows == [(0, 100000, 1), (1000, root.alice.uid, 1), (0, 100000, 1), (1000, root.alice.gid, 1)]


@case('uids and gids can be mapped differently')
def _(root):
    rows, _ = maps_inside(root, '--map', 'u:0:100000:5', '--map', 'g:0:100500:9')
    assert rows == [(0, 100000, 5), (0, 100500, 9)]


@case('a refused range is told in the helper\'s own words, and nothing is left')
def _(root):
    fails(run(root, '--map', 'b:0:200000:10'), 'newuidmap: uid range [0-10) -> [200000-200010) not allowed', 'alice has [100000-165536)')


@case('overlapping maps are refused before anything is started')
def _(root):
    fails(run(root, '--map', 'b:0:100000:10', '--map', 'b:5:100100:10'), 'overlap')


@case('the command can be another user inside, with groups')
def _(root):
    done = well(run(root, '--uid', 1000, '--gid', 100, '--groups', '5,27', command=('id',)))
    assert re.match(r'uid=1000\S* gid=100\S* groups=100\S*,5\S*,27', done.out), done


@case('the caller\'s own groups do not go in where setgroups is allowed')
def _(root):
    member = root.alice.but(groups=[4, 24])
    done = well(run(root, command=('sh', '-c', 'grep Groups /proc/self/status'), user=member))
    assert done.out.split() == ['Groups:'], done


@case('--groups with a gid map of one\'s own id alone says why it can\'t be')
def _(root):
    fails(run(root, '--map-self', '--groups', '0', user=root.carol), '--groups', 'setgroups(2)')


@case('a uid that is not mapped inside is refused with what is mapped')
def _(root):
    fails(run(root, '--uid', 70000), 'uid 70000 does not exist inside ([0-65536) are mapped)')


@case('a file is given to a subordinate uid and taken back')
def _(root):
    home = f'{root.tmp}/home/alice'
    root.write(f'{home}/foo', 'x', owner=(root.alice.uid, root.alice.gid))
    by_hand = ('--map', 'b:0:100000:1', '--map', f'u:1000:{root.alice.uid}:1', '--map', f'g:1000:{root.alice.gid}:1')
    well(run(root, *by_hand, command=('chown', '0', 'foo'), cwd=home))
    assert os.stat(f'{home}/foo').st_uid == 100000
    well(run(root, *by_hand, command=('chown', '1000', 'foo'), cwd=home))
    assert os.stat(f'{home}/foo').st_uid == root.alice.uid


@case('real root maps directly, without subids, what it names')
def _(root):
    from harness import ROOT
    done = well(run(root, '--map', 'b:0:500000:10', command=('cat', '/proc/self/uid_map'), user=ROOT))
    assert done.out.split() == ['0', '500000', '10'], done


@case('real root without subids is told, too, instead of becoming the host\'s root inside')
def _(root):
    from harness import ROOT
    fails(run(root, user=ROOT), 'root has no subordinate ids')


@case('containers nest: three levels, each with all its ids')
def _(root):
    program = root.program('userns-run')
    done = well(run(root, command=(program, '--', program, '--', 'sh', '-c', 'id -u; cat /proc/self/uid_map; echo $$')))
    assert done.out.split() == ['0', '0', '0', '65536', '1'], done


@case('containers nest in a root file system with the default filter')
def _(root):
    where = rootfs(root)
    inner = rootfs(root, 'rootfs/inner')
    assert inner
    import shutil
    shutil.copy(root.program('userns-run'), f'{where}/bin/userns-run')
    for library in ('/lib64/ld-linux-x86-64.so.2', '/lib/x86_64-linux-gnu/libc.so.6', '/lib/x86_64-linux-gnu/libcap.so.2', '/lib/x86_64-linux-gnu/libm.so.6',
                    '/usr/lib/x86_64-linux-gnu/libmnl.so.0'):
        if os.path.exists(library):
            os.makedirs(os.path.dirname(where + library), exist_ok=True)
            shutil.copy(os.path.realpath(library), where + library)
    done = well(run(root, '--nesting', command=('userns-run', '--rootfs', '/inner', '--', 'sh', '-c', 'id -u; ls /inner; ps | wc -l'), where=where), 0)
    assert done.out.split()[0] == '0' and 'inner' not in done.out, done


# --- namespaces -----------------------------------------------------------------------------

@cases([(f'the {name} namespace is a new one, and the caller\'s with --share', name, share)
        for name, share in (('mnt', 'mount'), ('pid', 'pid'), ('ipc', 'ipc'), ('uts', 'uts'), ('net', 'net'), ('cgroup', 'cgroup'))])
def _(root, name, share):
    own = os.readlink(f'/proc/self/ns/{name}')
    assert well(run(root, command=('readlink', f'/proc/self/ns/{name}'))).out.strip() != own
    assert well(run(root, '--share', share, command=('readlink', f'/proc/self/ns/{name}'))).out.strip() == own


@case('a time namespace is made where it is asked for')
def _(root):
    done = well(run(root, '--unshare', 'all', command=('readlink', '/proc/self/ns/time')))
    assert done.out.strip() != os.readlink('/proc/self/ns/time')


@case('the loopback interface is up in a network namespace of its own')
def _(root):
    done = well(run(root, command=('cat', '/proc/net/if_inet6', '/proc/net/fib_trie')))
    assert '127.0.0.1' in done.out, done


@case('root inside makes network interfaces')
def _(root):
    if not os.path.exists('/sbin/ip') and not os.path.exists('/usr/sbin/ip'):
        skip('iproute2 is not installed')
    done = well(shell(root, 'ip link add v0 type veth peer name v1 && ip -o link | wc -l'))
    assert int(done.out) >= 3, done


@case('the host name is the container\'s own')
def _(root):
    assert well(run(root, '--hostname', 'box', command=('hostname',))).out == 'box\n'
    assert os.uname().nodename != 'box'


# --- exit status ----------------------------------------------------------------------------

@cases([('the command\'s exit status is handed on', 'exit 7', 7),
        ('a command below --init that a signal ends gives 128 and its number', 'INIT kill -9 $$', 137),
        ('a crash of process 1 gives 128 and its number', 'SEGV', 139)])
def _(root, script, code):
    if script == 'SEGV':
        done = run(root, command=(PYTHON, '-c', 'import ctypes; ctypes.string_at(1)'))
    elif script.startswith('INIT '):
        done = shell(root, script[5:], '--init')
    else:
        done = shell(root, script)
    well(done, code)


@case('a command that is not there gives 127 and says so')
def _(root):
    fails(run(root, command=('no-such-command',)), "cannot run 'no-such-command'", 'No such file', code=127)
    fails(run(root, command=('/no/such',)), "cannot run '/no/such'", code=127)


@case('a PATH with a closed directory does not turn "not found" into "denied"')
def _(root):
    closed = f'{root.tmp}/closed'
    os.makedirs(closed, mode=0o700, exist_ok=True)
    os.chmod(closed, 0o700)
    env = {'PATH': f'{closed}:/usr/bin:/bin'}
    fails(run(root, command=('no-such-command',), env=env), code=127)


@case('a command that can\'t be executed gives 126 and says so')
def _(root):
    fails(run(root, command=('/etc/passwd',)), "cannot run '/etc/passwd'", 'Permission denied', code=126)


@case('a script with a missing interpreter is told apart from a missing script')
def _(root):
    root.write(f'{root.tmp}/script', '#!/no/interpreter\n', mode=0o755)
    fails(run(root, command=(f'{root.tmp}/script',)), 'interpreter', code=127)


# --- environment ----------------------------------------------------------------------------

def environment(done):
    return dict(line.split('=', 1) for line in well(done).out.splitlines())


@case('the caller\'s environment goes in, with what --env sets')
def _(root):
    env = {'PATH': '/usr/bin:/bin', 'A': '1', 'B': '2'}
    got = environment(run(root, '--env', 'B=3', '--env', 'C=x=y', command=('env',), env=env))
    assert got['A'] == '1' and got['B'] == '3' and got['C'] == 'x=y' and got['container'] == 'userns', got


@case('--clear-env leaves only what is named')
def _(root):
    env = {'PATH': '/usr/bin:/bin', 'A': '1', 'B': '2'}
    got = environment(run(root, '--clear-env', '--env', 'B', '--env', 'D=4', command=('/usr/bin/env',), env=env))
    got.pop('_', None)
    assert got == {'B': '2', 'D': '4'}, got


@case('in a root file system the environment is clean: nothing of the caller\'s goes in but TERM and what --env names')
def _(root):
    where = rootfs(root)
    env = {'PATH': '/bin', 'HOME': '/home/alice', 'USER': 'alice', 'SHELL': '/bin/zsh', 'AWS_SECRET': 'x', 'TERM': 'vt220', 'LANG': 'xx', 'B': '2'}
    clean = {'PATH': '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'TERM': 'vt220', 'LANG': 'C.UTF-8', 'container': 'userns'}
    own = ('SHLVL', 'PWD', '_')

    def got(*args):
        found = environment(run(root, *args, command=('env',), env=env, where=where))
        return {name: value for name, value in found.items() if name not in own}
    assert got() == clean | {'HOME': '/root', 'USER': 'root', 'LOGNAME': 'root'}, got()
    assert got('--uid', 1000, '--gid', 1000, '--env', 'B', '--env', 'C=3') == clean | {'HOME': '/home/u', 'USER': 'u', 'LOGNAME': 'u', 'B': '2', 'C': '3'}
    assert got('--overlay') == clean | {'HOME': '/root', 'USER': 'root', 'LOGNAME': 'root'}
    os.makedirs(f'{where}/usr/sbin')
    os.rename(f'{where}/bin/hostname', f'{where}/usr/sbin/hostname')
    os.unlink(f'{where}/usr/sbin/hostname')
    os.symlink('/bin/busybox', f'{where}/usr/sbin/hostname')
    well(run(root, command=('hostname',), env={'PATH': '/bin'}, where=where))


@case('--cwd is entered inside, and a missing one is told')
def _(root):
    where = rootfs(root)
    assert well(run(root, '--cwd', '/home/u', command=('pwd',), where=where)).out == '/home/u\n'
    fails(run(root, '--cwd', '/nowhere', where=where), "cannot enter --cwd '/nowhere'")


@cases([(f'started in a home that only its owner may enter, a command begins in {place}{" with " if args else ""}{" ".join(args)}', args, place)
        for args, place in (((), '/'), (('--init',), '/'), (('--overlay',), '/'), (('--tmpfs', '/mnt'), '/'), (('--share', 'net'), '/'),
                            (('--map-self',), 'it'), (('--map-self', '--tmpfs', '/mnt'), 'it'))])
def _(root, args, place):
    home = os.path.join(root.tmp, 'home', 'alice')
    os.chmod(home, 0o700)
    done = well(run(root, *args, command=('/bin/sh', '-c', 'pwd; ls >/dev/null'), cwd=home))
    assert done.out == {'/': '/\n', 'it': home + '\n'}[place], done


@cases([(f'umask and signal mask are the caller\'s own {how}', args) for how, args in (('', ()), ('below --init', ('--init',)))])
def _(root, args):
    script = 'import os, signal; print(oct(os.umask(0)), [int(s) for s in signal.pthread_sigmask(signal.SIG_BLOCK, [])])'
    done = well(run(root, *args, command=(PYTHON, '-c', script), umask=0o027, block=(signal.SIGUSR1,)))
    assert done.out == f'0o27 [{int(signal.SIGUSR1)}]\n', done


@case('no file descriptor of the caller\'s but 0, 1 and 2 goes in')
def _(root):
    fd = os.open('/', os.O_RDONLY)
    done = well(run(root, command=(PYTHON, '-c', 'import os; print(sorted(map(int, os.listdir("/proc/self/fd")))[:3], len(os.listdir("/proc/self/fd")))'), fds={9: fd}))
    os.close(fd)
    assert done.out == '[0, 1, 2] 4\n', done  # the fourth is the listing itself


@cases([(f'closed standard fds ({closed}) are no place for a pipe of ours', closed) for closed in ((0,), (0, 1), (0, 1, 2), (2,))])
def _(root, closed):
    path = f'{root.tmp}/home/alice/fds'
    os.chmod(f'{root.tmp}/home/alice', 0o755)
    root.write(path, '', mode=0o666)
    script = 'import os; print([os.readlink(f"/proc/self/fd/{n}") for n in range(3)], file=open("' + path + '", "w"))'
    assert run(root, command=(PYTHON, '-c', script), closed=closed).code == 0
    fds = eval(open(path).read())
    assert all(fds[number] == '/dev/null' for number in closed) and 'socket' not in repr(fds), fds


# --- rights ---------------------------------------------------------------------------------

def status_line(root, key, *args, **how):
    done = well(run(root, *args, command=('grep', f'^{key}:', '/proc/self/status'), **how))
    return done.out.split()[1]


@case('--cap-drop takes capabilities from root for good')
def _(root):
    bits = int(status_line(root, 'CapEff', '--cap-drop', 'net_admin,sys_admin'), 16)
    assert not bits >> 12 & 1 and not bits >> 21 & 1 and bits >> 0 & 1
    assert int(status_line(root, 'CapBnd', '--cap-drop', 'net_admin'), 16) >> 12 & 1 == 0


@case('--cap-keep leaves nothing else, for root and for other users')
def _(root):
    assert int(status_line(root, 'CapEff', '--cap-keep', 'chown'), 16) == 1
    assert int(status_line(root, 'CapEff', '--cap-keep', 'chown', '--uid', 1000), 16) == 1
    assert int(status_line(root, 'CapEff', '--cap-keep', 'none'), 16) == 0


@case('a command that is not root has no capability')
def _(root):
    assert int(status_line(root, 'CapEff', '--uid', 1000), 16) == 0


@case('--no-new-privs is set')
def _(root):
    assert status_line(root, 'NoNewPrivs') == '0'
    assert status_line(root, 'NoNewPrivs', '--no-new-privs') == '1'


@case('--rlimit sets soft and hard limit')
def _(root):
    done = well(shell(root, 'ulimit -Sn; ulimit -Hn', '--rlimit', 'nofile=64:128'))
    assert done.out.split() == ['64', '128'], done


@case('a limit above the caller\'s hard limit is refused')
def _(root):
    fails(run(root, '--rlimit', 'nofile=5000', rlimits={resource.RLIMIT_NOFILE: 1024}), 'hard limit')


PROBE = '''
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *args):
    return 0 if libc.syscall(number, *args) >= 0 else ctypes.get_errno()
name, numbers = sys.argv[1], [int(n) for n in sys.argv[2].split(',')]
print(*[errno.errorcode.get(call(n, 0, 0, 0, 0, 0), '0') for n in numbers])
'''
# bpf perf_event_open userfaultfd io_uring_setup keyctl add_key open_by_handle_at kexec_load init_module syslog
NUMBERS = '321,298,323,425,250,248,304,246,175,103'


@case('the default filter blocks what it says and leaves the rest')
def _(root):
    done = well(run(root, command=(PYTHON, '-c', PROBE, 'x', NUMBERS)))
    assert done.out.split() == ['EPERM', 'EPERM', 'ENOSYS', 'ENOSYS', 'ENOSYS', 'ENOSYS', 'EPERM', 'EPERM', 'EPERM', 'EPERM'], done
    assert status_line(root, 'Seccomp') == '2'
    assert status_line(root, 'Seccomp', '--seccomp', 'none') == '0'


@case('without the filter io_uring and keyrings answer for themselves')
def _(root):
    done = well(run(root, '--seccomp', 'none', command=(PYTHON, '-c', PROBE, 'x', '425,250')))
    assert done.out.split() != ['ENOSYS', 'ENOSYS'], done


@cases([('typing into a terminal is blocked by the filter (TIOCSTI)', '0x5412'), ('so is pasting into a console (TIOCLINUX, CVE-2023-28100)', '0x541c')])
def _(root, call):
    script = f'import fcntl,os\nm,s=os.openpty()\ntry: fcntl.ioctl(s,{call},b"\\x03"); print("typed")\nexcept OSError as e: print(e.errno)'
    assert well(run(root, '--init', command=(PYTHON, '-c', script))).out == '1\n'


# --- what others can read -------------------------------------------------------------------

@case('--info-fd tells pid, maps and namespaces')
def _(root):
    read, write = os.pipe()
    child = start(root, '--info-fd', 7, command=('sleep', '30'), fds={7: write})
    os.close(write)
    with os.fdopen(read) as file:
        info = json.loads(file.readline())
    pid = info['pid']
    assert info['uid_map'] == [{'inside': 0, 'outside': FIRST, 'count': 65536}], info
    for name in ('user', 'mnt', 'pid', 'net', 'ipc', 'uts', 'cgroup'):
        inode = int(re.search(r'\d+', os.readlink(f'/proc/{pid}/ns/{name}'))[0])
        assert info['namespaces'][name] == {'id': inode, 'own': True}, (name, info)
    assert info['namespaces']['time']['own'] is False, info
    child.kill(signal.SIGTERM)
    assert child.wait().code == 143


@case('--pid-file holds the pid while the command runs and goes with it')
def _(root):
    path = f'{root.tmp}/home/alice/pid'
    child = start(root, '--pid-file', path, command=('sleep', '30'))
    wait_for(lambda: os.path.exists(path) and open(path).read().endswith('\n'), 'the pid file')
    with open(path) as file:
        pid = int(file.read())
    assert os.path.exists(f'/proc/{pid}/root')
    child.kill(signal.SIGTERM)
    child.wait()
    assert not os.path.exists(path)


@case('--pid-file never writes through a file that is there')
def _(root):
    path = f'{root.tmp}/home/alice/precious'
    root.write(path, 'precious', owner=(root.alice.uid, root.alice.gid))
    fails(run(root, '--pid-file', path), 'cannot make the pid file')
    assert open(path).read() == 'precious'


@case('--dry-run prints the plan and starts nothing')
def _(root):
    done = well(run(root, '--dry-run', command=('touch', f'{root.tmp}/home/alice/touched')))
    for piece in ('[0-65536) -> [100000-165536)', 'newuidmap', 'namespaces', 'mount', 'seccomp'):
        assert piece in done.out, (piece, done)
    assert not os.path.exists(f'{root.tmp}/home/alice/touched')


# --- in another one's user namespace --------------------------------------------------------

@cases([('where setgroups is denied already (unshare -r)', ['/usr/bin/unshare', '-r'], ['--map-self']),
        ('under bubblewrap', ['/usr/bin/bwrap', '--dev-bind', '/', '/', '--unshare-user'], ['--map-self']),
        ('in a container of the caller alone, with auto', ['userns-run', '--map-self', '--'], []),
        ('in a container of the caller alone, with --map-self', ['userns-run', '--map-self', '--'], ['--map-self'])])
def _(root, outer, args):
    if not os.path.exists(root.program('userns-run') if outer[0] == 'userns-run' else outer[0]):
        skip(f'{outer[0]} is not installed')
    words = [root.program(word) if word == 'userns-run' else word for word in outer]
    done = well(root.run([*words, root.program('userns-run'), *args, '--', 'id', '-u'], root.alice))
    assert done.out == '0\n', done


@case('a range over two pieces of the outer container is mapped in two')
def _(root):
    outer = ('--map', 'b:0:100000:1000', '--map', 'b:1000:120000:1000')
    inner = (root.program('userns-run'), '--map', 'b:0:0:2000', '--', 'cat', '/proc/self/uid_map', '/proc/self/gid_map')
    done = well(run(root, *outer, command=inner))
    assert [line.split() for line in done.out.splitlines()] == [['0', '0', '1000'], ['1000', '1000', '1000']] * 2, done
    fails(run(root, *outer, command=(*inner[:2], 'b:0:0:2001', *inner[3:])))


# --- capabilities of a system that is booted ------------------------------------------------

@case('a booted system keeps CAP_AUDIT_WRITE, and with --cap-keep exactly what that names')
def _(root):
    where = rootfs(root)
    root.write(f'{where}/init', '#!/bin/sh\ngrep CapBnd /proc/self/status\nexit 0\n', 0o755, (FIRST, FIRST))

    def bounding(*args):
        done = run(root, '--boot', '--cgroup', 'none', *args, command=('/init',), where=where, stdin=os.open('/dev/null', os.O_RDONLY))
        return int(re.search(r'CapBnd:\s+(\w+)', done.out)[1], 16)
    has = bounding()
    assert has >> 29 & 1 and not has >> 30 & 1 and not has >> 16 & 1, hex(has)  # audit_write, audit_control, sys_module
    assert bounding('--cap-keep', 'audit_control,sys_module,sys_admin') == 1 << 30 | 1 << 16 | 1 << 21


main()
