#!/usr/bin/env python3
"""Situations from a seed: users, groups, lines, requests; what explain, check and doctor say of each, and what the helper does.

Without words it goes through some of each kind. POLICY_SITUATIONS=2000 goes through that many, POLICY_SEED=N repeats one
table; a disagreement names its seed. Doctor, which tries whole containers, is asked of every EVERY-th.
"""

import collections
import json
import os
import random
import re
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import FIRST_UID, case, main, skip  # noqa: E402
from cgroups import Cgroups  # noqa: E402
from net_host import Container, Host, sh  # noqa: E402

cgroups = Cgroups.become_tenant()
NET, CGROUP = '/etc/userns/net.conf', '/etc/userns/cgroup.conf'
MANY = int(os.environ.get('POLICY_SITUATIONS', '120'))


def seeds(of):
    """Of a table: kept, so that a table is the same wherever it is made."""
    if 'POLICY_SEED' in os.environ:
        return [int(os.environ['POLICY_SEED'])]
    return range(of * 1000000, of * 1000000 + MANY)


USERS = ('alice', 'bob', 'carol')


def tool(root, *words, user=None):
    return root.run([root.program('userns-policy'), *map(str, words)], user)


EVERY = int(os.environ.get('POLICY_DOCTOR', '6'))
VERDICTS = collections.Counter()


def verdicts(about):
    """For a note: what doctor said. Of a table that is not a single seed both good and bad."""
    got = {status: many for (what, status), many in sorted(VERDICTS.items()) if what == about}
    assert len(got) > 1 or 'POLICY_SEED' in os.environ, f'doctor said only {got} of {about}: the sample is not worth much'
    return ', '.join(f'{many} {status}' for status, many in got.items())


def doctor(root, user):
    """{id or "id subject": (status, text)} as the user sees it."""
    done = root.run([root.program('userns-run'), 'doctor', '--json'], user, timeout=60)
    assert done.err == '' and done.out, done
    checks = json.loads(done.out)['checks']
    return {f"{c['id']} {c['subject']}".strip(): (c['status'], c['text']) for c in checks}


def doctor_on_ids(root, seed, name, letter):
    """Doctor's verdict on the user's ids against what explain says is theirs, and what the helper maps of it."""
    user, program = getattr(root, name), root.newuidmap if letter == 'u' else root.newgidmap
    answers = json.loads(tool(root, 'explain', name, 'map', '--json').out)['answers']
    ranges = answers['ug'.index(letter)].get('ranges', [])
    total = sum(one['count'] for one in ranges)
    status, text = doctor(root, user)['subuid' if letter == 'u' else 'subgid']
    VERDICTS['ids', status] += 1
    assert (status == 'pass') == (total >= 65536) and (total > 0 or status == 'fail'), (seed, status, text, ranges)
    assert status != 'pass' or re.match(rf'{total} in ', text), (seed, text, ranges)
    if ranges:
        with root.target(user) as target:
            real = root.run([program, target.pid, 0, ranges[0]['first'], ranges[0]['count']], user)
        assert real.code == 0, (seed, real, ranges)


def doctor_on_cgroup(root, seed, user, real, text):
    status, said = doctor(root, user)['cgroup-conf']
    VERDICTS['cgroups', status] += 1
    rule = rule_in(real.err)
    if rule in ('CG-FULL', 'CG-BUSY'):
        return
    wanted = {None: {'pass'}, 'CG-POLICY': {'note', 'fail'}}.get(rule, {'fail'})
    assert status in wanted, (f'POLICY_SEED={seed}', status, said, real, text)
    # Its own words name the rule, or the line that is at fault.
    if status == 'fail':
        assert rule_in(said) in (rule, None), (seed, said, real)


def doctor_on_net(root, seed, user, bridge, real, text):
    checks = doctor(root, user)
    rule = rule_in(real.err)
    status, said = checks['net-conf']
    if (rule or '').startswith(('NC-', 'TF-')):
        place = re.search(r'/etc/userns/net\.conf\S*', real.err)
        assert status == 'fail' and place[0] in said, (f'POLICY_SEED={seed}', status, said, real, text)
        return
    VERDICTS['net', checks.get(f'bridge {bridge}', ('none', ''))[0]] += 1
    of_bridge, why = checks.get(f'bridge {bridge}', (None, None))
    if real.code == 0:
        assert of_bridge in ('pass', 'warn') and re.search(rf'\d NICs? on {bridge}', said), (f'POLICY_SEED={seed}', checks, text)
    else:
        assert of_bridge in (None, 'fail'), (f'POLICY_SEED={seed}', of_bridge, why, real, text)
        # Who has a line for the bridge is told what is wrong with that; who has none is told of no bridge.
        assert (of_bridge is None) == (rule == 'NR-POLICY'), (f'POLICY_SEED={seed}', of_bridge, why, real, text)


def rule_in(text):
    found = re.findall(r'\[([A-Z]{2}-[A-Z]+)\]', text)
    return found[0] if found else None


def number(rng):
    """A number as files and requests have them: borders, neighbours, other notations."""
    base = rng.choice((0, 1, 999, 1000, FIRST_UID, FIRST_UID + 1, 100000, 165535, 165536, 200000, 265535, 600000, 2**31 - 1, 2**32 - 2, 2**32 - 1, 2**32))
    base = max(0, base + rng.choice((-1, 0, 0, 0, 1)))
    return rng.choice([str(base)] * 40 + [hex(base), f'0{base}', f'-{base}', f'+{base}', f' {base}', f'{base} ', '', 'x'])


def count(rng):
    return rng.choice(['1', '2', '10', '1000', '65536', '65536', '65537'] * 4 + ['0', '4294967295', '0x10', '07', 'x', ''])


def subid_file(rng):
    owners = ['alice', 'bob', 'carol', str(FIRST_UID), str(FIRST_UID + 1), str(FIRST_UID + 2)] * 4 + ['nobody-such', '', 'alicex', 'ALICE', '#alice', '@lab']
    lines = []
    for _ in range(rng.randrange(7)):
        fields = [rng.choice(owners), number(rng), count(rng)]
        lines.append(rng.choice([':'.join(fields)] * 9 + [':'.join(fields[:2]), ':'.join(fields + ['x']), '', '# ' + ':'.join(fields), 'x' * 1100, ':'.join(fields) + '\r']))
    return '\n'.join(lines) + rng.choice(('\n', '\n', ''))


def put(root, rng, conf, lines, mode=0o644):
    """The lines in `conf`, or spread over it and files of its directory, which are not always well: what they say, for messages."""
    shutil.rmtree(f'{conf}.d', ignore_errors=True)
    cut = len(lines)
    names = []
    if rng.random() < 0.5:
        cut = rng.randrange(len(lines) + 1)
        names = sorted(rng.sample(['10-a.conf', '50-b.conf', '9-c.conf', 'Z.conf', 'd.conf'], rng.choice((1, 1, 2, 3))))
        os.mkdir(f'{conf}.d', 0o755)
    texts = {conf: '\n'.join(lines[:cut]) + '\n'}
    root.write(conf, texts[conf], mode=mode)
    for at, name in enumerate(names):
        texts[f'{conf}.d/{name}'] = '\n'.join(lines[cut + at:][:1] if at + 1 < len(names) else lines[cut + at:]) + rng.choice(('\n', ''))
        root.write(f'{conf}.d/{name}', texts[f'{conf}.d/{name}'], mode=mode)
    if names and rng.random() < 0.2:
        spoil = rng.choice(SPOILT)
        texts['spoilt'] = spoil.__name__
        spoil(f'{conf}.d')
    return texts


def not_read(d):
    with open(f'{d}/README', 'w') as file:
        file.write('x\n')


def writable(d):
    os.chmod(d, 0o775)


def a_users(d):
    os.chown(f'{d}/{sorted(os.listdir(d))[0]}', FIRST_UID + 1, 0)


def a_fifo(d):
    os.mkfifo(f'{d}/00.conf', 0o644)


def a_link_to_nothing(d):
    os.symlink('gone', f'{d}/zz.conf')


def an_odd_name(d):
    with open(f'{d}/a b.conf', 'w'):
        pass


def many(d):
    for n in range(65):
        with open(f'{d}/00{n}.conf', 'w'):
            pass


SPOILT = [not_read, not_read, writable, a_users, a_fifo, a_link_to_nothing, an_odd_name, many]


def check_finds(root, seed, real, conf, texts):
    """What the helper refuses the whole policy for, check has as an error: at the same place, or about the same directory."""
    rule = rule_in(real.err) or ''
    if not rule.startswith(('NC-', 'CC-', 'TF-')):
        return
    done = tool(root, 'check')
    place = re.search(rf'({conf}\S*?:\d+:\d+): ', real.err)
    if place:
        assert f'{place[1]}: error' in done.out, (seed, real, done, texts)
    else:
        assert done.code == 2 and re.search(rf'^{conf}\S*: error', done.out, re.M), (seed, real, done, texts)


def agree(seed, what, said, real, rule_said, rule_real, files):
    assert (said == 0) == (real == 0) and rule_said == rule_real, (f'POLICY_SEED={seed}', what, f'said {said} {rule_said}', f'did {real} {rule_real}', files)


@case(f'maps: explain says what newuidmap and newgidmap do, and check finds what they pass over ({MANY} situations)')
def _(root):
    granted = 0
    for seed in seeds(15):
        rng = random.Random(seed)
        texts = {'u': subid_file(rng), 'g': subid_file(rng)}
        root.subuid(texts['u'])
        root.subgid(texts['g'])
        name, letter = rng.choice(USERS), rng.choice('ug')
        user, program = getattr(root, name), root.newuidmap if letter == 'u' else root.newgidmap
        triples = [(rng.choice((0, 0, 5, 65536)), number(rng), count(rng)) for _ in range(rng.choice((1, 1, 1, 2)))]
        # Half of the requests begin in a line that is there.
        lines = re.findall(rf'^(?:{name}|{user.uid}):(\d{{1,9}}):(\d{{1,9}})$', texts[letter], re.M)
        if lines and rng.random() < 0.8:
            start, many = rng.choice(lines)
            triples = [(0, start, rng.choice((many, '1', str(int(many) + 1))))]
        words = [str(word) for triple in triples for word in triple]
        if any(':' in word for word in words):
            continue
        with root.target(user) as target:
            real = root.run([program, target.pid, *words], user)
        said = tool(root, 'explain', name, 'map', *[f'{letter}:{":".join(map(str, t))}' for t in triples])
        agree(seed, (name, letter, words), said.code, real.code, rule_in(said.out), rule_in(real.err), texts)
        granted += real.code == 0
        if seed % EVERY == 0:
            doctor_on_ids(root, seed, name, letter)
        if seed % 4 == 0:
            skipped = re.search(r'line (\d+) grants nothing', real.err)
            done = tool(root, 'check')
            path = '/etc/subuid' if letter == 'u' else '/etc/subgid'
            if skipped:
                assert re.search(rf'^{path}:{skipped[1]}:\d+: error', done.out, re.M), (seed, real, done)
    assert granted > MANY // 20 or 'POLICY_SEED' in os.environ, f'{granted} were granted: the table is not worth much'
    return f'{granted} granted; doctor: {verdicts("ids")}'


def net_line(rng):
    who = rng.choice(('alice', 'bob', str(FIRST_UID), str(FIRST_UID + 1), '*', '@lab', '@nobody-such', 'carol', '@0'))
    terms = rng.choice([[], ['mtu=1400'], ['isolated=yes'], ['spoof=allow']] * 6 + [['mtu=9000'], ['vlan=30'], ['mtu=x'], ['mtu=1400', 'mtu=1300'], ['x=y']])
    many = rng.choice(['1', '2', '5000'] * 8 + ['0', 'x', '-1'])
    line = ' '.join([who, rng.choice(['veth'] * 20 + ['vlan']), rng.choice(['br0'] * 12 + ['down', 'dummy', 'none', '-x']), many, *terms])
    return rng.choice([line] * 25 + ['# ' + line, '', line + ' # x', line + '\r', line.split(' ', 1)[0]])


def cgroup_line(rng):
    who = rng.choice(('alice', 'bob', str(FIRST_UID), '*', '@lab', '@nobody-such', 'carol'))
    pool = ['pids.max=5', 'memory.max=1G', 'memory.max=x', 'containers=0', 'containers=2', 'cpu.max=50%', 'io.weight=50', 'from=any', 'depth=3', 'x=1', 'memory.high=1G',
            'cpuset.cpus=0', 'pids.max=max', 'descendants=0', 'pids.max']
    weights = [12, 8, 1, 3, 3, 4, 2, 3, 2, 1, 2, 2, 2, 2, 1]
    line = ' '.join([who] + rng.choices(pool, weights, k=rng.choice((0, 1, 1, 2, 3))))
    return rng.choice([line] * 25 + ['# ' + line, '', line + '\r'])


@case(f'cgroups: explain and check say what userns-cgroup does ({MANY} situations)')
def _(root):
    if cgroups.why_not:
        skip(cgroups.why_not)
    granted = 0
    groups = open('/etc/group').read()
    root.write('/etc/group', groups + 'lab:x:79998:alice,carol\n')
    helper = root.program('userns-cgroup')
    cgroups.clear()
    for seed in seeds(45):
        rng = random.Random(seed)
        lines = rng.choice(([f'base = {cgroups.v2}'], [])) + [cgroup_line(rng) for _ in range(rng.choice((1, 1, 2, 3)))]
        if lines[0].startswith('base'):
            lines.insert(rng.choice((0, 0, len(lines))), lines.pop(0))
        text = put(root, rng, CGROUP, lines, mode=rng.choice((0o644, 0o600)))
        name = rng.choice(USERS)
        user = getattr(root, name)
        if name != 'bob':
            user = user.but(groups=[79998])
        real = root.run([helper, 'enter', 'x', '--', '/bin/true'], user)
        if real.code == 0:
            root.run([helper, 'release', 'x'], user)
        if seed % EVERY == 0:
            doctor_on_cgroup(root, seed, user, real, text)
        said = tool(root, 'explain', name, 'cgroup')
        # What only the kernel says (CG-LIMIT), or what depends on where a process is (CG-FROM), no text can tell.
        if rule_in(real.err) not in ('CG-LIMIT', 'CG-FROM', 'CG-BUSY'):
            agree(seed, name, said.code, real.code, rule_in(said.out), rule_in(real.err), text)
        granted += real.code == 0
        check_finds(root, seed, real, CGROUP, text)
    cgroups.clear()
    root.write('/etc/group', groups)
    shutil.rmtree(f'{CGROUP}.d', ignore_errors=True)
    root.write(CGROUP, '')
    assert granted > MANY // 20 or 'POLICY_SEED' in os.environ, granted
    return f'{granted} granted; doctor: {verdicts("cgroups")}'


@case(f'NICs: explain and check say what userns-net does ({MANY} situations)')
def _(root):
    granted = 0
    groups = open('/etc/group').read()
    root.write('/etc/group', groups + 'lab:x:79998:alice,carol\n')
    host = Host(root)
    sh('ip link add down type bridge')
    sh('ip link add dummy type veth peer dummy2')
    for seed in seeds(30):
        rng = random.Random(seed)
        text = put(root, rng, NET, [net_line(rng) for _ in range(rng.choice((1, 1, 1, 2, 3, 4)))])
        name, bridge = rng.choice(USERS), rng.choice(['br0'] * 8 + ['down', 'dummy', 'none', '-x'])
        user = getattr(root, name)
        if name != 'bob':
            user = user.but(groups=[79998])
        with Container(user) as inside:
            real = host.add(inside, bridge)
        host.all_gone()
        if seed % EVERY == 0 and not bridge.startswith('-'):
            doctor_on_net(root, seed, user, bridge, real, text)
            host.all_gone()
        said = tool(root, 'explain', name, 'net', bridge)
        agree(seed, (name, bridge), said.code, real.code, rule_in(said.out), rule_in(real.err), text)
        granted += real.code == 0
        check_finds(root, seed, real, NET, text)
    root.write('/etc/group', groups)
    shutil.rmtree(f'{NET}.d', ignore_errors=True)
    root.write(NET, '')
    assert granted > MANY // 20 or 'POLICY_SEED' in os.environ, granted
    return f'{granted} granted; doctor: {verdicts("net")}'


main()
