#!/usr/bin/env python3
"""In the booted guest: userns-oci on pure cgroup v2, by systemd's managers, by userns-cgroup, and as root."""

import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from bundle import Bundle, config_for  # noqa: E402
from cgroups import below, pids_in, read  # noqa: E402
from harness import ROOT, case, main, spawn, wait_for  # noqa: E402
from users import ALICE, BASE, SLOW, env_of, first_id, linger, policy  # noqa: E402

TOP = '/sys/fs/cgroup'
SLICE = f'{TOP}/user.slice/user-1000.slice'
MEGABYTE = 1 << 20


class Guest:
    """What a bundle wants of a root."""
    tmp = '/srv/oci'

    @staticmethod
    def run(argv, user=None, **how):
        return spawn(argv, user, **how).wait(SLOW)


class Here(Bundle):
    def __init__(self, user, *words):
        super().__init__(Guest, user, runtime=['/usr/local/bin/userns-oci', *words])
        self.config = config_for(user, first_id(ALICE))
        self.config['linux']['namespaces'].append({'type': 'cgroup'})

    def env(self):
        return {**env_of(self.user), 'PATH': '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin'} if self.user.uid else super().env()

    def left(self):
        top = f"{self.env()['XDG_RUNTIME_DIR']}/userns-oci"
        return os.listdir(top) if os.path.isdir(top) else []

    def has(self, path, **resources):
        self.config['linux']['cgroupsPath'] = path
        self.config['linux']['resources'] = resources
        return self

    def works(self, *words, **how):
        done = self.call(*words, **how)
        assert done.code == 0, done
        return done.out


def in_scope(name):
    return [path for path in below(SLICE) if path.endswith(f'/{name}.scope/container')]


def ended(name):
    return not [path for path in below(TOP) if f'/{name}.scope' in path]


def as_root(bundle):
    config = bundle.config
    config['linux']['namespaces'] = [space for space in config['linux']['namespaces'] if space['type'] != 'user']
    del config['linux']['uidMappings'], config['linux']['gidMappings']
    return bundle


ALL = {'memory': {'limit': 64 * MEGABYTE, 'swap': 64 * MEGABYTE, 'reservation': 8 * MEGABYTE}, 'cpu': {'shares': 512, 'quota': 50000, 'period': 100000},
       'pids': {'limit': 20}}
FILES = {'memory.max': str(64 * MEGABYTE), 'memory.swap.max': '0', 'memory.low': str(8 * MEGABYTE), 'cpu.weight': '20', 'cpu.max': '50000 100000',
         'pids.max': '20'}


@case('by the user\'s manager: limits in a scope of the name that cgroupsPath has, update, pause, exec, and nothing left')
def _(_root):
    linger(ALICE)
    bundle = Here(ALICE, '--systemd-cgroup').has('user.slice:libpod:x1', **ALL).write('sleep', '1000')
    bundle.works('create', '-b', bundle.path, 'x1')
    (leaf,) = in_scope('libpod-x1')
    assert {file: read(f'{leaf}/{file}') for file in FILES} == FILES
    bundle.works('start', 'x1')
    assert pids_in(leaf) == [bundle.state('x1')['pid']] and '/user.slice/' in leaf
    bundle.works('update', '--pids-limit', '30', '--memory', str(128 * MEGABYTE), '--memory-swap', str(128 * MEGABYTE), 'x1')
    assert (read(f'{leaf}/pids.max'), read(f'{leaf}/memory.max')) == ('30', str(128 * MEGABYTE))
    bundle.works('pause', 'x1')
    assert bundle.state('x1')['status'] == 'paused'
    bundle.works('resume', 'x1')
    bundle.works('kill', '--all', 'x1', 'KILL')
    wait_for(lambda: bundle.state('x1')['status'] == 'stopped', 'the end', SLOW)
    bundle.end('x1')
    assert ended('libpod-x1') and bundle.left() == []


# Controllers are for the children of a cgroup without processes.
INTO_A_LEAF = 'd=/sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup); mkdir $d/leaf && echo $$ >$d/leaf/cgroup.procs && exec "$@"'


def throttled(leaf):
    return int(dict(line.split() for line in read(f'{leaf}/cpu.stat').splitlines())['nr_throttled'])


@case('below a cgroup that the user\'s manager has delegated: limits hold, update changes them, pause and resume, exec, and nothing left')
def _(_root):
    linger(ALICE)
    bundle = Here(ALICE).has('/own/x4', memory={'limit': 48 * MEGABYTE, 'swap': 48 * MEGABYTE}, pids={'limit': 12}, cpu={'quota': 20000, 'period': 100000})
    bundle.write('sh', '-c', 'while :; do :; done')
    scope = ['/usr/bin/systemd-run', '--user', '--scope', '-q', '--unit', 'own', '-p', 'Delegate=yes', '--',
             '/bin/sh', '-c', INTO_A_LEAF, 'sh']
    bundle.runtime = [*scope, *bundle.runtime]
    bundle.works('run', '-d', '-b', bundle.path, 'x4')
    bundle.runtime = bundle.runtime[len(scope):]
    (leaf,) = [path for path in below(SLICE) if path.endswith('/own/x4')]
    assert f'/user@1000.service/app.slice/own.scope/' in leaf, leaf
    assert [read(f'{leaf}/{file}') for file in ('memory.max', 'memory.swap.max', 'pids.max', 'cpu.max')] == [
        str(48 * MEGABYTE), '0', '12', '20000 100000']
    wait_for(lambda: throttled(leaf) > 2, 'the CPU limit to hold', SLOW)
    inside = ['/usr/bin/systemd-run', '--user', '--scope', '-q', '--', *bundle.runtime, 'exec', 'x4']

    def in_container(script):
        return spawn([*inside, 'sh', '-c', script], ALICE, env=bundle.env()).wait(SLOW)
    done = in_container('for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 9 & done; echo all')
    assert 'fork' in done.err and 'all' not in done.out, done
    wait_for(lambda: len(pids_in(leaf)) == 1, 'their end', SLOW)
    fill = 'busybox dd if=/dev/zero of=/dev/shm/x bs=1M count={} 2>/dev/null; echo $?; busybox rm /dev/shm/x'.format
    assert in_container(fill(60)).out != '0\n', 'a limit of memory'
    bundle.works('update', '--memory', str(200 * MEGABYTE), '--memory-swap', str(200 * MEGABYTE), '--pids-limit', '40', '--cpu-quota', '-1', 'x4')
    assert [read(f'{leaf}/{file}') for file in ('memory.max', 'pids.max', 'cpu.max')] == [str(200 * MEGABYTE), '40', 'max 100000']
    assert in_container(fill(60)).out == '0\n', 'the new limit of memory'
    bundle.works('pause', 'x4')
    assert (bundle.state('x4')['status'], 'frozen 1' in read(f'{leaf}/cgroup.events')) == ('paused', True)
    used = read(f'{leaf}/cpu.stat').split()[1]
    time.sleep(1)
    assert read(f'{leaf}/cpu.stat').split()[1] == used
    bundle.works('resume', 'x4')
    wait_for(lambda: read(f'{leaf}/cpu.stat').split()[1] != used, 'it to go on', SLOW)
    bundle.end('x4')
    wait_for(lambda: not os.path.exists(os.path.dirname(os.path.dirname(leaf))), 'the scope to go', SLOW)
    assert bundle.left() == []


@case('checkBeforeUpdate: a limit below what is used is refused and nobody is killed')
def _(_root):
    linger(ALICE)
    bundle = Here(ALICE, '--systemd-cgroup').has('user.slice:libpod:x5', memory={'limit': 64 * MEGABYTE})
    bundle.write('sh', '-c', 'busybox dd if=/dev/zero of=/dev/shm/x bs=1M count=30; exec sleep 1000')
    bundle.works('run', '-d', '-b', bundle.path, 'x5')
    (leaf,) = in_scope('libpod-x5')
    wait_for(lambda: int(read(f'{leaf}/memory.current')) > 30 * MEGABYTE, 'the use of memory', SLOW)
    path = f'{bundle.run_dir}/resources'
    with open(path, 'w') as file:
        json.dump({'memory': {'limit': 16 * MEGABYTE, 'checkBeforeUpdate': True}}, file)
    done = bundle.call('update', '--resources', path, 'x5')
    assert done.code == 1 and 'checkBeforeUpdate' in done.err and read(f'{leaf}/memory.max') == str(64 * MEGABYTE), done
    assert bundle.state('x5')['status'] == 'running'
    bundle.end('x5')
    wait_for(lambda: ended('libpod-x5'), 'the scope to go', SLOW)


@case('by the user\'s manager: a limit of memory kills, one of processes refuses, and run ends with the status')
def _(_root):
    linger(ALICE)
    bundle = Here(ALICE, '--systemd-cgroup').has('user.slice:libpod:x2', memory={'limit': 32 * MEGABYTE, 'swap': 32 * MEGABYTE})
    bundle.write('sh', '-c', 'busybox dd if=/dev/zero of=/dev/shm/x bs=1M count=60; echo $?')
    done = bundle.call('run', '-b', bundle.path, 'x2')
    assert '137' in done.out or done.code == 137, done
    wait_for(lambda: ended('libpod-x2'), 'the scope to go', SLOW)
    bundle.has('user.slice:libpod:x3', pids={'limit': 4}).write('sh', '-c', 'for i in 1 2 3 4 5 6; do sleep 9 & done; echo all')
    done = bundle.call('run', '-b', bundle.path, 'x3')
    assert 'fork' in done.err, done
    wait_for(lambda: ended('libpod-x3'), 'the scope to go', SLOW)
    assert bundle.left() == []


@case('by userns-cgroup: limits below the administrator\'s, where the caller has no cgroup')
def _(_root):
    policy('alice memory.max=300M pids.max=200 cpu.max=90% containers=1')
    bundle = Here(ALICE).has('/libpod_parent/y', memory={'limit': 64 * MEGABYTE}, pids={'limit': 20}).write('sleep', '1000')
    for _ in range(2):
        bundle.works('run', '-d', '-b', bundle.path, 'y')
        (leaf,) = [path for path in below(f'{BASE}/1000') if path.endswith('/container')]
        assert (read(f'{leaf}/memory.max'), read(f'{leaf}/pids.max')) == (str(64 * MEGABYTE), '20')
        assert read(f'{BASE}/1000/memory.max') == str(300 * MEGABYTE)
        bundle.end('y')
        assert not [path for path in below(f'{BASE}/1000') if path != f'{BASE}/1000'], below(f'{BASE}/1000')
    bundle.has('/libpod_parent/y', blockIO={'weight': 100}).write('true')
    bundle.works('create', '-b', bundle.path, 'y')
    (leaf,) = [path for path in below(f'{BASE}/1000') if path.endswith('/container')]
    assert read(f'{leaf}/io.weight') == 'default 910'
    bundle.end('y')
    bundle.has('/libpod_parent/y', network={'classID': 5}).write('true')
    done = bundle.call('create', '-b', bundle.path, 'y')
    assert done.code == 1 and 'linux.resources.network' in done.err and bundle.left() == [], done


@case('as root: cpuset, io and the rest below the top, and by the system\'s manager')
def _(_root):
    bundle = as_root(Here(ROOT)).has('/machine/z', **ALL, unified={'memory.high': '1048576', 'cgroup.max.descendants': '3'})
    bundle.config['linux']['resources']['cpu']['cpus'] = '0'
    bundle.config['linux']['resources']['blockIO'] = {'throttleReadBpsDevice': [{'major': 254, 'minor': 0, 'rate': 1048576}]}
    bundle.write('sleep', '1000')
    bundle.works('run', '-d', '-b', bundle.path, 'z')
    leaf = f'{TOP}/machine/z'
    wanted = {**FILES, 'cpuset.cpus': '0', 'memory.high': '1048576', 'cgroup.max.descendants': '3'}
    assert {file: read(f'{leaf}/{file}') for file in wanted} == wanted
    assert 'rbps=1048576' in read(f'{leaf}/io.max')
    assert '0::/\n' in bundle.works('exec', 'z', 'cat', '/proc/self/cgroup')
    bundle.end('z')
    assert not os.path.exists(f'{TOP}/machine')
    bundle.runtime.append('--systemd-cgroup')
    bundle.has('machine.slice:libpod:z', **ALL).write('sleep', '1000')
    bundle.works('run', '-d', '-b', bundle.path, 'z')
    leaf = f'{TOP}/machine.slice/libpod-z.scope/container'
    assert {file: read(f'{leaf}/{file}') for file in FILES} == FILES
    bundle.end('z')
    assert ended('libpod-z')


@case('killed on its way, a create by the user\'s manager leaves no scope')
def _(_root):
    linger(ALICE)
    bundle = Here(ALICE, '--systemd-cgroup').has('user.slice:libpod:k', pids={'limit': 20}).write('sleep', '1000')
    for tenth in range(0, 30, 3):
        child = spawn([*bundle.runtime, 'create', '-b', bundle.path, 'k'], ALICE, env=bundle.env())
        time.sleep(tenth / 10)
        child.kill()
        child.wait(SLOW)
        bundle.end('k')
        wait_for(lambda: ended('libpod-k'), 'the scope to go', SLOW)
        assert bundle.left() == [], (tenth, bundle.left())
        listed = json.loads(bundle.works('list', '--format', 'json'))
        assert listed == [], (tenth, listed)


main(need_root=False)
