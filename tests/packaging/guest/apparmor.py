#!/usr/bin/env python3
"""In the booted guest, with AppArmor enforcing and nothing but the .debs: whom profiles reach, whom they must not reach, and
what the programs say where one refuses. In order; each case stands on the last."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
from harness import User, case, main, prctl, skip, spawn, wait_for  # noqa: E402

TOP = os.path.join(HERE, '..')
RUN, LIBEXEC = '/usr/bin/userns-run', '/usr/libexec/userns'
UNIT = 'userns-cgroup.service'
ALICE = User('alice', 1000)
ENV = {'PATH': '/usr/bin:/bin:/usr/sbin:/sbin', 'HOME': '/home/alice', 'LC_ALL': 'C'}
SLOW = 200  # the guest's CPU is emulated
UIDMAP = '/var/tmp/uidmap.deb'
FOREIGN = '/var/lib/foreign'
MAPPED = re.compile(r'^ +0 +\d+ +1$\n^ +1 +\d+ +\d+$|^ +0 +\d+ +\d+$', re.M)
prctl(36, 1)  # orphans come to this process

# All but user namespaces: what a distribution that restricts them has for its users' sessions.
SESSION = '''abi <abi/4.0>,
include <tunables/global>
profile session flags=(attach_disconnected,mediate_deleted) {
  allow capability, allow file rwlkm /{**,}, allow network, allow unix, allow ptrace, allow signal, allow mqueue,
  allow io_uring, allow mount, allow umount, allow pivot_root, allow dbus, allow change_profile, allow pix /{**,},
}
'''
# As ours was once: on the path that every newuidmap has.
BY_PATH = '''abi <abi/3.0>,
include <tunables/global>
profile by-path /usr/bin/newuidmap { include <abstractions/base>
  /usr/bin/newuidmap mr, }
'''


def admin(*argv, code=0, **how):
    done = subprocess.run(argv, stdin=how.pop('stdin', subprocess.DEVNULL), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env={**ENV, 'HOME': '/root', 'DEBIAN_FRONTEND': 'noninteractive'}, **how)
    text = done.stdout.decode(errors='replace')
    assert code is None or done.returncode == code, f'{argv} ended with {done.returncode}:\n{text[-3000:]}'
    return text


def user(*argv, code=0, profile=None):
    # env: a profile says what it executes next, and aa-exec is not under it yet.
    words = [*(('aa-exec', '-p', profile, '--', 'env') if profile else ()), *argv]
    done = spawn([shutil.which(words[0]), *words[1:]], ALICE, env=ENV, cwd='/').wait(SLOW)
    assert code is None or done.code == code, done
    return done


def load(text, remove=False):
    path = '/var/tmp/profile'
    with open(path, 'w') as file:
        file.write(text)
    admin('apparmor_parser', '-R' if remove else '-r', path)


def loaded():
    with open('/sys/kernel/security/apparmor/profiles') as file:
        return dict(re.findall(r'^(.*) \((\w+)\)$', file.read(), re.M))


def denials(*words):
    with open('/var/log/audit/audit.log') as file:
        return [line for line in file if 'apparmor="DENIED"' in line and all(word in line for word in words)]


def doctor(**how):
    return {check['id']: check for check in json.loads(user(RUN, 'doctor', '--json', code=None, **how).out)['checks']}


def has_restriction():
    """AppArmor 4 knows the rule "userns,"."""
    return os.path.exists('/etc/apparmor.d/abi/4.0')


def needs_restriction():
    if not has_restriction():
        skip('this AppArmor mediates no user namespaces')


def repack(name, where):
    """The installed package as a .deb again."""
    tree = where + '.d'
    os.makedirs(tree + '/DEBIAN')
    with open(tree + '/DEBIAN/control', 'w') as file:
        file.write(re.sub(r'^(Status|Conffiles):.*\n( .*\n)*', '', admin('dpkg-query', '-s', name), flags=re.M))
    for path in admin('dpkg-query', '-L', name).splitlines():
        if os.path.isdir(path):
            os.makedirs(tree + path, exist_ok=True)
        elif os.path.exists(path):
            admin('cp', '-a', path, tree + path)
    admin('dpkg-deb', '-b', tree, where)


def copy_with_libraries(program, tree):
    paths = [program, *re.findall(r'(/\S+) \(0x', admin('ldd', program))]
    for path in paths:
        os.makedirs(os.path.dirname(tree + path), exist_ok=True)
        shutil.copy2(os.path.realpath(path), tree + path)


def make_foreign():
    """A root file system with shadow's newuidmap, as every distribution has it, owned by alice's container root."""
    for name in ('proc', 'sys', 'dev', 'tmp', 'run', 'etc', 'usr/bin'):
        os.makedirs(f'{FOREIGN}/{name}')
    for name in ('bin', 'lib', 'lib64'):
        os.makedirs(f'{FOREIGN}/usr/{name}', exist_ok=True)
        os.symlink('usr/' + name, f'{FOREIGN}/{name}')
    for program in ('newuidmap', 'newgidmap', 'unshare', 'cat'):
        copy_with_libraries('/usr/bin/' + program, FOREIGN)
    for name, text in (('passwd', 'root:x:0:0::/:/bin/sh\njoe:x:1000:1000::/:/bin/sh\n'), ('group', 'joe:x:1000:\n'),
                       ('subuid', 'joe:10000:5000\n'), ('subgid', 'joe:10000:5000\n'), ('nsswitch.conf', 'passwd: files\n')):
        with open(f'{FOREIGN}/etc/{name}', 'w') as file:
            file.write(text)
    with open('/etc/subuid') as file:
        first = re.search(r'^alice:(\d+):', file.read(), re.M)[1]
    admin('chown', '-hR', f'{first}:{first}', FOREIGN)  # no container has run in it
    for name in ('newuidmap', 'newgidmap'):
        os.chmod(f'{FOREIGN}/usr/bin/{name}', 0o4755)


def map_in_foreign(**how):
    """A user of the container makes a user namespace there, mapped by the newuidmap that is in the container."""
    return user(RUN, '--rootfs', FOREIGN, '--nesting', '--uid', '1000', '--gid', '1000', '--', '/usr/bin/unshare', '--user', '--map-auto',
                '--map-root-user', '/usr/bin/cat', '/proc/self/uid_map', **how)


@case("the packages take the place of Debian's uidmap, and the profiles of the helpers are enforced")
def _(_root):
    repack('uidmap', UIDMAP)
    make_foreign()
    debs = [f'{TOP}/debs/{name}' for name in os.listdir(f'{TOP}/debs')]
    admin('apt-get', '-y', '-q', '--no-install-recommends', 'install', *debs)
    if has_restriction():  # the packages may have been built where there was no AppArmor 4
        shutil.copy(f'{TOP}/profiles/userns-run', '/etc/apparmor.d/userns-run')
        admin('apparmor_parser', '-r', '/etc/apparmor.d/userns-run')
        assert loaded()['userns-run'] == 'unconfined'
    for name in ('userns-newuidmap', 'userns-newgidmap', 'userns-net', 'userns-cgroup', 'userns-idmap'):
        assert loaded()[name] == 'enforce', name
    assert MAPPED.search(user(RUN, '--', 'cat', '/proc/self/uid_map').out)
    assert not denials('userns-'), denials('userns-')


@case("the link in /usr/bin leads under the profile: a program in the place of newuidmap can't read what root can")
def _(_root):
    os.rename(LIBEXEC + '/newuidmap', LIBEXEC + '/newuidmap.kept')
    try:
        shutil.copy('/usr/bin/cat', LIBEXEC + '/newuidmap')
        os.chmod(LIBEXEC + '/newuidmap', 0o4755)
        done = spawn(['cat', '/etc/shadow'], ALICE, path='/usr/bin/newuidmap', env=ENV).wait(SLOW)
        assert done.code != 0 and done.out == '' and 'ermission denied' in done.err, done
    finally:
        os.rename(LIBEXEC + '/newuidmap.kept', LIBEXEC + '/newuidmap')


@case('userns-idmap hands out a mount under its profile, also in a session that may make no user namespace')
def _(_root):
    with open('/etc/subuid') as file:
        first = re.search(r'^alice:(\d+):', file.read(), re.M)[1]
    target = spawn(['/usr/bin/unshare', '--user', '/usr/bin/sleep', '900'], ALICE, env=ENV)
    own = os.readlink('/proc/self/ns/user')
    wait_for(lambda: os.readlink(f'/proc/{target.pid}/ns/user') != own, 'the namespace', SLOW)
    for program in ('newuidmap', 'newgidmap'):
        user(program, str(target.pid), first, first, '65536')
    for profile in (None, 'session') if has_restriction() else (None,):
        if profile:
            load(SESSION)
        near, far = socket.socketpair()
        tree = os.open(FOREIGN, os.O_PATH | os.O_DIRECTORY)
        under = ['aa-exec', '-p', profile, '--', 'env'] if profile else []
        done = subprocess.run(['setpriv', '--reuid=1000', '--regid=1000', '--clear-groups', *under, LIBEXEC + '/userns-idmap', '--source',
                               f'fd:{tree}', '--userns', str(target.pid), '--to', f'fd:{far.fileno()}'],
                              pass_fds=(tree, far.fileno()), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == 0, (profile, done.stdout, denials('userns-idmap'))
        received, = socket.recv_fds(near, 1, 1)[1]
        assert set(os.listdir(f'/proc/self/fd/{received}')) == set(os.listdir(FOREIGN))
        for fd in (received, tree):
            os.close(fd)
    target.kill(signal.SIGKILL)
    target.wait(SLOW)
    assert not denials('profile="userns-idmap"'), denials('profile="userns-idmap"')


@case('the newuidmap of another project in a container is under no profile of ours, and works; by its path it would not')
def _(_root):
    said = map_in_foreign().out
    assert MAPPED.search(said) and '10000' in said, said
    load(BY_PATH)
    try:
        assert map_in_foreign(code=None).code != 0 and denials('by-path')
    finally:
        load(BY_PATH, remove=True)
    assert MAPPED.search(map_in_foreign().out)


@case("--net user works where pasta's own profile refuses it, nothing of it is left, and doctor says by what it works")
def _(_root):
    admin('modprobe', 'tun')
    os.chmod('/dev/net/tun', 0o666)
    for words in ('link add up0 type veth peer up1', 'addr add 198.51.100.1/24 dev up0', 'link set up0 up', 'link set up1 up',
                  'route add default via 198.51.100.2'):
        admin('ip', *words.split())
    links = user(RUN, '--net', 'user', '--', 'ip', '-br', 'link').out
    found = doctor()['user-network']
    if has_restriction():
        assert 'up0' in links and found['status'] == 'pass' and 'pasta works' in found['text'], (links, found)
    else:
        assert 'tap0' in links and found['status'] == 'note', (links, found)
        assert 'slirp4netns works' in found['text'] and 'ermission denied' in found['text'], found
    # A letter of the state (Z: it has ended), and the name.
    wait_for(lambda: not re.search('^[^Z]\\S* +(pasta|passt|slirp4netns)', admin('ps', '-eo', 'stat,comm'), re.M), 'their end', SLOW)
    assert not denials('operation="signal"'), denials('operation="signal"')


@case('where sessions may make no user namespace, userns-run may by its profile, and so may whatever it runs')
def _(_root):
    needs_restriction()
    load(SESSION)
    assert 'ermission denied' in user('unshare', '--user', 'true', profile='session', code=None).err
    done = user(RUN, '--', 'unshare', '--user', 'cat', '/proc/self/attr/apparmor/current', profile='session')
    assert done.out.strip() == 'userns-run (unconfined)', done


@case('without its profile userns-run is refused like others, and says by whom: the profile of the session')
def _(_root):
    needs_restriction()
    admin('apparmor_parser', '-R', '/etc/apparmor.d/userns-run')
    done = user(RUN, '--', 'true', profile='session', code=125)
    assert "AppArmor profile 'session'" in done.err and 'chroot' not in done.err, done
    assert '(see apparmor-userns in userns-run doctor)' in done.err, done
    found = doctor(profile='session')['apparmor-userns']
    assert found['status'] == 'fail' and "'session'" in found['text'] and 'userns,' in found['fix'], found


@case("Debian's own profile unprivileged_userns, enforced, is named too, with the profile that would help")
def _(_root):
    needs_restriction()
    with open('/etc/apparmor.d/unprivileged_userns') as file:
        load(file.read().replace('flags=(complain)', ''))
    user(RUN, '--', 'true', profile='unprivileged_userns', code=125)
    found = doctor(profile='unprivileged_userns')['apparmor-userns']
    assert found['status'] == 'fail' and "'unprivileged_userns'" in found['text'], found
    assert 'apparmor_parser -r /etc/apparmor.d/userns-run' in found['fix'], found


@case("back to Debian's uidmap: containers and their unit keep running, no profile of ours is left, and newuidmap works")
def _(_root):
    with open('/etc/userns/cgroup.conf', 'a') as file:
        file.write('alice pids.max=100\n')
    child = spawn([RUN, '--cgroup', 'helper', '--', '/bin/sleep', '900'], ALICE, env=ENV)
    procs = f'/sys/fs/cgroup/system.slice/{UNIT}/1000/run-{child.pid}/payload/cgroup.procs'
    wait_for(lambda: os.path.exists(procs) and open(procs).read() != '', 'the container', SLOW)
    since = admin('systemctl', 'show', '-P', 'MainPID', UNIT)
    said = admin('apt-get', '-y', '-q', '--no-install-recommends', 'install', UIDMAP)
    assert 'systemctl stop userns-cgroup.service' in said, said
    assert open(procs).read() != '' and admin('systemctl', 'show', '-P', 'MainPID', UNIT) == since
    assert admin('dpkg-query', '-S', '/usr/bin/newuidmap').startswith('uidmap')
    assert not [name for name in loaded() if re.match(r'userns-(newuidmap|newgidmap|net|cgroup|idmap)$', name)], loaded()
    map_all = ('unshare', '--user', '--map-auto', '--map-root-user', 'cat', '/proc/self/uid_map')
    assert MAPPED.search(user(*map_all).out)
    admin('apparmor_parser', '-r', '/etc/apparmor.d/userns-helpers')  # the conffile that stays, as the next boot does
    assert MAPPED.search(user(*map_all).out)
    child.kill(signal.SIGTERM)
    assert child.wait(SLOW).code == 143


main(need_root=False)
