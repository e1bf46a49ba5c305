#!/usr/bin/env python3
"""userns-run --boot with a real Debian and its systemd, at its console; the cgroup is userns-cgroup's."""

import os
import re
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from boot_trees import cron_runs_its_job, with_cron_job  # noqa: E402
from cgroups import Cgroups  # noqa: E402
from console import System  # noqa: E402
from container import fails, run  # noqa: E402
from distro import SYSTEMD, unpack  # noqa: E402
from harness import case, cases, main, skip  # noqa: E402

cgroups = Cgroups.become_tenant()
made = {}


def rootfs(root):
    if cgroups.why_not:
        skip(cgroups.why_not)
    cgroups.clear()
    root.write('/etc/userns/cgroup.conf', f'base = {cgroups.v2}\n* containers=4\n')
    if 'where' not in made:
        made['where'] = with_cron_job(unpack(root, SYSTEMD))
    return made['where']


def boot(root, *words):
    return System(root.program('userns-run'), root.alice, '--rootfs', rootfs(root), '--hostname', 'box', *words)


def stopped(system):
    code = system.stop()
    assert code == 0, (code, system.text[-2000:])


@case('systemd comes up with nothing failed, says so, and stops in order when it is asked to')
def _(root):
    with boot(root) as system:
        assert system.event()['init'] == {'kind': 'systemd', 'path': '/sbin/init'}
        assert system.event()['event'] == 'ready'
        system.login()
        assert system.works('systemctl is-system-running --wait') == 'running'
        assert system.works('systemctl --failed --no-legend') == ''
        assert system.works('hostname; cat /etc/hostname') == 'box\nbox'
        stopped(system)
        assert 'Halting system' in system.text


@case('a scope as --cgroup systemd has it is stopped by a signal that its monitor hears and commands do not feel')
def _(root):
    """The monitor's part: container_life.py, "what a stopped scope sends ..."."""
    with open(os.path.join(os.path.dirname(__file__), '../../frontend/start/cgroup_entry.cc')) as file:
        properties = re.findall('"(--property=[A-Za-z]+=[A-Za-z]+)"', file.read())
    assert '--property=KillSignal=SIGURG' in properties and '--property=Delegate=yes' in properties, properties
    script = 'sleep 1000 & p=$!; trap \'kill -0 $p && touch /run/felt-nothing; kill -9 $p; exit\' URG; touch /run/up; while :; do sleep 0.2; done'
    with boot(root) as system:
        system.login()
        system.works(f'echo "{script.replace("$", chr(92) + "$")}" >/run/monitor.sh')
        system.works(f'systemd-run --scope --quiet --collect {" ".join(properties)} --unit=one.scope -- sh /run/monitor.sh </dev/null >/dev/null 2>&1 &')
        system.works('until [ -e /run/up ]; do sleep 0.1; done; systemctl is-active one.scope')
        system.works('systemctl stop one.scope; ls /run/felt-nothing')
        assert system.works('systemctl is-active one.scope; true') == 'inactive'


@case('what an administrator does every day works: sudo, su, ping, useradd, ssh, cron, the journal')
def _(root):
    with boot(root) as system:
        system.login()
        assert system.works('su - joe -c "sudo id -u"') == '0'
        system.works('su - joe -c "ping -c1 -W5 127.0.0.1"', '1 received')
        system.works('useradd -m ann && echo ann:pw | chpasswd && su - ann -c id', '(ann)')
        system.works('mkdir -p -m 700 ~/.ssh; [ -f ~/.ssh/k ] || ssh-keygen -q -N "" -f ~/.ssh/k; cp ~/.ssh/k.pub ~/.ssh/authorized_keys;'
                     'ssh -i ~/.ssh/k -o StrictHostKeyChecking=no 127.0.0.1 id -u', '\n0')
        system.works('systemctl is-active cron dbus ssh systemd-logind systemd-journald')
        cron_runs_its_job(system)
        # A crontab that its user makes: cron takes it for a boot once more.
        system.works('su joe -c "echo @reboot id -un \\>/tmp/cron-joe | crontab -"')
        system.works('rm -f /run/crond.reboot; systemctl restart cron; until grep -q joe /tmp/cron-joe; do sleep 0.1; done')
        system.works('logger -t test hello-journal; journalctl --sync; journalctl -b -t test', 'hello-journal')
        system.works('systemd-run -q --wait --pipe -p MemoryAccounting=yes id -u', '0')
        system.works('loginctl --no-legend', 'root')
        stopped(system)


def package(root, where, name, version, script=''):
    """A .deb with /usr/local/bin/NAME, a copy of the host's id, setuid; `script` runs after it is installed."""
    tree = f'{root.tmp}/deb-{name}'
    shutil.rmtree(tree, ignore_errors=True)
    os.makedirs(f'{tree}/DEBIAN')
    os.makedirs(f'{tree}/usr/local/bin')
    shutil.copy(f'{where}/usr/bin/cat', f'{tree}/usr/local/bin/{name}')
    os.chmod(f'{tree}/usr/local/bin/{name}', 0o755 if script else 0o4755)
    with open(f'{tree}/DEBIAN/control', 'w') as file:
        file.write(f'Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: t <t@t>\nDescription: test\n')
    with open(f'{tree}/DEBIAN/postinst', 'w') as file:
        file.write(f'#!/bin/sh\nset -e\n{script}\n')
    os.chmod(f'{tree}/DEBIAN/postinst', 0o755)
    made_file = f'{where}/root/{name}_{version}.deb'
    subprocess.run(['dpkg-deb', '--root-owner-group', '-b', tree, made_file], check=True, stdout=subprocess.DEVNULL)
    os.chown(made_file, 100000, 100000)
    return os.path.basename(made_file)


@case('apt installs and upgrades: a setuid file and one with file capabilities come out as they should')
def _(root):
    where = rootfs(root)
    setuid = package(root, where, 'setuid-cat', '1')
    capable = package(root, where, 'capable-cat', '1', 'setcap cap_dac_read_search+ep /usr/local/bin/capable-cat')
    newer = package(root, where, 'setuid-cat', '2')
    with boot(root) as system:
        system.login()
        system.works(f'cd /root && apt-get install -y ./{setuid} ./{capable}', seconds=120)
        system.works('stat -c %a:%u /usr/local/bin/setuid-cat', '4755:0')
        system.works('getcap /usr/local/bin/capable-cat', 'cap_dac_read_search=ep')
        assert system.shell('su joe -c "cat /etc/shadow"')[0] != 0
        for name in ('setuid-cat', 'capable-cat'):
            system.works(f'su joe -c "{name} /etc/shadow"', 'root:')
        system.works(f'mkdir -p /srv/repo && cp /root/{newer} /srv/repo && cd /srv/repo && dpkg-scanpackages . >Packages 2>/dev/null ||'
                     f' (cd /srv/repo; for f in *.deb; do dpkg-deb -f $f; echo Filename: ./$f; stat -c "Size: %s" $f; '
                     'sha256sum $f | sed "s/ .*//;s/^/SHA256: /"; echo; done >Packages)')
        system.works('echo "deb [trusted=yes] file:/srv/repo ./" > /etc/apt/sources.list; apt-get update && apt-get -y upgrade',
                     seconds=120)
        assert system.works('dpkg-query -W -f "\\${Version}" setuid-cat') == '2'
        system.works('su joe -c "setuid-cat /etc/shadow"', 'root:')
        stopped(system)
    outside = os.stat(f'{where}/usr/local/bin/setuid-cat')
    assert (outside.st_uid, outside.st_mode & 0o7777) == (100000, 0o4755)


@case("systemd's container interface: uuid that stays, manager, private /dev, read-only /sys, a cgroup tree of its own")
def _(root):
    seen = []
    for _ in range(2):
        with boot(root) as system:
            system.login()
            seen.append(system.works('tr "\\0" "\\n" < /proc/1/environ | sed -n s/^container_uuid=//p; cat /run/host/container-uuid').split())
            assert system.works('systemd-detect-virt --container') == 'container-other'
            assert system.works('cat /run/host/container-manager') == 'userns-run'
            assert system.works('grep ^0 /proc/1/cgroup') == '0::/init.scope'
            system.works('findmnt -no FSTYPE,OPTIONS /sys', 'sysfs', ' ro,')
            assert system.works('for d in /dev /run /tmp /sys/fs/cgroup; do stat -fc %T $d; done') == 'tmpfs\ntmpfs\ntmpfs\ncgroup2fs'
            assert system.shell('systemctl is-active systemd-udevd systemd-modules-load')[0] != 0
            system.works('sysctl -w net.ipv4.ip_forward=1 kernel.shmmax=1000000')
            assert system.shell('sysctl -w vm.swappiness=1')[0] != 0
            system.works('! capsh --print | grep -q cap_audit; test ! -e /dev/kmsg; tty', '/dev/console')
            stopped(system)
    assert len({word for words in seen for word in words}) == 1 and len(seen[0][0]) == 32, seen


@case('ctrl-C at the console is for who is logged in there, and reboots nothing')
def _(root):
    with boot(root) as system:
        system.expect('login: $')
        system.type('\x03')
        system.type('\n')
        system.login()
        system.type("PS1='=''> '\n")
        system.expect('=> ')
        system.type('cat\nhere\n')
        system.expect('here')  # so it runs, and is what ctrl-C is for
        system.type('\x03')
        system.expect('=> ')
        system.works('PS1=')
        assert system.works('echo still; systemctl is-system-running') == 'still\nrunning'
        stopped(system)


@cases([('power-off from inside is the end: status 0', 'systemctl poweroff', 0), ('halt, too', 'halt', 0),
        ('reboot from inside is status 133', 'reboot', 133), ('an exit status from inside is ours', 'systemctl exit 7', 7)])
def _(root, command, code):
    with boot(root) as system:
        system.login()
        system.type(command + '\n')
        assert system.ends() == code, system.text[-2000:]


@case('three ^] at the terminal ask for the end, two do nothing')
def _(root):
    with boot(root) as system:
        system.login()
        system.type('\x1d\x1d')
        system.type('\x15')  # ^U: the shell forgets them
        system.works('echo there')
        system.type('\x1d\x1d\x1d')
        code = system.ends()
        assert code == 0, (code, system.text[-2000:])


@case('--wait-ready: in time all is well, and what is not up in time is ended with a reason')
def _(root):
    with boot(root, '--wait-ready', '60') as system:
        system.event()
        assert system.event()['event'] == 'ready'
        stopped(system)
    with boot(root, '--wait-ready', '1ms', '--stop-timeout', '300ms') as system:
        assert system.ends() == 125 and 'did not say that it is up within 1 ms (--wait-ready)' in system.text


@case('a system that nothing can stop is killed after --stop-timeout')
def _(root):
    with boot(root, '--stop-timeout', '300ms') as system:
        system.login()
        system.works('printf "[Service]\\nExecStart=sleep 1000\\nExecStop=sleep 1000\\n" > /run/systemd/system/stay.service;'
                     'systemctl daemon-reload; systemctl start stay')
        code = system.stop(signal.SIGHUP)
        assert code == 137 and 'the system did not shut down within 300 ms' in system.text, (code, system.text)


@case('--overlay: a system that forgets')
def _(root):
    with boot(root, '--overlay') as system:
        system.login()
        system.works('touch /forget; systemctl is-system-running')
        stopped(system)
    assert not os.path.exists(rootfs(root) + '/forget')


@cases([(f'{" ".join(words)}: {piece}', words, piece) for words, piece in (
    (['--boot'], 'give --rootfs'), (['--boot', '--rootfs', '/', '--init'], '--init ours'), (['--boot', '--rootfs', '/', '--uid', '5'], 'root inside'),
    (['--boot', '--rootfs', '/', '--tty', 'no'], 'its console'), (['--boot', '--rootfs', '/', '--share', 'pid'], 'do not share'),
    (['--wait-ready', '5'], 'give --boot'))])
def _(root, words, piece):
    fails(run(root, *words), piece)


main()
