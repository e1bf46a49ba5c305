#!/usr/bin/env python3
"""userns-policy check on files as they lie on a disk: owners, modes, links, other roots, what is printed and where."""

import json
import os
import pty
import re
import shutil
import shlex
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
from harness import User, case, cases, main  # noqa: E402

NET, CGROUP = '/etc/userns/net.conf', '/etc/userns/cgroup.conf'


def setup(root, net=None, cgroup=None):
    for path, text in ((NET, net), (CGROUP, cgroup)):
        if os.path.lexists(path):
            os.unlink(path)
        if text is not None:
            root.write(path, text)


def read(path):
    with open(path) as file:
        return file.read()


def check(root, *words, user=None, **how):
    return root.run([root.program('userns-policy'), 'check', *words], user, **how)


def findings(root, *words, user=None):
    """[(id, file, line)] and the exit status."""
    done = check(root, '--json', *words, user=user)
    assert done.err == '', done
    document = json.loads(done.out)
    found = [(f['id'], f['file'], f.get('line')) for f in document['findings']]
    assert document['errors'] + document['warnings'] == len(found), document
    assert done.code == (2 if document['errors'] else 1 if found else 0), done
    return found


@case('clean files: status 0, one line that names them')
def _(root):
    setup(root)
    done = check(root)
    assert (done.code, done.err, done.out) == (0, '', 'no errors, no warnings in /etc/subuid, /etc/subgid\n'), done


@case('a warning is status 1, an error is status 2')
def _(root):
    setup(root, 'nobodyatall veth br0 1\n')
    done = check(root, NET)
    assert done.code == 1 and '0 errors, 2 warnings' in done.out, done
    setup(root, 'x\n')
    assert check(root, NET).code == 2


@case('the report is as a compiler\'s: place, line, caret, why, fix')
def _(root):
    setup(root)
    root.subuid('alice:100000:65536\nbob:0200000:65536\n')
    done = check(root)
    lines = done.out.splitlines()
    assert lines[0].startswith("/etc/subuid:2:5: error: the line has start '0200000', which starts with 0 (octal elsewhere)"), done
    assert lines[1:3] == ['  bob:0200000:65536', '      ^~~~~~~'] and lines[3].startswith('  why: '), done
    assert lines[4] == '  fix: write the number in decimal', done


@case('JSON has a version, the files and every field of a finding')
def _(root):
    setup(root)
    root.subuid('alice:100000:65536\nbob:100000:65536\n')
    document = json.loads(check(root, '--json').out)
    assert document['version'] == 1 and document['files'] == ['/etc/subuid', '/etc/subgid'], document
    (found,) = [f for f in document['findings'] if f['id'] == 'overlap']
    assert set(found) == {'severity', 'id', 'file', 'line', 'column', 'length', 'source', 'what', 'why', 'fix'}, found
    assert (found['severity'], found['line'], found['column'], found['source']) == ('error', 2, 5, 'bob:100000:65536'), found


@case('colour on a terminal alone, and not with NO_COLOR')
def _(root):
    setup(root, 'x\n')
    texts = []
    for env in ({}, {'NO_COLOR': '1'}, {'NO_COLOR': ''}):
        outer, inner = pty.openpty()
        done = check(root, NET, env=env, fds={1: inner})
        os.close(inner)
        texts.append(os.read(outer, 65536))
        os.close(outer)
        assert done.code == 2, done
    assert [b'\033[' in text for text in texts] == [True, False, True], texts
    assert '\033' not in check(root, NET).out


@cases([
    ('a file that its group can write', lambda: os.chmod(NET, 0o664), ('unsafe-file', NET), 'TF-FILE'),
    ('a file that others can write', lambda: os.chmod(NET, 0o646), ('unsafe-file', NET), 'TF-FILE'),
    ('a file that is not root\'s', lambda: os.chown(NET, 70001, 0), ('unsafe-file', NET), 'TF-FILE'),
    ('a directory that its group can write', lambda: os.chmod('/etc/userns', 0o775), ('unsafe-path', '/etc/userns'), 'TF-PATH'),
    ('a directory that is not root\'s', lambda: os.chown('/etc/userns', 70001, 0), ('unsafe-path', '/etc/userns'), 'TF-PATH'),
])
def _(root, spoil, finding, rule):
    setup(root, '# nothing\n')
    try:
        spoil()
        assert [f[:2] for f in findings(root)] == [finding]
        # The helpers say the same.
        with root.target(root.alice, 0x50000000) as target:
            done = root.run([root.program('userns-net'), 'add', '--netns', f'pid:{target.pid}', '--bridge', 'lo'], root.alice)
        assert f'[{rule}]' in done.err, done
    finally:
        os.chmod('/etc/userns', 0o755)
        os.chown('/etc/userns', 0, 0)


@case('a link through a directory of a user\'s is found, and the directory is named')
def _(root):
    setup(root)
    home = f'{root.tmp}/home/alice'
    root.write(f'{home}/net.conf', '# nothing\n')
    os.symlink(f'{home}/net.conf', NET)
    assert findings(root) == [('unsafe-path', home, None)]
    os.unlink(NET)
    os.symlink(NET, NET)
    assert [f[0] for f in findings(root)] == ['unsafe-path']


@case('a link within /etc is as good as the file')
def _(root):
    setup(root)
    root.write('/etc/lxc-usernet-here', '# nothing\n')
    os.symlink('../lxc-usernet-here', NET)
    assert findings(root) == []


@case('subid files and net.conf must be readable by everyone, cgroup.conf not')
def _(root):
    setup(root, '# nothing\n', '# nothing\n')
    for path in (NET, CGROUP, '/etc/subgid'):
        os.chmod(path, 0o600)
    assert findings(root) == [('unreadable', '/etc/subgid', None), ('unreadable', NET, None)]


@case('a user who cannot read a file is told so, and gets the rest')
def _(root):
    setup(root, 'x\n', '# nothing\n')
    os.chmod(CGROUP, 0o600)
    assert findings(root, user=root.alice) == [('unreadable', CGROUP, None), ('malformed', NET, 1)]


@case('neither a fifo nor a directory nor a device hangs it')
def _(root):
    setup(root)
    for make in (lambda: os.mkfifo(NET), lambda: os.mkdir(NET), lambda: os.mknod(NET, 0o20644, os.makedev(1, 5))):
        make()
        assert [f[:2] for f in findings(root)] == [('unsafe-file', NET)]
        os.rmdir(NET) if os.path.isdir(NET) else os.unlink(NET)


@case('--root takes accounts and files from a directory, and asks the machine nothing')
def _(root):
    top = f'{root.tmp}/image'
    for name in ('etc/userns', 'etc/sssd'):
        os.makedirs(f'{top}/{name}')
    root.write(f'{top}/etc/passwd', 'root:x:0:0::/:\nzoe:x:1000:1000::/:\n')
    root.write(f'{top}/etc/group', 'root:x:0:\nzoe:x:1000:\nstaff:x:50:zoe\n')
    root.write(f'{top}/etc/subuid', 'zoe:100000:65536\nalice:300000:65536\n')
    root.write(f'{top}/etc/subgid', 'zoe:100000:65536\nalice:300000:65536\n')
    root.write(f'{top}/etc/userns/net.conf', '@staff veth no-such-bridge 1\n@students veth br0 1\n')
    root.write(f'{top}/etc/login.defs', 'SUB_UID_MIN 200000\n')
    root.write(f'{top}/etc/sssd/sssd.conf', '[domain/x]\nid_provider = ldap\nmin_id = 300000\nmax_id = 400000\n')
    found = findings(root, '--root', top + '/')
    assert found == [('outside-login-defs', f'{top}/etc/subuid', 1), ('unknown-owner', f'{top}/etc/subuid', 2),
                     ('directory-range', f'{top}/etc/subuid', 2), ('unknown-owner', f'{top}/etc/subgid', 2),
                     ('directory-range', f'{top}/etc/subgid', 2), ('group-missing', f'{top}/etc/userns/net.conf', 2)], found
    done = check(root, '--root', f'{root.tmp}/nowhere')
    assert done.code == 125 and 'nowhere/etc: No such file' in done.err, done


@case('a login.defs that is not a range is said, with its line and what stands in for it')
def _(root):
    before = open('/etc/login.defs').read()
    try:
        root.write('/etc/login.defs', '# ids\nSUB_UID_MIN abc\nSUB_GID_MAX 5\nSUB_UID_COUNT many\n')
        done = check(root)
        assert done.code == 2 and "/etc/login.defs:2:13: error: SUB_UID_MIN 'abc' is not a decimal number" in done.out, done
        assert 'the standard, 100000, stands in for it' in done.out and "SUB_UID_COUNT 'many'" in done.out, done
        found = [f for f in findings(root) if f[1] == '/etc/login.defs']
        assert sorted(found) == [('login-defs', '/etc/login.defs', n) for n in (2, 3, 4)], found
        # A file that is named is judged by its own lines.
        assert [f for f in findings(root, '/etc/subuid') if f[1] == '/etc/login.defs'] == []
    finally:
        root.write('/etc/login.defs', before)


@case('what is proposed for lines of users and groups that are no more can be done as it is said')
def _(root):
    setup(root)
    whole = [read(path) for path in ('/etc/subuid', '/etc/subgid')]
    for path in ('/etc/subuid', '/etc/subgid'):
        with open(path, 'a') as file:
            file.write('ghost:900000:10\n4000000:910000:10\ngone user:920000:10\n')
    root.write(NET, '# ours\nghost veth br0 1 # his\n@nobody-there veth br0 1\n')
    root.write(CGROUP, '# ours\n@nobody-there containers=1\nghost containers=1\n')
    fixes = [f['fix'] for f in json.loads(check(root, '--json').out)['findings']
             if f['id'] in ('unknown-owner', 'group-missing', 'small', 'one-sided')]
    assert len(fixes) == 10, fixes
    for fix in fixes:
        words = shlex.split(re.search(r'userns-policy (revoke .*?)(, or|$)', fix)[1])
        done = root.run([root.program('userns-policy'), *words])
        assert done.code == 0 or 'no such line names one' in done.err, (fix, done)  # both subid files at once
    assert [read(path) for path in ('/etc/subuid', '/etc/subgid')] == whole
    assert (read(NET), read(CGROUP)) == ('# ours\n', '# ours\n'), (read(NET), read(CGROUP))
    done = root.run([root.program('userns-policy'), 'revoke', 'ghots', '--ids', 'all'])
    assert done.code == 125 and "there is no user 'ghots', and no such line names one" in done.err, done


@case('named files are told by their name or by --as')
def _(root):
    draft = f'{root.tmp}/draft'
    root.write(draft, 'x\n')
    done = check(root, draft)
    assert done.code == 125 and '--as' in done.err and done.out == '', done
    assert findings(root, '--as', 'net.conf', draft) == [('malformed', draft, 1)]
    assert findings(root, '--as', 'subuid', draft) == [('malformed', draft, 1)]
    done = check(root, '/nowhere/subuid')
    assert done.code == 125 and 'No such file' in done.err, done


@case('ids that come from NSS make the files unread, which is said')
def _(root):
    setup(root)
    root.write('/etc/nsswitch.conf', 'passwd: files\nsubid: sss\n')
    assert findings(root) == [('not-read', '/etc/nsswitch.conf', 2), ('source', '/etc/nsswitch.conf', None)]


@case('a real user in a range, found by NSS')
def _(root):
    setup(root)
    root.subuid('alice:70000:65536\n')
    found = findings(root)
    assert ('real-user', '/etc/subuid', 1) in found, found


@case('a hundred thousand lines are read at once')
def _(root):
    setup(root)
    text = ''.join(f'alice:{100000 + 10 * i}:10\n' for i in range(100000))
    root.subuid(text)
    root.subgid('alice:100000:1000000\n')
    found = findings(root)
    assert found == [], found[:5]


@case('links of an image lead nowhere else: what is read is the image\'s')
def _(root):
    top = f'{root.tmp}/hostile'
    os.makedirs(f'{top}/etc/userns')
    for name in ('passwd', 'group'):
        root.write(f'{top}/etc/{name}', 'root:x:0:0::/:\n')
    root.write(f'{root.tmp}/secret', 'a secret of the host\n')
    os.symlink(f'{root.tmp}/secret', f'{top}/etc/subuid')
    os.symlink('../../secret', f'{top}/etc/subgid')
    os.symlink('/etc/real', f'{top}/etc/userns/net.conf')
    root.write(f'{top}/etc/real', 'root veth br0 1 mtu=\n')
    done = check(root, '--root', top)
    assert 'secret of' not in done.out and f'{top}/etc/userns/net.conf:1:17: error' in done.out, done


@case('bad words are refused with the nearest good one')
def _(root):
    for words, says in ((['--jsn'], '--json'), (['--as', 'x', NET], '--as'), (['--root', '/', NET], '--root'),
                        (['--root'], 'needs a value')):
        done = check(root, *words)
        assert done.code == 125 and says in done.err and done.out == '' and done.err.count('\n') == 1, done
    done = root.run([root.program('userns-policy'), 'chekc'])
    assert done.code == 125 and 'did you mean check?' in done.err, done
    done = root.run([root.program('userns-policy'), 'check', '--help'])
    assert done.code == 0 and '--root DIR' in done.out, done


@cases([(' '.join(['userns-policy', *words]) + (' by an ordinary user' if is_user else ''), words, pieces, is_user) for words, pieces, is_user in [
    ([], ['usage: userns-policy VERB', 'which verb?'], False),
    (['chek'], ['did you mean check?', 'userns-policy --help'], False),
    (['--json', 'check'], ["no option '--json'", 'a verb comes before its options'], False),
    (['-h'], ["no option '-h'", 'userns-policy --help lists them'], False),
    (['check', '-json'], ["check has no option '-json'", 'did you mean --json?', './-json'], False),
    (['check', '--root', ''], ['--root is empty', 'name the directory'], False),
    (['check', '--root', '/nowhere'], ["cannot look into /nowhere/etc: No such file"], False),
    (['check', 'subgid'], ["no file 'subgid' in this directory", '/etc/subgid', 'where no file is named'], False),
    (['check', ''], ['the name of a file is empty'], False),
    (['check', '/etc'], ['/etc is a directory: name a file in it'], False),
    (['check', '--as', 'subuid', '/dev/null'], ['/dev/null is not a regular file: name a text file'], False),
    (['check', '/mnt/shut/subuid'], ['cannot open /mnt/shut/subuid as uid 70001', 'sudo'], True),
    (['explain', 'map', 'alice'], ['the user comes first: userns-policy explain alice map'], False),
    (['explain', 'alice', 'mapp'], ["nothing to explain about 'mapp'", 'map, net or cgroup'], False),
    (['explain', 'alice', 'cgroup'], ['which only root may: sudo userns-policy explain alice cgroup', 'Permission denied'], True),
    (['edit'], ['edit takes one of', 'userns-policy edit net.conf'], False),
    (['edit', 'cgroup.conf'], ['only root can change', 'sudo userns-policy edit cgroup.conf'], True),
    (['grant', 'alice'], ['what to grant?', 'grant --help'], False),
    (['grant', '--ids', '5'], ['grant needs a user', 'grant --help'], False),
    (['grant', 'alice', '65536'], ["unexpected argument '65536'; did you mean --ids 65536?"], False),
    (['grant', 'alice', 'br0:2'], ['did you mean --net br0:2?'], False),
    (['grant', 'alice', 'pids.max=2'], ['did you mean --cgroup pids.max=2?'], False),
    (['grant', 'alice', '--ids', '65,536'], ["--ids '65,536' is not a decimal number: write how many", 'as in --ids 65536'], False),
    (['grant', 'alice', '--net', ':1'], ["--net ':1': '' is not a name of a bridge"], False),
    (['grant', 'alice', '--ids', '65536'], ['only root may: sudo', '--dry-run'], True),
    (['revoke', 'alice', '--net', ''], ["--net '': that is not a name of a bridge"], False),
    (['import-lxc', '--usernet', '/etc'], ['/etc is a directory: name a file in it'], False),
    (['import-lxc', '--usernet', '/dev/stdin', '--dry-run'], ['--dry-run goes with --merge'], False),
    (['import-lxc', '--usernet', '/etc/subuid', '--output', '/nowhere'], ['cannot make /nowhere/net.conf; --output names a directory that is there: No such file'], False),
]])
def _(root, words, pieces, is_user):
    setup(root, cgroup='alice pids.max=5\n')
    os.chmod(CGROUP, 0o600)
    os.makedirs('/mnt/shut', exist_ok=True)
    root.write('/mnt/shut/subuid', 'alice:100000:65536\n', mode=0o600)
    done = root.run([root.program('userns-policy'), *words], root.alice if is_user else None)
    last = done.err.splitlines()[-1]
    assert done.code == 125 and done.out == '' and last.startswith('userns-policy: ') and (not words or done.err.count('\n') == 1), done
    assert all(piece in done.err for piece in pieces), (pieces, done)


@case('machine-id: an image that has one already, and a host without one, are warned of where MAC addresses are computed from it; salt= is the way out')
def _(root):
    def told(text, line, where):
        tree = f'{root.tmp}/image'
        os.makedirs(f'{tree}/etc/userns', exist_ok=True)
        for path, value in (('machine-id', text), ('userns/net.conf', line), ('passwd', 'alice:x:70001:70001::/:/bin/sh\n'), ('group', '')):
            if value is None:
                if os.path.exists(f'{tree}/etc/{path}'):
                    os.unlink(f'{tree}/etc/{path}')
            else:
                root.write(f'{tree}/etc/{path}', value)
        return [f for f in findings(root, '--root', tree) if f[0] == 'machine-id']
    plain, salted, fixed = 'alice veth br0 1\n', 'alice veth br0 1 salt=lab-1\n', 'alice veth br0 1 ip=10.9.0.16/28\n'
    own = f'{"0123456789abcdef" * 2}\n'
    assert len(told(own, plain, 'image')) == 1
    for text, line in ((own, salted), (own, fixed), ('', plain), ('uninitialized\n', plain), (own, ''), (own, 'alice veth br0 0\n')):
        assert told(text, line, 'image') == [], (text, line)
    assert len(told('0' * 32 + '\n', plain, 'image')) == 1 and len(told('myhost\n', plain, 'image')) == 1
    setup(root, plain)
    for text, count in (('', 1), ('uninitialized\n', 1), (own, 0)):
        root.write('/etc/machine-id', text)
        assert len([f for f in findings(root) if f[0] == 'machine-id']) == count, text
    out = check(root).out
    root.write('/etc/machine-id', '')
    out = check(root).out
    assert 'salt=' in out and 'systemd-machine-id-setup' in out, out
    root.write('/etc/machine-id', own)


@case('a missing directory of policy files is made by all that write there, with the mode that helpers want; a look makes nothing')
def _(root):
    os.rename('/etc/userns', '/etc/userns.away')
    desired = f'{root.tmp}/desired'
    root.write(desired, 'alice net br0:1\n')
    editor = {'EDITOR': '/bin/true', 'PATH': '/usr/bin:/bin'}
    for words, makes in ((['grant', 'alice', '--cgroup', 'pids.max=2', '--dry-run'], False), (['apply', '--check', '--from', desired], False),
                         (['grant', 'alice', '--net', 'br0:1'], True), (['revoke', 'alice', '--net', 'br0'], True),
                         (['revoke', 'alice', '--cgroup', 'all'], True), (['apply', '--from', desired], True), (['edit', 'net.conf'], True)):
        done = root.run(['/bin/sh', '-c', 'umask 077; exec "$@"', 'sh', root.program('userns-policy'), *words], env=editor)
        assert 'directory' not in done.err and 'mkdir' not in done.err, done
        assert os.path.isdir('/etc/userns') == makes, done
        if makes:
            facts = os.stat('/etc/userns')
            assert (facts.st_mode & 0o7777, facts.st_uid) == (0o755, 0), oct(facts.st_mode)
            shutil.rmtree('/etc/userns')
    os.rename('/etc/userns.away', '/etc/userns')


@case('a user is told that root knows what cgroup.conf gives him, not that he is refused')
def _(root):
    setup(root, cgroup='alice pids.max=5\n')
    os.chmod(CGROUP, 0o600)
    done = root.run([root.program('userns-policy'), 'explain', 'alice'], root.alice)
    assert done.code == 0 and f'cgroup: not known to you: only root can read {CGROUP}: sudo userns-policy explain alice cgroup\n' in done.out, done


@case('a report that cannot be written is a failure')
def _(root):
    setup(root)
    with open('/dev/full', 'w') as full:
        done = check(root, fds={1: full.fileno()})
    assert done.code == 125 and 'standard output' in done.err, done


# --- what is around the files (issue 15, E9) ----------------------------------------------------

def around(root, *words):
    return [(i, f) for i, f, _ in findings(root, *words)]


@case('subgid that is not there while subuid is, and the other way round')
def _(root):
    setup(root)
    for missing, other in (('/etc/subgid', '/etc/subuid'), ('/etc/subuid', '/etc/subgid')):
        root.write(other, 'alice:100000:65536\n')
        root.write(missing, '')
        os.unlink(missing)
        assert ('missing', missing) in around(root)
        os.unlink(other)
        assert not [i for i, _ in around(root) if i == 'missing']


@cases([(f'login.defs with {text!r}', text, says) for text, says in [
    ('SUB_UID_COUNT 0\n', 'login-defs'), ('SUB_GID_COUNT 0\n', 'login-defs'),
    ('SUB_UID_MIN 1000\n', 'login-defs'), ('SUB_GID_MIN 60000\n', 'login-defs'),
    ('SUB_UID_MIN 300000\nSUB_UID_MAX 365534\n', 'exhausted'),
    ('SUB_UID_MIN 300000\nSUB_UID_MAX 370000\n', 'exhausted'), ('SUB_GID_MIN 300000\nSUB_GID_MAX 431070\n', 'exhausted'),
    ('SUB_UID_MIN 300000\nSUB_UID_MAX 440000\n', None), ('SUB_UID_MIN 60001\n', None)]])
def _(root, text, says):
    setup(root)
    defs = read('/etc/login.defs')
    for path in ('/etc/subuid', '/etc/subgid'):
        root.write(path, 'alice:300000:65536\n')
    try:
        root.write('/etc/login.defs', text)
        ids = [i for i, _ in around(root) if i in ('login-defs', 'exhausted')]
        assert says in ids if says else ids == [], ids
    finally:
        root.write('/etc/login.defs', defs)


@case('a source of ids that cannot be asked is found, in the helpers\' words')
def _(root):
    setup(root)
    root.write('/etc/nsswitch.conf', 'passwd: files\nsubid: sss\n')
    with root.target(root.alice) as target:
        real = root.run([root.newuidmap, target.pid, 0, 100000, 1], root.alice)
    done = check(root)
    assert done.code == 2 and '[source]' in done.out and 'SU-NSS' in done.out and 'SU-NSS' in real.err, (done, real)


@case('files that packages, editors and killed programs left beside policy are named')
def _(root):
    setup(root, net='')
    names = ['/etc/subuid.dpkg-dist', '/etc/subgid.rpmnew', f'{NET}.bak', f'{NET}~', f'{CGROUP}.dpkg-old', '/etc/subuid.4194303',
             f'{NET}.userns-policy', '/etc/subgid.lock']
    for name in names:
        root.write(name, '4194303' if name.endswith('.lock') else '')
    quiet = ['/etc/subuid-', '/etc/subuidx', f'{NET}.lock', '/etc/subuid.d', '/etc/sub']
    for name in quiet:
        root.write(name, str(os.getpid()))
    try:
        found = sorted(f for i, f in around(root) if i == 'leftover')
        assert found == sorted(names), (found, sorted(names))
    finally:
        for name in names + quiet:
            os.unlink(name)


@case('--errors-only leaves warnings out, of the status, too')
def _(root):
    setup(root, net='alice veth br-none 1\n')
    for words in ((), (NET,)):
        assert check(root, *words).code == 1 and check(root, '--errors-only', *words).code == 0
    assert check(root, '--errors-only').out.startswith('no errors in ')
    setup(root, net='alice veth\n')
    done = check(root, '--errors-only')
    assert done.code == 2 and 'error' in done.out and 'warning:' not in done.out, done


@case('ids of a process whose account is gone: a warning, and an error once they are somebody else\'s')
def _(root):
    gone = User('gone', 70909)
    kept = {path: open(path).read() for path in ('/etc/passwd', '/etc/subuid', '/etc/subgid')}

    def found():
        return [f for f in json.loads(check(root, '--json').out)['findings'] if f['id'] == 'living-ids' and '70909' in f['what']]
    try:
        with open('/etc/passwd', 'a') as file:
            file.write('gone:x:70909:70909::/:/bin/sh\n')
        for path in ('/etc/subuid', '/etc/subgid'):
            root.write(path, kept[path] + 'gone:900000:1000\n')
        with root.target(gone) as target:
            done = root.run([root.newuidmap, target.pid, 0, 900000, 1000], gone)
            assert done.code == 0 and found() == [], done
            # userdel, while it runs; then the ids are given to the next one.
            for path in kept:
                root.write(path, kept[path])
            (one,) = found()
            assert one['severity'] == 'warning' and f'process {target.pid} ' in one['what'] and '[900000-901000)' in one['what'], one
            root.write('/etc/subuid', kept['/etc/subuid'] + 'bob:900500:10\n')
            (one,) = found()
            assert one['severity'] == 'error' and "'bob'" in one['why'], one
        assert found() == []
    finally:
        for path, text in kept.items():
            root.write(path, text)

main()
