#!/usr/bin/env python3
"""podman of a booted Debian, as an ordinary user of it, with userns-oci as its runtime and systemd as its manager of cgroups."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from cgroups import Cgroups  # noqa: E402
from console import System  # noqa: E402
from container import run, well  # noqa: E402
from distro import PODMAN, PODMAN_5, unpack  # noqa: E402
from harness import cases, main  # noqa: E402

cgroups = Cgroups.become_tenant()
IMAGE = ('mkdir -p /srv/i/bin /srv/i/proc /srv/i/sys /srv/i/dev && cp /bin/busybox /srv/i/bin && for t in sh id cat sleep mount cp readlink; do '
         'ln -sf busybox /srv/i/bin/$t; done; '
         'printf "#!/bin/sh\\ntrap \'exit 3\' TERM\\necho began\\nwhile :; do sleep 0.1; done\\n" > /srv/i/bin/service; chmod 755 /srv/i/bin/service; '
         'mkdir -p /srv/made /srv/infra; printf "FROM i\\nRUN id -u > /made\\nCMD cat /made\\n" > /srv/made/Containerfile; '
         'printf "FROM i\\nENTRYPOINT [\\"/bin/sleep\\", \\"1000\\"]\\n" > /srv/infra/Containerfile; tar -C /srv/i -cf /srv/i.tar . && chmod 644 /srv/i.tar')
PODMAN_OCI = 'podman --runtime /opt/userns-oci --cgroup-manager systemd '
# Without the controllers of a cgroup v2 host podman cannot have its default limit of processes.
PODMAN_RUN = PODMAN_OCI + 'run --network none --pids-limit 0'


def more_verbs(system, joe):
    """What issue 14 asks of podman beside run, exec and rm."""
    system.works(joe(PODMAN_RUN + ' -d --name svc i service'))
    system.works(joe('until podman logs svc | grep -q began; do sleep 0.2; done'), seconds=60)
    system.works(joe(PODMAN_OCI + 'stop -t 30 svc'), seconds=60)
    system.works(joe('podman wait svc; podman rm svc'), '3')
    assert 'uid=1000' in system.works(joe(PODMAN_RUN + ' --rm --userns keep-id i id'))
    first, outside = system.works(joe(PODMAN_RUN + ' --rm --userns auto i cat /proc/self/uid_map')).split()[:2]
    assert first == '0' and outside != '0', (first, outside)
    system.works(joe(PODMAN_OCI + 'build -q --isolation oci --network none -t made /srv/made'), seconds=120)
    assert system.works(joe(PODMAN_RUN + ' --rm made')) == '0'
    system.works(joe(PODMAN_RUN + " -d --name h --health-cmd 'cat /well' --health-interval disable i sleep 1000"))
    system.works(joe('podman --runtime /opt/userns-oci healthcheck run h && exit 1; ' + PODMAN_OCI + 'exec h cp /bin/busybox /well && '
                     'podman --runtime /opt/userns-oci healthcheck run h'))
    system.works(joe(PODMAN_OCI + 'rm -f -t 0 h'))
    system.works(joe(PODMAN_OCI + 'build -q --network none -t infra /srv/infra'), seconds=120)
    system.works(joe(PODMAN_OCI + 'pod create --name p --share ipc,uts,net --infra-image localhost/infra --network none'))
    for name in ('a', 'b'):
        system.works(joe(PODMAN_OCI + f'run --pids-limit 0 -d --pod p --name {name} i sleep 1000'))
    ours, theirs = (system.works(joe(PODMAN_OCI + f"exec {name} sh -c 'readlink /proc/self/ns/net; readlink /proc/self/ns/pid'")).split() for name in 'ab')
    assert ours[0] == theirs[0] and ours[1] != theirs[1], (ours, theirs)
    system.works(joe(PODMAN_OCI + 'pod rm -f -t 0 p'), seconds=60)


@cases([(f'podman of {debian}, by the user\'s manager: a scope of the container\'s own, all that engines ask, and rm leaves nothing of it', tree)
        for debian, tree in (('Debian 12', PODMAN), ('Debian 13', PODMAN_5))])
def _(root, tree):
    where = unpack(root, tree)
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
        more_verbs(system, joe)
        left = system.works('find /sys/fs/cgroup -name "libpod-*"')
        assert not [path for path in left.split() if 'conmon' not in path], left
        assert system.works('find /run/user/1000/userns-oci -mindepth 1 | wc -l') == '0'
        assert system.stop() == 0, system.text[-2000:]


main()
