#!/usr/bin/env python3
"""userns-policy report against what explain says of each user, and against real NICs, cgroups and processes."""

import contextlib
import json
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from cgroups import Cgroups, pids_in, read  # noqa: E402
from harness import FIRST_UID, case, main, skip, spawn, wait_for  # noqa: E402
from net_host import Container, Host, sh  # noqa: E402

cgroups = Cgroups.become_tenant()
NET, CGROUP = '/etc/userns/net.conf', '/etc/userns/cgroup.conf'
_host = None


def host(root):
    """No policy but what a case writes, and no NICs of another case."""
    global _host
    if not _host:
        _host = Host(root)
        with open('/etc/group', 'a') as file:
            file.write('students:x:72000:bob\n')
    _host.all_gone()
    root.subuid('')
    root.subgid('')
    root.write(NET, '')
    root.write(CGROUP, '')
    return _host


def run(root, *words, **how):
    return root.run([root.program('userns-policy'), *words], **how)


def report(root, code=0, **how):
    """({user: {what: answer}}, the document, the text)"""
    done, text = run(root, 'report', '--json', **how), run(root, 'report', **how)
    assert done.code == text.code == code and done.err == text.err == '', (done, text)
    document = json.loads(done.out)
    users = {user['user']: {a['what']: a for a in user['answers']} for user in document['users']}
    return users, document, text.out


def lines(answer):
    return [line['line'] for line in answer['lines']]


@case('ids: ranges with their lines, and how many processes have one')
def _(root):
    # Ids that no other test on this machine has meanwhile.
    host(root)
    root.subuid('# x\nalice:1150000000:65536\nbob:1250000000:10\n%d:1150065536:10\nalice:07:1\n' % FIRST_UID)
    root.subgid('alice:1150000000:65536\n')
    users, _, text = report(root)
    assert users['alice']['newuidmap']['ranges'] == [{'first': 1150000000, 'count': 65546}], users
    assert lines(users['alice']['newuidmap']) == [2, 4] and lines(users['alice']['newgidmap']) == [1], users
    assert set(users['bob']) >= {'newuidmap'} and 'newgidmap' not in users['bob'] and 'carol' not in users, users
    assert users['alice']['newuidmap']['used'] == users['bob']['newuidmap']['used'] == 0, users
    assert '  newuidmap: [1150000000-1150065546)\n    in use: 0 processes\n    /etc/subuid:2: alice:1150000000:65536\n' in text, text
    with root.target(root.alice) as target:
        assert root.run([root.newuidmap, target.pid, 0, 1150065540, 1], root.alice).code == 0
        users = report(root)[0]
        assert users['alice']['newuidmap']['used'] == 1 and users['alice']['newgidmap']['used'] == 0, users
        assert users['bob']['newuidmap']['used'] == 0, users


@case('NICs: those on each bridge are counted, and those whose line is gone')
def _(root):
    h = host(root)
    h.conf('alice veth br0 2\n@students veth br1 1\nalice veth br0 1\n')
    with Container(root.alice) as container, Container(root.bob.but(groups=[72000])) as other:
        h.added(container)
        h.added(container)
        h.added(other, 'br1')
        users, _, text = report(root)
        assert users['alice']['net br0']['most'] == 3 and users['alice']['net br0']['used'] == 2, users
        assert lines(users['alice']['net br0']) == [1, 3] and lines(users['bob']['net br1']) == [2], users
        assert users['bob']['net br1']['used'] == 1 and 'net br0' not in users['bob'], users
        assert '    in use: 2 interfaces\n' in text, text
        h.conf('')
        users = report(root)[0]
        assert users['alice']['net br0'] == {'what': 'net br0', 'allowed': False, 'used': 2, 'lines': []}, users
        sh('ip link set br1 down')
        sh('ip link del br1')
        # The port outlives its bridge.
        (what, answer), = report(root)[0]['bob'].items()
        assert what.endswith(', gone') and answer['used'] == 1 and answer['allowed'] is False, (what, answer)


@case('groups are their members, primary ones too; what everybody has is told once more')
def _(root):
    h = host(root)
    h.conf('@students veth br0 1\n@alice veth br0 2\n* veth br0 3\nalice veth br9 1\n')
    users, document, _ = report(root)
    assert users['bob']['net br0']['most'] == 4 and lines(users['bob']['net br0']) == [1, 3], users
    assert users['alice']['net br0']['most'] == 5 and users['alice']['net br9']['rule'] == 'NR-BRIDGE', users
    assert 'carol' not in users, users
    assert [(a['what'], a['most']) for a in document['everybody']] == [('net br0', 3)], document


@case('cgroups: containers and what is used of a limit are what the kernel says')
def _(root):
    if cgroups.why_not:
        skip(cgroups.why_not)
    host(root)
    cgroups.begin(root, 'bob containers=2\n@alice pids.max=9 containers=3\n* containers=4')
    users, document, _ = report(root)
    mine, bobs = users['alice']['cgroup'], users['bob']['cgroup']
    assert (mine['most'], mine['used'], lines(mine)) == (3, 0, [3]) and (bobs['most'], lines(bobs)) == (2, [2]), users
    assert [(a['what'], lines(a)) for a in document['everybody']] == [('cgroup', [4])], document
    child = spawn([root.program('userns-cgroup'), 'enter', 'x', '--', '/bin/sleep', '100'], root.alice)
    wait_for(lambda: os.path.isdir(f'{cgroups.v2}/{root.alice.uid}/x') and pids_in(f'{cgroups.v2}/{root.alice.uid}/x'),
             'the container')
    users, _, text = report(root)
    mine = users['alice']['cgroup']
    assert mine['used'] == 1 and users['bob']['cgroup']['used'] == 0, users
    limit = next(one for one in mine['limits'] if one['file'] == 'pids.max')
    top = f"{cgroups.v1['pids']}/userns-{root.alice.uid}" if 'v1' in limit else f'{cgroups.v2}/{root.alice.uid}'
    assert limit['value'] == '9' and limit['used'] == read(f'{top}/pids.current').strip() == '1', (limit, text)
    assert '    in use: 1 containers\n' in text and '    of pids.max in use: 1\n' in text, text
    # Whose line is gone while a container runs.
    root.write(CGROUP, f'base = {cgroups.v2}\n')
    mine = report(root)[0]['alice']['cgroup']
    assert (mine['allowed'], mine['rule'], mine['used']) == (False, 'CG-POLICY', 1), mine
    child.kill()
    child.wait()
    # A user's own directory stays, and is no use.
    wait_for(lambda: not pids_in(f'{cgroups.v2}/{root.alice.uid}/x'), 'the container to end')
    assert 'alice' not in report(root)[0], 'an empty one is no container in use'
    assert root.run([root.program('userns-cgroup'), 'release', 'x'], root.alice).code == 0
    assert 'alice' not in report(root)[0] and os.path.isdir(f'{cgroups.v2}/{root.alice.uid}')
    cgroups.clear()


@case('a file that helpers refuse gives nobody anything, and the report says so')
def _(root):
    h = host(root)
    h.conf('alice veth br0 1\nnonsense\n')
    root.subuid('alice:100000:65536\n')
    root.subgid('alice:100000:65536\n')
    os.chmod('/etc/subgid', 0o600)
    users, document, text = report(root, code=1)
    os.chmod('/etc/subgid', 0o644)
    # A test beside this one may have a cgroup of alice's.
    assert set(users['alice']) - {'cgroup'} == {'newuidmap'}, users
    assert {(one['file'], one['rule']) for one in document['problems']} == {('/etc/subgid', 'TF-FILE'), (NET, 'NC-LINE')}, document
    assert f'{NET} gives nobody anything' in text and '[NC-LINE]' in text, text


@case('users who are no more are told of with their lines, and have nothing')
def _(root):
    h = host(root)
    root.subuid('ghost:100000:65536\n70999:400000:5\n')
    h.conf('ghost veth br0 1\n@nosuch veth br0 1\n')
    root.write(CGROUP, 'ghost containers=1\n')
    users, document, text = report(root)
    assert {a['allowed'] for a in users['ghost'].values()} == {False} and len(users['ghost']) == 3, users
    assert 'ghost (no such user)\n' in text and next(u for u in document['users'] if u['user'] == 'ghost')['uid'] is None, text
    # A uid needs no account.
    assert users['uid 70999']['newuidmap']['ranges'] == [{'first': 400000, 'count': 5}], users


@case('an ordinary user is told what they can see, and that the rest is not known')
def _(root):
    h = host(root)
    h.conf('alice veth br0 1\n')
    root.subuid('alice:100000:65536\n')
    root.write(CGROUP, 'alice containers=1\n', mode=0o600)
    users, document, _ = report(root, code=1, user=root.carol)
    assert users['alice']['newuidmap']['allowed'] and users['alice']['net br0']['used'] == 0, users
    assert 'used' not in users['alice']['newuidmap'] and 'cgroup' not in users['alice'], users
    assert [one['file'] for one in document['problems']] == [CGROUP] and 'only root' in document['problems'][0]['reason'], document


@case('of random policies report and explain say the same of each user')
def _(root):
    h = host(root)
    seed = random.randrange(1 << 32)
    random.seed(seed)
    whos = ['alice', 'bob', 'carol', str(FIRST_UID), '@students', '@alice', '@nosuch', '*']
    for _ in range(25):
        h.conf(''.join(f'{random.choice(whos)} veth {random.choice(["br0", "br7"])} {random.randrange(4)}\n' for _ in range(6)))
        for write in (root.subuid, root.subgid):
            write(''.join(f'{random.choice(["alice", "bob", FIRST_UID, FIRST_UID + 2])}:{random.randrange(100000, 900000)}:{random.randrange(9)}\n'
                          for _ in range(6)))
        base = f'base = {cgroups.v2}\n' if not cgroups.why_not else ''
        root.write(CGROUP, base + ''.join(f'{random.choice(whos)} containers={random.randrange(3)}\n' for _ in range(4)))
        users = report(root)[0]
        for who in ('alice', 'bob', 'carol'):
            said = {a['what']: a for a in json.loads(run(root, 'explain', who, '--json').out)['answers']}
            for what, answer in users.get(who, {}).items():
                for one in (answer, *answer.get('limits', [])):
                    one.pop('used', None)
                said[what].pop('malformed', None)  # explain's alone
                assert answer == said[what], (seed, answer, said[what])
            # What explain grants and a line of their own gives is in the report.
            if who in users:
                missing = {what for what, a in said.items() if a['lines'] and what not in users[who]}
                assert not missing, (seed, who, missing)


@case('words are refused')
def _(root):
    done = run(root, 'report', 'alice')
    assert done.code == 125 and 'explain USER' in done.err, done


if __name__ == '__main__':
    with contextlib.suppress(BrokenPipeError):
        main()
