#!/usr/bin/env python3
"""userns-run --boot with inits that are not systemd: they need no cgroup. Each is logged in to at its console."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from boot_trees import busybox, cron_runs_its_job, with_cron_job  # noqa: E402
from console import System  # noqa: E402
from container import fails, rootfs, well  # noqa: E402
from distro import OPENRC, RUNIT, SYSV, unpack  # noqa: E402
from harness import case, cases, main  # noqa: E402

made = {}


def boot(root, name, *words):
    if name not in made:
        made[name] = unpack(root, name) if name == RUNIT else with_cron_job(unpack(root, name))
    return System(root.program('userns-run'), root.alice, '--rootfs', made[name], '--hostname', 'box', *words)


def busybox_system(root, *words, **how):
    return System(root.program('userns-run'), root.alice, '--rootfs', busybox(root, **how), *words)


# --- busybox --------------------------------------------------------------------------------

@case('busybox: its init is found through an absolute link, runs, and ends in order when it is asked to')
def _(root):
    with busybox_system(root) as system:
        assert system.event()['init'] == {'kind': 'busybox', 'path': '/sbin/init'}
        system.expect('begun')
        system.expect('# ')
        code = system.stop()
        assert code == 0 and 'ended' in system.text, (code, system.text)


@cases([(f'busybox: {word} from inside is status {code}', word, code) for word, code in (('poweroff', 0), ('halt', 0), ('reboot', 133))])
def _(root, word, code):
    with busybox_system(root) as system:
        system.expect('# ')
        system.type(word + '\n')
        assert system.ends() == code and ('run it once more' in system.text) == (code == 133), system.text


@case('ctrl-C at the console of busybox goes to the shell there')
def _(root):
    with busybox_system(root) as system:
        system.expect('# ')
        # What says this has the terminal already; a shell that is about to hand it on swallows a ctrl-C.
        system.type("sh -c 'echo as\"\"leep; exec sleep 100'\n")
        system.expect('asleep')
        system.type('\x03')
        system.expect('# ')
        system.type('echo sti""ll\n')
        system.expect('still')
        code = system.stop()
        assert code == 0, (code, system.text)


@case('a console that everybody has closed is there for the next, and the end of input is no ^D')
def _(root):
    where = busybox(root, '::once:/bin/sh -c "exec </dev/null >/dev/null 2>&1; sleep 1; echo again >/dev/console; poweroff"\n')
    read, write = os.pipe()
    os.close(write)
    done = root.run([root.program('userns-run'), '--boot', '--rootfs', where], root.alice, stdin=read)
    assert done.code == 0 and 'again' in done.out, done


@case('a program that is named after -- is the init; one that is deaf ends at once')
def _(root):
    where = rootfs(root)
    with open(where + '/bin/own', 'w') as file:
        file.write('#!/bin/sh\necho pid $$ $container\nwhile :; do sleep 1; done\n')
    os.chmod(where + '/bin/own', 0o755)
    with System(root.program('userns-run'), root.alice, '--rootfs', where, '--', '/bin/own') as system:
        assert system.event()['init'] == {'kind': 'other', 'path': '/bin/own'}
        system.expect('pid 1 lxc')
        code = system.stop()
        assert code == 143, code


@case('an init that is asked to stop before it can hear is asked again')
def _(root):
    where = rootfs(root)
    os.makedirs(where + '/sbin')
    with open(where + '/sbin/init', 'w') as file:
        file.write('#!/bin/sh\n# taken for BusyBox v1\necho begun\nsleep 0.7\ntrap "echo heard; exit 0" USR2\nwhile :; do sleep 0.1; done\n')
    os.chmod(where + '/sbin/init', 0o755)
    with System(root.program('userns-run'), root.alice, '--rootfs', where, '--stop-timeout', '60') as system:
        assert system.event()['init']['kind'] == 'busybox'
        system.expect('begun')
        code = system.stop()
        assert code == 0 and 'heard' in system.text, (code, system.text)


@case('nothing of the caller goes in but TERM: no variable, no umask, no ignored signal, no working directory')
def _(root):
    where = rootfs(root)
    with open(where + '/bin/own', 'w') as file:
        file.write('#!/bin/sh\ntr "\\0" "\\n" </proc/1/environ; grep -E "Sig(Ign|Blk)" /proc/1/status; umask; pwd\n')
    os.chmod(where + '/bin/own', 0o755)
    done = root.run([root.program('userns-run'), '--boot', '--rootfs', where, '--env', 'A=b', '--', '/bin/own'], root.alice,
                    env={'SECRET': '1', 'TERM': 'dumb', 'PATH': '/bin:/usr/bin'}, umask=0o77, ignore=(2, 13), block=(12,), cwd='/tmp')
    lines = done.out.replace('\r', '').split('\n')
    assert 'SECRET=1' not in lines and 'TERM=dumb' in lines and 'A=b' in lines and 'container=lxc' in lines, done
    masks = {line[:6]: int(line[7:], 16) for line in lines if line.startswith('Sig')}
    assert masks['SigIgn'] & (1 << 1 | 1 << 12) == 0 and masks['SigBlk'] == 0, done
    assert '0022' in lines and '/' in lines, done


@case('no init in it: the places that were looked at; no systemd: nothing to wait for')
def _(root):
    where = rootfs(root)
    fails(root.run([root.program('userns-run'), '--boot', '--rootfs', where], root.alice), 'no init in it', '/sbin/init')
    os.makedirs(where + '/sbin')
    os.symlink('/../../../../../sbin/init', where + '/sbin/init')
    fails(root.run([root.program('userns-run'), '--boot', '--rootfs', where], root.alice), 'no init in it')
    fails(root.run([root.program('userns-run'), '--boot', '--wait-ready', '5', '--rootfs', busybox(root)], root.alice),
          'only systemd says', 'busybox')


@case('--dry-run says which init, and how it is asked to stop')
def _(root):
    done = well(root.run([root.program('userns-run'), '--boot', '--dry-run', '--rootfs', busybox(root)], root.alice))
    assert 'boot        busybox, asked to stop by signal 12\n' in done.out and "'/sbin/init'" in done.out, done


# --- real distributions ---------------------------------------------------------------------

def works_as_a_system(root, name, kind, *words):
    with boot(root, name, *words) as system:
        assert system.event()['init']['kind'] == kind
        system.login()
        assert system.works('tty; hostname') == '/dev/tty1\nbox'
        if name != RUNIT:
            cron_runs_its_job(system)
        system.works('su - joe -c "ping -c1 -W5 127.0.0.1"', '1 received')
        assert system.works('su joe -c "su -c id\\ -u" <<<pw').endswith('0')
        system.type('poweroff\n')
        assert system.ends() == 0, system.text[-3000:]
    with boot(root, name, *words) as system:
        system.expect('login: $')
        code = system.stop()
        assert code == 0, (code, system.text[-3000:])
    with boot(root, name, *words) as system:
        system.login()
        system.type('reboot\n')
        assert system.ends() == 133, system.text[-3000:]


@cases([('sysvinit: boots, login, power-off, stop, reboot', SYSV, 'sysvinit'),
        ('OpenRC below sysvinit: boots, login, power-off, stop, reboot', OPENRC, 'sysvinit'),
        ('runit: boots, login, power-off, stop, reboot', RUNIT, 'runit')])
def _(root, name, kind):
    works_as_a_system(root, name, kind)


@case("OpenRC's own init: boots, knows that it is in a container, ends in order when it is asked to")
def _(root):
    with boot(root, OPENRC, '--', '/sbin/openrc-init') as system:
        assert system.event()['init']['kind'] == 'openrc'
        system.expect(r'starting up.*\[LXC\]')
        code = system.stop()
        assert code == 0, (code, system.text[-3000:])


main()
