#!/usr/bin/env python3
"""In the booted guest (pure cgroup v2, systemd): whole distributions as containers of ordinary users. Nothing is timed."""
# distro: systemd sysv openrc

import json
import os
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from cgroups import pids_in, read  # noqa: E402
from console import System  # noqa: E402
from harness import case, cases, main, spawn, wait_for  # noqa: E402
from users import ALICE, BASE, BOB, RUN, SLOW, env_of, first_id, linger, policy  # noqa: E402

FACTOR = 10  # the guest's CPU is emulated
TARS = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'distros')


def rootfs(user, name):
    first, where = first_id(user), f'/var/lib/{name}-{user.name}'
    if not os.path.exists(where):
        os.makedirs(where)
        os.chown(where, first, first)
        done = spawn([RUN, '--map', f'b:0:{first}:65536', '--', 'tar', '-C', where, '--xattrs', '--xattrs-include=*',
                      '--exclude=./dev/*', '-xpf', f'{TARS}/{name}.tar']).wait(600)
        assert done.code == 0, done
    return where


def boot(user, name, *words):
    return System(RUN, user, '--rootfs', rootfs(user, name), '--hostname', 'box', *words,
                  env={**env_of(user), 'TERM': 'vt100'}, slow=FACTOR)


@case('a Debian with systemd comes up to multi-user below userns-cgroup, with controllers of its own, and stops in order')
def _(_root):
    policy('alice memory.max=600M pids.max=500')
    with boot(ALICE, 'systemd', '--memory', '400M') as system:
        assert system.event()['init']['kind'] == 'systemd'
        assert system.event()['event'] == 'ready'
        system.login()
        assert system.works('systemctl is-system-running --wait') == 'running'
        assert system.works('systemctl --failed --no-legend') == ''
        assert {'memory', 'pids'} <= set(system.works('cat /sys/fs/cgroup/cgroup.subtree_control').split())
        assert system.works('systemd-run -q --wait --pipe -p MemoryMax=50M sh -c "cat /sys/fs/cgroup\\$(cut -d: -f3 /proc/self/cgroup)/memory.max"') \
            == str(50 << 20)
        system.works('su - joe -c "sudo id -u"; journalctl -b -n 1; systemctl is-active cron ssh dbus')
        code = system.stop()
        assert code == 0, system.text[-2000:]
    wait_for(lambda: not pids_in(f'{BASE}/{ALICE.uid}'), 'the end of all', SLOW)


@case("another user's Debian comes up in a scope of his own user manager, and reboots")
def _(_root):
    linger(BOB)
    with boot(BOB, 'systemd', '--cgroup', 'systemd') as system:
        system.event()
        assert system.event()['event'] == 'ready'
        system.login()
        assert system.works('systemctl is-system-running --wait') == 'running'
        system.type('reboot\n')
        assert system.ends() == 133, system.text[-2000:]


@cases([('a Debian with sysvinit comes up without any cgroup of its own, and shuts down from inside', 'sysv', '2'),
        ('a Debian with OpenRC does, too', 'openrc', 'default')])
def _(_root, name, level):
    with boot(ALICE, name) as system:
        assert system.event()['init']['kind'] == 'sysvinit'  # OpenRC's scripts, where it has no process 1 of its own
        system.login()
        assert system.works('rc-status -r 2>/dev/null || runlevel | cut -d" " -f2; tty').split() == [level, '/dev/tty1']
        system.type('poweroff\n')
        assert system.ends() == 0, system.text[-2000:]


@case("a system of busybox alone comes up, and stops when it is asked to")
def _(_root):
    where, first = '/var/lib/busybox-alice', first_id(ALICE)
    for name in ('bin', 'sbin', 'etc'):
        os.makedirs(f'{where}/{name}')
    shutil.copy('/bin/busybox', where + '/bin/busybox')
    for name in ('bin/sh', 'sbin/init'):
        os.symlink('/bin/busybox', f'{where}/{name}')
    with open(where + '/etc/inittab', 'w') as file:
        file.write('console::respawn:-/bin/sh\n')
    subprocess.run(['chown', '-hR', f'{first}:{first}', where], check=True)
    with System(RUN, ALICE, '--rootfs', where, env={**env_of(ALICE), 'TERM': 'vt100'}, slow=FACTOR) as system:
        system.expect('# ')
        code = system.stop()
        assert code == 0, (code, system.text)


def manage(user, *words, code=0, seconds=SLOW, **how):
    done = spawn([RUN, *words], user, env=at_home(user), **how).wait(seconds)
    assert code is None or done.code == code, done
    return done


def at_home(user):
    return {**env_of(user), 'HOME': f'/home/{user.name}'}


@cases([("exec into a booted systemd with controllers of its own: nothing configured, in a scope of the user's manager", 'bob pids.max=200'),
        ('the same below userns-cgroup', 'alice memory.max=600M pids.max=500')])
def _(_root, rules):
    """Nothing of ours is where systemd inside looks, so it works meanwhile."""
    linger(ALICE)
    policy(rules)
    subprocess.run(['install', '-m644', f'{TARS}/systemd.tar', '/var/tmp/deb.tar'], check=True)
    manage(ALICE, 'create', 'deb', '--tar', '/var/tmp/deb.tar', seconds=600)
    done = manage(ALICE, 'start', 'deb', '--cgroup=none', code=125)
    assert 'is systemd, which needs a cgroup of its own' in done.err, done
    manage(ALICE, 'start', 'deb', seconds=600)
    enabled = ['exec', 'deb', '--', 'cat', '/sys/fs/cgroup/cgroup.subtree_control']
    wait_for(lambda: manage(ALICE, *enabled).out.split(), 'systemd inside to enable controllers', 3 * SLOW)
    wait_for(lambda: manage(ALICE, 'exec', 'deb', '--', 'sh', '-c', 'systemctl is-system-running --wait; true').out == 'running\n',
             'the system to be up', 3 * SLOW)
    for _ in range(3):
        manage(ALICE, 'exec', 'deb', '--', 'true')
    beside = spawn([RUN, 'exec', 'deb', '--', 'sleep', '900'], ALICE, env=at_home(ALICE))
    state = json.loads(read('/home/alice/.local/share/userns/deb/state.json'))
    payload = state['cgroup'] + '/payload'
    wait_for(lambda: any(pids_in(f'{payload}/{d}') for d in os.listdir(payload) if d.startswith('.userns-exec')), 'it', SLOW)
    assert 'State: running' in manage(ALICE, 'exec', 'deb', '--', 'systemctl', 'status', '--no-pager').out
    manage(ALICE, 'exec', 'deb', '--', 'systemctl', 'kill', '--signal=SIGURG', '--', '-.slice')
    inside = os.readlink(f'/proc/{state["init"]["pid"]}/ns/pid')
    assert {os.readlink(f'/proc/{pid}/ns/pid') for pid in pids_in(payload)} == {inside}
    beside.kill(15)
    beside.wait(SLOW)
    wait_for(lambda: not any(d.startswith('.userns-exec') for d in os.listdir(payload)), 'the leaves to go', SLOW)
    manage(ALICE, 'freeze', 'deb')
    manage(ALICE, 'thaw', 'deb')
    manage(ALICE, 'stop', 'deb', '--timeout=300s', seconds=400)
    wait_for(lambda: not os.path.exists(payload), 'the cgroup to go, with all that was made below', SLOW)
    manage(ALICE, 'destroy', 'deb', seconds=600)


@case("a scope whose monitor was killed is gone after the next word, with the cgroups that root inside has made")
def _(_root):
    linger(ALICE)
    policy('bob pids.max=200')
    manage(ALICE, 'create', 'box', '--template', 'busybox', seconds=600)
    script = 'mkdir -p /sys/fs/cgroup/of-root/inside && echo made; exec sleep 100000'
    manage(ALICE, 'start', 'box', '--cgroup=systemd', '--', 'sh', '-c', script, seconds=600)
    state = json.loads(read('/home/alice/.local/share/userns/box/state.json'))
    inner = state['cgroup'] + '/payload/of-root/inside'
    assert state['cgroup'].endswith('.scope'), state
    wait_for(lambda: os.path.isdir(inner), 'its cgroups', SLOW)
    os.kill(state['monitor']['pid'], signal.SIGKILL)
    wait_for(lambda: not pids_in(state['cgroup'] + '/payload'), 'its end', SLOW)
    manage(ALICE, 'destroy', 'box', seconds=600)
    wait_for(lambda: not os.path.exists(state['cgroup']), 'the scope to go', SLOW)


# What a service with MemoryMax= does: a cgroup of its own, made by root inside.
INNER = '''cd /sys/fs/cgroup && mkdir me in && echo $$ > me/cgroup.procs && echo +memory > cgroup.subtree_control && echo 20M > in/memory.max
sh -c 'echo 0 > in/cgroup.procs; exec dd if=/dev/zero of=/dev/null bs=200M count=1' 2>/dev/null; echo "dd ended with $?"'''


@cases([('a memory limit that was set inside is named as such', ('--memory=400M',), INNER, 'a memory limit that was set inside'),
        ("the container's own limit is named by its option", ('--memory=40M',),
         'dd if=/dev/zero of=/dev/null bs=200M count=1', 'the memory limit (--memory 40M)')])
def _(_root, options, script, said):
    linger(ALICE)
    policy('alice memory.max=600M pids.max=500')
    manage(ALICE, 'create', 'box', '--template', 'busybox', seconds=600)
    manage(ALICE, 'start', 'box', *options, '--', 'sh', '-c', script + '; true', seconds=600)
    manage(ALICE, 'wait', 'box', seconds=300, code=None)
    info = manage(ALICE, 'info', 'box').out
    assert said in info and 'administrator' not in info, (info, manage(ALICE, 'logs', 'box').out)
    manage(ALICE, 'destroy', 'box', seconds=600)


main(need_root=False)
