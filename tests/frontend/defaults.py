#!/usr/bin/env python3
"""Every installed program with nothing configured: no file in /etc/userns, no config of the user's, no option that has a default."""

import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, '..', 'lib'), HERE]
from harness import CLONE_NEWNET, CLONE_NEWUSER, build_info, case, main, skip  # noqa: E402


def installed():
    return [t['install_filename'][0] for t in build_info('targets') if t['type'] == 'executable' and t['installed']]


def run(root, name, *words, user=None, code=0):
    """As a user whose home is empty but for what earlier words of the same case made."""
    user = user or root.alice
    env = {'PATH': '/usr/local/bin:/usr/bin:/bin', 'HOME': f'{root.tmp}/home/{user.name}'}
    done = root.run([root.program(name), *words], user, env=env, timeout=60)
    assert code is None or done.code == code, done
    return done


def refused(done, *pieces):
    """A sentence that names what has to be there."""
    assert done.code != 0 and len(done.err.splitlines()) == 1 and all(piece in done.err for piece in pieces), done


@case('nothing is configured here')
def _(_root):
    assert os.listdir('/etc/userns') == []


@case('every program says its version; called without words it works, or says in one go what it takes')
def _(root):
    for path in installed():
        name = os.path.basename(path)
        version = run(root, name, '--version').out
        if name == 'userns-oci':  # in the words that engines read from a runtime
            assert re.fullmatch(r'userns-oci version [\d.]+\nspec: [\d.]+\n', version), version
        else:
            assert re.fullmatch(rf'{name} \(userns suite\) [\d.]+\n', version), version
        if name == 'userns-run':  # a shell in a container: with nothing to read it ends at once
            run(root, name)
            continue
        done = run(root, name, code=None)
        assert done.code in (1, 2, 125) and done.out == '' and any(word in done.err for word in ('usage: ', '--help', 'not by hand')), done


@case('newuidmap and newgidmap without /etc/subuid and /etc/subgid: one\'s own id alone is mapped')
def _(root):
    os.unlink('/etc/subuid')
    os.unlink('/etc/subgid')
    for program, own in ((root.newuidmap, root.alice.uid), (root.newgidmap, root.alice.gid)):
        with root.target(root.alice) as target:
            refused(root.run([program, target.pid, 0, 100000, 65536], root.alice), '/etc/sub')
            done = root.run([program, target.pid, 0, own, 1], root.alice)
            assert done.code == 0, done


@case('userns-net without net.conf and userns-cgroup without cgroup.conf grant nothing, and say so')
def _(root):
    with root.target(root.alice, CLONE_NEWUSER | CLONE_NEWNET) as target:
        refused(run(root, 'userns-net', 'add', '--netns', f'pid:{target.pid}', '--bridge', 'br0', code=None), 'net.conf')
    refused(run(root, 'userns-cgroup', 'enter', 'x', '--', 'true', code=None), 'cgroup.conf')


@case('userns-run: a throw-away container, one with a name from its creation to its end')
def _(root):
    if not os.path.exists('/bin/busybox'):
        skip('busybox-static is not installed')
    assert run(root, 'userns-run', '--', 'id', '-u').out == '0\n'
    run(root, 'userns-run', 'create', 'web', '--template', 'busybox')
    run(root, 'userns-run', 'start', 'web')
    assert 'web' in run(root, 'userns-run', 'list').out
    assert run(root, 'userns-run', 'exec', 'web', '--', 'id', '-u').out == '0\n'
    for verb in ('info', 'ps', 'logs', 'freeze', 'thaw', 'restart', 'stop'):
        run(root, 'userns-run', verb, 'web')
    run(root, 'userns-run', 'destroy', 'web')
    assert run(root, 'userns-run', 'list', '--names').out == ''


@case('userns-run for a user without ids: one id is mapped if it is asked for; else the refusal says how to get more')
def _(root):
    refused(run(root, 'userns-run', '--', 'true', user=root.carol, code=None), 'subuid')
    assert run(root, 'userns-run', '--map-self', '--', 'id', '-u', user=root.carol).out == '0\n'


@case('doctor tells what is not configured without calling it a failure; what fails has a way out')
def _(root):
    found = json.loads(run(root, 'userns-run', 'doctor', '--json', code=None).out)['checks']
    assert found and not [c for c in found if c['status'] == 'fail' and not c.get('fix')], found
    assert next(c for c in found if c['id'] == 'start')['status'] == 'pass', found


@case('userns-policy: nothing to find fault with, and nobody has more than ids')
def _(root):
    run(root, 'userns-policy', 'check')
    said = run(root, 'userns-policy', 'explain', 'alice').out
    assert '100000' in said, said


main()
