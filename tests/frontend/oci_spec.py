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


main()
