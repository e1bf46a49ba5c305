#!/usr/bin/env python3
"""userns-policy beside a directory that answers by name and by id, and lists nobody (SSSD's default); and beside a
login.defs whose ids are deterministic."""

import os
import re
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
from harness import case, cases, main  # noqa: E402

LIBRARIES = '/usr/lib/x86_64-linux-gnu'
IDS = '/etc/userns/ids.conf'
# Of four accounts of the directory the numbers are in what would be the next free blocks.
QUIET = 'quiet1:265540\nquiet2:331072\nquiet3:396608\nquiet4:462200\n'


def tool(root, *words, user=None):
    return root.run([root.program('userns-policy'), *words], user)


def directory(root, users=QUIET, groups='', subids='alice:100000:65536\nbob:200000:65536\n'):
    root.overlay(LIBRARIES)
    shutil.copyfile(os.path.join(root.build, 'tests', 'frontend', 'libnss_quiet.so'), f'{LIBRARIES}/libnss_quiet.so.2')
    root.write('/etc/nsswitch.conf', 'passwd: files quiet\ngroup: files quiet\n')
    root.write('/etc/quiet-users', users)
    root.write('/etc/quiet-groups', groups)
    root.subuid(subids)
    root.subgid(subids)
    for path in (IDS, '/etc/userns/net.conf', '/etc/userns/cgroup.conf', '/etc/quiet-slow'):
        if os.path.exists(path):
            os.unlink(path)


def given(root, who, *more):
    done = tool(root, 'grant', who, '--ids', '65536', *more)
    assert done.code == 0, done
    with open('/etc/subuid') as file:
        found = re.findall(rf'^{who}:(\d+):65536$', file.read(), re.M)
    assert len(found) == 1, found
    return int(found[0]), done


def holds(first, uid):
    return first <= uid < first + 65536


@case('the directory answers by id and by name, and lists nobody')
def _(root):
    directory(root)
    for key in ('265540', 'quiet1'):
        done = root.run(['/usr/bin/getent', 'passwd', key])
        assert done.out.startswith('quiet1:'), done
    assert 'quiet' not in root.run(['/usr/bin/getent', 'passwd']).out


@case('a user of the directory does not get their own uid among their ids')
def _(root):
    directory(root, 'quiet1:300000\n')
    first, done = given(root, 'quiet1')
    assert not holds(first, 300000), first


@case('accounts from the border of a block on are found by their ids, and passed over')
def _(root):
    directory(root, ''.join(f'a{uid}:{uid}\n' for uid in range(265536, 268536)))
    first, _ = given(root, 'carol')
    assert first >= 268536, first
    directory(root, 'last:331071\n')
    first, _ = given(root, 'carol')
    assert first > 331071, first


@case('a group of the directory is found, too')
def _(root):
    directory(root, '', 'g:265536\n')
    first, _ = given(root, 'carol')
    assert not holds(first, 265536), first


@case('an account that a policy file names is not given away')
def _(root):
    directory(root)
    root.write('/etc/userns/net.conf', 'quiet1 veth br0 1\n@quietg veth br0 1\n')
    root.write('/etc/quiet-groups', 'quietg:331080\n')
    root.write('/etc/userns/cgroup.conf', 'quiet4 pids.max=5\n')
    first, _ = given(root, 'carol')
    assert not any(holds(first, uid) for uid in (265540, 331080, 462200)), first


@case('the owner of a home is not given away, whether the directory answers or not')
def _(root):
    directory(root, '')
    root.overlay('/home')
    os.makedirs('/home/quiet-home')
    try:
        os.chown('/home/quiet-home', 265599, 265599)
        first, _ = given(root, 'carol')
        assert not holds(first, 265599), first
        # Now check says so of a line that holds it.
        root.subuid('carol:265536:65536\n')
        done = tool(root, 'check')
        assert '[real-user]' in done.out and '/home/quiet-home' in done.out, done
    finally:
        os.rmdir('/home/quiet-home')


@case('ids.conf names accounts and ranges of the directory, and grant and check keep to it')
def _(root):
    directory(root, 'quiet9:265777\n')
    root.write(IDS, '# ours\nuser_names = quiet9 nobody-such\nranges = 400000-599999\n')
    root.subuid('alice:100000:65536\nbob:200000:65536\nuser:331314:65536\n')
    first, done = given(root, 'carol')
    assert not holds(first, 265777) and not first < 600000 <= first + 65536 and first >= 600000, first
    root.subuid('carol:265700:100\nalice:450000:10\n')
    done = tool(root, 'check')
    assert re.search(r'subuid:1:7: error: .*265777.*quiet9.* \[real-user\]', done.out), done
    assert re.search(r'subuid:2:7: error: .*ids.conf.* \[directory-range\]', done.out), done


@case('a malformed ids.conf is named with its place, and grant refuses to guess')
def _(root):
    for text, column in (('range = 1-2\n', 1), ('ranges = 2-1\n', 10), ('ranges = 1-x\n', 10), ('ranges 1-2\n', 8),
                         ('ranges = 4294967295-4294967296\n', 10)):
        directory(root)
        root.write(IDS, '\n' + text)
        done = tool(root, 'grant', 'carol', '--ids', '65536')
        assert done.code == 125 and f'{IDS}:2:{column}' in done.err.replace('ids.conf:2: ', f'ids.conf:2:{column} '), done
        done = tool(root, 'check')
        assert done.code == 2 and f'{IDS}:2:{column}: error:' in done.out, done


@case('check finds an account of the directory at the border of a line, and the owner\'s own id')
def _(root):
    directory(root, 'quiet1:265536\nquiet2:499999\nquiet3:600005\n', subids='alice:265536:65536\nbob:400000:100000\nquiet3:600000:10\n')
    done = tool(root, 'check')
    for line, name in ((1, 'quiet1'), (2, 'quiet2'), (3, 'quiet3')):
        assert re.search(rf'subuid:{line}:\d+: error: .*{name}.* \[real-user\]', done.out), (line, done)


@case('--from into an account of the directory is refused and says whose it is')
def _(root):
    directory(root, 'quiet1:300000\n')
    done = tool(root, 'grant', 'carol', '--ids', '65536', '--from', '300000')
    assert done.code == 125 and 'quiet1' in done.err, done
    with open('/etc/subuid') as file:
        assert 'carol' not in file.read()


@case('an account or group at any id of a range is found, if the directory answers fast enough')
def _(root):
    for number in (4, 77, 1022):
        for users, groups in ((f'quiet1:{265536 + number}\n', ''), ('', f'quietg:{265536 + number}\n')):
            directory(root, users, groups)
            done = tool(root, 'grant', 'carol', '--ids', '1024')
            first = int(re.search(r'subuid \[(\d+)', done.out)[1])
            assert done.code == 0 and done.err == '' and not first <= 265536 + number < first + 1024, (users, groups, done)


@case('grant says how many ids a slow directory was not asked for, and not where ids.conf names the ranges or nothing is quiet')
def _(root):
    directory(root)
    root.write('/etc/quiet-slow', '')
    _, done = given(root, 'carol')
    said = re.search(r'in 2 seconds not for (\d+) of them', done.err)
    assert 'quiet' in done.err and 'does not list' in done.err and IDS in done.err and 100000 < int(said[1]) <= 131072, done
    directory(root)
    root.write('/etc/quiet-slow', '')
    root.write(IDS, 'ranges = 700000-799999\n')
    _, done = given(root, 'carol')
    assert done.err == '', done
    directory(root)
    root.write('/etc/nsswitch.conf', 'passwd: files systemd\ngroup: files\n')
    _, done = given(root, 'carol')
    assert done.err == '', done


# --- SUB_UID_DETERMINISTIC of shadow 4.20 -------------------------------------------------------
# Its numbers, by hand: SUB_UID_MIN + (uid - UID_MIN) * SUB_UID_COUNT, for gids by the uid and UID_MIN, too; the
# standards of SUB_UID_MIN and SUB_UID_MAX are then 65536 and the last id.

def login_defs(root, text):
    root.write('/etc/login.defs', text)
    for path in ('/etc/subuid', '/etc/subgid'):
        root.write(path, '')
    root.write('/etc/nsswitch.conf', 'passwd: files\ngroup: files\n')


BOTH = 'SUB_UID_DETERMINISTIC yes\nSUB_GID_DETERMINISTIC yes\nUID_MAX 70999\n'


@cases([(f'deterministic: {text!r}', text, uids, gids) for text, uids, gids in [
    (BOTH + 'UID_MIN 70000\n', 65536 + 3 * 65536, 65536 + 3 * 65536),
    (BOTH + 'UID_MIN 70000\nGID_MIN 5\nSUB_UID_MIN 1000000\nSUB_GID_MIN 2000000\nSUB_GID_COUNT 70000\n', 1000000 + 3 * 65536, 2000000 + 3 * 70000),
    ('SUB_UID_DETERMINISTIC YES\nUID_MAX 70999\nUID_MIN 70001\nSUB_UID_MIN 500000\n', 500000 + 2 * 65536, 500000 + 2 * 65536),
]])
def _(root, text, uids, gids):
    login_defs(root, text)
    assert f'would give [{uids}-' in tool(root, 'explain', 'carol', 'map').out
    done = tool(root, 'grant', 'carol', '--ids', '65536')
    assert done.code == 0, done
    for path, first in (('/etc/subuid', uids), ('/etc/subgid', gids)):
        with open(path) as file:
            assert file.read() == f'carol:{first}:65536\n', (path, done)
    assert 'would give' not in tool(root, 'explain', 'carol', 'map').out.split('newgidmap')[0]
    assert '[deterministic]' not in tool(root, 'check').out


@case('deterministic: a block that is not whole within the range, or not free, is refused with the reason')
def _(root):
    login_defs(root, BOTH + 'UID_MIN 70000\nSUB_UID_MIN 100000\nSUB_UID_MAX 362143\nSUB_GID_MIN 100000\n')
    for words, why in (((), None), (('--from', '500000'), 'and no others'), (('--ids', '65537'), 'and no others')):
        done = tool(root, 'grant', 'carol', *(() if '--ids' in words else ('--ids', '65536')), *words, '--dry-run')
        assert done.code == (125 if why else 0) and (not why or why in done.err), done
    login_defs(root, BOTH + 'UID_MIN 70000\nSUB_UID_MIN 100000\nSUB_UID_MAX 362142\nSUB_GID_MIN 100000\n')
    done = tool(root, 'grant', 'carol', '--ids', '65536')
    assert done.code == 125 and 'has no ids for uid 70003' in done.err, done
    done = tool(root, 'grant', 'carol', '--ids', '5')
    assert done.code == 125, done
    login_defs(root, BOTH + 'UID_MIN 70000\n')
    root.write('/etc/subuid', 'bob:300000:10\n')
    done = tool(root, 'grant', 'carol', '--ids', '65536')
    assert done.code == 125 and "'bob' has [300000-300010) (/etc/subuid:1)" in done.err, done


@case('deterministic: check names a line with ids that useradd has for another uid')
def _(root):
    login_defs(root, BOTH + 'UID_MIN 70000\n')
    root.write('/etc/subuid', 'carol:262144:65536\nbob:262143:65536\nalice:131072:10\n')
    done = tool(root, 'check')
    assert re.findall(r'^/etc/subuid:(\d+):.*uid (\d+), .*\[deterministic\]', done.out, re.M) == [('2', '70003')], done


main()
