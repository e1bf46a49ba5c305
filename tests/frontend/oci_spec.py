#!/usr/bin/env python3
"""userns-oci against sentences of the runtime specification that its public validation programs ask about."""

import json
import os
import stat
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
from bundle import Bundle  # noqa: E402
from harness import ROOT, case, cases, main  # noqa: E402


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


@case('hooks of prestart are told that the container is created, those of createRuntime that it is being created')
def _(root):
    bundle = Bundle(root, root.alice)
    log = f'{bundle.run_dir}/hooks'
    for name in ('prestart', 'createRuntime'):
        bundle.config.setdefault('hooks', {})[name] = [{'path': '/bin/sh', 'args': ['sh', '-c', f'echo $(cat) >> {log}']}]
    assert bundle.run('true').code == 0
    with open(log) as file:
        assert [json.loads(line)['status'] for line in file] == ['created', 'creating']


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
