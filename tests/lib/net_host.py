"""A host of the test's own for userns-net: a network namespace with bridges, and containers of scratch users in it."""

import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(__file__))
from harness import (CLONE_NEWNET, CLONE_NEWUSER, MS_BIND, MS_REC, Target, mount, skip, umount, unshare, wait_for)

CONF = '/etc/userns/net.conf'


def sh(*argv, code=0):
    """A command in the host: what it printed."""
    words = ' '.join(str(a) for a in argv).split() if len(argv) == 1 else [str(a) for a in argv]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if code is not None and done.returncode != code:
        raise AssertionError(f'{words} ended with {done.returncode}: {done.stdout}')
    return done.stdout


def way_out():
    """A default route of the host, to nobody: pasta wants to see one."""
    sh('ip link add out0 type veth peer name out1')
    sh('ip addr add 198.51.100.2/24 dev out0')
    for name in ('out0', 'out1'):
        sh(f'ip link set {name} up')
    sh('ip route add default via 198.51.100.1')


class Container(Target):
    """A process of `user`'s in a user and a network namespace of its own; `with` ends it."""

    PATIENCE = 1  # seconds that a ping waits

    def __init__(self, user, namespaces=CLONE_NEWUSER | CLONE_NEWNET, prepare=None):
        super().__init__(user, namespaces, prepare)
        self.user = user
        self._netns = -1

    @property
    def netns(self):
        """An fd of it, opened when first asked for: containers that are forked later inherit it and keep it alive."""
        if self._netns < 0:
            self._netns = os.open(f'/proc/{self.pid}/ns/net', os.O_RDONLY)
        return self._netns

    def kill(self, reap=True):
        self._forget()
        super().kill(reap)

    def _forget(self):
        if self._netns >= 0:
            os.close(self._netns)
        self._netns = -1

    def __exit__(self, *what):
        self._forget()
        super().__exit__(*what)

    def sh(self, command, code=0):
        return sh(*f'nsenter --net=/proc/{self.pid}/ns/net {command}'.split(), code=code)

    def up(self, address, name='eth0'):
        """Up with an address. No duplicate address detection: the tests have no second to spare for it."""
        self.sh('ip link set lo up')
        self.sh(f'ip link set {name} up')
        self.sh(f'ip addr add {address} dev {name}' + (' nodad' if ':' in address else ''))

    def reaches(self, address, tries=3):
        """A busy machine may let a first answer come late; where none is expected one try is enough."""
        return any('bytes from' in self.sh(f'busybox ping -c 1 -W {self.PATIENCE} {address}', code=None)
                   for _ in range(tries))

    def interfaces(self):
        return {link['ifname']: link for link in json.loads(self.sh('ip -j -d link'))}


class Host:
    """Bridges br0 (10.9.0.1/24, fd09::1/64) and br1 in a network namespace that this process moves to."""

    def __init__(self, root):
        self.root = root
        self.helper = root.program('userns-net')
        unshare(CLONE_NEWNET)
        self._show_own_sys()
        sh('ip link set lo up')
        self.bridge('br0', '10.9.0.1/24')
        self.bridge('br1', '10.8.0.1/24')
        sh('ip addr add fd09::1/64 dev br0 nodad')

    def _show_own_sys(self):
        """The network is that of /sys from now on; the cgroups of the machine stay where they were."""
        kept = tempfile.mkdtemp()
        mount('/sys/fs/cgroup', kept, None, MS_BIND | MS_REC)
        mount('sysfs', '/sys', 'sysfs')
        mount(kept, '/sys/fs/cgroup', None, MS_BIND | MS_REC)
        umount(kept)
        os.rmdir(kept)

    @staticmethod
    def bridge(name, address=None, more=''):
        sh(f'ip link add {name} type bridge {more}')
        sh(f'ip link set {name} up')
        if address:
            sh(f'ip addr add {address} dev {name}')

    def conf(self, text, **how):
        self.root.write(CONF, text, **how)

    def run(self, words, user, **how):
        return self.root.run([self.helper, *words], user, **how)

    def add(self, container, bridge='br0', *more, **how):
        """As the container's owner, by pid."""
        user = how.pop('user', container.user)
        return self.run(['add', '--netns', f'pid:{container.pid}', '--bridge', bridge, *more], user, **how)

    def added(self, container, bridge='br0', *more, **how):
        """add(), which must succeed: what it printed."""
        done = self.add(container, bridge, *more, **how)
        assert done.code == 0 and done.err == '', done
        return json.loads(done.out)

    @staticmethod
    def links():
        return {link['ifname']: link for link in json.loads(sh('ip -j -d link'))}

    def ports(self):
        """Host ends that are there."""
        return sorted(name for name in os.listdir('/sys/class/net') if len(name) == 15 and name.startswith('u'))

    def all_gone(self):
        wait_for(lambda: not self.ports(), 'the NICs of ended containers to go')


class Dhcp:
    """A DHCP server on br0, with 10.9.0.50 to 10.9.0.99, while `with` lasts. What it gave is on the disk of the test."""

    def __init__(self, root):
        if not shutil.which('dnsmasq', path='/usr/sbin:/usr/bin:/sbin:/bin'):
            skip('dnsmasq is not installed')
        self._leases, self._log = f'{root.tmp}/leases', f'{root.tmp}/dnsmasq.log'
        root.write(self._leases, '')
        with open(self._log, 'w') as log:
            self._server = subprocess.Popen(
                ['dnsmasq', '--keep-in-foreground', '--conf-file=/dev/null', '--port=0', '--interface=br0', '--bind-interfaces',
                 '--dhcp-range=10.9.0.50,10.9.0.99,1h', '--dhcp-option=option:router,10.9.0.1', '--dhcp-option=option:dns-server,10.9.0.1',
                 f'--dhcp-leasefile={self._leases}', '--no-ping', '--log-dhcp', '--log-facility=-', '--pid-file=', '--user=root'],
                stdout=log, stderr=log)

    def leases(self):
        """{MAC: (address, name that the client gave)}"""
        with open(self._leases) as file:
            return {words[1]: (words[2], words[3]) for words in map(str.split, file) if len(words) >= 4 and words[0].isdigit()}

    def said(self):
        with open(self._log) as file:
            return file.read()[-2000:]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.kill()
        self._server.wait()


def refused(done, rule, *words):
    assert done.code == 1 and f'[{rule}]' in done.err and done.out == '', done
    for word in words:
        assert word in done.err, (word, done)
