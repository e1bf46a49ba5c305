#!/usr/bin/env python3
"""Named containers that boot a system: busybox's init, and Debian with its systemd."""

import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from boot_trees import busybox  # noqa: E402
from cgroups import Cgroups, pids_in  # noqa: E402
from container import fails, well  # noqa: E402
from distro import SYSTEMD, unpack  # noqa: E402
from named import Store, alive, await_log  # noqa: E402
from harness import case, cases, main, wait_for  # noqa: E402

cgroups = Cgroups.become_tenant()


@case('busybox: its init is started without being named; reboot inside starts it again, poweroff inside stops it')
def _(root):
    store = Store(root)
    store.make('box', tree=busybox(root))
    well(store.do('start', 'box'))
    first = store.state('box')
    assert first['kind'] == 'busybox' and first['command'] == ['/sbin/init'], first
    await_log(store, 'box', 'begun')
    waiter, watcher = store.begin('wait', 'box'), store.begin('console', 'box', stdin=os.pipe()[0])
    store.do('exec', 'box', command=['reboot'])
    second = wait_for(lambda: (s := store.state('box')) and s['restarts'] == 1 and s, 'it to be started again', 30)
    assert second['monitor'] == first['monitor'] and second['init'] != first['init']
    wait_for(lambda: store.log('box').count(b'begun') == 2, 'its second life')
    store.do('exec', 'box', command=['poweroff'])  # which ends with the rest
    assert waiter.wait().code == 0
    done = watcher.wait()
    assert done.code == 0 and done.out.count('begun') == 2 and done.out.count('ended') == 2, done
    assert store.state('box') is None and store.last('box')['exit_status'] == 0


@case('busybox: stop asks its init, which ends in order')
def _(root):
    store = Store(root)
    store.make('box', tree=busybox(root))
    well(store.do('start', 'box'))
    await_log(store, 'box', 'begun')
    well(store.do('stop', 'box'))
    assert b'ended' in store.log('box') and store.last('box')['exit_status'] == 0, (store.last('box'), store.log('box'))
    fails(store.do('start', 'box', '--boot', '--wait-ready=1s'), 'wait-ready')


def said(store):
    """The events of deb."""
    return [json.loads(line)['event'] for line in well(store.do('events', '--json', 'deb')).out.splitlines()]


@case('Debian: up when start says so, logged in to at its console, entered, restarted and stopped in order')
def _(root):
    cgroups.begin(root, '* containers=4')
    store = Store(root)
    store.make('deb', 'boot = yes', tree=unpack(root, SYSTEMD))
    well(store.do('start', 'deb', '--wait-ready=60s', timeout=90))
    state = store.state('deb')
    assert state['kind'] == 'systemd' and state['cgroup'], state
    assert said(store) == ['start', 'ready'], said(store)
    done = well(store.do('exec', 'deb', command=['systemctl', 'is-system-running']))
    assert done.out == 'running\n', done
    assert 'login:' in await_log(store, 'deb', 'login:').decode()
    done = well(store.do('exec', 'deb', '--user=joe', command=['sh', '-c', 'id -un; sudo id -u; cat /proc/self/cgroup']))
    assert done.out.startswith('joe\n0\n') and re.search(r'^0::/(.userns-exec-\d+)?$', done.out, re.M), done
    store.do('exec', 'deb', command=['systemctl', 'reboot'])
    try:
        again = wait_for(lambda: (s := store.state('deb')) and s['restarts'] == 1 and s, 'it to be started again', 30)
    except AssertionError as error:
        raise AssertionError((store.state('deb'), store.files('deb'), store.log('deb')[-1500:])) from error
    assert again['init'] != state['init'] and alive(again['init']['pid'])
    wait_for(lambda: store.do('exec', 'deb', command=['systemctl', 'is-system-running', '--wait']).out == 'running\n', 'it to be up again', 60)
    wait_for(lambda: said(store) == ['start', 'ready', 'die', 'start', 'ready'], 'its second life to be told', 60)
    well(store.do('stop', 'deb', '--timeout=30s', timeout=60))
    assert store.last('deb')['exit_status'] == 0, store.last('deb')


@case('Debian: --wait returns when it is up; an exec before that says so; the host name can be changed inside, as a file')
def _(root):
    cgroups.begin(root, '* containers=4')
    store = Store(root)
    store.make('deb', tree=unpack(root, SYSTEMD))
    well(store.do('start', 'deb'))
    early = well(store.do('exec', 'deb', command=['true']))
    if os.path.exists(f'{store.path}/deb/ready'):
        early = None  # it was up before the question: nothing is said then
    assert early is None or 'deb is still booting' in early.err, early
    well(store.do('stop', 'deb', '--timeout=30s', timeout=60))
    well(store.do('start', 'deb', '--wait', timeout=300))
    done = well(store.do('exec', 'deb', command=['sh', '-c', 'hostname; cat /etc/hostname; hostnamectl set-hostname renamed; hostname; cat /etc/hostname']))
    assert done.out.split() == ['deb', 'deb', 'renamed', 'renamed'] and 'booting' not in done.err, done
    with open(f'{root.tmp}/{SYSTEMD}/etc/hostname') as file:
        assert file.read() == 'renamed\n'
    well(store.do('stop', 'deb', '--timeout=30s', timeout=60))
    assert not os.path.exists(f'{store.path}/deb/ready')


@case('Debian: while an exec runs, systemctl status and a signal to all units work: nothing of ours is in its cgroups')
def _(root):
    cgroups.begin(root, '* containers=4')
    store = Store(root)
    store.make('deb', 'boot = yes', tree=unpack(root, SYSTEMD))
    well(store.do('start', 'deb', '--wait-ready=60s', timeout=90))
    state = store.state('deb')
    payload = state['cgroup'] + '/payload'
    beside = store.begin('exec', 'deb', command=['sleep', '1000'])
    wait_for(lambda: 'sleep 1000' in store.do('ps', 'deb').out, 'the command')
    inside = os.readlink(f'/proc/{state["init"]["pid"]}/ns/pid')
    strangers = {pid for pid in pids_in(payload) if os.readlink(f'/proc/{pid}/ns/pid') != inside}
    status = store.do('exec', 'deb', command=['systemctl', 'status', '--no-pager'])
    signal = store.do('exec', 'deb', command=['systemctl', 'kill', '--signal=SIGURG', '--', '-.slice'])
    beside.kill(15)
    beside.wait()
    well(store.do('stop', 'deb', '--timeout=30s', timeout=60))
    assert not strangers and 'State: running' in well(status).out and well(signal), (strangers, status, signal)


# What the kernel keeps locked is in the way of nothing: units remount, mount and bind in what they are given.
SANDBOXED = ('systemd-run -q --wait --pipe -p ProtectSystem=strict -p ProtectHome=yes -p PrivateTmp=yes -p PrivateDevices=yes '
             '-p ProtectKernelTunables=yes -p ProtectControlGroups=yes -p ReadWritePaths=/var/tmp -p PrivateNetwork=yes '
             'sh -c "! touch /etc/x 2>/dev/null && touch /var/tmp/x /tmp/x && echo sandboxed"')
BROKEN = 'systemctl --failed --no-legend; journalctl -q -p err -b | cat'


@cases([('with a read-only bind', ('bind = /usr/share:/mnt:ro',), 'touch /mnt/x'),
        ('that is read-only', ('read-only = yes', 'tmpfs = /var'), 'touch /etc/x')])
def _(root, settings, forbidden):
    cgroups.begin(root, '* containers=4')
    tree = unpack(root, SYSTEMD)
    store = Store(root)
    store.make('deb', 'boot = yes', *settings, tree=tree)
    well(store.do('start', 'deb', '--wait-ready=60s', timeout=90))

    def inside(script, code=0):
        return well(store.do('exec', 'deb', command=['sh', '-c', script], timeout=60), code).out
    state = store.do('exec', 'deb', command=['systemctl', 'is-system-running', '--wait']).out
    assert state == 'running\n', (state, inside(BROKEN))
    journal = inside('systemctl is-active systemd-journald systemd-logind systemd-sysctl systemd-tmpfiles-setup')
    assert journal.split() == ['active'] * 4, journal
    assert inside(SANDBOXED) == 'sandboxed\n'
    inside(f'! {forbidden} 2>/dev/null; mount -o remount,bind,rw $(dirname "{forbidden.split()[1]}") 2>/dev/null; ! {forbidden} 2>/dev/null')
    well(store.do('stop', 'deb', '--timeout=30s', timeout=60))
    assert store.last('deb')['exit_status'] == 0, store.last('deb')


main()
