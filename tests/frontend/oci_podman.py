#!/usr/bin/env python3
"""podman, unchanged, with userns-oci as its runtime, as an ordinary user."""

import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
from bundle import APPLETS  # noqa: E402
from harness import case, main, skip, wait_for  # noqa: E402

# The lines of userns-oci(1), and a storage driver that works in every directory.
CONTAINERS = '''[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "userns-oci"
runtime_supports_json = ["userns-oci"]
runtime_supports_nocgroup = ["userns-oci"]

[engine.runtimes]
userns-oci = ["PROGRAM"]

[containers]
cgroups = "disabled"
'''


class Podman:
    def __init__(self, root):
        for program in ('podman', 'conmon'):
            if not shutil.which(program):
                skip(f'{program} is not installed')
        self.root, self.user = root, root.alice
        self.home = f'{root.tmp}/home/alice'
        self.run_dir = f'{self.home}/run'
        first = not os.path.isdir(self.run_dir)
        if first:
            os.makedirs(f'{self.home}/.config/containers')
            os.makedirs(self.run_dir, 0o700)
            root.write(f'{self.home}/.config/containers/containers.conf', CONTAINERS.replace('PROGRAM', root.program('userns-oci')))
            root.write(f'{self.home}/.config/containers/storage.conf', '[storage]\ndriver = "vfs"\n')
            for top, names, files in os.walk(self.home):
                for one in [top] + [os.path.join(top, n) for n in names + files]:
                    os.lchown(one, self.user.uid, self.user.gid)
            self.works('sh', '-c', f'mkdir -p i/bin i/etc && cp /bin/busybox i/bin && for a in {" ".join(APPLETS)}; do ln -s busybox i/bin/$a; done && '
                       'tar --owner=0 --group=0 -C i -c . | podman import -q - i', program='/bin')

    def call(self, *words, program='/usr/bin/podman', **how):
        argv = list(words) if program == '/bin' else [program, *words]
        if program == '/bin':
            argv[0] = f'/bin/{argv[0]}'
        env = {'PATH': '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin', 'HOME': self.home, 'XDG_RUNTIME_DIR': self.run_dir, 'LANG': 'C.UTF-8'}
        return self.root.run(argv, self.user, env=env, cwd=self.home, timeout=120, **how)

    def works(self, *words, **how):
        done = self.call(*words, **how)
        assert done.code == 0, done
        return done.out.strip()

    def run(self, *words):
        return self.call('run', '--rm', '--network', 'none', *words)

    def in_terminal(self, *words):
        return self.call('script', '-qec', ' '.join(('podman', *words)), '/dev/null', program='/usr/bin/env')

    def left(self):
        top = f'{self.run_dir}/userns-oci'
        return os.listdir(top) if os.path.isdir(top) else []


@case('run: output, exit status, and what is left afterwards')
def _(root):
    podman = Podman(root)
    done = podman.run('i', 'sh', '-c', 'id -u; readlink /proc/self/exe; exit 5')
    assert done.code == 5 and done.out.split() == ['0', '/bin/busybox'], done
    assert podman.left() == []


@case('run: a command that is not there ends with 127, one that cannot be run with 126')
def _(root):
    podman = Podman(root)
    assert podman.run('i', 'nonesuch').code == 127
    assert podman.run('i', '/etc').code == 126
    assert podman.left() == []


@case('run -d, exec, logs, stop, start, kill, wait, rm')
def _(root):
    podman = Podman(root)
    podman.works('run', '-d', '--name', 'x', '--network', 'none', 'i', 'sh', '-c', 'trap "exit 3" TERM; echo began; while :; do sleep 0.1; done')
    wait_for(lambda: podman.works('logs', 'x') == 'began', 'the log')
    assert podman.works('exec', 'x', 'id', '-u') == '0'
    assert podman.call('exec', 'x', 'sh', '-c', 'exit 9').code == 9
    assert podman.call('exec', 'x', 'nonesuch').code == 127
    podman.works('exec', '-d', 'x', 'sh', '-c', 'echo here > /file')
    wait_for(lambda: podman.call('exec', 'x', 'cat', '/file').out == 'here\n', 'the file')
    podman.works('stop', '-t', '20', 'x')
    assert podman.works('inspect', '-f', '{{.State.ExitCode}} {{.State.Status}}', 'x') == '3 exited'
    podman.works('start', 'x')
    podman.works('kill', 'x')
    assert podman.works('wait', 'x') == '137'
    podman.works('rm', 'x')
    assert podman.left() == []


@case('-it: a terminal for run and for exec')
def _(root):
    podman = Podman(root)
    done = podman.in_terminal('run', '--rm', '-it', '--network', 'none', 'i', 'sh', '-c', "'tty; test -c /dev/console && exit 4'")
    assert done.code == 4 and '/dev/pts/0' in done.out, done
    podman.works('run', '-d', '--name', 't', '--network', 'none', 'i', 'sleep', '1000')
    done = podman.in_terminal('exec', '-it', 't', 'sh', '-c', "'tty; exit 6'")
    assert done.code == 6 and '/dev/pts/0' in done.out, done
    podman.works('rm', '-f', '-t', '0', 't')


@case('healthchecks')
def _(root):
    podman = Podman(root)
    podman.works('run', '-d', '--name', 'h', '--network', 'none', '--health-cmd', 'test -e /well', '--health-interval', 'disable', 'i', 'sleep', '1000')
    assert podman.call('healthcheck', 'run', 'h').code == 1
    podman.works('exec', 'h', 'touch', '/well')
    assert podman.call('healthcheck', 'run', 'h').code == 0
    podman.works('rm', '-f', '-t', '0', 'h')


@case('--user, --read-only, --tmpfs, -v, -w, --device, --sysctl, --ulimit, --group-add, --hostname')
def _(root):
    podman = Podman(root)
    done = podman.run('--user', '5:6', '--group-add', '33', '--read-only', '--tmpfs', '/tmp', '-v', f'{podman.home}/i:/v:ro', '-w', '/v', '--device', '/dev/fuse',
                      '--sysctl', 'kernel.shmmax=12345', '--ulimit', 'nofile=77', '--hostname', 'hh', '--oom-score-adj', '100', 'i', 'sh', '-c',
                      'id -u; id -G; hostname; pwd; ulimit -n; cat /proc/sys/kernel/shmmax /proc/self/oom_score_adj; touch /tmp/x && ls /tmp; '
                      'test -c /dev/fuse && echo fuse; touch /x; touch /v/x')
    assert done.out.split() == ['5', '6', '33', 'hh', '/v', '77', '12345', '100', 'x', 'fuse'], done
    assert done.err.count('Read-only file system') == 2, done


@case('--userns keep-id and auto')
def _(root):
    podman = Podman(root)
    done = podman.run('--userns', 'keep-id', 'i', 'sh', '-c', 'id -u; id -g')
    assert done.out.split() == [str(root.alice.uid), str(root.alice.gid)], done
    done = podman.run('--userns', 'auto', '--oom-score-adj', '100', 'i', 'sh', '-c', 'id -u; cat /proc/self/oom_score_adj /proc/self/uid_map')
    assert done.code == 0 and done.out.split()[:3] == ['0', '100', '0'] and done.out.split()[3] != '0', done


@case('--privileged has all capabilities; --cap-add SYS_ADMIN takes no cover away')
def _(root):
    podman = Podman(root)
    done = podman.run('--privileged', 'i', 'sh', '-c', 'grep CapEff /proc/self/status; mount -t tmpfs t /etc && echo mounted')
    assert done.out.split() == ['CapEff:', '000001ffffffffff', 'mounted'], done
    done = podman.run('--cap-add', 'SYS_ADMIN', '--security-opt', 'seccomp=unconfined', 'i', 'sh', '-c',
                      'umount /proc/keys; mount -o remount,rw,bind /proc/sys; mount -o remount,dev,bind /; true')
    assert done.code == 0 and len(done.err.splitlines()) == 3, done


@case('build, and a container of what was built')
def _(root):
    podman = Podman(root)
    root.write(f'{podman.home}/Containerfile', 'FROM i\nRUN echo built > /built && id -u\nCMD cat /built\n', owner=(root.alice.uid, root.alice.gid))
    podman.works('build', '--isolation', 'oci', '--network', 'none', '-t', 'built', '.')
    assert podman.run('built').out == 'built\n'


@case('buildah run: output, exit status, and what it commits')
def _(root):
    podman = Podman(root)
    if not shutil.which('buildah'):
        skip('buildah is not installed')

    def buildah(*words, **how):
        return podman.works(*words, program='/usr/bin/buildah', **how)
    name = buildah('from', '--pull-never', 'i')
    run = ('run', '--isolation', 'oci', '--runtime', root.program('userns-oci'), '--network', 'none', name)
    done = podman.call(*run, 'sh', '-c', 'id -u; readlink /proc/self/exe; echo made > /made; exit 3', program='/usr/bin/buildah')
    assert done.code == 3 and done.out.split() == ['0', '/bin/busybox'], done
    assert buildah(*run, 'cat', '/made') == 'made'
    assert podman.call(*run, 'nonesuch', program='/usr/bin/buildah').code != 0
    buildah('commit', '-q', name, 'committed')
    buildah('rm', name)
    assert podman.run('committed', 'cat', '/made').out == 'made\n'
    assert podman.left() == []


@case('a pod: its containers share namespaces by path')
def _(root):
    podman = Podman(root)
    root.write(f'{podman.home}/Containerfile', 'FROM i\nENTRYPOINT ["/bin/sleep", "1000"]\n', owner=(root.alice.uid, root.alice.gid))
    podman.works('build', '-t', 'infra', '.')
    podman.works('pod', 'create', '--name', 'p', '--share', 'ipc,uts,net', '--infra-image', 'localhost/infra', '--network', 'none')
    for name in ('a', 'b'):
        podman.works('run', '-d', '--pod', 'p', '--name', name, 'i', 'sleep', '1000')
    spaces = {name: podman.works('exec', name, 'sh', '-c', 'for n in net ipc uts pid mnt; do readlink /proc/self/ns/$n; done').split() for name in 'ab'}
    assert spaces['a'][:3] == spaces['b'][:3] and spaces['a'][3:] != spaces['b'][3:], spaces
    podman.works('pod', 'rm', '-f', '-t', '0', 'p')
    assert podman.left() == []


main()
