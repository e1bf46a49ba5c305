#!/usr/bin/env python3
"""podman in a container with --nesting: a Debian with podman, no network, an image made of busybox on the spot."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from cgroups import Cgroups  # noqa: E402
from console import System  # noqa: E402
from container import run, well  # noqa: E402
from distro import PODMAN, unpack  # noqa: E402
from harness import case, main  # noqa: E402

cgroups = Cgroups.become_tenant()
made = {}
IMAGE = ('mkdir -p /srv/i/bin /srv/i/proc /srv/i/sys /srv/i/dev && cp /bin/busybox /srv/i/bin && for t in sh id cat sleep mount; do '
         'ln -sf busybox /srv/i/bin/$t; done; tar -C /srv/i -cf /srv/i.tar . && chmod 644 /srv/i.tar')
# Without the controllers of a cgroup v2 host podman cannot have its default limit of processes.
RUN = 'podman run --rm --network none --pids-limit 0'


def rootfs(root):
    if 'where' not in made:
        made['where'] = unpack(root, PODMAN)
        well(run(root, command=('sh', '-c', IMAGE + '; printf joe:10000:50000\\\\n | tee /etc/subuid > /etc/subgid'), where=made['where']))
    return made['where']


def boot(root, *words):
    cgroups.begin(root, '* containers=4')
    return System(root.program('userns-run'), root.alice, '--rootfs', rootfs(root), '--hostname', 'box', '--nesting', *words)


@case('as root of a booted Debian: import, run, its own network, exec, stop, and pods of ids by --uidmap')
def _(root):
    with boot(root) as system:
        system.login()
        assert system.works('findmnt -no PROPAGATION /') == 'shared'
        system.works('podman import /srv/i.tar i')
        assert system.works(RUN + ' i id -u').endswith('0')
        system.works(f'{RUN} i mount', 'proc on /proc type proc', 'sysfs on /sys type sysfs (ro,', 'cgroup2 on /sys/fs/cgroup')
        assert system.works(RUN + ' --uidmap 0:20000:1000 --gidmap 0:20000:1000 i cat /proc/self/uid_map').split() == ['0', '20000', '1000']
        system.works('podman run -d --name w --network none --pids-limit 0 i sleep 1000')
        assert system.works('podman exec w cat /proc/1/cmdline | tr "\\0" " "') == 'sleep 1000'
        system.works('podman kill w && podman wait w && podman rm w')
        assert system.works('podman ps -aq') == ''
        assert system.stop() == 0, system.text[-2000:]


@case('as an ordinary user of that Debian, with ids that are ids of the container')
def _(root):
    with boot(root) as system:
        system.login()
        system.works('loginctl enable-linger joe; while ! [ -S /run/user/1000/bus ]; do sleep 0.1; done', seconds=60)
        joe = 'su - joe -c "export XDG_RUNTIME_DIR=/run/user/1000; {}"'.format
        system.works(joe('podman import /srv/i.tar i'))
        system.works(joe(RUN + ' i id'), 'uid=0 gid=0')
        lines = system.works(joe(RUN + ' i cat /proc/self/uid_map')).splitlines()
        assert [line.split() for line in lines[-2:]] == [['0', '1000', '1'], ['1', '10000', '50000']], lines
        assert system.stop() == 0, system.text[-2000:]


@case('without a system around it: as the command of a throw-away container')
def _(root):
    script = f'cd && podman import -q /srv/i.tar i && {RUN} --cgroups=disabled i id'
    done = well(run(root, '--nesting', '--env', 'HOME=/root', command=('sh', '-c', script), where=rootfs(root), timeout=100))
    assert done.out.endswith('uid=0 gid=0\n'), done


main()
