#!/usr/bin/env python3
"""Docker's rootless daemon, unchanged, with userns-oci as its runtime, as an ordinary user."""

import os
import shutil
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from bundle import APPLETS  # noqa: E402
from distro import DOCKER, unpack  # noqa: E402
from harness import case, main, skip, spawn, wait_for  # noqa: E402

PROGRAMS = {'usr/sbin': ['dockerd', 'runc', 'docker-init', 'docker-proxy'], 'usr/bin': ['docker', 'containerd', 'containerd-shim-runc-v2']}


class Docker:
    """Of Debian's packages, in a tree of their own: the daemon of an ordinary user, without a network."""

    def __init__(self, root):
        for program in ('rootlesskit', 'slirp4netns'):
            if not shutil.which(program):
                skip(f'{program} is not installed')
        self.root, self.user = root, root.alice
        tree = unpack(root, DOCKER)
        self.home = f'{root.tmp}/home/alice'
        self.run_dir, self.bin = f'{self.home}/run', f'{root.tmp}/docker-bin'
        os.makedirs(self.run_dir, 0o700, exist_ok=True)
        os.makedirs(self.bin, exist_ok=True)
        for directory, names in PROGRAMS.items():
            for name in names:
                if os.path.exists(f'{tree}/{directory}/{name}') and not os.path.lexists(f'{self.bin}/{name}'):
                    os.symlink(f'{tree}/{directory}/{name}', f'{self.bin}/{name}')
        for path in (self.home, self.run_dir):
            os.chown(path, self.user.uid, self.user.gid)
        self.log = f'{root.tmp}/docker.log'
        script = f'{tree}/usr/share/docker.io/contrib/dockerd-rootless.sh'
        words = ['--storage-driver=vfs', '--iptables=false', '--bridge=none', '--ip-forward=false', '--ip-masq=false', '--add-runtime',
                 f'userns={root.program("userns-oci")}', '--default-runtime=userns']
        root.write(self.log, '', owner=(self.user.uid, self.user.gid))
        self.daemon = spawn(['/bin/sh', '-c', f'exec sh {script} "$@" > {self.log} 2>&1', 'sh', *words], self.user, env=self.env(), cwd=self.home)

    def env(self):
        return {'PATH': f'{self.bin}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin', 'HOME': self.home, 'XDG_RUNTIME_DIR': self.run_dir, 'LANG': 'C.UTF-8',
                'DOCKERD_ROOTLESS_ROOTLESSKIT_NET': 'host', 'DOCKERD_ROOTLESS_ROOTLESSKIT_PORT_DRIVER': 'none',
                'DOCKER_HOST': f'unix://{self.run_dir}/docker.sock'}

    def call(self, *words):
        return self.root.run([f'{self.bin}/docker', *words], self.user, env=self.env(), cwd=self.home, timeout=120)

    def works(self, *words):
        done = self.call(*words)
        assert done.code == 0, (done, self.told())
        return done.out.strip()

    def told(self):
        with open(self.log) as file:
            return file.read()[-2200:]

    def __enter__(self):
        try:
            wait_for(lambda: self.call('version').code == 0, 'the daemon', 30)
        except AssertionError as error:
            self.__exit__()
            raise AssertionError(f'{error}: {self.told()}') from None
        self.root.run(['/bin/sh', '-c', f'mkdir -p i/bin i/etc && cp /bin/busybox i/bin && for a in {" ".join(APPLETS)}; do ln -sf busybox i/bin/$a; done && '
                       'tar --owner=0 --group=0 -C i -cf i.tar .'], self.user, env=self.env(), cwd=self.home)
        self.works('import', 'i.tar', 'i')
        return self

    def __exit__(self, *_):
        self.daemon.kill(signal.SIGTERM)
        self.daemon.wait(60)


@case('run, exec, logs, stop, and the daemon keeps nothing of what was removed')
def _(root):
    with Docker(root) as docker:
        run = ('run', '--network', 'none')
        done = docker.call(*run, '--rm', 'i', 'sh', '-c', 'id -u; readlink /proc/self/exe; exit 5')
        assert done.code == 5 and done.out.split() == ['0', '/bin/busybox'], (done, docker.told())
        assert docker.call(*run, '--rm', 'i', 'nonesuch').code == 127
        docker.works(*run, '-d', '--name', 'xx', 'i', 'sh', '-c', 'trap "exit 3" TERM; echo began; while :; do sleep 0.1; done')
        wait_for(lambda: docker.works('logs', 'xx') == 'began', 'the log')
        assert docker.works('exec', 'xx', 'id', '-u') == '0'
        assert docker.call('exec', 'xx', 'sh', '-c', 'exit 9').code == 9
        docker.works('stop', '-t', '20', 'xx')
        assert docker.works('inspect', '-f', '{{.State.ExitCode}} {{.HostConfig.Runtime}}', 'xx') == '3 userns'
        docker.works('rm', 'xx')


main()
