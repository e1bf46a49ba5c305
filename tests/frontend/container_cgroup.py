#!/usr/bin/env python3
"""Named containers with cgroups of their own, on a host without systemd."""

import json
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cgroups import Cgroups, below, pids_in, read  # noqa: E402
from container import FIRST, fails, rootfs, well  # noqa: E402
from oci import layout, need_skopeo  # noqa: E402
from named import IDLE, Store, alive, await_log  # noqa: E402
from harness import ROOT, case, main, skip, wait_for, with_own_pids  # noqa: E402
from inside import killed_at_each_moment  # noqa: E402

with_own_pids()  # ids are chosen that no process in sight has
cgroups = Cgroups.become_tenant()


def started(root, *settings, policy='alice containers=3'):
    cgroups.begin(root, policy)
    store = Store(root)
    store.make('web', IDLE, 'cgroup = helper', *settings)
    well(store.do('start', 'web'))
    await_log(store, 'web', 'up')
    state = store.state('web')
    wait_for(lambda: len(pids_in(f'{state["cgroup"]}/payload')) == 2, 'its shell and its sleep')
    return store, state


def sleeps(payload, before):
    """Those in there that sleep and did not before."""
    return [pid for pid in set(pids_in(payload)) - before if words_of(pid).startswith('sleep')]


def words_of(pid):
    try:
        with open(f'/proc/{pid}/cmdline') as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):  # it ended as we looked
        return ''


@case('the monitor and the container are in leaves of their own, and exec is in the one of the container')
def _(root):
    store, state = started(root)
    own = state['cgroup']
    assert own.startswith(f'{cgroups.v2}/{root.alice.uid}/web-') and pids_in(f'{own}/monitor') == [state['monitor']['pid']]
    assert state['init']['pid'] in pids_in(f'{own}/payload')
    before = set(pids_in(f'{own}/payload'))
    child = store.begin('exec', 'web', command=['sh', '-c', 'cat /proc/self/cgroup; exec sleep 100'])
    wait_for(lambda: any(words_of(p).startswith('sleep') for p in set(pids_in(f'{own}/payload')) - before), 'exec in the leaf')
    assert child.pid not in pids_in(f'{own}/payload')
    child.kill(15)
    done = child.wait()
    assert done.code == 143 and '0::/.userns-exec-1\n' in done.out, done
    done = well(store.do('exec', 'web', '--user=u', '--env=A=b c', command=['sh', '-c', 'read x; echo $x $A; id -u >&2; exit 7'],
                         stdin=os.open('/etc/passwd', os.O_RDONLY)), 7)
    assert done.out.endswith(' b c\n') and done.err == '1000\n', done
    fails(store.do('exec', 'web', command=['nothing-there']), 'nothing-there', code=127)
    wait_for(lambda: set(pids_in(f'{own}/payload')) == before, 'the leaf to be as before')


@case('exec takes as long a command in a cgroup as without one')
def _(root):
    store, _ = started(root)
    long = ['x' * 100000] * 12
    assert well(store.do('exec', 'web', command=['sh', '-c', 'echo $#; echo ${#11}', 'sh', *long])).out == '12\n100000\n'


def become_inner(payload, first):
    """What an init with controllers of its own does: its processes into a leaf, controllers for its children."""
    leaf = f'{payload}/init.scope'
    os.mkdir(leaf)
    os.chown(leaf, first, first)
    for pid in pids_in(payload):
        with open(f'{leaf}/cgroup.procs', 'w') as file:
            file.write(str(pid))
    with open(f'{payload}/cgroup.controllers') as file:
        there = file.read().split()
    assert there, 'a controller that can be enabled'
    with open(f'{payload}/cgroup.subtree_control', 'w') as file:
        file.write(f'+{there[0]}')


def leaves_of_exec(payload):
    return [name for name in os.listdir(payload) if name.startswith('.userns-exec-')]


@case('exec into a container whose init has enabled controllers: a leaf of its own, which goes with it')
def _(root):
    if not cgroups.why_not and 'hugetlb' not in read(cgroups.v2 + '/cgroup.controllers'):
        skip('this host offers no cgroup v2 controller; tests/system tries this in a booted guest')
    for settings in ((), ('map-self = yes', 'rootfs = /')):
        store, state = started(root, *settings, policy='alice containers=3 hugetlb.2MB.max=4M')
        payload = f'{state["cgroup"]}/payload'
        become_inner(payload, os.stat(payload).st_uid)
        done = well(store.do('exec', 'web', command=['cat', '/proc/self/cgroup']))
        assert '0::/.userns-exec-' in done.out, done
        child = store.begin('exec', 'web', command=['sh', '-c', 'sleep 1000; exit 3'])
        leaf = wait_for(lambda: (found := leaves_of_exec(payload)) and pids_in(f'{payload}/{found[0]}') and found[0], 'its leaf')
        # Nothing of ours is in there: all are in the container's pid namespace.
        inside = os.readlink(f'/proc/{state["init"]["pid"]}/ns/pid')
        assert {os.readlink(f'/proc/{pid}/ns/pid') for pid in pids_in(payload)} == {inside}
        child.kill(15)
        child.wait()
        wait_for(lambda: not leaves_of_exec(payload), f'{leaf} to go')
        well(store.do('stop', 'web'))
        wait_for(lambda: not os.path.exists(state['cgroup'] + '/payload'), 'the payload to go, and all that was made below')


@case('killed inside before and after each word of the start, it holds no cgroup: more such starts than one may have containers')
def _(root):
    store, _ = started(root)
    well(store.do('stop', 'web'))
    own, count = f'{cgroups.v2}/{root.alice.uid}', 0
    for _, _, done in killed_at_each_moment(lambda: store.begin('start', 'web', traced=True), kinds=False):
        fails(done, 'web')
        assert 'was killed' in done.err or 'was ended by signal 9' in done.err, done  # the one that hands over the cgroup
        leaves = [path for path, _, _ in os.walk(own)]
        assert not any(pids_in(path) for path in leaves) and not any(path.endswith('/payload') for path in leaves), leaves
        count += 1
    assert count > 3


@case('an exec that is killed takes with it all that it has started, also what left its session; one that ends leaves it')
def _(root):
    store, state = started(root)
    leaf = state['cgroup'] + '/payload'
    before = set(pids_in(leaf))
    script = "trap '' HUP; setsid sleep 1000 & sleep 1001; true"
    for number in (9, 15):
        child = store.begin('exec', 'web', command=['sh', '-c', script])
        wait_for(lambda: len(sleeps(leaf, before)) == 2, 'both that the command starts')
        child.kill(number)
        child.wait()
        wait_for(lambda: set(pids_in(leaf)) == before, 'all of it to end')
    well(store.do('exec', 'web', command=['sh', '-c', 'setsid sleep 1000 >/dev/null 2>&1 &']))
    left, = set(pids_in(leaf)) - before
    assert 'sleep' in words_of(left), words_of(left)  # or still its setsid
    os.kill(left, 9)
    assert alive(state['init']['pid'])


@case("exec's command has the caller's priority, CPUs and limits, as it has without a cgroup")
def _(root):
    store, _ = started(root)
    store.make('plain', IDLE)
    well(store.do('start', 'plain'))
    script = 'nice -n 7 ionice -c 3 chrt -b 0 taskset -c 0 sh -c \'ulimit -S -t 777; ulimit -S -n 99; echo 300 > /proc/self/oom_score_adj; echo 0x7 > /proc/self/coredump_filter; exec "$@"\' sh "$@"'
    look = ['sh', '-c', 'cat /proc/self/stat; grep Cpus_allowed_list /proc/self/status; ulimit -t; ulimit -n; cat /proc/self/oom_score_adj /proc/self/coredump_filter']
    seen = [well(root.run(['/bin/sh', '-c', script, 'sh', *store.words('exec', name, command=look)], root.alice)).out.splitlines()
            for name in ('web', 'plain')]
    seen = [[lines[0].split()[18], lines[0].split()[40], *lines[1].split(), *lines[2:]] for lines in seen]
    assert seen[0] == seen[1] == [str(min(os.nice(0) + 7, 19)), '3', 'Cpus_allowed_list:', '0', '777', '99', '300', '00000007'], seen
    for name in ('web', 'plain'):
        well(store.do('stop', name))


@case('frozen is not entered, and whoever is in there can be left at once')
def _(root):
    store, state = started(root)
    payload = f'{state["cgroup"]}/payload'
    before = set(pids_in(payload))
    # One that dies of SIGTERM does so although it is frozen; one that catches it hears it when it is thawed.
    child = store.begin('exec', 'web', command=['sleep', '1000'])
    wait_for(lambda: sleeps(payload, before), 'the command')
    well(store.do('freeze', 'web'))
    fails(store.do('exec', 'web', command=['true'], timeout=20), 'web is frozen', 'userns-run thaw web')
    child.kill(15)
    done = child.wait(20)
    assert (done.code, done.err) == (143, ''), done
    well(store.do('thaw', 'web'))
    wait_for(lambda: set(pids_in(payload)) == before, 'the command to end')
    child = store.begin('exec', 'web', command=['sh', '-c', 'trap "kill %1; exit 143" TERM; sleep 1000 & echo; wait'])
    wait_for(lambda: sleeps(payload, before), 'the command')
    well(store.do('freeze', 'web'))
    child.kill(15)
    done = child.wait(20)
    assert done.code == 143 and 'is frozen: the command is ended when it is thawed' in done.err, done
    well(store.do('thaw', 'web'))
    wait_for(lambda: set(pids_in(payload)) == before, 'the command to end')
    well(store.do('freeze', 'web'))
    well(store.do('destroy', 'web', '--force'))
    wait_for(lambda: not os.path.exists(state['cgroup'] + '/payload'), 'the leaf to go')


@case('frozen and thawed by its cgroup, also before a stop; nothing is left in it')
def _(root):
    store, state = started(root)
    assert well(store.do('freeze', 'web')).out == 'web: frozen by its cgroup\n'
    assert ' frozen ' in well(store.do('list', 'web')).out
    assert well(store.do('thaw', 'web')).out == 'web: thawed by its cgroup\n'
    well(store.do('freeze', 'web'))
    well(store.do('stop', 'web'))
    assert store.last('web')['exit_status'] == 0, store.last('web')
    wait_for(lambda: not os.path.exists(state['cgroup'] + '/payload'), 'the leaf to go')


@case('started again in the same cgroup, as often as it is, whatever ids of its own have made below')
def _(root):
    store, state = started(root, 'restart = always')
    below = f'{state["cgroup"]}/payload/a'
    for _ in range(3):
        os.makedirs(f'{below}/b/c')
        for path, inside in ((below, 0), (f'{below}/b', 33)):
            os.chown(path, store.first + inside, store.first + inside)
        os.kill(store.state('web')['init']['pid'], 9)
        now = wait_for(lambda: (s := store.state('web')) and s['restarts'] > state['restarts'] and s, 'the next turn')
        assert now['cgroup'] == state['cgroup'] and now['monitor'] == state['monitor'] and now['init'] != state['init']
        assert not os.path.exists(below)
        state = now
    assert state['restarts'] == 3 and well(store.do('exec', 'web', command=['id', '-u'])).out == '0\n'
    well(store.do('stop', 'web'))
    assert store.state('web') is None


@case('a monitor that is killed takes it along, and the next start makes it anew')
def _(root):
    store, state = started(root)
    os.kill(state['monitor']['pid'], 9)
    wait_for(lambda: not alive(state['init']['pid']), 'the container to end')
    well(store.do('start', 'web'))
    assert alive(store.state('web')['init']['pid'])
    well(store.do('stop', 'web'))


@case('a start that makes a sealed copy of itself stays in the cgroup that it was given, also when it starts again')
def _(root):
    cgroups.begin(root, 'alice containers=3')
    store = Store(root)
    program = f'{store.path}/userns-run'
    shutil.copy(root.program('userns-run'), program)
    os.chown(program, root.alice.uid, root.alice.gid)
    os.chmod(program, 0o755)
    store.make('own', 'cgroup = helper', 'map-self = yes', 'restart = on-failure:1', tree=rootfs(root, 'trees/own', root.alice.uid))
    script = 'echo up; while [ ! -e /go ]; do sleep 0.02; done; rm /go; exit 3'
    done = well(root.run([program, 'start', f'--path={store.path}', 'own', '--', 'sh', '-c', script], root.alice))
    assert not done.err, done
    for life in (1, 2):
        wait_for(lambda: store.log('own').count(b'up') == life, f'life {life}')
        state = wait_for(lambda: (found := store.state('own')) and found['restarts'] == life - 1 and found, 'its state')
        assert pids_in(f'{state["cgroup"]}/monitor') == [state['monitor']['pid']]
        assert state['init']['pid'] in pids_in(f'{state["cgroup"]}/payload')
        done = well(root.run([program, 'exec', f'--path={store.path}', 'own', '--', 'touch', '/go'], root.alice))
    wait_for(lambda: store.state('own') is None, 'its end')
    assert store.last('own')['exit_status'] == 3


# Writes one number to a file that is read first and to one that is read last, and again.
WRITER = ('command = sh -c "cd /data; echo up; n=0; while :; do n=$((n+1)); echo $n >a; echo $n >z; done"')


def writing(root, files):
    """A container that writes all the time, with this many files between the two."""
    for write in root.subuid, root.subgid:
        write(f'alice:{FIRST}:{4 * 65536}\n')
    cgroups.begin(root, 'alice containers=3')
    store = Store(root)
    store.make('web', WRITER, 'cgroup = helper', f'map = b:0:{FIRST}:65536')
    data = f'{root.tmp}/trees/web/data'
    os.makedirs(data)
    os.chown(data, FIRST, FIRST)
    # A directory of a tmpfs lists what is newer first, and the last is copied first.
    with open(f'{data}/a', 'w'):
        pass
    os.mkdir(f'{data}/many')
    for number in range(files):
        with open(f'{data}/many/{number}', 'w') as file:
            file.write('x' * 4000)
    with open(f'{data}/z', 'w'):
        pass
    for path in (*(f'{data}/{name}' for name in ('a', 'many', 'z')), *(f'{data}/many/{number}' for number in range(files))):
        os.chown(path, FIRST, FIRST)
    well(store.do('start', 'web'))
    await_log(store, 'web', 'up')
    return store, store.state('web')['cgroup']


def number_in(path):
    with open(path) as file:
        return int(file.read() or 0)


@case('top and list --host have the numbers of the cgroup, and say so')
def _(root):
    store, cgroup = writing(root, 10)
    for words, user in (((f'--path={store.path}',), root.alice), (('--host',), ROOT)):
        seen = json.loads(well(root.run([root.program('userns-run'), 'top', '--json', *words], user, timeout=60)).out)
        [one] = [one for one in seen if one['name'] == 'web']
        assert one['source'] == 'cgroup' and one['cpu_usec'] > 0 and one['memory'] > 0 and one['processes'] >= 1, one
    listed = json.loads(well(root.run([root.program('userns-run'), 'list', '--host', '--json'], ROOT, timeout=60)).out)
    assert [one['cgroup'] for one in listed if one['name'] == 'web'] == [f'{cgroup}/payload'], listed
    well(store.do('stop', 'web', '--timeout=0'))


@case('a copy of a running container is of one moment, and it goes on')
def _(root):
    store, cgroup = writing(root, 4000)
    done = well(store.do('create', 'copy', '--from=web', timeout=120))
    assert done.err == '', done
    data = f'{store.path}/copy/rootfs/data'
    first, last = number_in(f'{data}/a'), number_in(f'{data}/z')
    assert len(os.listdir(f'{data}/many')) == 4000 and first - last in (0, 1) or 0 in (first, last), (first, last)
    assert 'frozen 0' in read(f'{cgroup}/payload/cgroup.events')
    here = f'{root.tmp}/trees/web/data/z'
    wait_for(lambda: number_in(here) > last, 'it to go on')
    # One that was frozen before stays so.
    well(store.do('freeze', 'web'))
    well(store.do('create', 'more', '--from=web', timeout=120))
    assert 'frozen 1' in read(f'{cgroup}/payload/cgroup.events')
    fails(store.do('create', 'snap', '--from=web', '--snapshot'), 'is running', '--snapshot')
    well(store.do('thaw', 'web'))
    well(store.do('stop', 'web', '--timeout=0'))


@case('a copy of a running container that is killed leaves it running, and nothing of the copy')
def _(root):
    store, cgroup = writing(root, 4000)
    events = f'{cgroup}/payload/cgroup.events'
    for number in (9, 15, 2):
        child = store.begin('create', 'copy', '--from=web')
        wait_for(lambda: 'frozen 1' in read(events), 'it to stand still', 60)
        os.kill(child.pid, number)
        assert child.wait(60).code != 0
        wait_for(lambda: 'frozen 0' in read(events), 'it to go on', 60)
        assert not os.path.exists(f'{store.path}/copy')
    well(store.do('create', 'copy', '--from=web', timeout=120))
    assert sorted(name for name in os.listdir(store.path) if not name.startswith(('.lock', '.events'))) == ['copy', 'web']
    well(store.do('stop', 'web', '--timeout=0'))


@case('instant containers of a user whose ids come from a directory: frozen, copied as it runs, thawed, no id in common')
def _(root):
    need_skopeo()
    libraries = '/usr/lib/x86_64-linux-gnu'
    root.overlay(libraries)
    shutil.copyfile(os.path.join(root.build, 'tests', 'helpers', 'libsubid_x.so'), f'{libraries}/libsubid_x.so')
    for write in root.subuid, root.subgid:
        write('nobody-else:1:1\n')
    root.write('/etc/nsswitch.conf', 'passwd: files\ngroup: files\nsubid: x\n')
    root.write('/etc/subid-plugin', 'blocks')
    root.write(f'{root.tmp}/witness', '', mode=0o666)
    cgroups.begin(root, 'alice containers=3')
    store = Store(root)
    shutil.rmtree(f'{store.user_home()}/.local', ignore_errors=True)
    image = layout(root)
    idle = ('sh', '-c', 'trap "exit 0" TERM; echo up; while :; do sleep 1000 & wait; done')
    well(store.do('create', 'one', f'--image=oci:{image}:it', '--cgroup=helper', '--', *idle, timeout=120))
    assert os.listdir(f'{store.path}/one') and not os.path.exists(f'{store.path}/one/rootfs')
    well(store.do('start', 'one'))
    await_log(store, 'one', 'up')
    well(store.do('exec', 'one', command=('sh', '-c', 'echo x >/root/x; rm /etc/group')))
    well(store.do('freeze', 'one'))
    done = well(store.do('create', 'two', '--from=one', timeout=120))
    assert done.err == '' and 'frozen 1' in read(f'{store.state("one")["cgroup"]}/payload/cgroup.events'), done
    well(store.do('thaw', 'one'))
    well(store.do('start', 'two'))
    await_log(store, 'two', 'up')
    assert well(store.do('exec', 'two', command=('sh', '-c', 'cat /root/x; ls /etc/group 2>/dev/null || echo gone'))).out.split() == ['x', 'gone']
    maps = {}
    for name in ('one', 'two'):
        pid = store.state(name)['init']['pid']
        maps[name] = [tuple(map(int, read(f'/proc/{pid}/{kind}_map').split())) for kind in ('uid', 'gid')]
    (one_uid, one_gid), (two_uid, two_gid) = maps['one'], maps['two']
    assert one_uid[1] >= 400000 and one_gid[1] >= 500000 and one_uid[1] != two_uid[1] and one_gid[1] != two_gid[1], maps
    assert os.stat(f'{store.path}/two/upper/root/x').st_uid == two_uid[1]
    for name in ('one', 'two'):
        well(store.do('destroy', name, '--force'))


main()
