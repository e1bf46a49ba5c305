#!/usr/bin/env python3
"""userns-policy explain against what newuidmap, newgidmap, userns-net and userns-cgroup really do."""

import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from cgroups import Cgroups  # noqa: E402
from harness import FIRST_GID, FIRST_UID, ROOT, case, cases, main, skip  # noqa: E402
from net_host import Container, Host, sh  # noqa: E402

cgroups = Cgroups.become_tenant()
NET, CGROUP = '/etc/userns/net.conf', '/etc/userns/cgroup.conf'


def explain(root, *words, user=None):
    return root.run([root.program('userns-policy'), 'explain', *words], user)


def rule_in(text):
    found = re.findall(r'\[([A-Z]{2}-[A-Z]+)\]', text)
    return found[0] if found else None


SUBIDS = '# first\nalice:100000:65536\nalice:165536:10\n%d:500000:5\nbob:200000:65536\nalice:0700000:9\nalice:0:1\n' % FIRST_UID


@cases([(f'map {" ".join(numbers)} for {who}', who, numbers) for who, numbers in [
    ('alice', ['0:100000:65536']),
    ('alice', ['0:100000:65546']),
    ('alice', ['0:100000:65547']),
    ('alice', ['0:500000:5', f'5:{FIRST_UID}:1']),
    ('alice', [f'0:{FIRST_GID}:1']),
    ('alice', ['0:200000:1']),
    ('alice', ['0:0:1']),
    ('alice', ['0:100000:10', '5:100100:10']),
    ('alice', ['0:0100000:10']),
    ('alice', ['0:100000:0']),
    ('alice', ['0:700000:9']),
    ('bob', ['0:200000:65536']),
    ('bob', ['0:100000:1']),
    ('carol', [f'0:{FIRST_UID + 2}:1']),
    ('carol', ['0:100000:1']),
]])
def _(root, who, numbers):
    user = getattr(root, who)
    root.subuid(SUBIDS)
    root.subgid(SUBIDS)
    triples = [word for number in numbers for word in number.split(':')]
    for letter, program in (('u', root.newuidmap), ('g', root.newgidmap)):
        with root.target(user) as target:
            real = root.run([program, target.pid, *triples], user)
        for caller in (ROOT, user):
            said = explain(root, who, 'map', *[f'{letter}:{number}' for number in numbers], user=caller)
            assert said.code == real.code and rule_in(said.out) == rule_in(real.err), (said, real)
        # The helper's own sentence, word for word.
        if real.code:
            assert real.err.split(': ', 1)[1].strip() in said.out, (said, real)


@case('map names the lines that give it, and those alone')
def _(root):
    root.subuid(SUBIDS)
    done = explain(root, 'alice', 'map', 'u:0:165000:540')
    assert done.code == 0, done
    assert re.findall(r'/etc/subuid:(\d+):', done.out) == ['2', '3'], done
    done = explain(root, 'alice', 'map')
    assert 'newuidmap: [100000-165546), [500000-500005); ' in done.out and '-- [0-1), but id 0, ' in done.out and '/etc/subuid:6: gives nothing' in done.out, done


@case('all malformed lines that concern a user are named, up to a handful')
def _(root):
    root.subuid('alice:1:0\n' + SUBIDS + f'{FIRST_UID}:5\nbob:6\nalicea:7\n')
    for words in ((), ('u:0:900000:1',)):
        done = explain(root, 'alice', 'map', *words)
        rest = re.findall(r'^  /etc/subuid:(\d+): gives nothing: the line ', done.out, re.M)
        assert rest == (['7', '9'] if words else ['1', '7', '9']), done
        assert not words or 'line 1 grants nothing' in done.out, done
    root.subuid('alice:x:1\n' * 9)
    done = explain(root, 'alice', 'map')
    assert done.out.count('/etc/subuid:') == 5 and '  and 4 more: userns-policy check names all of them\n' in done.out, done
    for path, topic in ((NET, 'net'), (CGROUP, 'cgroup')):
        root.write(path, 'x\n# y\nalice z\n\n' + 'w\n' * 6)
        done = explain(root, 'alice', topic)
        assert done.code == 1 and f'{path}:1:' in done.out and f'  {path}:3: malformed, too: ' in done.out, done
        assert done.out.count(f'{path}:') == 6 and '  and 2 more' in done.out, done


@case('map without an own range says so, and status 0 only where both maps are allowed')
def _(root):
    root.subuid('alice:100000:65536\n')
    root.subgid('')
    done = explain(root, 'alice', 'map', '0:100000:65536')
    assert done.code == 1 and 'newuidmap: allowed' in done.out and 'newgidmap: refused' in done.out, done


@case('a subid file that only root can read is shut to root\'s explain as it is to newuidmap')
def _(root):
    os.chmod('/etc/subuid', 0o600)
    with root.target(root.alice) as target:
        real = root.run([root.newuidmap, target.pid, 0, 100000, 1], root.alice)
    said = explain(root, 'alice', 'map', 'u:0:100000:1')
    assert real.code == 1 and said.code == 1 and rule_in(real.err) == rule_in(said.out) == 'TF-FILE', (real, said)


@case('an NSS source that fails is a refusal in both')
def _(root):
    root.write('/etc/nsswitch.conf', 'passwd: files\nsubid: nosuch\n')
    with root.target(root.alice) as target:
        real = root.run([root.newuidmap, target.pid, 0, 100000, 1], root.alice)
    said = explain(root, 'alice', 'map', 'u:0:100000:1')
    assert rule_in(real.err) == rule_in(said.out) == 'SU-NSS', (real, said)


# Before the host of the test's own, whose /sys has no cgroups.
@cases([(f'cgroup for {who} with {conf!r}', conf, who, line) for conf, who, line in [
    ('alice pids.max=5\n', 'alice', 2),
    ('alice pids.max=5\n', 'bob', None),
    ('bob pids.max=5\n# x\n* pids.max=6 containers=2\n', 'alice', 4),
    ('@alice pids.max=7\n* pids.max=6\n', 'alice', 2),
    ('alice containers=0\n* pids.max=6\n', 'alice', 2),
    ('alice memory.high=1G\n', 'alice', 2),
    ('alice pids.max=5\nnonsense\n', 'alice', None),
    (f'{FIRST_UID} containers=3\n', 'alice', 2),
]])
def _(root, conf, who, line):
    if cgroups.why_not:
        skip(cgroups.why_not)
    cgroups.clear()
    user = getattr(root, who)
    root.write(CGROUP, f'base = {cgroups.v2}\n{conf}', mode=0o600)
    real = root.run([root.program('userns-cgroup'), 'enter', 'x', '--', '/bin/true'], user)
    said = explain(root, who, 'cgroup')
    assert (said.code == 0) == (real.code == 0) and rule_in(said.out) == rule_in(real.err), (said, real)
    item = json.loads(explain(root, who, 'cgroup', '--json').out)['answers'][0]
    assert item['allowed'] == (real.code == 0) and item.get('rule') == rule_in(real.err), (item, real)
    for limit in item.get('limits', []):
        top = f"{cgroups.v1[limit['v1']]}/userns-" if 'v1' in limit else f'{cgroups.v2}/'
        with open(f"{top}{user.uid}/{limit['file']}") as file:
            assert file.read().strip() == limit['value'].strip(), limit
    shown = re.findall(rf'^  {CGROUP}:(\d+): ', said.out, re.M)
    assert shown == ([str(line)] if line else []), said
    if said.code == 0 and 'containers=3' in conf:
        assert f'3 at a time, below {cgroups.v2}/{user.uid}' in said.out, said
    cgroups.clear()


@case('a user who cannot read cgroup.conf is told that root can')
def _(root):
    root.write(CGROUP, 'alice containers=1\n', mode=0o600)
    done = explain(root, 'alice', 'cgroup', user=root.alice)
    assert done.code == 125 and 'Permission denied' in done.err and done.out == '', done
    done = explain(root, 'alice', user=root.alice)
    assert done.code == 0 and 'newuidmap:' in done.out, done


_host = None


def host(root):
    global _host
    if not _host:
        _host = Host(root)
        sh('ip link add down0 type bridge')
        sh('ip link add veth9 type veth peer veth8')
        with open('/etc/group', 'a') as file:
            file.write('students:x:72000:bob\nnone:x:72001:\n')
    _host.all_gone()
    return _host


@cases([(f'net {bridge} for {who} with {conf!r}', conf, who, bridge, lines) for conf, who, bridge, lines in [
    ('alice veth br0 2\n', 'alice', 'br0', [1]),
    ('alice veth br0 2\n', 'bob', 'br0', []),
    ('# x\n\nalice veth br0 0\n', 'alice', 'br0', [3]),
    (f'{FIRST_UID} veth br0 1\n* veth br0 1\n', 'alice', 'br0', [1, 2]),
    ('@students veth br0 1\n', 'bob', 'br0', [1]),
    ('@students veth br0 1\n', 'alice', 'br0', []),
    ('@nogroup-such veth br0 1\n', 'alice', 'br0', []),
    ('@alice veth br0 1\n', 'alice', 'br0', [1]),
    ('* veth br7 1\n', 'alice', 'br7', [1]),
    ('* veth down0 1\n', 'alice', 'down0', [1]),
    ('* veth veth9 1\n', 'alice', 'veth9', [1]),
    ('* veth br0 1 vlan=7\n', 'alice', 'br0', [1]),
    ('* veth br0 1 mtu=9000\n', 'alice', 'br0', [1]),
    ('alice veth br0 1\nnonsense\n', 'alice', 'br0', []),
    ('* veth br0 1\n', 'carol', 'br0', [1]),
    ('* veth br0 1\n', 'carol', '-x', []),
]])
def _(root, conf, who, bridge, lines):
    user = getattr(root, who)
    h = host(root)
    h.conf(conf)
    if who == 'bob':
        user = user.but(groups=[72000])
    with Container(user) as container:
        real = h.add(container, bridge)
        said = explain(root, who, 'net', bridge)
        assert said.code == real.code and rule_in(said.out) == rule_in(real.err), (said, real)
        refused = 'refused: ' in said.out
        assert refused == bool(real.code), (said, real)
        if real.code == 0 and 'at a time' in said.out:
            # As many as it says, and no more.
            most = int(re.search(r'allowed: (\d+)', said.out)[1])
            for _ in range(most - 1):
                h.added(container, bridge)
            assert rule_in(h.add(container, bridge).err) == 'NR-QUOTA'
    shown = [int(n) for n in re.findall(rf'^  {NET}:(\d+): ', said.out, re.M)]
    assert shown == lines, said
    h.all_gone()


@case('net without a bridge goes through all that are the user\'s')
def _(root):
    h = host(root)
    h.conf('alice veth br0 2\n* veth br1 1\nbob veth br9 1\n@alice veth br0 1\n')
    done = explain(root, 'alice', 'net')
    assert done.code == 0 and 'net br0: allowed: 3 ' in done.out and 'net br1: allowed: 1 ' in done.out, done
    assert 'br9' not in done.out, done


@case('without a topic all three are explained, with the user\'s groups')
def _(root):
    host(root)
    root.write(NET, 'alice veth br0 1\n')
    root.write(CGROUP, 'alice containers=1\n')
    done = explain(root, str(root.alice.uid))
    assert done.code == 0 and done.out.startswith(f'alice: uid {FIRST_UID}, groups alice '), done
    for word in ('newuidmap: [100000-165536)', 'newgidmap: [100000-165536)', 'net br0: allowed', 'cgroup: '):
        assert word in done.out, (word, done)


def items(root, *words, code=0, user=None):
    """What `explain --json` says, by what it is about; and the same as text says it."""
    done = explain(root, *words, '--json', user=user)
    assert done.code == code and done.err == '', done
    document = json.loads(done.out)
    text = explain(root, *words, user=user)
    answers = {item['what']: item for item in document['answers']}
    for what, item in answers.items():
        assert f'{what}: ' in text.out, (what, text)
        assert (f'{what}: refused: ' in text.out) == ('reason' in item), (item, text)
        assert item.get('reason', '') in text.out and rule_in(item.get('reason', '')) == item.get('rule'), (item, text)
        for line in item['lines']:
            assert f"  {line['file']}:{line['line']}: {line['text']}" in text.out, (line, text)
    return document, answers


@case('--json has what the text has: ids, interfaces, limits, lines, rules')
def _(root):
    h = host(root)
    h.conf('# x\nalice veth br0 2\n* veth br1 1\n@alice veth br0 1 mtu=1300\nalice veth br7 1\n')
    root.subuid(SUBIDS)
    document, answers = items(root, 'alice')
    assert document['user'] == 'alice' and document['uid'] == root.alice.uid and 'alice' in document['groups'], document
    assert answers['newuidmap']['ranges'] == [{'first': 100000, 'count': 65546}, {'first': 500000, 'count': 5}], answers
    assert [line['line'] for line in answers['newuidmap']['lines']] == [2, 3, 4, 7], answers
    assert [line['line'] for line in answers['newuidmap']['malformed']] == [6], answers
    nics = answers['net br0']
    assert nics['most'] == 3 and nics['allowed'] is True and [line['line'] for line in nics['lines']] == [2, 4], nics
    assert answers['net br7']['allowed'] is False and answers['net br7']['rule'] == 'NR-BRIDGE', answers
    h.conf('alice veth br0 1\nnonsense\nmore\n')
    refused = items(root, 'alice', 'net', 'br0', code=1)[1]['net']
    assert refused['rule'] == 'NC-LINE' and [line['line'] for line in refused['malformed']] == [2, 3], refused
    mapped = items(root, 'alice', 'map', 'u:0:165000:540')[1]['newuidmap']
    assert mapped['ranges'] == [{'first': 165000, 'count': 540}] and [line['line'] for line in mapped['lines']] == [2, 3], mapped


@case('--json: what a user cannot see is null, not false; what is not text is one document all the same')
def _(root):
    root.write(CGROUP, 'alice containers=1\n', mode=0o600)
    assert items(root, 'alice', user=root.alice)[1]['cgroup']['allowed'] is None
    root.write(NET, b'alice veth br0 1\n\xff\x1b[1m veth br0\n'.decode('latin1'))
    document, _answers = items(root, 'alice', 'net', code=1)
    assert '\x1b' not in json.dumps(document, ensure_ascii=False).replace('\\u001b', ''), document


@case('bad words are refused in one sentence')
def _(root):
    for words, says in (([], 'needs a user'), (['nosuch'], "no user 'nosuch'"), (['alice', 'nett'], 'map, net or cgroup'),
                        (['alice', 'map', '0:1'], 'INSIDE:OUTSIDE:COUNT'), (['alice', 'net', 'a', 'b'], 'unexpected argument')):
        done = explain(root, *words)
        assert done.code == 125 and says in done.err and done.err.count('\n') == 1 and done.out == '', done


if __name__ == '__main__':
    main()
