"""One container of the matrix (matrix.py), and what each act has to show. The same for every init, cgroup and hierarchy.

`world` is where it runs (a guest, this machine):
    world.make(name, settings, init)      a container with these lines in its config, on a tree with this init
    world.do(verb, *args, command=)       userns-run VERB, as its owner; begin(): leaves it running
    world.state(name), world.log(name)    state.json, what its console has said
    world.limit(n)                        has n processes be its limit: lines of its config, or the administrator's
    world.pids_max(state)                 the strictest pids.max above its payload
    world.shared                          a directory of the owner's, readable inside
    world.slow                            how long to wait for anything
"""

import json
import os
import select

from harness import wait_for

IDLE = 'command = sh -c "trap \'exit 0\' TERM; echo up; while :; do sleep 1000 & wait; done"'
KIND = {'busybox': 'busybox', 'systemd-252': 'systemd', 'systemd-257': 'systemd', 'openrc': 'sysvinit'}
LIMIT = 321
NESTED = ('U=unshare; [ -x /bin/busybox ] && U="/bin/busybox unshare"; '
          '$U --user --map-root-user --mount --pid --fork sh -c "mount -t proc proc /proc && echo nested \\$\\$"')


class Running:
    """A container that has the settings of all its acts, started, and up."""

    def __init__(self, world, init, cgroup, acts):
        self.world, self.init, self.name = world, init, f'{init}-{cgroup}'
        settings = [f'cgroup = {cgroup}']
        if 'limits' in acts:
            settings += world.limit(LIMIT)
        if 'nesting' in acts:
            settings.append('nesting = yes')
        if 'ro bind' in acts:
            settings.append(f'bind = {world.shared}:/mnt:ro')
        if init == 'command':
            settings.append(IDLE)
        world.make(self.name, settings, init)
        self.start()

    def start(self):
        ready = ['--wait-ready=600s'] if self.init.startswith('systemd') else []
        done = self.world.do('start', self.name, *ready)
        assert done.code == 0, (done, self.world.log(self.name)[-1500:])
        said = {'command': 'up', 'busybox': 'begun', 'openrc': 'login:'}.get(self.init)
        if said:
            wait_for(lambda: said in self.world.log(self.name), f'{said!r} on the console', self.world.slow)

    @staticmethod
    def well(done):
        assert done.code == 0, done
        return done

    def inside(self, script):
        return self.world.do('exec', self.name, command=['/bin/sh', '-c', script])

    def state(self):
        return self.world.state(self.name)

    def stop(self):
        self.well(self.world.do('stop', self.name))
        assert self.state() is None, self.state()


def start(run):
    state = run.state()
    assert state and state['kind'] == KIND.get(run.init, state['kind']), state
    os.kill(state['init']['pid'], 0)


def exec_(run):
    done = run.well(run.inside('echo in; id -u'))
    assert done.out == 'in\n0\n', done
    assert run.inside('exit 7').code == 7


def console(run):
    """The words go from inside to the one who watches; he is ended only when he has them."""
    keys, nothing = os.pipe()
    heard, says = os.pipe()
    watcher = run.world.begin('console', run.name, stdin=keys, fds={1: says})
    os.close(says)
    text = b''
    try:
        run.well(run.inside('echo said-by-the-$((40 + 2)) >/dev/console'))
        while b'said-by-the-42' not in text:
            assert select.select([heard], [], [], run.world.slow)[0], text
            piece = os.read(heard, 1 << 16)
            assert piece, text
            text += piece
    finally:
        watcher.kill(15)
        for fd in keys, nothing, heard:
            os.close(fd)
        watcher.wait(run.world.slow)


def freeze(run):
    def frozen():
        rows = json.loads(run.well(run.world.do('list', '--json')).out)
        return next(row for row in rows if row['name'] == run.name)['state'] == 'frozen'

    run.well(run.world.do('freeze', run.name))
    wait_for(frozen, 'it to be frozen', run.world.slow)
    run.well(run.world.do('thaw', run.name))
    wait_for(lambda: not frozen(), 'it to go on', run.world.slow)
    assert run.well(run.inside('echo on')).out == 'on\n'


def limits(run):
    assert run.world.pids_max(run.state()) == LIMIT, run.state()


def ro_bind(run):
    done = run.inside('cat /mnt/shared; echo x >/mnt/new; mount -o remount,rw,bind /mnt; echo x >/mnt/new; mount -o remount,rw /mnt; '
                      'echo x >/mnt/new; ls /mnt')
    assert done.out == 'the host\'s\nshared\n', done


def nesting(run):
    assert run.well(run.inside(NESTED)).out == 'nested 1\n'


def reboot(run):
    before = run.state()
    run.inside('reboot')  # which ends with the rest
    wait_for(lambda: (now := run.state()) and now['restarts'] == 1 and now['init'] != before['init'], 'its second life', run.world.slow)


ACTS = {'start': start, 'exec': exec_, 'console': console, 'freeze': freeze, 'limits': limits, 'ro bind': ro_bind, 'nesting': nesting,
        'reboot': reboot}


def register(case, world, found):
    """A case for each scenario {(init, cgroup): acts}: what fails is named, and what stands on it is tried all the same."""
    for (init, cgroup), acts in found.items():
        @case(f'{init}, cgroup {cgroup}: {", ".join(acts)}')
        def _(root, init=init, cgroup=cgroup, acts=acts):
            here, faults = world(root), []
            run = Running(here, init, cgroup, acts)
            for act in acts:
                try:
                    ACTS[act](run)
                except Exception as error:  # noqa: BLE001 - all of them are told
                    faults.append(f'{act}: {error!r}')
            try:
                run.stop()
            except Exception as error:  # noqa: BLE001
                faults.append(f'stop: {error!r}')
            assert not faults, '\n'.join(faults)
