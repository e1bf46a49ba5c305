#!/usr/bin/env python3
"""userns-oci against sentences of the runtime specification that its public validation programs ask about."""

import fcntl
import json
import os
import shutil
import socket
import stat
import struct
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
from bundle import Bundle  # noqa: E402
from harness import ROOT, case, cases, main, skip  # noqa: E402


def lines(done):
    assert done.code == 0, done
    return done.out.splitlines()


def without_user_namespace(bundle):
    linux = bundle.config['linux']
    linux['namespaces'] = [space for space in linux['namespaces'] if space['type'] != 'user']
    del linux['uidMappings'], linux['gidMappings']
    return bundle


# --- mounts ---------------------------------------------------------------------------------

@case('mountinfo has the mounts in the order of config.json, each with its source')
def _(root):
    bundle = Bundle(root, root.alice)
    bundle.config['mounts'].insert(4, {'destination': '/dev/mqueue', 'type': 'mqueue', 'source': 'queues', 'options': ['nosuid']})
    bundle.config['mounts'].append({'destination': '/tmp', 'type': 'tmpfs', 'source': '', 'options': ['nosuid']})
    wanted = [(mount['destination'], mount['type'], mount['source'] or 'tmpfs') for mount in bundle.config['mounts']]
    found = []
    for line in lines(bundle.run('cat', '/proc/self/mountinfo')):
        before, after = line.split(' - ')
        found.append((before.split()[4], *after.split()[:2]))
    assert [one for one in found if one in wanted] == wanted, found


@case('mountLabel labels nothing on a kernel without SELinux')
def _(root):
    bundle = Bundle(root, root.alice)
    bundle.config['linux']['mountLabel'] = 'system_u:object_r:svirt_sandbox_file_t:s0:c715,c811'
    with open('/proc/filesystems') as file:
        has_selinux = 'selinuxfs' in file.read()
    done = bundle.run('echo', 'ran')
    assert ('linux.mountLabel' in done.err) == has_selinux and (done.out == 'ran\n') != has_selinux, done


# --- the process ----------------------------------------------------------------------------

@case('a filter may refuse getcwd: the working directory is checked before it')
def _(root):
    bundle = Bundle(root, root.alice)
    bundle.config['linux']['seccomp'] = {'defaultAction': 'SCMP_ACT_ALLOW', 'syscalls': [{'names': ['getcwd'], 'action': 'SCMP_ACT_ERRNO'}]}
    for no_new_privs in (True, False):
        done = bundle.run('readlink', '/proc/self/cwd', noNewPrivileges=no_new_privs, cwd='/tmp')
        assert done.out == '/tmp\n', done
    # What is outside is refused, whatever the filter says.
    for no_new_privs in (True, False):
        for cwd in ('/proc/self/fd/3', '/proc/self/fd/5', '/proc/self/fd/7'):
            done = bundle.run('readlink', '/proc/self/cwd', noNewPrivileges=no_new_privs, cwd=cwd)
            assert done.code == 1 and 'process.cwd' in done.err, done


@case('a capability that nobody knows is left out with a warning, once, and in the log')
def _(root):
    bundle = Bundle(root, root.alice)
    for kind in ('bounding', 'effective', 'permitted'):
        bundle.config['process']['capabilities'][kind] += ['CAP_TEST', 'CAP_KILL', 'all']
    log = f'{bundle.run_dir}/log'
    bundle.write('echo', 'ran')
    done = bundle.call('--log', log, '--log-format', 'json', 'run', '-b', bundle.path, 'c')
    assert (done.code, done.out) == (0, 'ran\n') and [line.split("'")[1] for line in done.err.splitlines()] == ['CAP_TEST', 'all'], done
    with open(log) as file:
        assert [json.loads(line)['level'] for line in file] == ['warning', 'warning']


@case('hooks of prestart are told that the container is created, those of createRuntime that it is being created')
def _(root):
    bundle = Bundle(root, root.alice)
    log = f'{bundle.run_dir}/hooks'
    for name in ('prestart', 'createRuntime'):
        bundle.config.setdefault('hooks', {})[name] = [{'path': '/bin/sh', 'args': ['sh', '-c', f'echo $(cat) >> {log}']}]
    assert bundle.run('true').code == 0
    with open(log) as file:
        assert [json.loads(line)['status'] for line in file] == ['created', 'creating']


# --- features -------------------------------------------------------------------------------

SHOWN = {  # what mountinfo says of a mount with the option; '!': what it does not say
    'ro': 'ro', 'rw': 'rw', 'nosuid': 'nosuid', 'suid': '!nosuid', 'nodev': 'nodev', 'dev': '!nodev', 'noexec': 'noexec', 'exec': '!noexec',
    'noatime': 'noatime', 'atime': 'relatime', 'relatime': 'relatime', 'norelatime': '!relatime', 'strictatime': '!relatime',
    'nostrictatime': 'relatime', 'nodiratime': 'nodiratime', 'diratime': '!nodiratime', 'nosymfollow': 'nosymfollow', 'symfollow': '!nosymfollow',
    'private': '!shared', 'shared': 'shared', 'slave': '!shared', 'unbindable': 'unbindable', 'bind': 'rw', 'rbind': 'rw', 'defaults': 'rw',
    'tmpcopyup': 'rw'}


def features(bundle):
    done = bundle.call('features')
    assert done.code == 0, done
    return json.loads(done.out)


def fields_of_mounts(mountinfo):
    """{place: its flags and what it passes on}"""
    fields = {}
    for line in mountinfo.splitlines():
        words = line.split(' - ')[0].split()
        fields[words[4]] = words[5].split(',') + [word.split(':')[0] for word in words[6:]]
    return fields


@case('features: each option of a mount does what it says, and those that it does not name are refused')
def _(root):
    for bundle in (Bundle(root, root.alice), without_user_namespace(Bundle(root, ROOT))):
        _each_option(bundle)


def _each_option(bundle):
    os.makedirs(f'{bundle.path}/data/below')
    told = features(bundle)['mountOptions']
    assert {'ro', 'rro', 'shared', 'rslave', 'tmpcopyup'} <= set(told) and 'idmap' not in told
    bundle.config['root'].update(readonly=False)
    bundle.config['linux']['rootfsPropagation'] = 'shared'
    for option in told:
        is_bind = 'bind' in option.replace('unbindable', '') or option.startswith('r') and option not in ('ro', 'rw', 'relatime')
        kind = {'source': 'data', 'options': ['rbind', option]} if is_bind else {'type': 'tmpfs', 'source': 'tmpfs', 'options': [option]}
        bundle.config['mounts'].append({'destination': f'/m/{option}', **kind})
    found = fields_of_mounts('\n'.join(lines(bundle.run('cat', '/proc/self/mountinfo'))))
    for option in told:
        wanted = SHOWN[option if option in SHOWN else option[1:]]
        if 'atime' in option[1:] and option not in SHOWN and bundle.user is not ROOT:
            continue  # of the host's mounts, a user namespace has these locked
        assert (wanted.lstrip('!') in found[f'/m/{option}']) != wanted.startswith('!'), (option, wanted, found[f'/m/{option}'])
    for option in ('idmap', 'ridmap', 'sync', 'dirsync', 'mand', 'silent', 'lazytime'):
        bundle.config['mounts'][5:] = [{'destination': '/m/x', 'type': 'tmpfs', 'source': 'tmpfs', 'options': [option]}]
        done = bundle.run('true')
        assert option not in told and done.code == 1 and f"mounts[5].options asks for '{option}'" in done.err, done


@case('features: namespaces, actions, operators, flags, architectures of filters and capabilities are all taken; what is not there is refused')
def _(root):
    bundle = Bundle(root, root.alice)
    told = features(bundle)
    linux = told['linux']
    own = {'mount': 'mnt', 'network': 'net'}
    bundle.config['linux']['namespaces'] = [{'type': kind} for kind in linux['namespaces']]
    names = [own.get(kind, kind) for kind in linux['namespaces']]
    inside = lines(bundle.run('sh', '-c', f'cd /proc/self/ns; for n in {" ".join(names)}; do readlink $n; done'))
    assert len(names) == 8 and not set(inside) & {os.readlink(f'/proc/self/ns/{name}') for name in names}, inside
    seccomp = linux['seccomp']
    assert seccomp['supportedFlags'] == seccomp['knownFlags']
    bundle.config['linux']['seccomp'] = {'defaultAction': 'SCMP_ACT_ALLOW', 'architectures': seccomp['archs'], 'flags': seccomp['supportedFlags']}
    for action in set(seccomp['actions']) - {'SCMP_ACT_NOTIFY'}:  # which has cases of its own
        bundle.config['linux']['seccomp']['syscalls'] = [{'names': ['acct'], 'action': action}] if action != 'SCMP_ACT_ALLOW' else []
        assert lines(bundle.sh('grep Seccomp: /proc/self/status')) == ['Seccomp:\t2'], action
    for op in seccomp['operators']:
        bundle.config['linux']['seccomp']['syscalls'] = [
            {'names': ['kill'], 'action': 'SCMP_ACT_ERRNO', 'args': [{'index': 1, 'op': op, 'value': 12, 'valueTwo': 12}]}]
        # Signals 10, 12 and 14 beside 12: which are refused says which operator it was.
        done = bundle.sh('for n in 10 12 14; do busybox setsid sh -c "kill -$n \\$\\$" 2>&1; done | grep -c permitted')
        refused = {'NE': 2, 'LT': 1, 'LE': 2, 'EQ': 1, 'GE': 2, 'GT': 1, 'MASKED_EQ': 2}[op[9:]]
        assert done.out == f'{refused}\n', (op, done)
    del bundle.config['linux']['seccomp']
    # In its own user namespace it can have all that the kernel knows.
    with open('/proc/sys/kernel/cap_last_cap') as file:
        known = int(file.read()) + 1
    for kind in ('bounding', 'permitted', 'effective'):
        bundle.config['process']['capabilities'][kind] = sorted(linux['capabilities'])
    assert int(lines(bundle.sh('grep CapBnd /proc/self/status'))[0].split()[1], 16) == (1 << known) - 1


@cases([
    (f'features: {name} is not there, and what asks for it is refused by its name', name, field, value) for name, field, value in (
        ('apparmor', '/process/apparmorProfile', 'docker-default'), ('selinux', '/process/selinuxLabel', 'system_u:object_r:x:s0'),
        ('intelRdt', '/linux/intelRdt', {'closID': 'x'}), ('idmap', '/mounts/0/uidMappings', [{'containerID': 0, 'hostID': 0, 'size': 1}]))])
def _(root, name, field, value):
    bundle = Bundle(root, root.alice)
    linux = features(bundle)['linux']
    assert not (linux['mountExtensions'] if name == 'idmap' else linux)[name]['enabled']
    place = bundle.config
    *way, last = field.strip('/').split('/')
    for word in way:
        place = place[int(word) if word.isdigit() else word]
    place[last] = value
    done = bundle.run('true')
    named = field.strip('/').replace('/0/', '[0].').replace('/', '.')
    assert done.code == 1 and f'{named} is not supported' in done.err, done


# --- a filter that asks ---------------------------------------------------------------------

class Agent:
    """Listens on a socket, and answers the calls of each process whose listener it gets: mkdir fails with EDQUOT, all else goes on."""
    RECEIVE, ANSWER, CONTINUE = 0xc0502100, 0xc0182101, 1  # ioctls, and a flag; seccomp_unotify(2)
    MKDIR = {83: 'mkdir', 258: 'mkdirat'}  # of x86_64

    def __init__(self, path, user):
        self.path, self.told, self.asked = path, [], []
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        os.chown(path, user.uid, user.gid)
        self.socket.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            connection, _ = self.socket.accept()
            text, fds, _, _ = socket.recv_fds(connection, 65536, 4)
            self.told.append(json.loads(text))
            assert len(fds) == 1, fds
            threading.Thread(target=self._answer, args=fds, daemon=True).start()

    def _answer(self, listener):
        while True:
            try:
                notice = bytearray(80)
                fcntl.ioctl(listener, self.RECEIVE, notice)
                number, pid, _, call = struct.unpack('=QIIi', notice[:20])
                self.asked.append((pid, call))
                refused = call in self.MKDIR
                fcntl.ioctl(listener, self.ANSWER, struct.pack('=QqiI', number, 0, -122 if refused else 0, 0 if refused else self.CONTINUE))
            except OSError:
                return os.close(listener)


def asks(bundle, path, *names, **more):
    bundle.config['linux']['seccomp'] = {'defaultAction': 'SCMP_ACT_ALLOW', 'listenerPath': path,
                                         'syscalls': [{'names': list(names), 'action': 'SCMP_ACT_NOTIFY'}], **more}
    return bundle


@case('a filter asks the agent of listenerPath, which is told of each process and answers for it; the process holds no listener')
def _(root):
    bundle = Bundle(root, root.alice)
    agent = Agent(f'{bundle.run_dir}/agent', root.alice)
    bundle.config['annotations'] = {'a.b': 'c'}
    # close, chdir, capset and execve come between the filter and the command.
    asks(bundle, agent.path, 'mkdir', 'mkdirat', 'close', 'chdir', 'capset', 'execve', listenerMetadata='who: me')
    for no_new_privs in (True, False):
        done = bundle.sh('mkdir /dev/shm/x; ls -l /proc/self/fd | grep -c seccomp', noNewPrivileges=no_new_privs)
        assert 'Disk quota exceeded' in done.err and done.out == '0\n', done
    bundle.write('sleep', '1000')
    assert bundle.call('run', '-d', '-b', bundle.path, 'c').code == 0
    pid = bundle.state()['pid']
    assert 'Disk quota exceeded' in bundle.call('exec', 'c', 'mkdir', '/dev/shm/y').err
    bundle.end()
    assert len(agent.told) == 4 and {tuple(told['fds']) for told in agent.told} == {('seccompFd',)}, agent.told
    assert {(told['metadata'], told['ociVersion'], told['state']['id'], told['state']['annotations']['a.b']) for told in agent.told} == {
        ('who: me', '1.0.2', 'c', 'c')}, agent.told
    first, brought = agent.told[2:]
    assert (first['pid'], first['state']['pid'], first['state']['status']) == (pid, pid, 'created'), first
    assert brought['pid'] != pid and (brought['state']['pid'], brought['state']['status']) == (pid, 'running'), brought


@case('without its agent, a container that asks does not start and nothing waits for ever')
def _(root):
    bundle = asks(Bundle(root, root.alice), '/run/nobody', 'mkdir')
    done = bundle.run('true')
    assert done.code == 1 and "cannot reach linux.seccomp.listenerPath '/run/nobody'" in done.err and bundle.left() == [], done
    # Reached, and gone before it took the listener.
    agent = socket.socket(socket.AF_UNIX)
    agent.bind(f'{bundle.run_dir}/gone')
    os.chmod(f'{bundle.run_dir}/gone', 0o777)
    agent.listen()
    threading.Thread(target=lambda: agent.accept()[0].close(), daemon=True).start()
    done = asks(bundle, f'{bundle.run_dir}/gone', 'mkdir', 'mkdirat').sh('mkdir /dev/shm/x')
    assert ('not implemented' in done.err or 'cannot send the listener' in done.err) and done.code == 1, done
    assert bundle.left() == []


@cases([
    ('SCMP_ACT_NOTIFY without a path', {'listenerPath': ''}, 'linux.seccomp.listenerPath is missing'),
    ('SCMP_ACT_NOTIFY with a relative path', {'listenerPath': 'agent'}, 'linux.seccomp.listenerPath is not an absolute path'),
    ('SCMP_ACT_NOTIFY of the call that hands the listener on', {'syscalls': [{'names': ['read', 'sendmsg'], 'action': 'SCMP_ACT_NOTIFY'}]},
     'linux.seccomp.syscalls[0].names'),
    ('SCMP_ACT_NOTIFY as the default action', {'defaultAction': 'SCMP_ACT_NOTIFY'}, 'linux.seccomp.defaultAction'),
    ('metadata for no agent', {'listenerPath': '', 'syscalls': [], 'listenerMetadata': 'x'}, 'linux.seccomp.listenerMetadata')])
def _(root, change, word):
    bundle = asks(Bundle(root, root.alice), '/run/nobody', 'mkdir')
    bundle.config['linux']['seccomp'].update(change)
    done = bundle.run('true')
    assert done.code == 1 and word in done.err and bundle.left() == [], done


# --- devices --------------------------------------------------------------------------------

def fifo(**more):
    return {'path': '/dev/pipes/one', 'type': 'p', **more}


@case('a FIFO among the devices is made, with its mode and owner')
def _(root):
    for user in (root.alice, ROOT):
        bundle = Bundle(root, user, f'fifo-{user.name}')
        if user is ROOT:
            without_user_namespace(bundle)
        bundle.config['linux']['devices'] = [fifo(fileMode=0o620, uid=0, gid=5), {'path': '/dev/two', 'type': 'p', 'major': 8, 'minor': 666}]
        done = bundle.sh('stat -c %F:%a:%u:%g /dev/pipes/one /dev/two; echo through > /dev/two & cat /dev/two')
        assert lines(done) == ['fifo:620:0:5', 'fifo:666:0:0', 'through'], done


@case('a FIFO that is there from the run before is the one that is asked for, and stays as it is')
def _(root):
    for user in (root.alice, ROOT):
        bundle = Bundle(root, user, f'fifo-again-{user.name}')
        if user is ROOT:
            without_user_namespace(bundle)
        bundle.config['linux']['devices'] = [fifo(path='/tmp/one', fileMode=0o620)]
        for _ in range(2):
            assert lines(bundle.sh('stat -c %F:%a /tmp/one; echo through > /tmp/one & cat /tmp/one')) == ['fifo:620', 'through']


@case('the mode of a FIFO is not set by its name, which may be another file by then')
def _(root):
    strace = shutil.which('strace') or skip('strace is not installed')
    bundle = without_user_namespace(Bundle(root, ROOT))
    bundle.config['linux']['devices'] = [fifo(path='/tmp/one', fileMode=0o622)]
    bundle.runtime = [strace, '-qq', '-f', '-o', f'{root.tmp}/calls', '-e', 'trace=mknodat,chmod,fchmodat,?fchmodat2', *bundle.runtime]
    assert lines(bundle.run('stat', '-c', '%a', '/tmp/one')) == ['622']
    with open(f'{root.tmp}/calls') as file:
        calls = [line for line in file if '"one"' in line]
    assert len(calls) == 1 and 'mknodat' in calls[0], calls


@cases([
    ('without a name', fifo(path='/dev/'), 'devices[0].path'),
    ('named dot dot', fifo(path='/dev/..'), 'devices[0].path'),
    ('where a file is', fifo(path='/bin/busybox'), '/bin/busybox'),
    ('of a user whom the container does not have', fifo(uid=4000000), '/dev/pipes/one')])
def _(root, device, word):
    bundle = Bundle(root, root.alice)
    bundle.config['linux']['devices'] = [device]
    done = bundle.run('true')
    assert done.code == 1 and word in done.err and len(done.err.splitlines()) == 1, done
    assert bundle.left() == []


@case('the host\'s root as the caller: a device that /dev lacks is made, is a device, and stays the only one')
def _(root):
    bundle = without_user_namespace(Bundle(root, ROOT))
    bundle.config['linux']['devices'] = [{'path': '/dev/none', 'type': 'c', 'major': 1, 'minor': 3, 'fileMode': 0o640, 'gid': 7},
                                         {'path': '/dev/disk', 'type': 'b', 'major': 8, 'minor': 666}]
    bundle.config['process']['capabilities'] = {kind: ['CAP_MKNOD', 'CAP_SYS_ADMIN'] for kind in ('bounding', 'effective', 'permitted')}
    done = bundle.sh('stat -c %F:%a:%t:%T:%g /dev/none /dev/disk; echo x > /dev/none && echo written; mknod /dev/n c 1 3 && cat /dev/n; ls /dev/shm')
    assert lines(done) == ['character special file:640:1:3:7', 'block special file:666:8:29a:0', 'written'], done
    assert 'Permission denied' in done.err, done
    assert not [name for name in os.listdir('/dev') if name in ('none', 'disk')]
    with open('/proc/self/mountinfo') as file:
        assert bundle.path not in file.read()


# --- namespaces -----------------------------------------------------------------------------

@case('without a user namespace, an ordinary user gets one: root is the caller, and the rest are their subordinate ids')
def _(root):
    bundle = without_user_namespace(Bundle(root, root.alice))
    bundle.config['root']['readonly'] = False
    done = bundle.sh('cat /proc/self/uid_map; touch /made; stat -c %u /made')
    assert [line.split() for line in lines(done)] == [['0', str(root.alice.uid), '1'], ['1', '100001', '65535'], ['0']], done
    made = os.stat(f'{bundle.path}/rootfs/made')
    assert (made.st_uid, stat.S_ISREG(made.st_mode)) == (root.alice.uid, True)
    bundle.write('sleep', '1000')
    assert bundle.call('run', '-d', '-b', bundle.path, 'c').code == 0
    assert bundle.call('exec', 'c', 'id', '-u').out == '0\n'
    bundle.end()
    assert bundle.left() == []


@case('without a user namespace and without subordinate ids, the caller is the only one in it')
def _(root):
    bundle = without_user_namespace(Bundle(root, root.carol))
    bundle.config['mounts'][2]['options'] = ['nosuid', 'noexec', 'newinstance']
    assert [line.split() for line in lines(bundle.sh('cat /proc/self/uid_map'))] == [['0', str(root.carol.uid), '1']]


main()
