"""The two ordinary users of the booted guest, and what their containers are run with."""

import os
import subprocess

from cgroups import remove
from harness import User, prctl, wait_for

ALICE, BOB = User('alice', 1000), User('bob', 1001)
BASE = '/sys/fs/cgroup/system.slice/userns-cgroup.service'
RUN = '/usr/local/bin/userns-run'
SLOW = 120  # the guest's CPU is emulated
prctl(36, 1)  # orphans come to this process


def env_of(user):
    return {'PATH': '/usr/local/bin:/usr/bin:/bin', 'HOME': '/', 'XDG_RUNTIME_DIR': f'/run/user/{user.uid}',
            'DBUS_SESSION_BUS_ADDRESS': f'unix:path=/run/user/{user.uid}/bus'}


def policy(text):
    os.makedirs('/etc/userns', exist_ok=True)
    with open('/etc/userns/cgroup.conf', 'w') as file:
        file.write(text + '\n')
    subprocess.run(['systemctl', 'enable', '-q', '--now', 'userns-cgroup.service'], check=True)
    for name in os.listdir(BASE):
        if name.isdigit():
            with open(f'{BASE}/{name}/cgroup.kill', 'w') as file:
                file.write('1')
            remove(f'{BASE}/{name}')


def first_id(user):
    with open('/etc/subuid') as file:
        return next(int(line.split(':')[1]) for line in file if line.startswith(user.name + ':'))


def linger(user):
    subprocess.run(['loginctl', 'enable-linger', user.name], check=True)
    wait_for(lambda: os.path.exists(f'/run/user/{user.uid}/systemd/private'), f"{user.name}'s user manager", SLOW)
