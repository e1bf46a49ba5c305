#!/usr/bin/env python3
"""In the booted guest, with nothing but the .debs: an administrator's first session, in order; each case stands on the last."""

import json
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
from harness import User, case, main, prctl, skip, spawn, wait_for  # noqa: E402

DEBS = os.path.join(HERE, '..', 'debs')
RUN, POLICY = '/usr/bin/userns-run', '/usr/bin/userns-policy'
UNIT = 'userns-cgroup.service'
BASE = f'/sys/fs/cgroup/system.slice/{UNIT}'
SLOW = 200  # the guest's CPU is emulated
NEW = User('newcomer', 1500)
ENV = {'PATH': '/usr/bin:/bin:/usr/sbin:/sbin', 'HOME': '/home/newcomer', 'LC_ALL': 'C'}
prctl(36, 1)  # orphans come to this process


def admin(*argv, code=0):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env={**ENV, 'HOME': '/root', 'DEBIAN_FRONTEND': 'noninteractive'})
    text = done.stdout.decode(errors='replace')
    assert code is None or done.returncode == code, f'{argv} ended with {done.returncode}:\n{text[-3000:]}'
    return text


def user(*argv, code=0, **how):
    done = spawn(argv, NEW, env=ENV, cwd='/home/newcomer', **how).wait(SLOW)
    assert code is None or done.code == code, done
    return done


def doctor(code):
    done = user(RUN, 'doctor', '--json', code=None)
    checks = {c['id']: c for c in json.loads(done.out)['checks']}
    assert done.code == code, [c for c in checks.values() if c['status'] == 'fail']
    return checks


def debs():
    return sorted(os.path.join(DEBS, name) for name in os.listdir(DEBS) if not name.startswith('.'))


def has_verb(name):
    return re.search(rf'^  {name} ', user(RUN, '--help', 'all').out, re.M) is not None


def grant(*words, instead):
    """By userns-policy, where the packages have it; else as before there was one."""
    admin(*([POLICY, 'grant', NEW.name, *words] if os.path.exists(POLICY) else instead))


def named_in_etc():
    """What there is with our name in /etc, but the test itself. Debian 13's AppArmor has profiles whose names hold it."""
    return set(admin('find', '/etc', '-name', '*userns*', '-not', '-path', '*/systemd/system/userns-test*',
                     '-not', '-path', '*/multi-user.target.wants/userns-test*').split())


BEFORE = named_in_etc()


@case("apt installs the packages in the place of Debian's uidmap, and the unit for cgroups runs")
def _(_root):
    assert 'uidmap' in admin('apt-get', '-y', '-q', '--no-install-recommends', 'install', *debs())
    assert admin('dpkg-query', '-S', '/usr/bin/newuidmap').startswith('userns-helpers')
    assert admin('systemctl', 'is-active', UNIT).strip() == 'active' and os.path.exists(BASE + '/idle')
    assert admin('systemctl', 'show', '-P', 'Delegate', UNIT).strip() == 'yes'
    admin('apt-get', 'check')


@case('doctor says to a user without ids what is missing, and how to have it')
def _(_root):
    admin('useradd', '--create-home', '--uid', str(NEW.uid), '--shell', '/bin/sh', NEW.name)
    admin('sed', '-i', f'/^{NEW.name}:/d', '/etc/subuid', '/etc/subgid')
    checks = doctor(1)
    failed = [name for name, c in checks.items() if c['status'] == 'fail']
    assert failed == ['subuid', 'subgid', 'start'], [checks[name] for name in failed]
    assert f'userns-policy grant {NEW.name} --ids 65536' in checks['subuid']['fix'], checks['subuid']
    done = user(RUN, '--', 'true', code=125)
    assert '(see subuid in userns-run doctor)' in done.err, done


@case('the administrator grants ids; doctor has no failure, and containers run')
def _(_root):
    grant('--ids', '65536', instead=('usermod', '--add-subuids', '700000-765535', '--add-subgids', '700000-765535', NEW.name))
    checks = doctor(0)
    assert checks['subuid']['status'] == checks['start']['status'] == 'pass', checks
    said = user(RUN, '--', '/bin/sh', '-c', 'id -u; cat /proc/self/uid_map').out.split()
    assert said[0] == '0' and said[1] == '0' and said[3] == '65536' and said[2] != '0', said


@case('the administrator grants limits; they hold')
def _(_root):
    assert doctor(0)['cgroup-conf']['status'] == 'note'
    with open('/etc/userns/cgroup.conf') as file:
        before = file.read()
    grant('--cgroup', 'pids.max=60', instead=('sed', '-i', f'$a {NEW.name} pids.max=60', '/etc/userns/cgroup.conf'))
    with open('/etc/userns/cgroup.conf') as file:
        assert file.read().startswith(before.split('\n')[0])
    checks = doctor(0)
    assert 'pids.max=60' in checks['cgroup-conf']['text'] and checks['cgroup-unit']['status'] == 'pass', checks
    done = user(RUN, '--cgroup', 'helper', '--pids', '8', '--', '/bin/sh', '-c',
                'for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 1 & done; wait', code=None)
    assert 'limit of processes' in done.err, done


@case('the administrator grants a bridge; a container has a NIC on it')
def _(_root):
    grant('--net', 'br-new:1', instead=('sed', '-i', f'$a {NEW.name} veth br-new 1', '/etc/userns/net.conf'))
    assert doctor(1)['bridge']['status'] == 'fail'
    for words in ('add br-new type bridge', 'set br-new up', 'add port type veth peer port2', 'set port master br-new up'):
        admin('ip', 'link', *words.split())
    assert doctor(0)['bridge']['status'] == 'pass'
    assert 'eth0' in user(RUN, '--net', 'bridge=br-new', '--', 'ip', '-br', 'link').out


@case('a container is made, started, entered, stopped and destroyed')
def _(_root):
    if not has_verb('create') or not has_verb('exec'):
        skip('these packages have no named containers yet')
    user(RUN, 'create', 'web', '--template', 'busybox')
    user(RUN, 'start', 'web')
    assert user(RUN, 'exec', 'web', '--', 'id', '-u').out.strip() == '0'
    assert 'web' in user(RUN, 'list').out
    user(RUN, 'stop', 'web')
    user(RUN, 'destroy', 'web')


def confined(program):
    """The profile that AppArmor puts on a program, as its own file says."""
    with open('/sys/kernel/security/apparmor/profiles') as file:
        return re.search(rf'^{program} \((\w+)\)$', file.read(), re.M)


@case('the helpers ran under their AppArmor profiles, enforced, and nothing was denied to them')
def _(_root):
    for name in ('userns-newuidmap', 'userns-newgidmap', 'userns-net', 'userns-cgroup'):
        found = confined(name)
        assert found and found[1] == 'enforce', name
    with open('/var/log/audit/audit.log') as file:
        denied = [line for line in file if 'apparmor="DENIED"' in line and 'userns-' in line]
    assert not denied, ''.join(denied[:20])


# Programs with root's rights in a helper's place, and what they are told to do.
PLANTS = (('cat', '/etc/shadow'), ('cat', '/proc/1/environ'), ('cp', '/etc/passwd', '/etc/own'), ('env', '/usr/bin/id'),
          ('env', '/bin/sh', '-c', 'true'), ('mkdir', '/root/own'))


def plant(program, path):
    """A setuid copy of a program; /usr/bin/cat and the like keep root's uid, as busybox would not."""
    subprocess.run(['cp', '/usr/bin/' + program, path], check=True)
    os.chmod(path, 0o4755)


@case("what a taken-over helper would do is denied by its profile: files of root's, programs, writing")
def _(_root):
    plant('cat', '/usr/local/bin/planted')
    assert 'root:' in spawn(['cat', '/etc/shadow'], NEW, path='/usr/local/bin/planted', env=ENV).wait(SLOW).out
    for path in ('/usr/libexec/userns/newuidmap', '/usr/libexec/userns/newgidmap', '/usr/libexec/userns/userns-net'):
        os.rename(path, path + '.kept')
        try:
            for words in PLANTS:
                plant(words[0], path)
                done = spawn(words, NEW, path=path, env=ENV).wait(SLOW)
                assert done.code != 0 and done.out == '' and 'ermission denied' in done.err, (path, done)
        finally:
            os.rename(path + '.kept', path)
    assert not os.path.exists('/etc/own') and not os.path.exists('/root/own')


@case('an upgrade leaves running containers alone')
def _(_root):
    child = spawn([RUN, '--cgroup', 'helper', '--', '/bin/sleep', '900'], NEW, env=ENV)
    own = f'{BASE}/{NEW.uid}/run-{child.pid}/payload/cgroup.procs'

    def runs():
        try:
            with open(own) as file:
                return file.read() != ''
        except FileNotFoundError:
            return False
    wait_for(runs, 'the container', SLOW)
    since = admin('systemctl', 'show', '-P', 'MainPID', UNIT)
    admin('apt-get', '-y', '-q', '--no-install-recommends', '--reinstall', 'install', *debs())
    assert runs() and admin('systemctl', 'show', '-P', 'MainPID', UNIT) == since
    child.kill(15)
    assert child.wait(SLOW).code == 143


@case('removed and purged, nothing is left: no program, no unit, no profile, no policy; the ids stay')
def _(_root):
    admin('apt-get', '-y', '-q', 'purge', 'userns-tools', 'userns-helpers')
    assert admin('systemctl', 'is-active', UNIT, code=None).strip() in ('inactive', 'unknown')
    for path in ('/etc/userns', '/usr/libexec/userns', '/usr/bin/newuidmap', RUN, '/etc/apparmor.d/userns-helpers', BASE):
        assert not os.path.exists(path), path
    assert NEW.name in open('/etc/subuid').read()
    assert named_in_etc() <= BEFORE, named_in_etc() - BEFORE


main(need_root=False)
