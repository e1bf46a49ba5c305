#!/usr/bin/env python3
"""podman of a booted Debian, as an ordinary user of it, with userns-oci as its runtime and systemd as its manager of cgroups."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from cgroups import Cgroups  # noqa: E402
from console import System  # noqa: E402
from container import run, well  # noqa: E402
from distro import PODMAN, unpack  # noqa: E402
from harness import case, main  # noqa: E402

cgroups = Cgroups.become_tenant()
IMAGE = ('mkdir -p /srv/i/bin /srv/i/proc /srv/i/sys /srv/i/dev && cp /bin/busybox /srv/i/bin && for t in sh id cat sleep mount; do '
         'ln -sf busybox /srv/i/bin/$t; done; tar -C /srv/i -cf /srv/i.tar . && chmod 644 /srv/i.tar')
# Without the controllers of a cgroup v2 host podman cannot have its default limit of processes.
PODMAN_RUN = 'podman --runtime /opt/userns-oci --cgroup-manager systemd run --network none --pids-limit 0'


@case('by the user\'s manager: a scope of the container\'s own, exec, and rm leaves nothing of it')
def _(root):
    where = unpack(root, PODMAN)
    well(run(root, command=('sh', '-c', IMAGE + '; touch /opt/userns-oci; printf joe:10000:50000\\\\n | tee /etc/subuid > /etc/subgid'), where=where))
    cgroups.begin(root, '* containers=4')
    with System(root.program('userns-run'), root.alice, '--rootfs', where, '--hostname', 'box', '--nesting',
                '--bind', f'{root.program("userns-oci")}:/opt/userns-oci:ro') as system:
        system.login()
        system.works('loginctl enable-linger joe; while ! [ -S /run/user/1000/bus ]; do sleep 0.1; done', seconds=60)
        joe = 'su - joe -c "export XDG_RUNTIME_DIR=/run/user/1000; {}"'.format
        system.works(joe('podman import /srv/i.tar i'))
        system.works(joe(PODMAN_RUN + ' --rm i id'), 'uid=0 gid=0')
        system.works(joe(PODMAN_RUN + ' -d --name ww i sleep 1000'))
        found = system.works('find /sys/fs/cgroup -name "libpod-*.scope" | grep -v conmon').split()
        assert len(found) == 1 and '/user@1000.service/user.slice/' in found[0], found
        assert system.works(f'cat {found[0]}/container/cgroup.procs').split(), found
        assert system.works(joe('podman --runtime /opt/userns-oci exec ww cat /proc/self/cgroup')).endswith('0::/')
        system.works(joe('podman --runtime /opt/userns-oci --cgroup-manager systemd rm -f -t 0 ww'))
        left = system.works('find /sys/fs/cgroup -name "libpod-*"')
        assert not [path for path in left.split() if 'conmon' not in path], left
        assert system.works('find /run/user/1000/userns-oci -mindepth 1 | wc -l') == '0'
        assert system.stop() == 0, system.text[-2000:]


main()
