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


main()
