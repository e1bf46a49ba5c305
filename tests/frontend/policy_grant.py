#!/usr/bin/env python3
"""userns-policy grant and revoke on real files, beside shadow's own tools, and what the helpers then really give."""

import fcntl
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
from harness import SYSCALL, Result, case, cases, main, mount, skip, spawn, trace, umount, with_own_pids, User, status_of, wait_for  # noqa: E402

NET, CGROUP = '/etc/userns/net.conf', '/etc/userns/cgroup.conf'
RENAME, FSYNC, LINK = 82, 74, 86


def read(path):
    with open(path) as file:
        return file.read()


def tool(root, *words, user=None, **how):
    return root.run([root.program('userns-policy'), *words], user, **how)


def explain(root, *words):
    return tool(root, 'explain', *words)


def well(root, *words, **how):
    done = tool(root, *words, **how)
    assert done.code == 0 and 'userns-policy:' not in done.err, done
    return done.out


def ranges(path):
    return [(owner, int(start), int(count)) for owner, start, count in re.findall(r'^([^:#\n]+):(\d+):(\d+)$', read(path), re.M)]


def disjoint(path):
    last = 0
    for start, count, owner in sorted((s, c, o) for o, s, c in ranges(path)):
        assert start >= last, (path, owner, start, read(path))
        last = start + count


def nothing_left():
    left = [name for name in os.listdir('/etc') + os.listdir('/etc/userns')
            if name.endswith(('.lock', '.userns-policy')) and name != '.pwd.lock' or re.match(r'(subuid|subgid|net.conf|cgroup.conf)\.\d+$', name)]
    assert not left, left


# --- ids ------------------------------------------------------------------------------------

@case('what grant gives, newuidmap and newgidmap map: the same numbers, where nobody else is')
def _(root):
    well(root, 'grant', 'carol', '--ids', '65536')
    (uids,), (gids,) = ([r for r in ranges(p) if r[0] == 'carol'] for p in ('/etc/subuid', '/etc/subgid'))
    assert uids == gids == ('carol', 265536, 65536), (uids, gids)
    disjoint('/etc/subuid')
    with root.target(root.carol) as target:
        for program in (root.newuidmap, root.newgidmap):
            done = root.run([program, target.pid, 0, uids[1], 65536], root.carol)
            assert done.code == 0, done
        assert target.uid_map() == [(0, uids[1], 65536)]
    nothing_left()


@case('a second grant of the same changes nothing; a larger one adds a line')
def _(root):
    first = well(root, 'grant', 'carol', '--ids', '65536')
    assert first.count('\n') == 2 and 'subuid' in first and 'subgid' in first, first
    text = read('/etc/subuid')
    assert 'nothing was changed' in well(root, 'grant', 'carol', '--ids', '65536')
    assert 'nothing was changed' in well(root, 'grant', 'carol', '--ids', '1000')
    assert read('/etc/subuid') == text
    well(root, 'grant', 'carol', '--ids', '100000')
    assert read('/etc/subuid').startswith(text) and len(ranges('/etc/subuid')) == 4


@case('ids of one kind alone are made whole with the same numbers')
def _(root):
    root.subuid('alice:100000:65536\ncarol:900000:65536\n')
    root.subgid('alice:100000:65536\n')
    well(root, 'grant', 'carol', '--ids', '65536')
    assert read('/etc/subgid') == 'alice:100000:65536\ncarol:900000:65536\n'
    assert read('/etc/subuid') == 'alice:100000:65536\ncarol:900000:65536\n'


@case('comments, order, malformed lines and a missing newline are kept')
def _(root):
    text = '# of the house\nbob:300000:65536\nnonsense\n\nalice:100000:65536'
    root.subuid(text)
    well(root, 'grant', 'carol', '--ids', '65536')
    assert read('/etc/subuid').startswith(text + '\ncarol:'), read('/etc/subuid')


@case('owner, mode, ACL and extended attributes are kept')
def _(root):
    root.subuid('# keeps libsubid away\n', mode=0o640, owner=(0, 71001))
    subprocess.run(['setfacl', '-m', 'u:70002:r', '/etc/subuid'], check=True)
    os.setxattr('/etc/subuid', 'trusted.note', b'mine')
    before = subprocess.check_output(['getfacl', '-n', '/etc/subuid'])
    well(root, 'grant', 'carol', '--ids', '65536')
    assert 'carol' in read('/etc/subuid') and subprocess.check_output(['getfacl', '-n', '/etc/subuid']) == before
    assert os.getxattr('/etc/subuid', 'trusted.note') == b'mine'


@case('a plain sorted file, which libsubid would write, too, is written by ourselves: no backup, no other number for a moment')
def _(root):
    seen = set()
    root.subuid('alice:100000:65536\nbob:200000:65536\n')
    accounts = read('/etc/passwd')
    root.write('/etc/passwd', accounts + 'inside:x:300000:300000::/nowhere:/bin/sh\n')

    def watch(_stop):
        seen.add(read('/etc/subuid'))
    done = trace(spawn([root.program('userns-policy'), 'grant', 'carol', '--ids', '65536'], None, traced=True), watch)
    assert done.code == 0, done
    root.write('/etc/passwd', accounts)
    seen.add(read('/etc/subuid'))
    # libsubid's own choice held the account 300000 for a moment.
    assert seen == {'alice:100000:65536\nbob:200000:65536\n', 'alice:100000:65536\nbob:200000:65536\ncarol:300001:65536\n'}, seen
    assert not os.path.exists('/etc/subuid-'), 'we keep no backup'


@case('real accounts, system ids and a directory\'s ranges are passed over, and the bounds of login.defs kept')
def _(root):
    defs = read('/etc/login.defs')
    try:
        root.write('/etc/login.defs', 'SUB_UID_MIN 70000\nSUB_UID_MAX 999999\nSUB_GID_MIN 70000\nSUB_GID_MAX 999999\n')
        os.makedirs('/etc/sssd', exist_ok=True)
        root.write('/etc/sssd/sssd.conf', '[domain/x]\nmin_id = 265536\nmax_id = 800000\n')
        well(root, 'grant', 'carol', '--ids', '65536')
        # 70001..71003 are the scratch users, 100000 and 200000 alice's and bob's.
        assert ('carol', 800001, 65536) in ranges('/etc/subuid'), read('/etc/subuid')
        done = tool(root, 'grant', 'carol', '--ids', '200000')
        assert done.code == 125 and 'no 200000 ids in a row' in done.err and done.out == '', done
        done = tool(root, 'grant', 'carol', '--ids', '2000000')
        assert done.code == 125 and '2000000 ids do not fit between 70000 and 999999' in done.err and done.out == '', done
    finally:
        root.write('/etc/login.defs', defs)
        os.unlink('/etc/sssd/sssd.conf')


@cases([
    ('start 0: a login.defs that allows it still gives no system id', 'SUB_UID_MIN 0\nSUB_GID_MIN 0\n', ['carol', '--ids', '65536'], None),
    ('an owner that does not exist', '', ['nosuch', '--ids', '65536'], "no user 'nosuch'"),
    ('a uid that does not exist', '', ['4000000', '--ids', '65536'], "no user '4000000'"),
    ('ids beyond 32 bits', 'SUB_UID_MIN 5000000000\nSUB_UID_MAX 6000000000\n', ['carol', '--ids', '65536'],
     "/etc/login.defs:1: SUB_UID_MIN '5000000000' is beyond the largest id, 4294967294"),
    ('a bound of login.defs that is not a number', '# x\nSUB_GID_MAX lots\n', ['carol', '--ids', '65536'],
     "/etc/login.defs:2: SUB_GID_MAX 'lots' is not a decimal number: write SUB_GID_MAX 600100000"),
    ('a bound of login.defs that is not a number, with --dry-run', 'SUB_UID_MIN 0x1\n', ['carol', '--ids', '65536', '--dry-run'],
     'is hexadecimal'),
    ('bounds of login.defs in the wrong order', 'SUB_UID_MAX 7\n', ['carol', '--ids', '65536'], 'SUB_UID_MIN 100000 is above SUB_UID_MAX 7'),
    ('more ids than there are', '', ['carol', '--ids', '4294967296'], '1 to 4294967294'),
    ('no ids', '', ['carol', '--ids', '0'], '1 to 4294967294'),
    ('octal', '', ['carol', '--ids', '0100000'], 'octal'),
    ('a group', '', ['@carol', '--ids', '65536'], 'name a user'),
    ('everyone', '', ['*', '--ids', '65536'], 'name a user'),
    ('nothing', '', ['carol'], '--ids, --net or --cgroup'),
    ('an argument more than it takes', '', ['carol', 'x', '--ids', '1'], 'unexpected argument'),
])
def _(root, defs, words, says):
    before = read('/etc/login.defs')
    try:
        if defs:
            root.write('/etc/login.defs', defs)
        done = tool(root, 'grant', *words)
        if says:
            assert done.code == 125 and says in done.err and done.err.count('\n') == 1 and done.out == '', done
            assert read('/etc/subuid') == 'alice:100000:65536\nbob:200000:65536\n'
        else:
            for owner, start, count in ranges('/etc/subuid'):
                assert start >= 65536 and start + count <= 2**32 - 1, read('/etc/subuid')
        nothing_left()
    finally:
        root.write('/etc/login.defs', before)


@case('a user without root is told before anything is done; --dry-run shows him the diff')
def _(root):
    for verb in ('grant', 'revoke'):
        done = tool(root, verb, 'alice', '--ids', '65536', user=root.alice)
        assert done.code == 125 and 'only root' in done.err and '--dry-run' in done.err, done
    out = well(root, 'grant', 'carol', '--ids', '65536', '--dry-run', user=root.alice)
    assert out.startswith('--- /etc/subuid\n+++ /etc/subuid\n@@ -1,2 +1,3 @@\n alice:100000:65536\n') and '+carol:' in out, out
    assert 'carol' not in read('/etc/subuid')
    # The diff is what then happens.
    patched = subprocess.run(['patch', '-o', '-', '/etc/subuid'], input=out.split('--- /etc/subgid')[0], text=True, capture_output=True)
    well(root, 'grant', 'carol', '--ids', '65536')
    if patched.returncode == 0:
        assert patched.stdout == read('/etc/subuid'), (patched, read('/etc/subuid'))


@case('ids that come from an NSS source are not written to files that nobody reads')
def _(root):
    root.write('/etc/nsswitch.conf', 'passwd: files\ngroup: files\nsubid: sss\n')
    done = tool(root, 'grant', 'carol', '--ids', '65536')
    assert done.code == 125 and "'sss'" in done.err, done


@case('revoke takes lines of exactly that many ids, or all, by name and by uid, and nothing of others')
def _(root):
    text = '# x\nalice:100000:65536\n70001:300000:1000\nbob:200000:65536\nalice:bad\n'
    root.subuid(text)
    root.subgid(text)
    out = well(root, 'revoke', 'alice', '--ids', '1000')
    assert read('/etc/subuid') == '# x\nalice:100000:65536\nbob:200000:65536\nalice:bad\n' and 'subuid' in out
    assert 'nothing was changed' in well(root, 'revoke', 'alice', '--ids', '1000')
    well(root, 'revoke', 'alice', '--ids', 'all')
    assert read('/etc/subgid') == '# x\nbob:200000:65536\nalice:bad\n'


@case('fifty rounds beside useradd and usermod: no line is lost, no range is given twice')
def _(root):
    for program in ('/usr/sbin/useradd', '/usr/sbin/usermod'):
        if not os.path.exists(program):
            skip(f'no {program}')
    for path in ('/etc/shadow', '/etc/gshadow'):
        if not os.path.exists(path):
            root.write(path, '', mode=0o640)
    for i in range(50):
        with open('/etc/passwd', 'a') as file:
            file.write(f'grantee{i}:x:{72000 + i}:72000::/nowhere:/bin/sh\n')
    root.subuid('alice:100000:65536\n')
    root.subgid('alice:100000:65536\n')
    expected, troubles = {'alice'}, []
    for i in range(50):
        if i == 25:  # from here on not a file that libsubid may write for us
            for path in ('/etc/subuid', '/etc/subgid'):
                root.write(path, '# by hand\n' + read(path))
        start = 1000000000 + i * 10
        children = [
            (f'grantee{i}', spawn([root.program('userns-policy'), 'grant', f'grantee{i}', '--ids', '65536'])),
            (f'new{i}', spawn(['/usr/sbin/useradd', '--no-create-home', '--badname', '-K', 'UID_MIN=73000', '-K', 'UID_MAX=74000', f'new{i}'])),
            ('bob', spawn(['/usr/sbin/usermod', '--add-subuids', f'{start}-{start + 9}', '--add-subgids', f'{start}-{start + 9}', 'bob'])),
        ]
        for name, child in children:
            done = child.wait(60)
            if done.code == 0:
                expected.add(name if name != 'bob' else f'bob{start}')
            else:
                troubles.append((name, done))
    for path in ('/etc/subuid', '/etc/subgid'):
        have = {f'bob{s}' if o == 'bob' else o for o, s, c in ranges(path)}
        assert expected <= have, (path, expected - have)
        disjoint(path)
    assert not [t for t in troubles if t[0].startswith('grantee')], troubles
    # shadow gives up where it can not lock, which it says; that it does so beside us must be rare.
    assert len(troubles) < 20, troubles
    assert '# by hand' in read('/etc/subuid')
    return f'{len(expected) - 1} grants of 150, {len(troubles)} times shadow gave up'


@case('twenty grants at once: each has its own ids, the same in both files')
def _(root):
    with open('/etc/passwd', 'a') as file:
        for i in range(20):
            file.write(f'crowd{i}:x:{75000 + i}:75000::/nowhere:/bin/sh\n')
    children = [spawn([root.program('userns-policy'), 'grant', f'crowd{i}', '--ids', '65536']) for i in range(20)]
    for child in children:
        done = child.wait(60)
        assert done.code == 0, done
    for path in ('/etc/subuid', '/etc/subgid'):
        disjoint(path)
        assert len(ranges(path)) == 22, read(path)
    assert sorted(ranges('/etc/subuid')) == sorted(ranges('/etc/subgid'))
    nothing_left()


@case('files that are not there are made')
def _(root):
    for path in ('/etc/subuid', '/etc/subgid'):
        os.unlink(path)
    well(root, 'grant', 'alice', '--ids', '65536')
    assert read('/etc/subuid') == read('/etc/subgid') == 'alice:100000:65536\n'
    assert os.stat('/etc/subuid').st_mode & 0o7777 == 0o644


@case('with standard fds closed nothing of what is said goes into a file')
def _(root):
    for closed in ((2,), (1, 2), (0, 1, 2)):
        root.reset()
        root.write(NET, '')
        tool(root, 'grant', 'carol', '--ids', '65536', '--net', 'br0:1', closed=closed)
        tool(root, 'grant', 'nosuch', '--net', 'br0:x', closed=closed)
        assert read(NET) == 'carol  veth  br0  1\n', (closed, read(NET))
        assert ranges('/etc/subuid')[-1] == ('carol', 265536, 65536) and read('/etc/subuid').count('\n') == 3, read('/etc/subuid')
        nothing_left()


@case('--from asks for a place; whose it is, is said where it is not free')
def _(root):
    assert 'subuid [400000-465536)' in well(root, 'grant', 'carol', '--ids', '65536', '--from', '400000')
    for first, says in (('150000', "'alice' has [100000-165536) (/etc/subuid:1)"), ('50000', 'not within 100000'),
                        ('0x10', 'hexadecimal'), ('4294967290', 'not within')):
        root.reset()
        done = tool(root, 'grant', 'carol', '--ids', '65536', '--from', first)
        assert done.code == 125 and says in done.err and done.err.count('\n') == 1, done
        assert len(ranges('/etc/subuid')) == 2
    done = tool(root, 'grant', 'carol', '--net', 'br0:1', '--from', '400000')
    assert done.code == 125 and '--ids' in done.err, done


@case('lines that we pass over and shadow obeys hold their ids: hex, octal, a fourth field')
def _(root):
    text = 'alice:0x186a0:65536\nbob:0610000:65536\ndave:300000:65536:note\n'  # 100000, 200704, 300000
    root.subuid(text)
    root.subgid('')
    well(root, 'grant', 'carol', '--ids', '65536')
    (uids,) = [r for r in ranges('/etc/subuid') if r[0] == 'carol']
    assert uids[1] == 365536, read('/etc/subuid')
    root.subuid(text)
    done = tool(root, 'grant', 'carol', '--ids', '65536', '--from', '100000')
    assert done.code == 125 and 'shadow' in done.err, done


@case('ids that were given before come last: a block that was taken away is not the next one\'s')
def _(root):
    well(root, 'grant', 'carol', '--ids', '65536')
    well(root, 'revoke', 'alice', '--ids', 'all')
    with open('/etc/passwd', 'a') as file:
        file.write('newcomer:x:76000:76000::/nowhere:/bin/sh\n')
    well(root, 'grant', 'newcomer', '--ids', '65536')
    assert ('newcomer', 331072, 65536) in ranges('/etc/subuid'), read('/etc/subuid')
    # Only where nothing else is left are they given again.
    defs = read('/etc/login.defs')
    root.write('/etc/login.defs', 'SUB_UID_MIN 100000\nSUB_UID_MAX 400000\nSUB_GID_MIN 100000\nSUB_GID_MAX 400000\n')
    with open('/etc/passwd', 'a') as file:
        file.write('late:x:76001:76001::/nowhere:/bin/sh\n')
    well(root, 'grant', 'late', '--ids', '65536')
    root.write('/etc/login.defs', defs)
    assert ('late', 100000, 65536) in ranges('/etc/subuid'), read('/etc/subuid')


@case('ids of a living process are neither taken away nor given: by its map and by its own id; --force says what that means')
def _(root):
    root.write('/etc/login.defs', re.sub('(?m)^SUB_.*$', '', read('/etc/login.defs')))
    with root.target(root.alice) as target:
        for program in (root.newuidmap, root.newgidmap):
            assert root.run([program, target.pid, 0, 100000, 65536], root.alice).code == 0
        done = tool(root, 'revoke', 'alice', '--ids', 'all')
        assert done.code == 125 and f'process {target.pid}' in done.err and '--force' in done.err and '[100000-165536)' in done.err, done
        assert ('alice', 100000, 65536) in ranges('/etc/subuid') and ('alice', 100000, 65536) in ranges('/etc/subgid')
        # As userdel would have left it: nobody gets what the container has.
        root.subuid('bob:200000:65536\n')
        root.subgid('bob:200000:65536\n')
        done = tool(root, 'grant', 'carol', '--ids', '65536', '--from', '100000')
        assert done.code == 125 and f'process {target.pid}' in done.err, done
        root.reset()
        well(root, 'revoke', 'alice', '--ids', 'all', '--force')
        assert ranges('/etc/subuid') == [('bob', 200000, 65536)]
    root.reset()
    child = spawn(['/bin/sleep', '60'], User('x', 100007))
    wait_for(lambda: status_of(child.pid)['Name'] == 'sleep', 'sleep to run')
    done = tool(root, 'revoke', 'alice', '--ids', 'all')
    child.kill()
    child.wait()
    assert done.code == 125 and "'sleep'" in done.err, done
    well(root, 'revoke', 'alice', '--ids', 'all')


@case('all words are judged first: where one is wrong, no file changes')
def _(root):
    root.write(NET, 'bob veth br0 1\n')
    root.write(CGROUP, 'bob pids.max=5\n')
    before = [read(path) for path in ('/etc/subuid', '/etc/subgid', NET, CGROUP)]
    for words in (['--ids', '65536', '--net', 'br0:1', '--cgroup', 'foo=1'], ['--ids', '65536', '--net', 'br0:x', '--cgroup', 'pids.max=9'],
                  ['--net', 'br0:1', '--ids', '4000000000'], ['--net', 'br0:1', '--net', 'br1:x']):
        done = tool(root, 'grant', 'carol', *words)
        assert done.code == 125 and done.out == '', (words, done)
        assert before == [read(path) for path in ('/etc/subuid', '/etc/subgid', NET, CGROUP)], words
    nothing_left()


@case('a file that cannot be written leaves all as it was, those before it, too')
def _(root):
    root.write(NET, 'bob veth br0 1\n')
    before = [read(path) for path in ('/etc/subuid', '/etc/subgid', NET)]
    renames = []

    def fail_the_third(stop):
        if stop.number == RENAME:
            renames.append(stop)
            return Result(-28) if len(renames) == 3 else None
        return None
    done = trace(spawn([root.program('userns-policy'), 'grant', 'carol', '--ids', '65536', '--net', 'br0:1'], traced=True), fail_the_third)
    assert done.code == 125 and 'nothing was changed' in done.err and done.out == '' and len(renames) == 5, done
    assert before == [read(path) for path in ('/etc/subuid', '/etc/subgid', NET)]
    nothing_left()


# --- net.conf and cgroup.conf ---------------------------------------------------------------

@case('--net: a line is added, changed in place with its comment, and taken away; all else stays')
def _(root):
    text = '# head\n@staff veth br0 1   # why\n\n*  veth  br1 1'
    root.write(NET, text)
    out = well(root, 'grant', 'alice', '--net', 'br0:2')
    assert read(NET) == text + '\nalice  veth  br0  2\n' and '+alice  veth  br0  2' in out, out
    assert 'nothing was changed' in well(root, 'grant', 'alice', '--net', 'br0:2')
    root.write(NET, text + '\n70001 veth br0 2 # hers\n')
    well(root, 'grant', 'alice', '--net', 'br0:3,mtu=1400,isolated=yes', '--net', 'br1:1')
    assert read(NET) == text + '\nalice  veth  br0  3  mtu=1400 isolated=yes # hers\nalice  veth  br1  1\n', read(NET)
    well(root, 'revoke', 'alice', '--net', 'br0')
    assert read(NET) == text + '\nalice  veth  br1  1\n'
    well(root, 'revoke', 'alice', '--net', 'br1:1')
    assert read(NET) == text + '\n'
    nothing_left()


@case('--net: settings of a line stay unless they are named; a count of 0 bans')
def _(root):
    root.write(NET, 'alice veth br0 1 vlan=30 isolated=yes # lab\n')
    well(root, 'grant', 'alice', '--net', 'br0:2')
    assert read(NET) == 'alice  veth  br0  2  vlan=30 isolated=yes # lab\n', read(NET)
    well(root, 'grant', 'alice', '--net', 'br0:2,isolated=no,mtu=1400')
    assert read(NET) == 'alice  veth  br0  2  vlan=30 isolated=no mtu=1400 # lab\n', read(NET)
    assert 'nothing was changed' in well(root, 'grant', 'alice', '--net', 'br0:2,vlan=30')
    well(root, 'grant', 'alice', '--net', 'br0:0')
    assert read(NET).startswith('alice  veth  br0  0 '), read(NET)
    done = tool(root, 'grant', '*', '--net', 'br0:0')
    assert done.code == 125 and 'bans nobody' in done.err, done


@case('revoke: where another line still gives, it is named; where there is nothing of one\'s own, that is a failure')
def _(root):
    text = '@alice veth br0 1\n* veth br0 1\n'
    root.write(NET, text)
    done = tool(root, 'revoke', 'alice', '--net', 'br0')
    assert done.code == 125 and f'{NET}:1' in done.err and 'grant alice --net br0:0' in done.err and read(NET) == text, done
    words = re.search(r'userns-policy (grant .*)$', done.err)[1].split()
    well(root, *words)
    said = explain(root, 'alice', 'net', 'br0')
    assert said.code == 1 and 'ban' in said.out, said
    root.write(NET, 'alice veth br0 4\n* veth br0 1\n')
    done = tool(root, 'revoke', 'alice', '--net', 'br0')
    assert done.code == 0 and done.err.startswith('note: ') and f'{NET}:1' in done.err, done
    root.write(CGROUP, '* pids.max=5\n')
    done = tool(root, 'revoke', 'alice', '--cgroup', 'all')
    assert done.code == 125 and f'{CGROUP}:1' in done.err and 'containers=0' in done.err, done


@case('--cgroup: a line that a group\'s hides goes before it, and decides')
def _(root):
    root.write(CGROUP, '# head\n@alice pids.max=5\nalice pids.max=7 # hers\n* pids.max=1\n')
    well(root, 'grant', 'alice', '--cgroup', 'memory.max=1G')
    assert read(CGROUP) == '# head\nalice pids.max=7 memory.max=1G # hers\n@alice pids.max=5\n* pids.max=1\n', read(CGROUP)


@case('--net for a group and for everyone')
def _(root):
    root.write(NET, '')
    well(root, 'grant', '@alice', '--net', 'br0:1,vlan=3')
    well(root, 'grant', '*', '--net', 'br0:1')
    assert read(NET) == '@alice  veth  br0  1  vlan=3\n*  veth  br0  1\n'
    done = tool(root, 'grant', '@nosuchgroup', '--net', 'br0:1')
    assert done.code == 125 and 'no group' in done.err, done


@cases([
    ('a count that is none', 'br0:x', "the count 'x'"),
    ('no count', 'br0', 'BRIDGE:COUNT'),
    ('a bridge that can not be', 'a/b:1', 'not a name of a bridge'),
    ('a setting that is none', 'br0:1,colour=red', 'not a setting'),
    ('a second line in disguise', 'br0:1,mtu=1400\nbob veth br0 9', 'BRIDGE:COUNT'),
    ('a comment', 'br0:1,#', 'BRIDGE:COUNT'),
])
def _(root, wish, says):
    root.write(NET, 'bob veth br0 1\n')
    done = tool(root, 'grant', 'alice', '--net', wish)
    assert done.code == 125 and says in done.err and done.err.count('\n') == 1, done
    assert read(NET) == 'bob veth br0 1\n'


@case('what check would find in the line that was written is said at once, and of no other line')
def _(root):
    root.write(NET, 'bob veth br-old 1\n')
    for words in (['--dry-run'], []):
        done = tool(root, 'grant', 'alice', '--net', 'br-none:1', *words)
        assert done.code == 0 and 'alice  veth  br-none  1' in done.out, done
        assert re.findall(r'^(\S+): (\w+): .*\[(.*)\]$', done.err, re.M) == [(NET + ':2:14', 'warning', 'bridge-missing')], done
    assert well(root, 'grant', 'alice', '--net', 'br-none:1', '--dry-run') == 'alice has that already: nothing would be changed\n'
    done = tool(root, 'revoke', 'alice', '--net', 'br-none')
    assert done.code == 0 and done.err == '' and read(NET) == 'bob veth br-old 1\n', done


@case('two lines of a user for a bridge add up, and are not guessed about')
def _(root):
    root.write(NET, 'alice veth br0 1\nalice veth br0 2\n')
    done = tool(root, 'grant', 'alice', '--net', 'br0:3')
    assert done.code == 125 and '2 lines' in done.err, done
    well(root, 'revoke', 'alice', '--net', 'br0')
    assert read(NET) == ''


@case('a malformed file is not touched, and the place is named')
def _(root):
    for path, words in ((NET, ['--net', 'br0:1']), (CGROUP, ['--cgroup', 'pids.max=5'])):
        root.write(path, 'bob\n')
        done = tool(root, 'grant', 'alice', *words)
        assert done.code == 125 and '.conf:1:' in done.err and 'userns-policy edit' in done.err, done
        assert read(path) == 'bob\n'


@case('--cgroup: put before groups and everyone; keys are set in place; the last key takes the line with it')
def _(root):
    text = '# head\nbase = /x\n@staff pids.max=9\n* pids.max=5 # all\n'
    root.write(CGROUP, text)
    well(root, 'grant', 'alice', '--cgroup', 'memory.max=4G', 'pids.max=100')
    assert read(CGROUP) == text.replace('@staff', 'alice memory.max=4G pids.max=100\n@staff'), read(CGROUP)
    assert 'nothing was changed' in well(root, 'grant', 'alice', '--cgroup', 'pids.max=100')
    root.write(CGROUP, read(CGROUP).replace('pids.max=100', 'pids.max=100  # hers'))
    well(root, 'grant', 'alice', '--cgroup', 'memory.max=1G', '--cgroup', 'io.max=8:0,rbps=1M', 'io.max=8:16,rbps=1M')
    well(root, 'grant', 'alice', '--cgroup', 'io.max=8:16,rbps=2M')
    assert 'alice memory.max=1G pids.max=100 io.max=8:0,rbps=1M io.max=8:16,rbps=2M  # hers\n' in read(CGROUP), read(CGROUP)
    well(root, 'revoke', 'alice', '--cgroup', 'io.max', 'pids.max')
    assert 'alice memory.max=1G  # hers\n' in read(CGROUP), read(CGROUP)
    well(root, 'revoke', 'alice', '--cgroup', 'memory.max')
    assert read(CGROUP) == text
    well(root, 'grant', '@alice', '--cgroup', 'containers=1')
    assert read(CGROUP) == text.replace('* ', '@alice containers=1\n* '), read(CGROUP)
    well(root, 'revoke', '@alice', '--cgroup', 'all')
    assert read(CGROUP) == text
    done = tool(root, 'grant', 'alice', '--cgroup', 'pids.maxx=1')
    assert done.code == 125 and 'pids.maxx' in done.err, done
    done = tool(root, 'grant', 'alice', '--cgroup', 'pids.max')
    assert done.code == 125 and "'pids.max' has no value" in done.err, done
    done = tool(root, 'revoke', 'alice', '--cgroup', 'pids.maxx')
    assert done.code == 125 and 'pids.maxx' in done.err, done


@case('a file that is not there yet is made, root\'s and readable')
def _(root):
    os.path.exists(NET) and os.unlink(NET)
    well(root, 'grant', 'alice', '--net', 'br0:1')
    facts = os.stat(NET)
    assert (facts.st_uid, facts.st_gid, facts.st_mode & 0o7777) == (0, 0, 0o644)


@case('a link is followed to its file, which is replaced; an unsafe one is refused')
def _(root):
    os.path.exists(NET) and os.unlink(NET)
    root.write('/etc/lxc-usernet-there', 'bob veth br0 1\n')
    os.symlink('../lxc-usernet-there', NET)
    well(root, 'grant', 'alice', '--net', 'br0:1')
    assert os.path.islink(NET) and 'alice' in read('/etc/lxc-usernet-there')
    os.unlink(NET)
    hers = f'{root.tmp}/home/alice/net.conf'
    root.write(hers, '')
    os.symlink(hers, NET)
    done = tool(root, 'grant', 'alice', '--net', 'br0:1')
    assert done.code == 125 and '[TF-PATH]' in done.err and read(hers) == '', done
    os.unlink(NET)
    os.symlink('/etc/nowhere/at-all', NET)
    done = tool(root, 'grant', 'alice', '--net', 'br0:1')
    assert done.code == 125 and 'symbolic link' in done.err, done
    os.unlink(NET)


@case('a full disk leaves the old file, and nothing beside it')
def _(root):
    text = '# x\n' * 5000
    directory = f'{root.tmp}/small'
    os.makedirs(directory, exist_ok=True)
    mount('tmpfs', directory, 'tmpfs', 0, 'size=48k,mode=755')
    try:
        root.write(f'{directory}/net.conf', text)
        with open(f'{directory}/filler', 'wb') as filler:
            try:
                filler.write(b'x' * (64 << 10))
                filler.flush()
            except OSError:
                pass
        os.path.lexists(NET) and os.unlink(NET)
        os.symlink(f'{directory}/net.conf', NET)
        done = tool(root, 'grant', 'alice', '--net', 'br0:1')
        assert done.code == 125 and 'No space left' in done.err and 'left as it is' in done.err, done
        assert read(f'{directory}/net.conf') == text and sorted(os.listdir(directory)) == ['filler', 'net.conf']
    finally:
        os.unlink(NET)
        umount(directory)
    nothing_left()


@case('killed before any of its steps: the file is the old one or the new one, and the next grant succeeds')
def _(root):
    calls, steps = {LINK: 'link', RENAME: 'rename', FSYNC: 'fsync', SYSCALL['write']: 'write'}, 0
    old = '# a\nbob veth br0 1\n'
    new = old + 'alice  veth  br0  1\n'
    for step in range(40):
        root.write(NET, old)
        count = [0]

        def kill(stop):
            if stop.number in calls:
                count[0] += 1
                if count[0] == step + 1:
                    os.kill(stop.pid, 9)
            return None
        done = trace(spawn([root.program('userns-policy'), 'grant', 'alice', '--net', 'br0:1'], traced=True), kill)
        assert read(NET) in (old, new), read(NET)
        if done.code == 0:
            break
        steps += 1
        assert done.code == -9, done
        well(root, 'grant', 'alice', '--net', 'br0:1')
        assert read(NET) == new
        left = [n for n in os.listdir('/etc/userns') if n.endswith(('.lock', '.userns-policy'))]
        assert not left, left
        for name in os.listdir('/etc/userns'):
            if re.match(r'net\.conf\.\d+$', name):  # of the killed one's number; harmless
                os.unlink(f'/etc/userns/{name}')
    assert steps >= 4, steps
    return f'{steps} places to die'


@case('a lock of a living process is waited for and then respected; one of a dead process is taken over')
def _(root):
    sleeper = spawn(['/bin/sleep', '60'])
    root.write(f'{NET}.lock', f'{sleeper.pid}\0')
    root.write(NET, '')
    child = spawn([root.program('userns-policy'), 'grant', 'alice', '--net', 'br0:1'])
    time.sleep(0.5)
    assert read(NET) == ''
    sleeper.kill()
    sleeper.wait()
    done = child.wait(30)
    assert done.code == 0 and 'alice' in read(NET), done
    nothing_left()


@case('who waits for a lock for a second is told for what and whom, once; and gets it when it is free')
def _(root):
    def waiting(*words):
        said, err = os.pipe()
        child = spawn([root.program('userns-policy'), *words], fds={2: err})
        os.close(err)
        return child, said

    def end(child, said):
        done = child.wait(30)
        rest = os.read(said, 4096)
        os.close(said)
        assert done.code == 0 and b'waiting' not in rest, (done, rest)
    sleeper = spawn(['/bin/sleep', '60'])
    root.write(f'{NET}.lock', f'{sleeper.pid}\0')
    child, said = waiting('grant', 'alice', '--net', 'br0:1')
    line = os.read(said, 4096).decode()
    assert line == f"userns-policy: {NET} is being changed by process {sleeper.pid} ('sleep'): waiting for it, 15 seconds at most\n", line
    sleeper.kill()
    sleeper.wait()
    end(child, said)
    with open('/etc/.pwd.lock', 'w') as file:
        fcntl.lockf(file, fcntl.LOCK_EX)  # as lckpwdf(3) does
        child, said = waiting('grant', 'carol', '--ids', '65536')
        line = os.read(said, 4096).decode()
        assert line.startswith(f'userns-policy: the account files are locked (/etc/.pwd.lock) by process {os.getpid()} ('), line
    end(child, said)
    assert 'carol' in read('/etc/subuid') and 'carol' in read('/etc/subgid')
    nothing_left()


# --- E15 ----------------------------------------------------------------------------------------

@cases([(f'{name} that is bind-mounted cannot be replaced: that is said first, and truly nothing is changed', name) for name in ('subuid', 'subgid')])
def _(root, name):
    path = f'/etc/{name}'
    before = {p: read(p) for p in ('/etc/subuid', '/etc/subgid')}
    mount(path, path, None, 4096)
    try:
        seen = set()

        def watch(_stop):
            seen.add((read('/etc/subuid'), read('/etc/subgid')))
        done = trace(spawn([root.program('userns-policy'), 'grant', 'carol', '--ids', '65536'], None, traced=True), watch)
        assert done.code == 125 and f'{path} is a mount point' in done.err and 'half' not in done.err and done.out == '', done
        assert len(seen) == 1 and {p: read(p) for p in before} == before, seen
    finally:
        umount(path)
    nothing_left()


@case('a file behind a link of root\'s is changed where it is, and the link stays')
def _(root):
    text = read('/etc/subuid')
    root.write('/etc/subuid.real', text)
    os.unlink('/etc/subuid')
    os.symlink('/etc/subuid.real', '/etc/subuid')
    try:
        well(root, 'grant', 'carol', '--ids', '65536')
        assert os.path.islink('/etc/subuid') and read('/etc/subuid.real').startswith(text) and 'carol:' in read('/etc/subuid.real')
    finally:
        os.unlink('/etc/subuid')
        os.unlink('/etc/subuid.real')
        root.write('/etc/subuid', text)


@case('what programs left that were killed before they had a lock is removed, and nothing else')
def _(root):
    dead = '4194303'
    for name, text in ((dead, dead), ('4194302', ''), ('4194301', 'notes'), (str(os.getpid()), str(os.getpid()))):
        root.write(f'/etc/subuid.{name}', text)
    try:
        well(root, 'grant', 'carol', '--ids', '65536')
        left = {n for n in os.listdir('/etc') if re.match(r'subuid\.\d+$', n)}
        assert left == {'subuid.4194301', f'subuid.{os.getpid()}'} or left == {f'subuid.{os.getpid()}'}, left
    finally:
        for name in os.listdir('/etc'):
            if re.match(r'subuid\.\d+$', name):
                os.unlink(f'/etc/{name}')


if __name__ == '__main__':
    with_own_pids()
    main()
