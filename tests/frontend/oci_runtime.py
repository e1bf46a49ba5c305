#!/usr/bin/env python3
"""userns-oci by itself: bundles of an ordinary user, from create to delete."""

import array
import json
import os
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
from bundle import Bundle  # noqa: E402
from harness import ROOT, case, cases, main, spawn, status_of, wait_for  # noqa: E402


def lines(done):
    assert done.code == 0, done
    return done.out.splitlines()


# --- life -----------------------------------------------------------------------------------

@case('run ends with the status of the command, and leaves nothing')
def _(root):
    bundle = Bundle(root, root.alice)
    done = bundle.sh('id -u; hostname; exit 7')
    assert done.code == 7 and done.out.split() == ['0', 'ocihost'], done
    assert bundle.left() == []


@case('a container is created, then started by another process, and deleted')
def _(root):
    bundle = Bundle(root, root.alice).write('sh', '-c', 'echo began > /dev/shm/x; sleep 1000')
    done = bundle.call('create', '-b', bundle.path, '--pid-file', f'{bundle.run_dir}/pid', 'c')
    assert done.code == 0, done
    state = bundle.state()
    assert state['status'] == 'created' and state['bundle'] == bundle.path and state['ociVersion'] == '1.0.2', state
    pid = state['pid']
    with open(f'{bundle.run_dir}/pid') as file:
        assert file.read() == str(pid)
    assert 'userns-oci' in os.readlink(f'/proc/{pid}/exe')
    assert bundle.call('exec', 'c', 'true').code != 0
    assert bundle.call('start', 'c').code == 0
    assert bundle.state()['status'] == 'running'
    wait_for(lambda: bundle.call('exec', 'c', 'cat', '/dev/shm/x').out == 'began\n', 'the command to have begun')
    again = bundle.call('start', 'c')
    assert again.code == 1 and 'is running and not created' in again.err, again
    assert bundle.call('delete', 'c').code == 1
    assert bundle.call('kill', 'c', 'KILL').code == 0
    wait_for(lambda: bundle.state()['status'] == 'stopped', 'the end')
    assert bundle.call('kill', 'c', 'KILL').code == 1
    assert bundle.call('delete', 'c').code == 0
    assert bundle.left() == [] and bundle.state() is None


@case('a created container that nobody starts heeds TERM, and delete ends it')
def _(root):
    bundle = Bundle(root, root.alice).write('sleep', '1000')
    for name, end in (('a', ['kill', 'a', 'TERM']), ('b', ['delete', 'b'])):
        assert bundle.call('create', '-b', bundle.path, name).code == 0
        pid = bundle.state(name)['pid']
        assert bundle.call(*end).code == 0
        wait_for(lambda: not os.path.exists(f'/proc/{pid}') or status_of(pid)['State'].startswith('Z'), 'its end')
    assert bundle.call('delete', 'a').code == 0
    assert bundle.left() == []


@case('an id that is taken is refused, and so are names that are paths')
def _(root):
    bundle = Bundle(root, root.alice).write('sleep', '1000')
    assert bundle.call('create', '-b', bundle.path, 'c').code == 0
    again = bundle.call('create', '-b', bundle.path, 'c')
    assert again.code == 1 and 'exists already' in again.err, again
    assert bundle.state()['status'] == 'created'
    for name in ('..', '.', 'a/b', '', 'a b'):
        assert bundle.call('create', '-b', bundle.path, name).code == 1, name
    assert bundle.call('delete', '--force', 'c').code == 0
    assert bundle.call('delete', '--force', 'c').code == 0
    assert bundle.call('delete', 'c').code == 1


@case('list, ps, features and --version')
def _(root):
    bundle = Bundle(root, root.alice).write('sleep', '1000')
    assert bundle.call('run', '-d', '-b', bundle.path, 'c').code == 0
    (listed,) = json.loads(bundle.call('list', '--format', 'json').out)
    assert (listed['id'], listed['status']) == ('c', 'running')
    assert bundle.call('list', '-q').out == 'c\n'
    assert json.loads(bundle.call('ps', '--format', 'json', 'c').out) == [listed['pid']]
    features = json.loads(bundle.call('features').out)
    assert features['ociVersionMax'] == '1.2.0' and 'rro' in features['mountOptions'], features
    assert features['linux']['cgroup']['v2'] and not features['linux']['apparmor']['enabled']
    assert 'spec: 1.2.0' in bundle.call('--version').out
    bundle.end('c')


@case('as Slurm calls it')
def _(root):
    bundle = Bundle(root, root.alice).write('sh', '-c', 'echo well; exit 6')
    first = ['--rootless=true', f'--root={bundle.run_dir}/slurm']
    name = 'node1.alice.7.0.0'
    done = bundle.call(*first, 'run', name, '-b', bundle.path)
    assert done.code == 6 and done.out == 'well\n', done
    assert bundle.call(*first, 'state', name).code == 1
    assert bundle.call(*first, 'delete', '--force', name).code == 0
    bundle.write('sleep', '1000')
    assert bundle.call(*first, 'create', name, '-b', bundle.path).code == 0
    assert json.loads(bundle.call(*first, 'state', name).out)['status'] == 'created'
    assert bundle.call(*first, 'start', name).code == 0
    assert bundle.call(*first, 'kill', '-a', name, 'KILL').code == 0
    wait_for(lambda: json.loads(bundle.call(*first, 'state', name).out)['status'] == 'stopped', 'the end')
    assert bundle.call(*first, 'delete', '--force', name).code == 0


@case('a failure is told in the log as JSON, too')
def _(root):
    bundle = Bundle(root, root.alice).write('nonesuch')
    log = f'{bundle.run_dir}/log'
    done = bundle.call('--log', log, '--log-format', 'json', 'create', '-b', bundle.path, 'c')
    assert done.code == 1, done
    with open(log) as file:
        told = json.loads(file.read())
    assert told['level'] == 'error' and 'executable file not found in $PATH' in told['msg'], told


# --- what fails leaves nothing --------------------------------------------------------------

def change(path, value):
    """A change of a config: '/linux/maskedPaths' becomes value."""
    def act(config):
        *above, last = path.strip('/').split('/')
        for name in above:
            config = config[int(name)] if isinstance(config, list) else config.setdefault(name, {})
        config[last] = value
    return act


def add_mount(**mount):
    return lambda config: config['mounts'].append(mount)


@cases([
    ('a command that is not there', change('/process/args', ['nonesuch']), 'nonesuch'),
    ('a command that may not be run', change('/process/args', ['/etc']), 'Permission denied'),
    ('a bind whose source is missing', add_mount(destination='/x', source='/nonesuch', options=['bind']), '/nonesuch'),
    ('a file system that does not exist', add_mount(destination='/tmp', source='x', type='nonesuchfs'), 'mounts[5]'),
    ('an option that its file system does not know', add_mount(destination='/tmp', source='x', type='tmpfs', options=['moon=1']), 'moon'),
    ('a device that the host has not', change('/linux/devices', [{'path': '/dev/nonesuch', 'type': 'c', 'major': 1, 'minor': 3}]), 'nonesuch'),
    ('a device that is another one on the host', change('/linux/devices', [{'path': '/dev/fuse', 'type': 'c', 'major': 1, 'minor': 3}]),
     '/dev/fuse'),
    ('a namespace of another kind', change('/linux/namespaces/1/path', '/proc/self/ns/uts'), 'is not a net namespace'),
    ('ids that are not the caller\'s', change('/linux/uidMappings/1/hostID', 1), 'newuidmap'),
    ('a sysctl of the machine\'s', change('/linux/sysctl', {'vm.swappiness': '1'}), 'vm.swappiness'),
    ('a sysctl whose name leads out of /proc/sys', change('/linux/sysctl', {'net.//.//.//./self/oom_score_adj': '1'}), 'linux.sysctl'),
    ('a masked path that cannot be resolved', change('/linux/maskedPaths', ['/proc/self/root/etc']), 'cannot cover'),
    ('a masked path that is too long', change('/linux/maskedPaths', ['/etc/' + 'x' * 300]), 'cannot cover'),
    ('a read-only path that cannot be resolved', change('/linux/readonlyPaths', ['/proc/self/root/etc']), 'cannot make read-only'),
    ('limits that need a cgroup', change('/linux/resources', {'memory': {'limit': 1 << 30}}), 'linux.resources.memory'),
    ('a limit above the caller\'s own', change('/process/rlimits', [{'type': 'RLIMIT_NOFILE', 'soft': 1 << 40, 'hard': 1 << 40}]),
     'process.rlimits'),
    ('an OOM score below the caller\'s', change('/process/oomScoreAdj', -500), 'process.oomScoreAdj'),
    ('a hook before it that fails', change('/hooks', {'createRuntime': [{'path': '/bin/false'}]}), 'hooks.createRuntime'),
    ('a hook inside that fails', change('/hooks', {'createContainer': [{'path': '/bin/false'}]}), 'hooks.createContainer'),
    ('a hook that takes too long', change('/hooks', {'prestart': [{'path': '/bin/sleep', 'args': ['sleep', '1000'], 'timeout': 1}]}), 'timeout'),
])
def _(root, make, word):
    bundle = Bundle(root, root.alice)
    make(bundle.config)
    bundle.write()
    done = bundle.call('create', '-b', bundle.path, 'c')
    assert done.code == 1 and word in done.err and len(done.err.splitlines()) == 1, done
    assert bundle.left() == [], bundle.left()


# --- what the process is --------------------------------------------------------------------

@case('five sets of capabilities, as each is asked for')
def _(root):
    bundle = Bundle(root, root.alice)
    bundle.config['process']['capabilities'] = {'bounding': ['CAP_CHOWN', 'CAP_KILL', 'CAP_SETUID'], 'permitted': ['CAP_CHOWN', 'CAP_KILL'],
                                                'effective': ['CAP_CHOWN'], 'inheritable': ['CAP_KILL'], 'ambient': []}
    done = bundle.sh('grep Cap /proc/self/status', user={'uid': 5, 'gid': 6, 'additionalGids': [7, 8], 'umask': 0o27})
    found = dict(line.split(':\t') for line in lines(done))
    # Of an ordinary user the exec takes what is not ambient.
    assert (found['CapBnd'], found['CapInh'], found['CapPrm']) == ('00000000000000a1', '0000000000000020', '0' * 16), found
    done = bundle.sh('id -u; id -G; umask', user={'uid': 5, 'gid': 6, 'additionalGids': [7, 8], 'umask': 0o27})
    assert lines(done) == ['5', '6 7 8', '0027'], done
    bundle.config['process']['capabilities']['ambient'] = ['CAP_KILL']
    bundle.config['process']['capabilities']['inheritable'] = ['CAP_KILL']
    found = dict(line.split(':\t') for line in lines(bundle.sh('grep Cap /proc/self/status', user={'uid': 5, 'gid': 6})))
    assert found['CapAmb'] == found['CapEff'] == '0000000000000020', found


@case('rlimits, OOM score, sysctls, host and domain name, personality, environment')
def _(root):
    bundle = Bundle(root, root.alice)
    bundle.config['domainname'] = 'lab'
    bundle.config['linux']['sysctl'] = {'kernel.shmmax': '12345', 'net.ipv4.ip_forward': '1'}
    bundle.config['linux']['personality'] = {'domain': 'LINUX32'}
    done = bundle.sh('cat /proc/sys/kernel/shmmax /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/domainname /proc/self/oom_score_adj; '
                     'ulimit -n; ulimit -Hn; echo $HOME $A; busybox uname -m; pwd', oomScoreAdj=300, cwd='/tmp',
                     env=['PATH=/bin', 'A=b'])
    assert lines(done) == ['12345', '1', 'lab', '300', '999', '1000', '/root b', 'i686', '/tmp'], done


@case('a filter that the bundle brings: architectures, arguments, errno')
def _(root):
    bundle = Bundle(root, root.alice)
    bundle.config['linux']['seccomp'] = {
        'defaultAction': 'SCMP_ACT_ALLOW', 'architectures': ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86'],
        'syscalls': [{'names': ['mkdir', 'mkdirat', 'no_such_call'], 'action': 'SCMP_ACT_ERRNO', 'errnoRet': 28},
                     {'names': ['kill'], 'action': 'SCMP_ACT_ERRNO', 'args': [{'index': 1, 'value': 12, 'op': 'SCMP_CMP_EQ'}]}]}
    for no_new_privs in (True, False):
        done = bundle.sh('grep Seccomp: /proc/self/status; mkdir /dev/shm/x; kill -12 1; kill -0 1 && echo well', noNewPrivileges=no_new_privs,
                         user={'uid': 0, 'gid': 0})
        assert done.out.split() == ['Seccomp:', '2', 'well'], done
        assert 'No space left' in done.err and 'Operation not permitted' in done.err, done
    bundle.write('sleep', '1000')
    assert bundle.call('run', '-d', '-b', bundle.path, 'c').code == 0
    assert 'No space left' in bundle.call('exec', 'c', 'mkdir', '/dev/shm/y').err
    bundle.end('c')


@case('a filter without new privileges or with them may refuse close_range, which is called before it')
def _(root):
    bundle = Bundle(root, root.alice)
    bundle.config['linux']['seccomp'] = {'defaultAction': 'SCMP_ACT_ALLOW',
                                         'syscalls': [{'names': ['close_range'], 'action': 'SCMP_ACT_ERRNO'}]}
    for no_new_privs in (True, False):
        assert bundle.sh('echo well', noNewPrivileges=no_new_privs).out == 'well\n'


@case('namespaces are those that are listed: new, by path, or the caller\'s')
def _(root):
    bundle = Bundle(root, root.alice).write('sleep', '1000')
    assert bundle.call('run', '-d', '-b', bundle.path, 'first').code == 0
    pid = bundle.state('first')['pid']
    other = Bundle(root, root.alice, 'other')
    spaces = {space['type']: space for space in other.config['linux']['namespaces']}
    for kind, name in (('network', 'net'), ('ipc', 'ipc'), ('user', 'user')):
        spaces[kind]['path'] = f'/proc/{pid}/ns/{name}'
    del other.config['linux']['uidMappings'], other.config['linux']['gidMappings']
    other.config['linux']['namespaces'] += [{'type': 'cgroup'}, {'type': 'time'}]
    other.config['linux']['timeOffsets'] = {'boottime': {'secs': 86400 * 1000}}
    done = other.sh('for n in net ipc user uts pid mnt cgroup time; do readlink /proc/self/ns/$n; done; cat /proc/uptime')
    found = dict(line.split(':', 1) for line in lines(done)[:-1])
    for name in ('net', 'ipc', 'user'):
        assert f'{name}:{found[name]}' == os.readlink(f'/proc/{pid}/ns/{name}'), found
    for name in ('uts', 'pid', 'mnt', 'cgroup', 'time'):
        assert f'{name}:{found[name]}' not in (os.readlink(f'/proc/{pid}/ns/{name}'), os.readlink(f'/proc/self/ns/{name}')), name
    assert float(lines(done)[-1].split()[0]) > 86400 * 1000
    bundle.end('first')


def two_of_one_pid_namespace(root):
    """(the bundle of a container "first" that runs, one whose container joins its pid and user namespaces, its first pid)"""
    bundle = Bundle(root, root.alice).write('sleep', '1000')
    assert bundle.call('run', '-d', '-b', bundle.path, 'first').code == 0
    pid = bundle.state('first')['pid']
    other = Bundle(root, root.alice, 'other')
    for space in other.config['linux']['namespaces']:
        if space['type'] in ('pid', 'user'):
            space['path'] = f'/proc/{pid}/ns/{space["type"]}'
    del other.config['linux']['uidMappings'], other.config['linux']['gidMappings']
    other.write('sleep', '1000')
    return bundle, other, pid


@case('kill --all and ps leave a container alone whose pid namespace was joined')
def _(root):
    bundle, other, pid = two_of_one_pid_namespace(root)
    assert other.call('run', '-d', '-b', other.path, 'second').code == 0
    for words in (('ps', 'second'), ('kill', '--all', 'second', 'KILL')):
        done = other.call(*words)
        assert done.code == 1 and 'cannot be told from others' in done.err and not done.out, done
    assert [bundle.state(name)['status'] for name in ('first', 'second')] == ['running', 'running']
    assert other.call('kill', 'second', 'KILL').code == 0
    wait_for(lambda: bundle.state('second')['status'] == 'stopped', 'the end of the second')
    assert bundle.state('first')['status'] == 'running'
    other.end('second')
    assert pid in json.loads(bundle.call('ps', '--format', 'json', 'first').out)
    assert bundle.call('kill', '--all', 'first', 'KILL').code == 0
    wait_for(lambda: bundle.state('first')['status'] == 'stopped', 'the end of the first')
    bundle.end('first')


@case('mounts come in their order, with their options and propagation')
def _(root):
    bundle = Bundle(root, root.alice)
    source = f'{bundle.path}/data'
    os.makedirs(f'{source}/below')
    root.write(f'{source}/file', 'here\n')
    bundle.config['root']['readonly'] = False
    bundle.config['mounts'] += [
        {'destination': '/a', 'type': 'tmpfs', 'source': 'tmpfs', 'options': ['mode=700', 'noexec', 'nosuid', 'size=64k']},
        {'destination': '/a/data', 'source': 'data', 'options': ['rbind', 'ro', 'nosuid']},
        {'destination': '/a/one', 'source': f'{source}/file', 'options': ['bind']},
        {'destination': '/b', 'source': source, 'options': ['rbind', 'rslave']}]
    done = bundle.sh('cat /a/data/file /a/one; touch /a/data/x; grep -E " /(a|b)(/[a-z]*)? " /proc/self/mountinfo')
    assert done.code == 0 and done.out.startswith('here\nhere\n') and 'Read-only file system' in done.err, done
    found = {line.split()[4]: line.split() for line in done.out.splitlines()[2:]}
    assert list(found) == ['/a', '/a/data', '/a/one', '/b'], done
    assert {'rw', 'nosuid', 'noexec'} <= set(found['/a'][5].split(',')) and 'size=64k' in found['/a'][-1], found
    assert {'ro', 'nosuid'} <= set(found['/a/data'][5].split(',')), found


@case('tmpcopyup: a tmpfs begins with what it covers')
def _(root):
    bundle = Bundle(root, root.alice)
    top = f'{bundle.path}/rootfs/tmp'
    os.makedirs(f'{top}/d')
    root.write(f'{top}/d/file', 'here\n', 0o640, (root.alice.uid, root.alice.gid))
    os.symlink('/etc/shadow', f'{top}/link')
    os.mkfifo(f'{top}/fifo')
    bundle.config['mounts'].append({'destination': '/tmp', 'type': 'tmpfs', 'source': 'tmpfs', 'options': ['tmpcopyup', 'nosuid']})
    done = bundle.sh('cat /tmp/d/file; readlink /tmp/link; stat -c %a:%u /tmp/d/file; touch /tmp/new && ls /tmp')
    assert lines(done) == ['here', '/etc/shadow', '640:0', 'd', 'link', 'new'], done
    assert not os.path.exists(f'{top}/new')
    os.chmod(top, 0o700)
    bundle.config['mounts'].append({'destination': '/fresh', 'type': 'tmpfs', 'source': 'tmpfs', 'options': ['tmpcopyup']})
    bundle.config['mounts'].append({'destination': '/etc', 'type': 'tmpfs', 'source': 'tmpfs', 'options': ['tmpcopyup', 'mode=711']})
    bundle.config['root']['readonly'] = False
    assert lines(bundle.sh('stat -c %a /tmp /fresh /etc')) == ['700', '1777', '711']


@case('the host\'s root as the caller: no node that is made is a device, and no cover comes off')
def _(root):
    bundle = Bundle(root, ROOT)
    config = bundle.config
    config['linux']['namespaces'] = [space for space in config['linux']['namespaces'] if space['type'] != 'user']
    del config['linux']['uidMappings'], config['linux']['gidMappings']
    caps = ['CAP_SYS_ADMIN', 'CAP_MKNOD', 'CAP_DAC_OVERRIDE', 'CAP_SYS_CHROOT', 'CAP_SYS_PTRACE']
    config['process']['capabilities'] = {kind: caps for kind in ('bounding', 'effective', 'permitted')}
    config['root']['readonly'] = False
    done = bundle.sh('id -u; for d in /tmp /dev /dev/shm /; do mknod $d/n c 1 3 && cat $d/n && echo opened $d; done; umount /proc/keys; '
                     'for d in / /dev /dev/shm; do mount -o remount,bind,dev $d && echo changed $d; done; cat /proc/keys; echo x > /dev/null && echo well')
    assert done.out.split() == ['0', 'well'] and done.err.count('Permission denied') >= 4, done


@case('the host\'s root as the caller: a sysctl of the machine\'s stays so, however its name is spelt')
def _(root):
    bundle = Bundle(root, ROOT)
    config = bundle.config
    config['linux']['namespaces'] = [space for space in config['linux']['namespaces'] if space['type'] != 'user']
    del config['linux']['uidMappings'], config['linux']['gidMappings']
    with open('/proc/sys/kernel/core_uses_pid') as file:
        value = file.read().strip()  # should one be written, it changes nothing
    for name in ('net/../kernel/core_uses_pid', 'net/ipv4/../../kernel/core_uses_pid', 'net/.//../kernel/core_uses_pid', 'net//ipv4/ip_forward',
                 'net/./ipv4/ip_forward'):
        config['linux']['sysctl'] = {name: value}
        done = bundle.sh('echo ran')
        assert done.code == 1 and f"linux.sysctl: '{name}' is a setting of the whole machine" in done.err and 'ran' not in done.out, (name, done)
    config['linux']['sysctl'] = {'net/ipv4/ip_forward': '1'}
    assert lines(bundle.sh('cat /proc/sys/net/ipv4/ip_forward')) == ['1']


@case('paths that are masked show nothing, and those that are read-only stay so')
def _(root):
    bundle = Bundle(root, root.alice)
    bundle.config['process']['capabilities'] = {kind: ['CAP_SYS_ADMIN', 'CAP_MKNOD', 'CAP_DAC_OVERRIDE'] for kind in ('bounding', 'effective', 'permitted')}
    done = bundle.sh('cat /proc/keys; echo 1 > /proc/sys/kernel/shmmax; umount /proc/keys; mount -o remount,bind,rw /proc/sys; '
                     'mount -o remount,bind,rw,dev / ; umount /proc/sys; echo 1 > /proc/sys/kernel/shmmax; mknod /dev/shm/n c 1 3; touch /x; true')
    assert done.code == 0 and done.out == '', done
    # Each of the eight is refused.
    assert len(done.err.splitlines()) == 8, done


@case('devices are the host\'s own nodes, and the links that programs expect are there')
def _(root):
    bundle = Bundle(root, root.alice)
    bundle.config['linux']['devices'] = [{'path': '/dev/fuse', 'type': 'c', 'major': 10, 'minor': 229}]
    done = bundle.sh('for n in null zero full random urandom tty fuse; do stat -c %t:%T /dev/$n; done; '
                     'for n in fd stdin stdout stderr ptmx; do readlink /dev/$n; done; echo x > /dev/null && echo well')
    assert lines(done) == ['1:3', '1:5', '1:7', '1:8', '1:9', '5:0', 'a:e5', '/proc/self/fd', '/proc/self/fd/0', '/proc/self/fd/1',
                           '/proc/self/fd/2', 'pts/ptmx', 'well'], done


@case('only the file descriptors that are preserved are open')
def _(root):
    bundle = Bundle(root, root.alice).write('ls', '/proc/self/fd')
    with open('/dev/null') as null:
        fds = {number: null.fileno() for number in (3, 4, 5)}
        done = bundle.call('run', '-b', bundle.path, '--preserve-fds', '1', 'c', fds=fds)
        assert done.out.split() == ['0', '1', '2', '3', '4'], done  # 4 is the directory that ls reads
        assert bundle.call('run', '-b', bundle.path, 'c', fds=fds).out.split() == ['0', '1', '2', '3']


# --- terminal, exec -------------------------------------------------------------------------

def receive_fd(server):
    peer, _ = server.accept()
    with peer:
        _, ancillary, _, _ = peer.recvmsg(64, socket.CMSG_SPACE(4))
    return array.array('i', ancillary[0][2])[0]


@case('a terminal goes to the console socket, and only there')
def _(root):
    bundle = Bundle(root, root.alice)
    bundle.write('sh', '-c', 'tty; stty size; stat -c %t /dev/console; sleep 1000', terminal=True, consoleSize={'height': 33, 'width': 77})
    assert 'needs --console-socket' in bundle.call('create', '-b', bundle.path, 'c').err
    with socket.socket(socket.AF_UNIX) as server:
        path = f'{bundle.run_dir}/console'
        server.bind(path)
        os.chown(path, root.alice.uid, root.alice.gid)
        server.listen()
        assert bundle.call('create', '-b', bundle.path, '--console-socket', path, 'c').code == 0
        master = receive_fd(server)
        assert bundle.call('start', 'c').code == 0
        text = b''
        while text.count(b'\n') < 3:
            text += os.read(master, 4096)
        assert text.split() == [b'/dev/pts/0', b'33', b'77', b'88'], text
        done = bundle.call('exec', '-d', '-t', '--console-socket', path, '--pid-file', f'{bundle.run_dir}/p', 'c', 'sh', '-c', 'tty; sleep 1000')
        assert done.code == 0, done
        second = receive_fd(server)
        assert os.read(second, 100).split() == [b'/dev/pts/1']
        with open(f'{bundle.run_dir}/p') as file:
            assert int(file.read()) in json.loads(bundle.call('ps', '--format', 'json', 'c').out)
        os.close(master)
        os.close(second)
    bundle.end('c')


@case('exec: a process file, its status, user and environment; a missing command is 1 and says so')
def _(root):
    bundle = Bundle(root, root.alice).write('sleep', '1000')
    assert bundle.call('run', '-d', '-b', bundle.path, 'c').code == 0
    process = dict(bundle.config['process'], args=['sh', '-c', 'id -u; echo $A; grep CapEff /proc/self/status; exit 9'], env=['PATH=/bin', 'A=1'],
                   user={'uid': 3, 'gid': 4}, capabilities={})
    root.write(f'{bundle.path}/process', json.dumps(process))
    done = bundle.call('exec', '--process', f'{bundle.path}/process', 'c')
    assert done.code == 9 and done.out.split() == ['3', '1', 'CapEff:', '0' * 16], done
    done = bundle.call('exec', '-u', '5:6', '-e', 'B=2', '--cwd', '/tmp', 'c', 'sh', '-c', 'id -u; id -g; echo $B; pwd')
    assert done.out.split() == ['5', '6', '2', '/tmp'], done
    done = bundle.call('exec', 'c', 'nonesuch')
    assert done.code == 1 and 'executable file not found in $PATH' in done.err, done
    bundle.end('c')


@case('a process that enters cannot be looked into, and its program is not the container\'s to write')
def _(root):
    bundle = Bundle(root, root.alice)
    # CVE-2019-5736: what is executed is the program that comes from the host.
    bundle.config['root']['readonly'] = False
    bundle.config['process']['capabilities'] = {kind: ['CAP_SYS_PTRACE', 'CAP_DAC_OVERRIDE'] for kind in ('bounding', 'effective', 'permitted')}
    own = f'{root.tmp}/home/alice/userns-oci'
    root.copy_program(bundle.runtime[0], own, None)
    os.chown(own, root.alice.uid, root.alice.gid)
    bundle.runtime = [own]
    os.symlink('/proc/self/exe', f'{bundle.path}/rootfs/bin/self')
    bundle.write('sh', '-c', 'while :; do for p in /proc/[0-9]*; do : 2>/dev/null >> $p/exe && echo wrote $p; done; done')
    before = os.stat(own)
    assert bundle.call('run', '-d', '-b', bundle.path, 'c').code == 0
    for _ in range(5):
        bundle.call('exec', 'c', '/bin/self', '--version')
    bundle.end('c')
    after = os.stat(own)
    assert (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)


# --- hooks ----------------------------------------------------------------------------------

@case('a first process that shares a pid namespace is hidden until it is the command')
def _(root):
    bundle, other, pid = two_of_one_pid_namespace(root)
    assert other.call('create', '-b', other.path, 'second').code == 0
    second = other.state('second')['pid']
    assert os.stat(f'/proc/{second}/environ').st_uid == 0
    assert other.call('start', 'second').code == 0
    wait_for(lambda: os.stat(f'/proc/{second}/environ').st_uid == root.alice.uid, 'the command')
    assert os.readlink(f'/proc/{second}/ns/pid') == os.readlink(f'/proc/{pid}/ns/pid')
    bundle.end('second')
    bundle.end('first')


@case('six hooks run in their order, with the state on their stdin')
def _(root):
    bundle = Bundle(root, root.alice)
    log = f'{bundle.run_dir}/hooks'

    def hook(name):
        return [{'path': '/bin/sh', 'args': ['sh', '-c', f'echo {name} $(cat) >> {log}']}]
    bundle.config['annotations'] = {'a.b': 'c'}
    bundle.config['root']['readonly'] = False
    bundle.config['hooks'] = {name: hook(name) for name in ('prestart', 'createRuntime', 'createContainer', 'poststart', 'poststop')}
    # This one is inside.
    bundle.config['hooks']['startContainer'] = [{'path': '/bin/sh', 'args': ['sh', '-c', 'cat > /tmp/started']}]
    assert bundle.run('true').code == 0
    with open(log) as file:
        told = [line.split(' ', 1) for line in file]
    assert [name for name, _ in told] == ['prestart', 'createRuntime', 'createContainer', 'poststart', 'poststop'], told
    states = {name: json.loads(text) for name, text in told}
    with open(f'{bundle.path}/rootfs/tmp/started') as file:
        states['startContainer'] = json.load(file)
    assert {state['id'] for state in states.values()} == {'c'} and all(state['annotations'] == {'a.b': 'c'} for state in states.values())
    assert states['createRuntime']['status'] == 'creating' and states['createRuntime']['pid'] > 1, states
    assert states['createContainer']['pid'] == states['startContainer']['pid'] == states['createRuntime']['pid'], states
    assert states['poststart']['status'] == 'running' and states['poststop']['status'] == 'stopped', states


@case('a hook after the start or the end that fails is told, and changes nothing')
def _(root):
    bundle = Bundle(root, root.alice)
    log = f'{bundle.run_dir}/late'
    bundle.config['hooks'] = {name: [{'path': '/bin/false'}, {'path': '/bin/sh', 'args': ['sh', '-c', f'echo {name} >> {log}']}]
                              for name in ('poststart', 'poststop')}
    done = bundle.sh('exit 3')
    assert done.code == 3 and 'hooks.poststart' in done.err and 'hooks.poststop' in done.err, done
    with open(log) as file:
        assert file.read().split() == ['poststart', 'poststop']
    assert bundle.left() == []


# --- strangers' bundles ---------------------------------------------------------------------

@case('a root that is a link out of the bundle, or the host\'s own /, is refused')
def _(root):
    bundle = Bundle(root, root.alice)
    os.rename(f'{bundle.path}/rootfs', f'{bundle.path}/real')
    os.symlink('/', f'{bundle.path}/rootfs')
    done = bundle.run('true')
    assert done.code == 1 and 'symbolic link' in done.err, done
    for path, word in (('../..', 'out of the bundle'), ('/', "host's own /"), ('/proc/self/root', 'root.path')):
        bundle.config['root']['path'] = path
        done = bundle.run('true')
        assert done.code == 1 and word in done.err, (path, done)
    assert bundle.left() == []


@case('links on the way to a mount, a cover or a device stay inside')
def _(root):
    bundle = Bundle(root, root.alice)
    bundle.config['root']['readonly'] = False
    bundle.config['mounts'] = [mount for mount in bundle.config['mounts'] if mount['destination'] in ('/proc', '/sys')]
    outside = f'{root.tmp}/home/alice/outside'
    os.makedirs(outside, exist_ok=True)
    os.chown(outside, root.alice.uid, root.alice.gid)
    os.makedirs(f'{bundle.path}/rootfs{outside}')
    subprocess.run(['chown', '-R', f'{root.alice.uid}:{root.alice.gid}', f'{bundle.path}/rootfs{root.tmp}'], check=True)
    os.symlink(outside, f'{bundle.path}/rootfs/way')
    os.symlink('../../../../../..' + outside, f'{bundle.path}/rootfs/dev')
    os.symlink('/proc/self/root', f'{bundle.path}/rootfs/magic')
    bundle.config['mounts'].append({'destination': '/way/here', 'type': 'tmpfs', 'source': 'tmpfs'})
    bundle.config['linux']['maskedPaths'] = ['/way/here']
    done = bundle.run('true')
    assert done.code == 0 and os.listdir(outside) == [], (done, os.listdir(outside))
    assert os.path.isdir(f'{bundle.path}/rootfs{outside}/here')
    bundle.config['mounts'].append({'destination': '/magic/x', 'type': 'tmpfs', 'source': 'tmpfs'})
    done = bundle.run('true')
    assert done.code == 1 and bundle.left() == [], done


@case('a relative source is one of the bundle\'s, through no link')
def _(root):
    bundle = Bundle(root, root.alice)
    os.symlink('/etc', f'{bundle.path}/link')
    for source in ('link', '../bundle/../../../etc', 'link/passwd'):
        bundle.config['mounts'][5:] = [{'destination': '/tmp', 'source': source, 'options': ['bind']}]
        done = bundle.run('true')
        assert done.code == 1 and 'relative path' in done.err, (source, done)


@case('a working directory, an environment and a /proc that would lead out do not')
def _(root):
    bundle = Bundle(root, root.alice)
    for cwd in ('/proc/self/fd/3', '/proc/self/fd/7', '/proc/self/fd/8'):
        done = bundle.run('pwd', cwd=cwd)
        assert done.code == 1 or done.out.startswith('/proc/'), (cwd, done)
    done = bundle.sh('cat /proc/1/environ /proc/1/cmdline; ls /proc | grep -c "^[0-9]"', env=['PATH=/bin', 'A=b'])
    assert 'XDG_RUNTIME_DIR' not in done.out and str(root.tmp) not in done.out, done


@case('a config.json that is not a regular file, or too large, is refused at once')
def _(root):
    bundle = Bundle(root, root.alice)
    path = f'{bundle.path}/config.json'
    os.mkfifo(path)
    os.chown(path, root.alice.uid, root.alice.gid)
    done = bundle.call('create', '-b', bundle.path, 'c')
    assert done.code == 1 and 'not a regular file' in done.err, done
    os.unlink(path)
    root.write(path, ' ' * (5 << 20))
    assert bundle.call('create', '-b', bundle.path, 'c').code == 1


@case('a directory of containers that others can write to is refused')
def _(root):
    bundle = Bundle(root, root.alice).write('true')
    open_one = f'{root.tmp}/home/alice/open'
    os.makedirs(open_one, exist_ok=True)
    os.chown(open_one, root.alice.uid, root.alice.gid)
    os.chmod(open_one, 0o777)
    done = bundle.call('--root', open_one, 'create', '-b', bundle.path, 'c')
    assert done.code == 1 and 'can be written by others' in done.err, done


@case('the state of another user\'s container cannot be read, and that is said')
def _(root):
    bundle = Bundle(root, root.alice).write('sleep', '1000')
    assert bundle.call('run', '-d', '-b', bundle.path, 'c').code == 0
    top = f'{bundle.run_dir}/userns-oci'
    for path in (os.path.dirname(bundle.path), bundle.run_dir, top, f'{top}/c'):
        os.chmod(path, 0o755)
    for words in (('state', 'c'), ('kill', 'c', 'KILL'), ('exec', 'c', 'true')):
        done = root.run([*bundle.runtime, '--root', top, *words], root.bob, env=bundle.env(), cwd='/')
        assert done.code == 1 and 'cannot read the state of container c: Permission denied' in done.err, (words, done)
    done = root.run([*bundle.runtime, '--root', top, 'delete', '--force', 'c'], root.bob, env=bundle.env(), cwd='/')
    assert done.code == 1 and 'Permission denied' in done.err, done
    assert bundle.state()['status'] == 'running'
    bundle.end('c')


@case('a create that is killed at any moment leaves nothing that lives, and its id is free')
def _(root):
    bundle = Bundle(root, root.alice).write('sleep', '1000')
    for tenth in range(12):
        child = spawn([*bundle.runtime, 'create', '-b', bundle.path, 'c'], root.alice, env=bundle.env())
        time.sleep(tenth / 500)
        child.kill()
        child.wait()
        state = bundle.state()
        assert state is None or state['status'] in ('created', 'stopped'), state
        assert bundle.call('delete', '--force', 'c').code == 0
        assert bundle.left() == []


main()
