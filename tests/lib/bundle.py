"""OCI bundles: a busybox, and a config.json that a case changes."""

import copy
import json
import os
import shutil

CAPS = ['CAP_CHOWN', 'CAP_KILL', 'CAP_NET_BIND_SERVICE']
APPLETS = ['sh', 'cat', 'id', 'ls', 'sleep', 'true', 'grep', 'hostname', 'mount', 'umount', 'pwd', 'env', 'readlink', 'touch',
           'mknod', 'tty', 'stat', 'kill', 'mkdir', 'echo', 'test', 'stty']


def config_for(user, first_id=100000):
    """As `crun spec --rootless` has it, with all of the user's ids."""
    extents = [{'containerID': 0, 'hostID': user.uid, 'size': 1}, {'containerID': 1, 'hostID': first_id, 'size': 65536}]
    return {
        'ociVersion': '1.0.2',
        'process': {'terminal': False, 'user': {'uid': 0, 'gid': 0}, 'args': ['true'], 'cwd': '/', 'noNewPrivileges': True,
                    'env': ['PATH=/bin', 'TERM=xterm'],
                    'capabilities': {kind: list(CAPS) for kind in ('bounding', 'effective', 'permitted', 'inheritable', 'ambient')},
                    'rlimits': [{'type': 'RLIMIT_NOFILE', 'hard': 1000, 'soft': 999}]},
        'root': {'path': 'rootfs', 'readonly': True},
        'hostname': 'ocihost',
        'mounts': [
            {'destination': '/proc', 'type': 'proc', 'source': 'proc'},
            {'destination': '/dev', 'type': 'tmpfs', 'source': 'tmpfs', 'options': ['nosuid', 'strictatime', 'mode=755', 'size=65536k']},
            {'destination': '/dev/pts', 'type': 'devpts', 'source': 'devpts',
             'options': ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620']},
            {'destination': '/dev/shm', 'type': 'tmpfs', 'source': 'shm',
             'options': ['nosuid', 'noexec', 'nodev', 'mode=1777', 'size=65536k']},
            {'destination': '/sys', 'type': 'sysfs', 'source': 'sysfs', 'options': ['nosuid', 'noexec', 'nodev', 'ro']}],
        'linux': {'uidMappings': extents, 'gidMappings': [dict(extents[0], hostID=user.gid), extents[1]],
                  'namespaces': [{'type': kind} for kind in ('pid', 'network', 'ipc', 'uts', 'mount', 'user')],
                  'maskedPaths': ['/proc/kcore', '/proc/keys'], 'readonlyPaths': ['/proc/sys', '/proc/bus']}}


class Bundle:
    def __init__(self, root, user, name='bundle', runtime=None):
        self.root, self.user = root, user
        self.runtime = runtime or [root.program('userns-oci')]
        self.path = f'{root.tmp}/home/{user.name}/{name}'
        self.run_dir = f'{root.tmp}/home/{user.name}/run'
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        shutil.rmtree(self.path, ignore_errors=True)
        for directory in ('bin', 'etc', 'tmp'):
            os.makedirs(f'{self.path}/rootfs/{directory}')
        shutil.copy('/bin/busybox', f'{self.path}/rootfs/bin/busybox')
        for name in APPLETS:
            os.symlink('busybox', f'{self.path}/rootfs/bin/{name}')
        os.makedirs(self.run_dir, 0o700, exist_ok=True)
        for top in (self.path, self.run_dir):
            for directory, names, files in os.walk(top):
                for one in [directory] + [os.path.join(directory, n) for n in names + files]:
                    os.lchown(one, user.uid, user.gid)
        self.config = config_for(user)

    def write(self, *args, **process):
        """`args`: the command. Other keys of the process by their names."""
        config = copy.deepcopy(self.config)
        if args:
            config['process']['args'] = list(args)
        config['process'].update(process)
        path = f'{self.path}/config.json'
        with open(path, 'w') as file:
            json.dump(config, file)
        os.chown(path, self.user.uid, self.user.gid)
        return self

    def env(self):
        return {'PATH': '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin', 'XDG_RUNTIME_DIR': self.run_dir, 'HOME': os.path.dirname(self.path)}

    def call(self, *words, **how):
        return self.root.run([*self.runtime, *words], self.user, env=self.env(), cwd=self.path, **how)

    def run(self, *args, **process):
        self.write(*args, **process)
        return self.call('run', '-b', self.path, 'c')

    def sh(self, script, **process):
        return self.run('sh', '-c', script, **process)

    def state(self, name='c'):
        done = self.call('state', name)
        return json.loads(done.out) if done.code == 0 else None

    def end(self, name='c'):
        done = self.call('delete', '--force', name)
        assert done.code == 0, done

    def left(self):
        """What is kept of containers."""
        top = f'{self.run_dir}/userns-oci'
        return os.listdir(top) if os.path.isdir(top) else []
