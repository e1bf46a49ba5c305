#!/usr/bin/env python3
"""Subordinate ids from a real directory: slapd, and SSSD on three hosts, as userns-hpc(7) sets them up."""

import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from container import rootfs, well  # noqa: E402
from harness import ROOT, User, case, main, wait_for  # noqa: E402
from ldap_host import Directory, person  # noqa: E402

FIRST = 2147483648
DORA, EMIL = User('dora', 80001), User('emil', 80002)
NSS = 'passwd: files sss\ngroup: files sss\nsubid: sss\n'


def directory(root, first=FIRST):
    found = Directory(root, person('dora', DORA.uid, first) + person('emil', EMIL.uid, FIRST + 65536))
    root.write('/etc/nsswitch.conf', NSS)
    for user in (DORA, EMIL):
        home = f'{root.tmp}/home/{user.name}'
        os.makedirs(home, exist_ok=True)
        os.chown(home, user.uid, user.gid)
    return found


def mapped(root, host, user=DORA):
    """userns-run as the user: how it ended, and in what time."""
    begun = time.monotonic()
    done = host.run([root.program('userns-run'), '--', 'cat', '/proc/self/uid_map'], user,
                    env={'PATH': '/usr/local/bin:/usr/bin:/bin', 'HOME': f'{root.tmp}/home/{user.name}'})
    return done, time.monotonic() - begun


@case('the same user has the same ids on three hosts: getsubids, userns-run, explain')
def _(root):
    lab = directory(root)
    for name in ('n1', 'n2', 'n3'):
        host = lab.host(name)
        done = host.run(['/usr/bin/getsubids', 'dora'])
        assert done.out == f'0: dora {FIRST} 65536\n', done
        done, _ = mapped(root, host)
        assert done.out.split() == ['0', str(FIRST), '65536'], done
        done = host.run([root.program('userns-policy'), 'explain', 'dora'])
        assert f'newuidmap: [{FIRST}-{FIRST + 65536})' in done.out, done
    lab.end()


def refused(root, host, user=DORA):
    """A refusal that names the source, and within the time that newuidmap(1) gives it."""
    done, took = mapped(root, host, user)
    assert done.code == 125 and 'asking the NSS source sss failed' in done.err and '[SU-NSS]' in done.err, done
    assert took < 25, took


@case('ids that the directory takes away are refused as soon as SSSD asks again, and also while it is down')
def _(root):
    lab = directory(root)
    host = lab.host('n1')
    assert mapped(root, host)[0].code == 0
    lab.remove('dora')
    wait_for(lambda: mapped(root, host)[0].code == 125, 'SSSD to ask again')
    refused(root, host)
    lab.stop()
    refused(root, host)
    lab.end()


@case('while the directory is down or does not answer, a user whose ids are not known is refused in bounded time')
def _(root):
    lab = directory(root)
    host = lab.host('n1')
    lab.stop(signal.SIGSTOP)
    refused(root, host, EMIL)
    lab.stop(signal.SIGKILL)
    refused(root, host, EMIL)
    lab.end()


@case('ids of the directory that are nonsense are refused')
def _(root):
    lab = directory(root)
    host = lab.host('n1')
    right = (FIRST + 65536, 65536)
    for first, count in ((4294967290, 65536), (0, 65536), (-5, 65536), (FIRST, 0), (FIRST, -1)):
        for ids, fits in (((first, count), False), (right, True)):
            lab.change(f'dn: ipaUniqueID=emil,cn=subids,cn=accounts,dc=lab,dc=example\nchangetype: modify\n'
                       f'replace: ipaSubUidNumber\nipaSubUidNumber: {ids[0]}\n-\nreplace: ipaSubUidCount\nipaSubUidCount: {ids[1]}\n')
            wait_for(lambda: (mapped(root, host, EMIL)[0].code == 0) == fits, f'{ids} to be {"given" if fits else "refused"}')
    lab.end()


IDLE = 'trap "exit 0" TERM; while :; do sleep 1000 & wait; done'


@case('a user of the directory: home and a network of the user\'s in two containers, and root sees whose they are')
def _(root):
    lab = directory(root)
    host = lab.host('n1')
    home = f'{root.tmp}/home/dora'
    env = {'PATH': '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin', 'HOME': home, 'SHELL': '/bin/sh'}

    def do(verb, *words, user=DORA):
        return well(host.run([root.program('userns-run'), verb, *words], user, env=env))
    for name, *more in (('one',), ('two', '--share-ids=one')):  # one block is all that the directory gives
        tree = rootfs(root, f'trees/{name}', FIRST)
        do('create', name, f'--rootfs={tree}', '--home', '--net=user=lab', *more, '--', 'sh', '-c', IDLE)
        do('start', name)
    do('exec', 'one', '--user=1000', '--', 'touch', f'{home}/mine')
    assert os.stat(f'{home}/mine').st_uid == DORA.uid
    assert 'bytes from' in do('exec', 'two', '--', '/bin/busybox', 'ping', '-c1', '-W5', 'one').out
    rows = [line.split()[:2] for line in do('list', '--host', user=ROOT).out.splitlines()[1:]]
    assert rows == [['dora', 'one'], ['dora', 'two']], rows
    for name in ('one', 'two'):
        do('stop', name)
        do('destroy', name)
    lab.end()

main()
