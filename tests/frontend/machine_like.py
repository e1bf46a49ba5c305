#!/usr/bin/env python3
"""What the system inside finds set up: names, resolvers, kernel settings, memory files, time zone, umask, ids and groups."""

import os
import shutil
import stat
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from container import FIRST, PYTHON, fails, give, rootfs, run, shell, well  # noqa: E402
from distro import SYSTEMD, unpack  # noqa: E402
from named import IDLE, Store, await_log  # noqa: E402
from harness import MS_BIND, MS_REC, case, cases, main, mount, skip, umount  # noqa: E402

MARK = '# userns-run'


def put(where, path, text):
    os.makedirs(os.path.dirname(f'{where}/{path}'), exist_ok=True)
    with open(f'{where}/{path}', 'w') as file:
        file.write(text)
    os.lchown(f'{where}/{path}', FIRST, FIRST)


def read(path):
    with open(path) as file:
        return file.read()


def hosts(text):
    """{name: first address} as the files source of nsswitch has it, without IPv6."""
    found = {}
    for line in text.splitlines():
        words = line.split('#')[0].split()
        for name in words[1:]:
            if ':' not in words[0]:
                found.setdefault(name, words[0])
    return found


# --- /etc/hosts ---------------------------------------------------------------------------------

@case('/etc/hosts: localhost and its own name, in a tree that has none; a second start changes nothing')
def _(root):
    where = rootfs(root)
    done = well(shell(root, 'cat /etc/hosts; hostname', '--hostname=box', where=where))
    assert hosts(done.out) == {'localhost': '127.0.0.1', 'box': '127.0.1.1'} and '::1\tlocalhost' in done.out, done
    before = os.stat(f'{where}/etc/hosts')
    assert before.st_uid == FIRST and stat.S_IMODE(before.st_mode) == 0o644, before
    well(shell(root, 'true', '--hostname=box', where=where))
    assert os.stat(f'{where}/etc/hosts').st_ino == before.st_ino
    well(shell(root, 'true', '--hostname=other', where=where))
    assert hosts(read(f'{where}/etc/hosts')) == {'localhost': '127.0.0.1', 'other': '127.0.1.1'}
    assert sorted(os.listdir(f'{where}/etc')) == ['hosts', 'passwd']


@case('/etc/hosts: what the user wrote stays and counts; --add-host comes first, and goes when it is no longer asked for')
def _(root):
    where = rootfs(root)
    mine = '# mine\n127.0.0.1 localhost\n10.1.1.1 db box\n'
    put(where, 'etc/hosts', mine)
    well(shell(root, 'true', '--hostname=box', where=where))
    assert read(f'{where}/etc/hosts') == mine
    done = well(shell(root, 'cat /etc/hosts', '--hostname=box', '--add-host=db:10.9.9.9', '--add-host=six:[fd00::7]', where=where))
    assert hosts(done.out) == {'localhost': '127.0.0.1', 'db': '10.9.9.9', 'box': '10.1.1.1'} and mine in done.out, done
    assert 'fd00::7\tsix' in done.out
    well(shell(root, 'echo 10.3.3.3 inside >> /etc/hosts', '--hostname=box', where=where))
    assert read(f'{where}/etc/hosts') == mine + '10.3.3.3 inside\n'
    for bad in ('db', 'db:', 'db:10.0.0.999', 'a b:10.0.0.1'):
        fails(shell(root, 'true', '--add-host', bad, where=where), '--add-host')
    fails(shell(root, 'true', '--add-host=db:10.0.0.1'), '--rootfs')


@case('/etc/hosts: a read-only tree has it for the run; a link and a bind of the caller\'s are left alone')
def _(root):
    where = rootfs(root)
    well(shell(root, 'true', where=where))  # which makes the places of mounts
    put(where, 'etc/hosts', '10.1.1.1 db\n')
    done = well(shell(root, 'cat /etc/hosts; ls -A /run', '--read-only', '--hostname=box', where=where))
    assert hosts(done.out) == {'db': '10.1.1.1', 'localhost': '127.0.0.1', 'box': '127.0.1.1'}, done
    assert read(f'{where}/etc/hosts') == '10.1.1.1 db\n'
    root.write(f'{root.tmp}/home/alice/hosts', '10.5.5.5 bound\n')
    done = well(shell(root, 'cat /etc/hosts', f'--bind={root.tmp}/home/alice/hosts:/etc/hosts', where=where))
    assert done.out == '10.5.5.5 bound\n' and read(f'{root.tmp}/home/alice/hosts') == '10.5.5.5 bound\n'
    os.rename(f'{where}/etc/hosts', f'{where}/etc/other')
    os.symlink('/etc/other', f'{where}/etc/hosts')
    well(shell(root, 'true', where=where))
    assert os.readlink(f'{where}/etc/hosts') == '/etc/other' and read(f'{where}/etc/other') == '10.1.1.1 db\n'


@case('/etc/hosts of a read-only tree: a directory of the caller\'s on /run keeps its own files')
def _(root):
    where = rootfs(root)
    well(shell(root, 'true', where=where))  # which makes the places of mounts
    put(where, 'etc/hosts', '10.1.1.1 db\n')
    own = f'{root.tmp}/home/alice/run'
    os.makedirs(own, exist_ok=True)
    root.write(f'{own}/hosts', 'mine\n')
    give(own, FIRST)
    done = well(shell(root, 'cat /etc/hosts', '--read-only', '--hostname=box', f'--bind={own}:/run', where=where))
    assert hosts(done.out)['box'] == '127.0.1.1', done
    assert os.listdir(own) == ['hosts'] and read(f'{own}/hosts') == 'mine\n', os.listdir(own)


@case('/etc/hosts: an --add-host that cannot be told is said, whatever root inside has put in its place')
def _(root):
    where = rootfs(root)
    hosts_file, words = f'{where}/etc/hosts', ('--add-host=db:10.9.9.9', '--hostname=box')

    def refused(*more):
        fails(shell(root, 'true', *words, *more, where=where), '--add-host', '/etc/hosts')

    os.symlink('/tmp/x', hosts_file)
    refused()
    os.unlink(hosts_file)
    os.mkdir(hosts_file)
    refused()
    os.rmdir(hosts_file)
    put(where, 'etc/hosts', 'x' * (2 << 20))
    refused()
    put(where, 'etc/hosts', '')
    refused('--tmpfs=/etc')
    os.rename(f'{where}/etc', f'{where}/other')
    refused()
    well(shell(root, 'true', '--hostname=box', where=where))


@case('--rootfs / by root: the machine\'s own hosts file, host name and time zone stay as they are')
def _(root):
    copy, other = f'{root.tmp}/etc-of-the-host', f'{root.tmp}/host-again'
    shutil.copytree('/etc', copy, symlinks=True)
    mount(copy, '/etc', None, MS_BIND)  # in this test's own mount namespace
    os.makedirs(other)
    mount('/', other, None, MS_BIND | MS_REC)
    try:
        for name in ('hosts', 'hostname', 'localtime'):
            if os.path.lexists(f'/etc/{name}'):
                os.unlink(f'/etc/{name}')
        root.write('/etc/hosts', '127.0.0.1 localhost\n')
        root.write('/etc/hostname', 'machine\n')
        os.symlink('/usr/share/zoneinfo/Etc/UTC', '/etc/localtime')
        for where in ('/', other):
            words = [root.program('userns-run'), f'--rootfs={where}', '--map=b:0:0:65536', '--hostname=box']
            done = subprocess.run([*words, '--', 'cat', '/etc/hosts'], capture_output=True, text=True, timeout=30, check=False)
            assert done.returncode == 0 and (where == other or '127.0.1.1\tbox' in done.stdout), done
            done = subprocess.run([*words, '--tz=Europe/Berlin', '--', 'true'], capture_output=True, text=True, timeout=30, check=False)
            assert done.returncode == 125 and '/etc/localtime' in done.stderr, done
            assert read('/etc/hosts') == '127.0.0.1 localhost\n' and read('/etc/hostname') == 'machine\n'
            assert os.readlink('/etc/localtime') == '/usr/share/zoneinfo/Etc/UTC'
    finally:
        umount(other)
        umount('/etc')


@case('Debian: getent and sudo find localhost and the host name')
def _(root):
    where = unpack(root, SYSTEMD)
    os.unlink(f'{where}/etc/hosts')
    script = 'getent hosts localhost box; su joe -c "sudo -n true"'
    done = well(shell(root, script, '--hostname=box', where=where, timeout=60))
    assert 'localhost' in done.out and '127.0.1.1' in done.out and 'unable to resolve' not in done.err, done


# --- resolvers ----------------------------------------------------------------------------------

@case('resolv.conf: a link into a /run that is not there yet is not an obstacle; what is in the way otherwise is named')
def _(root):
    where = rootfs(root)
    root.write('/etc/resolv.conf', 'nameserver 198.51.100.53\n')
    os.symlink('../run/systemd/resolve/stub-resolv.conf', f'{where}/etc/resolv.conf')
    done = well(shell(root, 'cat /etc/resolv.conf', '--net=host', where=where))
    assert done.out == 'nameserver 198.51.100.53\n' and done.err == '', done
    for target in ('/var/run/r.conf', '/elsewhere/deep/r.conf'):
        os.unlink(f'{where}/etc/resolv.conf')
        os.symlink(target, f'{where}/etc/resolv.conf')
        os.makedirs(f'{where}/var', exist_ok=True)
        if not os.path.lexists(f'{where}/var/run'):
            os.symlink('/run', f'{where}/var/run')
        give(f'{where}/var', FIRST)
        give(f'{where}/etc', FIRST)
        assert well(shell(root, 'cat /etc/resolv.conf', '--net=host', where=where)).out == 'nameserver 198.51.100.53\n', target
    os.unlink(f'{where}/etc/resolv.conf')
    os.mkdir(f'{where}/etc/resolv.conf')
    give(f'{where}/etc', FIRST)
    done = well(shell(root, 'true', '--net=host', where=where))
    assert 'no name may resolve inside' in done.err and '/etc/resolv.conf' in done.err, done


@case('resolv.conf: resolvers on the loopback of the host are said to be out of reach')
def _(root):
    where = rootfs(root)
    root.write('/etc/resolv.conf', 'nameserver 127.0.0.53\n')
    done = well(run(root, '--dry-run', '--net=user', where=where))
    on_resolved = os.path.exists('/run/systemd/resolve/resolv.conf')
    assert on_resolved or 'no name will resolve inside' in done.out, done
    assert 'no name' not in well(run(root, '--dry-run', '--net=host', where=where)).out


# --- kernel settings ----------------------------------------------------------------------------

@case('every user of the container may ping; --sysctl sets what belongs to its namespaces')
def _(root):
    ping = 'import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP); print("may ping")'
    assert well(run(root, '--uid=1000', '--gid=1000', command=(PYTHON, '-c', ping))).out == 'may ping\n'
    low = 'import socket; socket.create_server(("127.0.0.1", 80)); print("listens")'
    assert 'denied' in run(root, '--uid=1000', '--gid=1000', command=(PYTHON, '-c', low)).err
    done = well(run(root, '--uid=1000', '--gid=1000', '--sysctl=net.ipv4.ip_unprivileged_port_start=0', command=(PYTHON, '-c', low)))
    assert done.out == 'listens\n'
    done = well(shell(root, 'cat /proc/sys/kernel/msgmax /proc/sys/fs/mqueue/msg_max /proc/sys/net/ipv4/conf/lo/forwarding',
                      '--sysctl=kernel.msgmax=12345', '--sysctl=fs.mqueue.msg_max=17', '--sysctl=net.ipv4.conf.lo.forwarding=1', where=rootfs(root)))
    assert done.out.split() == ['12345', '17', '1'], done


@cases([(f'--sysctl {words[0]} {" ".join(words[1:])}: refused', words, piece) for words, piece in (
    (('kernel.panic=1',), 'whole machine'), (('vm.swappiness=1',), 'whole machine'), (('kernel.core_pattern=|/x',), 'whole machine'),
    (('kernel.hostname=x',), '--hostname'), (('net.ipv4.ip_forward',), 'NAME=VALUE'), (('net..x=1',), 'not the name'),
    (('net.ipv4/../../kernel.panic=1',), 'not the name'), (('net.ipv4.none_such=1',), 'no such setting'),
    (('net.ipv4.ip_forward=1', '--share=net'), 'shared'), (('kernel.shmmax=1', '--share=ipc'), 'shared'))])
def _(root, words, piece):
    fails(run(root, '--sysctl', *words), '--sysctl', piece)


# --- memory files -------------------------------------------------------------------------------

@case('--shm-size and --tmpfs with settings: sizes, modes, noexec, read-only; /tmp is replaced, not covered')
def _(root):
    script = ('stat -c %a /srv /tmp; grep -E " /(srv|tmp|dev/shm|ro) " /proc/mounts; cp /bin/busybox /srv/x; /srv/x true || echo no exec; '
              'touch /ro/x || echo read-only; dd if=/dev/zero of=/tmp/f bs=1M count=3 2>/dev/null || echo full')
    done = well(shell(root, script, '--shm-size=4M', '--tmpfs=/srv:size=8M,mode=0711,noexec', '--tmpfs=/tmp:size=2M', '--tmpfs=/ro:ro',
                      where=rootfs(root)))
    lines = done.out.splitlines()
    assert lines[:2] == ['711', '1777'], done
    mounts = {line.split()[1]: line.split()[3].split(',') for line in lines if line.startswith('tmpfs') or line.startswith('none')}
    assert 'size=4096k' in mounts['/dev/shm'] and {'size=8192k', 'noexec'} <= set(mounts['/srv']), mounts
    assert 'size=2048k' in mounts['/tmp'] and sum(' /tmp ' in line for line in lines) == 1, done
    assert {'no exec', 'read-only', 'full'} <= set(lines), done


@cases([(f'--tmpfs {text}: refused, and nothing is made', text) for text in (
    '/srv:noexec,bogus', '/srv:', '/srv:size=', '/srv:size=lots', '/srv:mode=9', '/srv:size', '/srv:noexec=1', 'srv', '/srv:uid=0')])
def _(root, text):
    where = rootfs(root)
    before = sorted(os.listdir(where))
    fails(run(root, '--tmpfs', text, where=where), '--tmpfs')
    assert sorted(os.listdir(where)) == before


# --- time zone, umask ---------------------------------------------------------------------------

def zone_data(name):
    path = f'/usr/share/zoneinfo/{name}'
    if not os.path.exists(path):
        skip('this machine has no time zones (tzdata)')
    with open(path, 'rb') as file:
        return file.read()


@case('the time zone is the host\'s; one that was chosen inside stays; --tz names another, keep leaves all as it is')
def _(root):
    tokyo = zone_data('Asia/Tokyo')
    os.unlink('/etc/localtime')
    os.symlink('/usr/share/zoneinfo/Asia/Tokyo', '/etc/localtime')
    where = rootfs(root)

    def zone(*args):
        return well(shell(root, 'busybox date +%Z', *args, where=where)).out.strip()
    assert zone('--tz=keep') == 'UTC' and not os.path.lexists(f'{where}/etc/localtime')
    assert zone() == 'JST'
    with open(f'{where}/etc/localtime', 'rb') as file:
        assert file.read() == tokyo
    put(where, 'etc/timezone', 'Etc/UTC\n')
    os.makedirs(f'{where}/usr/share/zoneinfo/Europe')
    with open(f'{where}/usr/share/zoneinfo/Europe/Berlin', 'wb') as file:
        file.write(zone_data('Europe/Berlin'))
    give(f'{where}/usr', FIRST)
    assert zone('--tz=Europe/Berlin') in ('CET', 'CEST')
    assert os.readlink(f'{where}/etc/localtime') == '../usr/share/zoneinfo/Europe/Berlin' and read(f'{where}/etc/timezone') == 'Europe/Berlin\n'
    assert zone() in ('CET', 'CEST')
    fails(shell(root, 'true', '--tz=Europe/Nowhere', where=where), 'no such time zone')
    for bad in ('../../etc/passwd', '/etc/passwd', '', 'a b'):
        fails(shell(root, 'true', f'--tz={bad}', where=where), '--tz')


@case('the umask inside is 022, at a start and an exec, whatever the caller\'s; in the host\'s tree it is the caller\'s')
def _(root):
    where = rootfs(root)
    assert well(shell(root, 'umask', where=where, umask=0o77)).out.strip() == '0022'
    assert well(shell(root, 'umask', umask=0o77)).out.strip() == '0077'
    store = Store(root)
    store.make('web', 'command = sh -c "umask; exec sleep 1000"')
    well(store.do('start', 'web', umask=0o77))
    await_log(store, 'web', '0022')
    assert well(store.do('exec', 'web', command=['sh', '-c', 'umask'], umask=0o77)).out.strip() == '0022'
    well(store.do('kill', 'web'))


# --- ids ----------------------------------------------------------------------------------------

def subids(root, uids, gids=None):
    root.write('/etc/subuid', uids)
    root.write('/etc/subgid', gids or uids)


@case('auto: a group of one\'s own and a lower block that come later move nothing; the first line that holds a block is the base')
def _(root):
    def first():
        done = well(shell(root, 'cat /proc/self/uid_map /proc/self/gid_map'))
        return [int(line.split()[1]) for line in done.out.splitlines() if line.split()[0] == '0']
    base = 'alice:51200000:65536\n'  # ids that no neighbour's process has
    subids(root, base)
    assert first() == [51200000, 51200000]
    subids(root, base + 'alice:51100000:65536\n', base + 'alice:4444:1\nalice:51100000:65536\n')
    assert first() == [51200000, 51200000]
    subids(root, 'alice:4444:1\n' + base)
    assert first() == [51200000, 51200000]
    store = Store(root)
    subids(root, 'alice:4444:1\nalice:51200000:1000\n')
    well(store.do('create', 'small', '--template=busybox', timeout=60))
    assert 'u:0:51200000:1000' in read(f'{store.path}/small/config')


@case('--groups keep: files of a group of the caller\'s are usable; --group-add: the group is itself inside, where /etc/subgid gives it')
def _(root):
    secret = f'{root.tmp}/secret'
    root.write(secret, 'group\n')
    os.chown(secret, 0, 4444)
    os.chmod(secret, 0o640)
    member = root.alice.but(groups=(4444,))
    read_it = ('sh', '-c', f'cat {secret}; id -G')
    assert 'denied' in run(root, command=read_it, user=member).err
    for how in (('--groups=keep',), ('--groups=keep', '--map-self')):
        assert well(run(root, *how, command=read_it, user=member)).out.startswith('group\n'), how
    fails(run(root, '--group-add=4444', command=read_it, user=member), '--group-add', 'alice:4444:1')
    subids(root, f'alice:{FIRST}:65536\n', f'alice:{FIRST}:65536\nalice:4444:1\n')
    done = well(run(root, '--group-add=4444', command=read_it, user=member))
    assert done.out.split() == ['group', '0', '4444'], done
    fails(run(root, '--group-add=4444', command=read_it), '--group-add', 'not in this group')
    fails(run(root, '--group-add=nosuch', command=read_it, user=member), 'no such group')


@case('keep-id: the caller\'s files are the caller\'s inside; two containers have the own id, and neither the other\'s block')
def _(root):
    mine = 50_000_000  # ids that no neighbour's process has
    subids(root, f'alice:{mine}:{2 * 65536}\n')
    own = root.alice.uid
    home = f'{root.tmp}/home/alice/project'
    os.makedirs(home, exist_ok=True)
    os.chown(home, own, root.alice.gid)
    store = Store(root)
    for name, first in (('one', mine), ('two', mine + 65536)):
        well(store.do('create', name, '--template=busybox', '--map=keep-id', f'--bind={home}:/project', '--', 'sh', '-c', 'exec sleep 1000',
                      timeout=60))
        config = read(f'{store.path}/{name}/config')
        assert f'u:{own}:{own}:1' in config and f'u:0:{first}:65536' in config, config
        well(store.do('start', name))
    done = well(store.do('exec', 'one', f'--user={own}', command=['sh', '-c', 'stat -c %u /project; touch /project/mine']))
    assert done.out == f'{own}\n' and os.stat(f'{home}/mine').st_uid == own, done
    well(store.do('exec', 'one', command=['sh', '-c', 'mkdir /project/deep && touch /project/deep/x && chmod 700 /project/deep']))
    assert os.stat(f'{home}/deep').st_uid == mine
    assert root.run(['rm', '-rf', f'{home}/deep'], root.alice).code != 0
    well(store.do('unshare', 'one', command=['sh', '-c', f'id -u; rm -rf {home}/deep {home}/mine']))
    assert os.listdir(home) == [] and 'what is to be run' in store.do('unshare', 'one').err
    done = well(run(root, '--map=keep-id=1000', '--uid=1000', '--gid=1000', command=('id', '-u')))
    assert done.out == '1000\n'
    for name in ('one', 'two'):
        well(store.do('destroy', name, '--force', timeout=60))


@case('exec --user takes a group, by name or number')
def _(root):
    store = Store(root)
    where = rootfs(root, 'trees/web')
    put(where, 'etc/group', 'root:x:0:\ndev:x:77:\n')
    store.make('web', IDLE, tree=where)
    well(store.do('start', 'web'))
    for user in ('u:dev', '1000:77', 'u:77'):
        assert well(store.do('exec', 'web', f'--user={user}', command=['sh', '-c', 'id -u; id -g'])).out.split() == ['1000', '77'], user
    for bad in ('u:', ':dev', 'u:nosuch'):
        assert store.do('exec', 'web', f'--user={bad}', command=['true']).code == 125, bad
    well(store.do('kill', 'web'))


@case('what needs systemd says so where there is no way to a cgroup, and what to ask for')
def _(root):
    store = Store(root)
    store.make('deb', tree=unpack(root, SYSTEMD))
    fails(store.do('start', 'deb'), 'systemd, which needs a cgroup', 'userns-policy grant')


@case('--wait-ready is for what boots, which is known when the tree is looked at')
def _(root):
    store = Store(root)
    store.make('web', IDLE)
    fails(store.do('start', 'web', '--wait-ready=5'), 'give --boot')
    fails(store.do('start', 'web', '--wait'), 'give --boot')


main()
