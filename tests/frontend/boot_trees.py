"""Root file systems that boot, made by hand."""

import os

from container import give, rootfs


def busybox(root, inittab='::sysinit:/bin/echo begun\nconsole::respawn:-/bin/sh\n::shutdown:/bin/echo ended\n'):
    where = rootfs(root, 'bb')
    os.makedirs(where + '/sbin')
    for name in ('sbin/init', 'sbin/poweroff', 'sbin/reboot', 'sbin/halt', 'bin/getty'):
        os.symlink('/bin/busybox', f'{where}/{name}')
    with open(where + '/etc/inittab', 'w') as file:
        file.write(inittab)
    give(where, 100000)
    return where


def with_cron_job(where):
    """A job in its crontabs that cron runs when the system has booted, as joe."""
    with open(f'{where}/etc/cron.d/at-boot', 'w') as file:
        file.write('@reboot joe echo "ran as $(id -un)" >/tmp/cron-ran\n')
    os.chmod(f'{where}/etc/cron.d/at-boot', 0o644)
    give(f'{where}/etc/cron.d', 100000)
    return where


def cron_runs_its_job(system):
    """At the shell of one that was made with_cron_job()."""
    assert system.works('until [ -s /tmp/cron-ran ]; do sleep 0.1; done; cat /tmp/cron-ran', seconds=60) == 'ran as joe'
