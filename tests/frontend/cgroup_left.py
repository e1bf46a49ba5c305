#!/usr/bin/env python3
"""What cgroups are called, and that none is left when their containers have ended, however that came about."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cgroups import Cgroups, pids_in  # noqa: E402
from container import FIRST, fails, rootfs, start, well  # noqa: E402
from named import IDLE, Store, alive, await_log  # noqa: E402
from harness import case, main, skip, wait_for, with_own_pids  # noqa: E402

with_own_pids()  # ids are chosen that no process in sight has
cgroups = Cgroups.become_tenant()


def parent(pid):
    with open(f'/proc/{pid}/stat') as file:
        return int(file.read().rpartition(')')[2].split()[1])


def sweepers(uid):
    """The processes of this user that wait for the end of a container."""
    found = []
    for pid in filter(alive, map(int, filter(str.isdigit, os.listdir('/proc')))):
        try:
            with open(f'/proc/{pid}/comm') as file:
                if file.read() == 'userns-sweeper\n' and os.stat(f'/proc/{pid}').st_uid in (uid, 0):
                    found.append(pid)
        except (FileNotFoundError, ProcessLookupError):
            pass  # it has ended
    return found


@case('cgroups are called after containers, and none is left of ten that ended by themselves, by kill -9 of the payload and by stop')
def _(root):
    for write in root.subuid, root.subgid:
        write(f'alice:{FIRST}:{12 * 65536}\n')
    cgroups.begin(root, 'alice containers=12 pids.max=500')
    store, own = Store(root), f'{cgroups.v2}/{root.alice.uid}'
    ends = ('by itself', 'by itself', 'killed', 'killed', 'stopped')
    script = 'trap "exit 0" TERM; echo up; while [ ! -e /go ]; do sleep 0.05; done'
    alone = []
    for number, end in enumerate(ends):
        store.make(f'web{number}', 'cgroup = helper')
        well(store.do('start', f'web{number}', command=['sh', '-c', script]))
        await_log(store, f'web{number}', 'up')
        state = store.state(f'web{number}')
        assert state['cgroup'] == f'{own}/web{number}-{parent(state["monitor"]["pid"])}', state
        tree = rootfs(root, f'trees/alone{number}')
        child = start(root, '--cgroup=helper', command=['sh', '-c', script], where=tree)
        wait_for(lambda: pids_in(f'{own}/run-{child.pid}/payload'), 'the throw-away one')
        alone.append((child, tree, end))
    assert {name.rpartition('-')[0] for name in os.listdir(own) if os.path.isdir(f'{own}/{name}')} == {*(f'web{n}' for n in range(5)), 'run'}
    for number, (child, tree, end) in enumerate(alone):
        payload = f'{own}/run-{child.pid}/payload'
        if end == 'by itself':
            for where in (tree, f'{root.tmp}/trees/web{number}'):
                open(f'{where}/go', 'w').close()
        elif end == 'killed':
            os.kill(store.state(f'web{number}')['init']['pid'], 9)
            for pid in pids_in(payload):
                os.kill(pid, 9)
        else:
            well(store.do('stop', f'web{number}', '--timeout=0'))
            child.kill(15)
        child.wait()
    wait_for(lambda: not [store.state(f'web{n}') for n in range(5) if store.state(f'web{n}')], 'the ends')
    wait_for(lambda: not cgroups.left(), f'nothing of theirs to be left: {cgroups.left()}')
    assert os.path.isdir(own)  # the user's own node stays
    # A longer name than userns-cgroup takes is cut.
    name = 'a-name-of-as-many-letters-as-1-has'[:32]
    store.make(name, IDLE, 'cgroup = helper')
    well(store.do('start', name))
    state = store.state(name)
    cut = os.path.basename(state['cgroup'])
    assert len(cut) == 32 and cut.endswith(f'-{parent(state["monitor"]["pid"])}') and name.startswith(cut.rpartition('-')[0]), cut
    # One that is started again by its monitor keeps its cgroup; a monitor that is killed leaves none either.
    os.kill(state['monitor']['pid'], 9)
    wait_for(lambda: not cgroups.left(), f'nothing of a killed monitor to be left: {cgroups.left()}')


@case('who waits for the end of a container holds nothing open: a pipeline ends with it, and TERM ends the wait')
def _(root):
    cgroups.begin(root, 'alice containers=3')
    store = Store(root)
    store.make('web', IDLE, 'cgroup = helper')
    done = root.run(['/bin/sh', '-c', '"$@" | cat; echo ended', 'sh', *store.words('start', 'web')], root.alice, timeout=20)
    assert done.out.endswith('ended\n'), done
    sweeper, = [pid for pid in sweepers(root.alice.uid)]
    assert all(os.readlink(f'/proc/{sweeper}/fd/{n}') == '/dev/null' for n in range(3)) and os.readlink(f'/proc/{sweeper}/cwd') == '/'
    assert {os.readlink(f'/proc/{sweeper}/fd/{n}').split(':')[0] for n in os.listdir(f'/proc/{sweeper}/fd') if int(n) > 2} <= {'anon_inode'}
    assert int(open(f'/proc/{sweeper}/stat').read().rpartition(')')[2].split()[3]) == sweeper  # its own session
    os.kill(sweeper, 15)
    wait_for(lambda: not sweepers(root.alice.uid), 'it to end')
    assert alive(store.state('web')['init']['pid'])
    cgroup = store.state('web')['cgroup']
    well(store.do('stop', 'web', '--timeout=0'))
    assert os.path.isdir(cgroup)  # so much does the sweeper do


def without_memory():
    with open(os.path.dirname(cgroups.v2) + '/cgroup.controllers' if not cgroups.why_not else '/dev/null') as file:
        return 'memory' not in file.read().split()


@case('a limit that no cgroup of this host can have is refused when it is asked for, and a start says how to do without it')
def _(root):
    cgroups.begin(root, 'alice containers=3')
    if not without_memory():
        skip('v2 has the memory controller here')
    store = Store(root)
    store.make('web', IDLE)
    before = well(store.do('config', 'web')).out
    for verb in ('update', 'config'):
        done = fails(store.do(verb, 'web', 'memory=512M'), '--memory 512M', 'this host offers no memory.max', 'cgroup v2 hierarchy')
        assert 'grant' not in done.err and '--unset' not in done.err, done
    assert well(store.do('config', 'web')).out == before and not cgroups.left()
    fails(store.do('create', 'new', '--template=busybox', '--memory=64M', timeout=60), '--memory 64M', 'this host offers no memory.max')
    assert os.listdir(store.path) == ['web'], os.listdir(store.path)
    # Of a policy that gives nothing: a grant would not help, and is not what is advised.
    root.write('/etc/userns/cgroup.conf', '')
    done = fails(root.run([root.program('userns-run'), '--memory=64M', '--', 'true'], root.alice), 'this host offers no memory.max')
    assert 'grant' not in done.err, done
    # It is in the config already, as of a host that had the controller.
    with open(f'{store.path}/web/config', 'a') as file:
        file.write('memory = 64M\n')
    done = fails(store.do('start', 'web'), '--memory 64M', 'userns-run update web --unset memory')
    well(store.do('update', 'web', '--unset', 'memory'))
    well(store.do('start', 'web'))
    well(store.do('stop', 'web', '--timeout=0'))


@case('a refused way to a cgroup names the user as the administrator knows them')
def _(root):
    cgroups.begin(root, '')
    done = fails(root.run([root.program('userns-run'), '--cgroup=auto', '--', 'true'], root.alice), 'no way to a cgroup')
    assert '"userns-policy grant alice --cgroup containers=4"' in done.err and '"loginctl enable-linger alice"' in done.err, done


@case('update: ports hold from the next start on, and that is said; as publish they are in the config, and go again')
def _(root):
    store = Store(root)
    store.make('web', IDLE)
    well(store.do('start', 'web'))
    done = well(store.do('update', 'web', 'net=user', 'ports=127.0.0.1:18080:80'))
    assert 'web: publish holds from the next start on: ports are opened when' in done.err, done
    assert 'publish = 127.0.0.1:18080:80' in well(store.do('config', 'web')).out
    well(store.do('update', 'web', '--unset=ports', '--unset=net'))
    assert 'publish' not in well(store.do('config', 'web')).out
    well(store.do('stop', 'web', '--timeout=0'))


main()
