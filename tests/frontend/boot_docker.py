#!/usr/bin/env python3
"""Debian's docker.io in a booted container with --nesting: the daemon, and an image made of busybox on the spot."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from cgroups import Cgroups  # noqa: E402
from console import System  # noqa: E402
from distro import DOCKER, unpack  # noqa: E402
from harness import case, main  # noqa: E402

cgroups = Cgroups.become_tenant()
IMAGE = ('mkdir -p /srv/i/bin && cp /bin/busybox /srv/i/bin && for t in sh id cat sleep mount hostname; do '
         'ln -sf busybox /srv/i/bin/$t; done && tar -C /srv/i -cf /srv/i.tar .')


@case('dockerd runs as a unit; an image is imported and run, with its own bridge, its capabilities, exec, logs, stop')
def _(root):
    cgroups.begin(root, '* containers=4')
    tree = unpack(root, DOCKER)
    with System(root.program('userns-run'), root.alice, '--rootfs', tree, '--hostname', 'box', '--nesting') as system:
        system.login()
        system.works('systemctl start docker || { journalctl -u docker -n 30 --no-pager; false; }', seconds=120)
        system.works('docker info 2>&1 | cat', 'Server Version')
        system.works(IMAGE)
        system.works('docker import /srv/i.tar i')
        assert system.works('docker run --rm i id -u', seconds=60).endswith('0')
        system.works('docker run --rm i cat /proc/self/status', 'CapBnd:')
        system.works('docker run -d --name web i sh -c "echo begun; exec sleep 1000"', seconds=60)
        assert system.works('docker exec web cat /proc/1/cmdline | tr "\\0" " "') == 'sleep 1000'
        assert system.works('docker logs web') == 'begun'
        system.works('docker stop -t 0 web && docker rm web', seconds=60)
        assert system.works('docker ps -aq') == ''
        assert system.stop() == 0, system.text[-2000:]


main()
