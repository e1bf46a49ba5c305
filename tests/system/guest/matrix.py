#!/usr/bin/env python3
"""In the booted guest: the pure v2 part of the matrix of inits, cgroups and acts (lib/matrix.py). Nothing is timed."""
# distro: systemd systemd-257 openrc

import json
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
from cgroups import read  # noqa: E402
from harness import case, main, spawn  # noqa: E402
from matrix import PARAMETERS, pairwise, scenarios, why_not  # noqa: E402
from matrix_acts import register  # noqa: E402
from users import ALICE, RUN, env_of, first_id, linger, policy  # noqa: E402

SLOW = 900  # the guest's CPU is emulated
TARS = os.path.join(HERE, '..', 'distros')
TAR = {'openrc': 'openrc', 'systemd-252': 'systemd', 'systemd-257': 'systemd-257'}
ENV = {**env_of(ALICE), 'HOME': '/home/alice'}
STORE = '/home/alice/.local/share/userns'
INITTAB = '::sysinit:/bin/echo begun\nconsole::respawn:-/bin/sh\n::shutdown:/bin/echo ended\n'
TOOLS = 'sh sleep id echo cat mount ls unshare'.split()


def as_alice(*words, **how):
    return spawn([*words], ALICE, env=ENV, **how)


def give(where):
    first = first_id(ALICE)
    subprocess.run(['chown', '-hR', f'{first}:{first}', where], check=True)


def busybox(where, init):
    os.makedirs(where + '/bin')
    os.makedirs(where + '/etc')
    shutil.copy('/bin/busybox', where + '/bin/busybox')
    for tool in TOOLS:
        os.symlink('busybox', f'{where}/bin/{tool}')
    with open(where + '/etc/passwd', 'w') as file:
        file.write('root:x:0:0::/root:/bin/sh\n')
    if init == 'busybox':
        os.makedirs(where + '/sbin')
        for tool in ('init', 'reboot'):
            os.symlink('/bin/busybox', f'{where}/sbin/{tool}')
        with open(where + '/etc/inittab', 'w') as file:
            file.write(INITTAB)
    os.mkdir(where + '/mnt')
    give(where)


def debian(where, name):
    os.makedirs(where)
    give(where)
    with open(f'{TARS}/{name}.tar') as archive:
        done = as_alice(RUN, '--map', f'b:0:{first_id(ALICE)}:65536', '--', 'tar', '-C', where, '--xattrs', '--xattrs-include=*',
                        '--exclude=./dev/*', '-xpf', '-', stdin=archive.fileno()).wait(SLOW)
    assert done.code == 0, done


class World:
    slow = SLOW

    def __init__(self, _root):
        policy('alice containers=8 pids.max=1000')
        linger(ALICE)
        self.shared = '/var/lib/matrix-shared'
        os.makedirs(self.shared, exist_ok=True)
        with open(self.shared + '/shared', 'w') as file:
            file.write("the host's\n")
        os.chown(self.shared, ALICE.uid, ALICE.gid)
        as_alice('/bin/mkdir', '-p', '-m', '700', STORE).wait(SLOW)

    def limit(self, processes):
        return [f'pids = {processes}']

    def make(self, name, settings, init):
        tree = f'/var/lib/matrix/{name}'
        if init in TAR:
            debian(tree, TAR[init])
            settings = ['boot = yes', *settings]
        else:
            busybox(tree, init)
        where = f'{STORE}/{name}'
        os.makedirs(where, 0o700)
        with open(where + '/config', 'w') as file:
            file.write(''.join(f'{line}\n' for line in (f'rootfs = {tree}', *settings)))
        for path in (where, where + '/config'):
            os.chown(path, ALICE.uid, ALICE.gid)

    def do(self, verb, *args, command=None):
        return as_alice(RUN, verb, *args, *([] if command is None else ['--', *command])).wait(SLOW)

    def begin(self, verb, *args, **how):
        return as_alice(RUN, verb, *args, **how)

    def kept(self, name, file):
        try:
            with open(f'{STORE}/{name}/{file}', errors='replace') as opened:
                return opened.read()
        except FileNotFoundError:
            return ''

    def state(self, name):
        return json.loads(self.kept(name, 'state.json') or 'null')

    def log(self, name):
        return self.kept(name, 'console.log')

    @staticmethod
    def pids_max(state):
        return int(read(state['cgroup'] + '/payload/pids.max'))


register(case, World, scenarios(pairwise(PARAMETERS, why_not), hierarchy='v2'))
main(need_root=False)
