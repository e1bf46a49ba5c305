#!/usr/bin/env python3
"""userns-oci and cgroups, on a host without systemd: limits, pause, update, kill by the cgroup, and what is left."""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from bundle import Bundle  # noqa: E402
from cgroups import MOUNT, Cgroups, below, pids_in, read, write  # noqa: E402
from harness import ROOT, case, cases, main, skip, spawn, status_of, wait_for, with_own_pids  # noqa: E402

with_own_pids()
cgroups = Cgroups.become_tenant()
PAGES = 2 << 20


def begin(root, policy='', user=None):
    """A bundle of the user, or of alice, with a cgroup namespace; a fresh set of cgroups, in which nobody is."""
    write(f'{cgroups.top}/cgroup.procs', 0) if cgroups.why_not is None else None
    cgroups.begin(root, policy)
    bundle = Bundle(root, user or root.alice)
    bundle.config['linux']['namespaces'].append({'type': 'cgroup'})
    return bundle


def begin_delegated(root):
    """The same, in a cgroup below one that is alice's. (bundle, alice's)"""
    bundle = begin(root)
    own = f'{cgroups.v2}/own'
    for path in (own, f'{own}/here'):
        os.mkdir(path)
        for name in ('', '/cgroup.procs', '/cgroup.threads', '/cgroup.subtree_control'):
            os.chown(path + name, root.alice.uid, root.alice.gid)
    write(f'{cgroups.v2}/cgroup.subtree_control', '+hugetlb')
    write(f'{own}/here/cgroup.procs', 0)
    return bundle, own


def begin_as_root(root):
    bundle = begin(root, user=ROOT)
    config = bundle.config
    config['linux']['namespaces'] = [space for space in config['linux']['namespaces'] if space['type'] != 'user']
    del config['linux']['uidMappings'], config['linux']['gidMappings']
    bundle.name = os.path.basename(cgroups.v2)
    return bundle


def has(bundle, **resources):
    bundle.config['linux']['resources'] = resources
    return bundle


def at(bundle, path):
    bundle.config['linux']['cgroupsPath'] = path
    return bundle


def pages(limit):
    return [{'pageSize': '2MB', 'limit': limit}]


def works(bundle, *words, **how):
    done = bundle.call(*words, **how)
    assert done.code == 0, done
    return done.out


def refused(bundle, *words):
    done = bundle.call('create', '-b', bundle.write('sleep', '1000').path, 'c')
    assert done.code == 1 and all(word in done.err for word in words), done
    assert bundle.left() == []


def is_gone(*paths):
    return not any(os.path.exists(path) for path in paths)


# --- in a cgroup that is the caller's -------------------------------------------------------

@case('a limit holds in the cgroup that cgroupsPath names below the caller\'s, exec is in it, and delete leaves nothing')
def _(root):
    bundle, own = begin_delegated(root)
    at(has(bundle, hugepageLimits=pages(PAGES)), '/pod/web').write('sleep', '1000')
    works(bundle, 'run', '-d', '-b', bundle.path, 'c')
    leaf = f'{own}/pod/web'
    assert read(f'{leaf}/hugetlb.2MB.max') == read(f'{leaf}/hugetlb.2MB.rsvd.max') == str(PAGES)
    assert bundle.state()['pid'] in pids_in(leaf)
    assert '0::/\n' in works(bundle, 'exec', 'c', 'cat', '/proc/self/cgroup')
    child = spawn([*bundle.runtime, 'exec', 'c', 'sleep', '1001'], root.alice, env=bundle.env())
    wait_for(lambda: len(pids_in(leaf)) == 2, 'exec in the cgroup')
    assert sorted(json.loads(works(bundle, 'ps', '--format', 'json', 'c'))) == sorted(pids_in(leaf))
    assert child.pid not in pids_in(leaf)
    bundle.end()
    child.wait()
    assert is_gone(f'{own}/pod') and bundle.left() == [] and os.path.isdir(own)


@case('pause stops all of its processes, resume lets them go on, and the state says so')
def _(root):
    bundle, own = begin_delegated(root)
    at(bundle, 'web').write('sh', '-c', 'while :; do echo x >> /dev/shm/n; sleep 0.01; done')
    works(bundle, 'run', '-d', '-b', bundle.path, 'c')
    leaf = f'{own}/here/web'
    works(bundle, 'pause', 'c')
    assert bundle.state()['status'] == 'paused' and 'frozen 1' in read(f'{leaf}/cgroup.events')
    assert json.loads(works(bundle, 'list', '--format', 'json'))[0]['status'] == 'paused'
    for verb, word in (('pause', 'it is paused'), ('exec', 'it is paused'), ('start', 'it is paused')):
        done = bundle.call(verb, 'c', *(['true'] if verb == 'exec' else []))
        assert done.code == 1 and word in done.err, done
    works(bundle, 'resume', 'c')
    assert bundle.state()['status'] == 'running' and 'frozen 0' in read(f'{leaf}/cgroup.events')
    assert bundle.call('resume', 'c').code == 1
    works(bundle, 'pause', 'c')
    bundle.end()
    assert is_gone(leaf)


@case('update sets new limits, from a file, standard input or options, and a nonsense one leaves the old')
def _(root):
    bundle, own = begin_delegated(root)
    at(has(bundle, hugepageLimits=pages(PAGES)), 'web').write('sleep', '1000')
    works(bundle, 'run', '-d', '-b', bundle.path, 'c')
    file = f'{own}/web/hugetlb.2MB.max'
    path = f'{bundle.run_dir}/resources'
    root.write(path, json.dumps({'hugepageLimits': pages(2 * PAGES)}), owner=(root.alice.uid, root.alice.gid))
    works(bundle, 'update', '--resources', path, 'c')
    assert read(file) == str(2 * PAGES)
    root.write(path, json.dumps({'unified': {'hugetlb.2MB.max': 'max'}}))
    with open(path) as stdin:
        works(bundle, 'update', '-r', '-', 'c', stdin=stdin.fileno())
    assert read(file) == 'max'
    for text, word in (('{"unified": {"hugetlb.2MB.max": "x"}}', 'unified.hugetlb.2MB.max'), ('{"unified": {"cgroup.procs": "1"}}', 'cgroup.procs'),
                       ('{"unified": {"../x": "1"}}', '../x'), ('[', 'JSON'), ('{"pids": {"limit": "1"}}', 'pids.limit')):
        root.write(path, text)
        done = bundle.call('update', '--resources', path, 'c')
        assert done.code == 1 and word in done.err, done
    assert read(file) == 'max'
    done = bundle.call('update', '--pids-limit', '7', 'c')
    assert done.code == 1 and 'pids.limit cannot be honoured' in done.err, done
    assert bundle.call('update', 'c').code == 1
    bundle.end()


@case('without a pid namespace of its own, kill --all, ps and delete reach all in the cgroup and nobody else')
def _(root):
    bundle, own = begin_delegated(root)
    at(bundle, 'web').config['linux']['namespaces'] = [s for s in bundle.config['linux']['namespaces'] if s['type'] != 'pid']
    script = 'busybox setsid sleep 1000 & busybox setsid sh -c "trap : TERM; while :; do sleep 1; done" & exec sleep 1000'
    bundle.config['mounts'][0] = {'destination': '/proc', 'type': 'bind', 'source': '/proc', 'options': ['rbind']}
    bundle.config['linux']['maskedPaths'] = bundle.config['linux']['readonlyPaths'] = []
    bundle.write('sh', '-c', script)
    works(bundle, 'run', '-d', '-b', bundle.path, 'c')
    leaf = f'{own}/here/web'
    wait_for(lambda: len(pids_in(leaf)) >= 3, 'all of them')
    wait_for(lambda: sorted(json.loads(works(bundle, 'ps', '--format', 'json', 'c'))) == sorted(pids_in(leaf)), 'ps to name them')
    works(bundle, 'kill', '--all', 'c', 'USR1')
    wait_for(lambda: bundle.state()['status'] == 'stopped', 'the end of the first')
    bundle.end()
    assert is_gone(leaf)


@case('a container that has ended lost its empty cgroup to another one: its verbs and its delete reach nobody there')
def _(root):
    bundle, own = begin_delegated(root)
    at(has(bundle, hugepageLimits=pages(PAGES)), 'web').write('sleep', '1000')
    works(bundle, 'run', '-d', '-b', bundle.path, 'c')
    leaf = f'{own}/web'
    works(bundle, 'kill', 'c', 'KILL')
    wait_for(lambda: bundle.state()['status'] == 'stopped' and not pids_in(leaf), 'the end of the first one')
    works(bundle, 'run', '-d', '-b', bundle.path, 'd')
    pid = bundle.state('d')['pid']
    assert pids_in(leaf) == [pid]
    done = bundle.call('update', '--pids-limit', '5', 'c')
    assert done.code == 1 and 'stopped' in done.err, done
    assert str(pid) not in bundle.call('ps', 'c').out
    for verb in ('pause', 'resume'):
        assert bundle.call(verb, 'c').code == 1
    works(bundle, 'delete', 'c')
    assert bundle.state('d')['status'] == 'running' and pids_in(leaf) == [pid], bundle.state('d')
    bundle.end('d')
    assert is_gone(leaf) and bundle.left() == []


@case('cgroups that the container\'s root makes below its own go with it')
def _(root):
    bundle, own = begin_delegated(root)
    at(bundle, 'web').config['linux']['uidMappings'] = [{'containerID': 0, 'hostID': 100000, 'size': 65536}]
    bundle.config['linux']['gidMappings'] = [{'containerID': 0, 'hostID': 100000, 'size': 65536}]
    for name in ('proc', 'dev', 'sys'):
        os.mkdir(f'{bundle.path}/rootfs/{name}')
    for top, names, _ in os.walk(bundle.path):
        for one in [top] + [os.path.join(top, name) for name in names]:
            if not os.path.islink(one):
                os.chmod(one, 0o755)
    os.chmod(os.path.dirname(bundle.path), 0o755)
    bundle.write('sleep', '1000')
    works(bundle, 'run', '-d', '-b', bundle.path, 'c')
    leaf = f'{own}/here/web'
    os.makedirs(f'{leaf}/a/b')
    for path in (f'{leaf}/a', f'{leaf}/a/b'):
        os.chown(path, 100000, 100000)
    os.chown(leaf, 100000, 100000)
    bundle.end()
    assert is_gone(leaf)


# --- no way to a cgroup ---------------------------------------------------------------------

@case('a limit that nobody can hold is an error that names it; with --cgroup-manager disabled it is passed over')
def _(root):
    bundle = begin(root)
    for resources, word in (({'memory': {'limit': 1 << 30}}, 'linux.resources.memory.limit'), ({'pids': {'limit': 5}}, 'linux.resources.pids.limit'),
                            ({'hugepageLimits': pages(PAGES)}, 'linux.resources.hugepageLimits[0]')):
        refused(has(bundle, **resources), word, '--cgroups=disabled', 'userns-cgroup')
        assert works(bundle, '--cgroup-manager', 'disabled', 'run', '-b', bundle.write('echo', 'well').path, 'c') == 'well\n'
    has(bundle, devices=[{'allow': False, 'access': 'rwm'}])
    assert works(bundle, 'run', '-b', at(bundle, '/libpod_parent/x').write('echo', 'well').path, 'c') == 'well\n'
    for verb in ('pause', 'update'):
        bundle.write('sleep', '1000')
        works(bundle, 'run', '-d', '-b', bundle.path, 'c')
        done = bundle.call(verb, *(['--pids-limit', '5'] if verb == 'update' else []), 'c')
        assert done.code == 1 and 'no cgroup of its own' in done.err and 'linux.cgroupsPath' in done.err, done
        bundle.end()


@cases([
    ('out of the hierarchy', '/a/../../b', '".."'), ('a dot', '/a/./b', '".."'), ('an empty name', '/a//b', '".."'), ('the top', '/', 'top'),
    ('a line break', '/a\nb', '".."'), ('too long', '/' + 'x/' * 600 + 'x', 'too long')])
def _(root, path, word):
    bundle, _ = begin_delegated(root)
    refused(at(bundle, path), 'linux.cgroupsPath', word)


@case('with --systemd-cgroup: what is not a name of a unit is refused, and so is a host without systemd')
def _(root):
    bundle, _ = begin_delegated(root)
    for path, word in (('/a/b', 'SLICE:PREFIX:NAME'), ('a:b:--user', 'unit'), ('a.slice:../b:c', 'unit'), ('-p:b:c', 'unit'), ('a:b:c:d', 'SLICE'),
                       ('user.slice:b:c', 'user manager')):
        done = bundle.call('--systemd-cgroup', 'create', '-b', at(bundle, path).write('true').path, 'c')
        assert done.code == 1 and word in done.err, done
        assert bundle.left() == []
    done = bundle.call('--cgroup-manager', 'x', 'create', '-b', bundle.path, 'c')
    assert done.code == 1 and 'cgroupfs, systemd or disabled' in done.err, done


# --- as root --------------------------------------------------------------------------------

@case('as root: cgroups of v1 where v2 has no such controller, limits in both, and delete leaves none')
def _(root):
    bundle = begin_as_root(root)
    if not all(os.path.exists(f'{MOUNT}/{one}/tasks') for one in ('memory', 'pids', 'cpu', 'cpuset')):
        skip('this host has no v1 hierarchies')
    at(bundle, f'/{bundle.name}/oci/c')
    has(bundle, memory={'limit': 64 << 20, 'reservation': 32 << 20, 'swappiness': 10}, cpu={'shares': 512, 'quota': 50000, 'period': 100000, 'cpus': '0'},
        pids={'limit': 5}, hugepageLimits=pages(PAGES)).write('sleep', '1000')
    works(bundle, 'run', '-d', '-b', bundle.path, 'c')
    pid = bundle.state()['pid']
    where = {kind: f'{MOUNT}/{kind}/{bundle.name}/oci/c' for kind in ('memory', 'cpu', 'cpuset', 'pids')}
    leaf = f'{cgroups.v2}/oci/c'
    assert all(pids_in(path) == [pid] for path in [*where.values(), leaf])
    found = [read(f'{where[file.partition(".")[0]]}/{file}') for file in (
        'memory.limit_in_bytes', 'memory.soft_limit_in_bytes', 'memory.swappiness', 'cpu.shares', 'cpu.cfs_quota_us', 'cpuset.cpus', 'pids.max')]
    assert found == [str(64 << 20), str(32 << 20), '10', '512', '50000', '0', '5'], found
    assert read(f'{leaf}/hugetlb.2MB.max') == str(PAGES)
    done = bundle.call('exec', 'c', 'sh', '-c', 'sleep 9 & sleep 9 & sleep 9 & sleep 9 & echo all')
    assert done.code != 0 and 'fork' in done.err, done
    works(bundle, 'update', '--pids-limit', '50', '--memory', str(96 << 20), 'c')
    assert read(f'{where["pids"]}/pids.max') == '50' and read(f'{where["memory"]}/memory.limit_in_bytes') == str(96 << 20)
    bundle.end()
    assert is_gone(*where.values(), f'{cgroups.v2}/oci', *(f'{MOUNT}/{kind}/{bundle.name}/oci' for kind in ('memory', 'cpu', 'cpuset', 'pids')))


@case('as root: checkBeforeUpdate refuses a memory limit below what is used, and the old one stays')
def _(root):
    bundle = begin_as_root(root)
    if not os.path.exists(f'{MOUNT}/memory/tasks'):
        skip('this host has no v1 hierarchy of memory')
    has(at(bundle, f'/{bundle.name}/oci/c'), memory={'limit': 64 << 20}).write('sh', '-c', 'busybox dd if=/dev/zero of=/dev/shm/x bs=1M count=20; exec sleep 1000')
    works(bundle, 'run', '-d', '-b', bundle.path, 'c')
    leaf = f'{MOUNT}/memory/{bundle.name}/oci/c'
    wait_for(lambda: int(read(f'{leaf}/memory.usage_in_bytes')) > 20 << 20, 'the use of memory')
    path = f'{bundle.run_dir}/resources'
    for limit, code in ((8 << 20, 1), (48 << 20, 0)):
        root.write(path, json.dumps({'memory': {'limit': limit, 'checkBeforeUpdate': True}}))
        done = bundle.call('update', '--resources', path, 'c')
        assert done.code == code and ('checkBeforeUpdate' in done.err) == (code == 1), done
        assert read(f'{leaf}/memory.limit_in_bytes') == str((64 if code else 48) << 20)
    bundle.end()


@case('as root: a cgroup that is in use is not taken, and nobody in it is harmed; an empty one is made anew')
def _(root):
    bundle = begin_as_root(root)
    taken = f'{cgroups.v2}/service'
    os.mkdir(taken)
    other = spawn(['/bin/sleep', '1000'])
    write(f'{taken}/cgroup.procs', other.pid)
    for path in ('service', ''):
        refused(at(bundle, f'/{bundle.name}/{path}'.rstrip('/')), 'in use')
    assert pids_in(taken) == [other.pid] and not status_of(other.pid)['State'].startswith('Z')
    other.kill()
    other.wait()
    write(f'{cgroups.v2}/cgroup.subtree_control', '+hugetlb')
    write(f'{taken}/hugetlb.2MB.max', PAGES)
    works(bundle, 'run', '-d', '-b', at(bundle, f'/{bundle.name}/service').write('sleep', '1000').path, 'c')
    found = read(f'{taken}/hugetlb.2MB.max')
    assert found != str(PAGES), found
    bundle.end()
    assert is_gone(taken)


# --- by userns-cgroup -----------------------------------------------------------------------

@case('by userns-cgroup, where the caller has no cgroup: a limit holds, and delete gives it back')
def _(root):
    bundle = begin(root, 'alice containers=1 hugetlb.2MB.max=1G')
    has(bundle, hugepageLimits=pages(PAGES)).write('sleep', '1000')
    for _ in range(2):
        works(bundle, 'create', '-b', bundle.path, 'c')
        pid = bundle.state()['pid']
        (leaf,) = [path for path in below(cgroups.v2) if path.endswith('/container')]
        assert leaf.startswith(f'{cgroups.v2}/{root.alice.uid}/oci-') and pids_in(leaf) == [pid]
        assert read(f'{leaf}/hugetlb.2MB.max') == str(PAGES)
        works(bundle, 'start', 'c')
        works(bundle, 'pause', 'c')
        works(bundle, 'resume', 'c')
        bundle.end()
        assert cgroups.left() == [], cgroups.left()
    done = bundle.call('run', '-b', bundle.write('sh', '-c', 'exit 4').path, 'c')
    assert done.code == 4, done


@case('by userns-cgroup: exec is refused, since nobody can follow the container there')
def _(root):
    bundle = begin(root, 'alice containers=1 hugetlb.2MB.max=1G')
    has(bundle, hugepageLimits=pages(PAGES)).write('sleep', '1000')
    works(bundle, 'run', '-d', '-b', bundle.path, 'c')
    done = bundle.call('exec', 'c', 'true')
    assert done.code == 1 and "container's cgroup" in done.err, done
    bundle.end()


# --- killed on the way ----------------------------------------------------------------------

@case('a create that is killed at any system call of its own leaves no cgroup after delete')
def _(root):
    bundle, own = begin_delegated(root)
    at(has(bundle, hugepageLimits=pages(PAGES)), 'pod/web').write('sleep', '1000')
    calls = 0
    for name in ('mkdir', 'rmdir', 'renameat', 'openat2', 'clone3', 'sendmsg', 'recvmsg', 'write', 'pwrite64'):
        for when in (1, 2, 3, 5, 8):
            words = ['/usr/bin/strace', '-o', '/dev/null', '-e', f'trace={name}', '-e', f'inject={name}:signal=KILL:when={when}', *bundle.runtime]
            root.run([*words, 'create', '-b', bundle.path, 'c'], root.alice, env=bundle.env(), cwd=bundle.path)
            calls += os.path.isdir(f'{own}/pod') or os.path.isdir(f'{own}/here/pod')
            bundle.end()
            assert is_gone(f'{own}/pod', f'{own}/here/pod') and bundle.left() == [], (name, when)
    assert calls > 5, calls


@case('the id of a create that was killed is free, and its cgroup is made anew')
def _(root):
    bundle, own = begin_delegated(root)
    at(has(bundle, hugepageLimits=pages(PAGES)), 'web').write('sleep', '1000')
    words = ['/usr/bin/strace', '-o', '/dev/null', '-e', 'trace=clone3', '-e', 'inject=clone3:signal=KILL:when=1', *bundle.runtime]
    root.run([*words, 'create', '-b', bundle.path, 'c'], root.alice, env=bundle.env(), cwd=bundle.path)
    assert os.path.isdir(f'{own}/web') and bundle.left() == ['c']
    works(bundle, 'create', '-b', bundle.path, 'c')
    assert pids_in(f'{own}/web') == [bundle.state()['pid']]
    bundle.end()
    assert is_gone(f'{own}/web')


main()
