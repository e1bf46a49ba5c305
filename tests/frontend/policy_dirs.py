#!/usr/bin/env python3
"""userns-policy and doctor with files in net.conf.d and cgroup.conf.d: each verb, beside what the helpers read."""

import json
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import case, cases, main  # noqa: E402

NET, CGROUP = '/etc/userns/net.conf', '/etc/userns/cgroup.conf'
CHANGED = (NET, f'{NET}.d', CGROUP, f'{CGROUP}.d')


def read(path):
    with open(path) as file:
        return file.read()


def clear(path):
    if os.path.isdir(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def policy(root, net='', nets=None, cgroup='', cgroups=None):
    for conf, text, files in ((NET, net, nets), (CGROUP, cgroup, cgroups)):
        clear(f'{conf}.d')
        root.write(conf, text)
        if files is not None:
            os.mkdir(f'{conf}.d', 0o755)
            for name, one in files.items():
                root.write(f'{conf}.d/{name}', one)


def state():
    """Every byte of both policies."""
    found = {}
    for path in CHANGED:
        for name in sorted(os.listdir(path)) if os.path.isdir(path) else ['']:
            file = os.path.join(path, name).rstrip('/')
            if os.path.isfile(file):
                found[file] = read(file)
    return found


def tool(root, *words, user=None, **how):
    return root.run([root.program('userns-policy'), *words], user, **how)


def well(root, *words, **how):
    done = tool(root, *words, **how)
    assert done.code == 0 and 'userns-policy:' not in done.err, done
    return done.out


def findings(root, *words):
    return [(f['id'], f['file'], f.get('line')) for f in json.loads(tool(root, 'check', '--json', *words).out)['findings']
            if '/userns' in f['file'] and f['id'] not in ('bridge-missing', 'base', 'base-not-delegated', 'over-machine', 'no-controller')]


# --- check ----------------------------------------------------------------------------------

@case('check: every finding names its file, and files are judged together')
def _(root):
    policy(root, 'alice veth br0 1 ip=10.9.0.16/28\n', {'50-a.conf': '# a\nalice veth br0 1 ip=10.9.0.16/28\n', '60-b.conf': 'bob veth br0\n'},
           '* pids.max=5\n', {'50-a.conf': 'alice pids.max=6\n', '60-b.conf': 'base = /x\nbase = /y\n'})
    found = findings(root)
    assert ('duplicate', f'{NET}.d/50-a.conf', 2) in found and ('range-overlap', f'{NET}.d/50-a.conf', 2) in found, found
    assert ('malformed', f'{NET}.d/60-b.conf', 1) in found and ('unreachable', f'{CGROUP}.d/50-a.conf', 1) in found, found
    assert ('malformed', f'{CGROUP}.d/60-b.conf', 2) in found, found
    out = tool(root, 'check').out
    assert f'the same as {NET}:1' in out and f'move it before {CGROUP}:1' in out, out
    assert f'{NET}.d/60-b.conf, {CGROUP}' in out.splitlines()[-1], out


@case('check: files that nobody reads are named, and a named file is judged by its directory')
def _(root):
    policy(root, '', {'50-lab': 'x\n', '.50-lab.conf': '', '60-x.conf': ''}, '', {'README': ''})
    found = findings(root)
    assert [f for f in found if f[0] == 'leftover'] == [('leftover', f'{NET}.d/{n}', None) for n in ('.50-lab.conf', '50-lab')] + \
        [('leftover', f'{CGROUP}.d/README', None)] or sorted(f[1] for f in found if f[0] == 'leftover') == sorted(
            [f'{NET}.d/.50-lab.conf', f'{NET}.d/50-lab', f'{CGROUP}.d/README']), found
    policy(root, '', {'60-x.conf': 'alice veth br0\n'})
    assert findings(root, f'{NET}.d/60-x.conf') == [('malformed', f'{NET}.d/60-x.conf', 1)]


UNTRUSTED = [
    ('a directory that its group can write', lambda d: os.chmod(d, 0o775)),
    ('an empty directory that its group can write', lambda d: (os.unlink(f'{d}/50-x.conf'), os.chmod(d, 0o775))),
    ('a directory that is a file', lambda d: (shutil.rmtree(d), open(d, 'w').close())),
    ('a file that its group can write', lambda d: os.chmod(f'{d}/50-x.conf', 0o664)),
    ("a file of a user's", lambda d: os.chown(f'{d}/50-x.conf', 70001, 0)),
    ('a file that is a FIFO', lambda d: os.mkfifo(f'{d}/60-x.conf')),
    ('a link to nothing', lambda d: os.symlink('gone', f'{d}/60-x.conf')),
    ('a name with a blank', lambda d: open(f'{d}/60 x.conf', 'w').close()),
    ('65 files', lambda d: [open(f'{d}/{n}.conf', 'w').close() for n in range(64)]),
    ('more than 1 MiB', lambda d: open(f'{d}/60-x.conf', 'w').write('#' * (1 << 20))),
]


@cases([(f'check and explain refuse what the helpers refuse, and the writing verbs change nothing: {what}', spoil) for what, spoil in UNTRUSTED])
def _(root, spoil):
    policy(root, 'alice veth br0 1\n', {'50-x.conf': '#\n'}, 'alice pids.max=5\n', {'50-x.conf': '#\n'})
    for d in (f'{NET}.d', f'{CGROUP}.d'):
        spoil(d)
    done = tool(root, 'check', '--errors-only')
    assert done.code == 2 and f'{NET}.d' in done.out and f'{CGROUP}.d' in done.out, done
    for topic in (('net', 'br0'), ('cgroup',)):
        said = tool(root, 'explain', 'alice', *topic)
        assert said.code == 1 and re.search(r'\[(TF|NC|CC)-', said.out), said
    before = state()
    for words in (('grant', 'bob', '--net', 'br0:1'), ('grant', 'bob', '--cgroup', 'pids.max=5'), ('revoke', 'alice', '--net', 'br0')):
        done = tool(root, *words)
        assert done.code == 125 and '.d' in done.err and state() == before, (words, done)


@case('check and explain of what is well say so, with and without the file that the directory belongs to')
def _(root):
    policy(root, 'alice veth br0 1\n', {'50-x.conf': 'alice veth br0 2\n', '60-x.conf': 'bob veth br0 1\n'})
    out = tool(root, 'explain', 'alice', 'net').out
    assert f'{NET}:1: alice veth br0 1' in out and f'{NET}.d/50-x.conf:1: alice veth br0 2' in out and 'bob' not in out, out
    os.unlink(NET)
    out = tool(root, 'explain', 'alice', 'net').out
    assert f'{NET}.d/50-x.conf:1' in out, out
    policy(root, cgroup='bob pids.max=5\n', cgroups={'20-x.conf': '\nalice pids.max=7\n', '10-x.conf': '@nobody-such pids.max=3\n'})
    lines = [item for item in json.loads(tool(root, 'explain', 'alice', 'cgroup', '--json').out)['answers']][0]['lines']
    assert lines == [] or lines[0] == {'file': f'{CGROUP}.d/20-x.conf', 'line': 2, 'text': 'alice pids.max=7'}, lines
    report = tool(root, 'report').out
    assert f'{CGROUP}.d/20-x.conf:2: alice pids.max=7' in report or 'cgroup: refused' in report, report


# --- grant and revoke -----------------------------------------------------------------------

@case('grant and revoke change a line where it stands, and put a new one where it decides')
def _(root):
    policy(root, '# main\n', {'50-lab.conf': '# lab\nalice veth br0 1 mtu=1400 # hers\n'},
           '# main\n', {'10-u.conf': '1 depth=2\n', '50-lab.conf': '# lab\n* pids.max=9\n', '60-x.conf': 'alice depth=3\n'})
    well(root, 'grant', 'alice', '--net', 'br0:2')
    assert read(f'{NET}.d/50-lab.conf') == '# lab\nalice  veth  br0  2  mtu=1400 # hers\n' and read(NET) == '# main\n'
    well(root, 'grant', 'bob', '--net', 'br0:1', '--cgroup', 'pids.max=4')
    assert read(NET) == '# main\nbob  veth  br0  1\n'
    assert read(f'{CGROUP}.d/50-lab.conf') == '# lab\nbob pids.max=4\n* pids.max=9\n', state()
    # alice's line stood behind the one of everybody: it goes to where it decides.
    well(root, 'grant', 'alice', '--cgroup', 'pids.max=5')
    assert read(f'{CGROUP}.d/50-lab.conf') == '# lab\nbob pids.max=4\nalice depth=3 pids.max=5\n* pids.max=9\n' and read(f'{CGROUP}.d/60-x.conf') == '', state()
    assert read(CGROUP) == '# main\n'
    done = tool(root, 'revoke', 'alice', '--cgroup', 'all')
    assert done.code == 0 and f"{CGROUP}.d/50-lab.conf:3 ('* pids.max=9') decides" in done.err, done
    well(root, 'revoke', 'alice', '--net', 'br0')
    assert read(f'{NET}.d/50-lab.conf') == '# lab\n'
    done = tool(root, 'revoke', 'alice', '--cgroup', 'all')
    assert done.code == 125 and f'{CGROUP}.d/50-lab.conf:3' in done.err and 'nothing was changed' in done.err, done
    left = [n for d in ('/etc/userns', f'{NET}.d', f'{CGROUP}.d') for n in os.listdir(d) if n.endswith(('.lock', '.userns-policy'))]
    assert not left, left


@case('a group\'s new line takes nothing from users in later files, and a line that could not decide is refused')
def _(root):
    with open('/etc/group', 'a') as file:
        file.write('lab:x:79998:alice\n')
    policy(root, cgroup='bob depth=2\n', cgroups={'50-x.conf': 'alice pids.max=5\n'})
    well(root, 'grant', '@lab', '--cgroup', 'pids.max=9')
    assert read(f'{CGROUP}.d/50-x.conf') == 'alice pids.max=5\n@lab pids.max=9\n' and read(CGROUP) == 'bob depth=2\n', state()
    policy(root, cgroup='bob depth=2\n', cgroups={'50-x.conf': '@lab depth=2\n'})
    well(root, 'grant', 'alice', '--cgroup', 'pids.max=9')
    assert read(f'{CGROUP}.d/50-x.conf') == 'alice pids.max=9\n@lab depth=2\n', state()


@case('a policy with one malformed file is not changed, whatever file the line is in')
def _(root):
    policy(root, 'alice veth br0 1\n', {'50-x.conf': 'x\n'}, '', {'50-x.conf': 'x\n'})
    before = state()
    for words in (('grant', 'alice', '--net', 'br0:2'), ('revoke', 'alice', '--net', 'br0'), ('grant', 'alice', '--cgroup', 'pids.max=2')):
        done = tool(root, *words)
        assert done.code == 125 and '.d/50-x.conf:1:' in done.err and state() == before, (words, done)


@case('two files at once: both are written, or none is')
def _(root):
    policy(root, '', {'50-x.conf': 'alice veth br0 1\n'}, '', {'50-x.conf': 'alice pids.max=5\n'})
    subprocess.run(['mount', '--bind', f'{CGROUP}.d/50-x.conf', f'{CGROUP}.d/50-x.conf'], check=True)
    try:
        before = state()
        done = tool(root, 'grant', 'alice', '--net', 'br0:2', '--cgroup', 'pids.max=6')
        assert done.code == 125 and 'nothing was changed' in done.err and state() == before, done
    finally:
        subprocess.run(['umount', f'{CGROUP}.d/50-x.conf'], check=True)
    well(root, 'grant', 'alice', '--net', 'br0:2', '--cgroup', 'pids.max=6')
    assert 'br0  2' in read(f'{NET}.d/50-x.conf') and read(f'{CGROUP}.d/50-x.conf') == 'alice pids.max=6\n'


# --- the other verbs ------------------------------------------------------------------------

@case('apply changes lines where they stand, is idempotent, and export writes what all the files say')
def _(root):
    policy(root, 'bob veth br0 1\n', {'50-x.conf': 'alice veth br0 1\nalice veth br1 1\n'}, '', {'50-x.conf': 'alice pids.max=5 depth=2\n* pids.max=9\n'})
    exported = well(root, 'export')
    assert 'alice  net br0:1 br1:1\n' in exported and 'alice  cgroup pids.max=5 depth=2\n' in exported and '*  cgroup pids.max=9\n' in exported, exported
    root.write('/etc/wish', exported)
    assert well(root, 'apply', '--from', '/etc/wish') == 'nothing to do\n'
    root.write('/etc/wish', 'alice net br1:2\nalice cgroup pids.max=6\nbob cgroup pids.max=3\n')
    assert tool(root, 'apply', '--from', '/etc/wish', '--check').code == 3
    well(root, 'apply', '--from', '/etc/wish')
    assert read(f'{NET}.d/50-x.conf') == 'alice  veth  br1  2\n' and read(NET) == 'bob veth br0 1\n', state()
    assert read(f'{CGROUP}.d/50-x.conf') == 'alice pids.max=6\nbob pids.max=3\n* pids.max=9\n' and read(CGROUP) == '', state()
    assert well(root, 'apply', '--from', '/etc/wish') == 'nothing to do\n'


@case('edit of a file in the directory, old or new; what breaks another file is refused')
def _(root):
    policy(root, 'alice veth br0 1\n', {'50-x.conf': '# x\n'}, 'base = /x\n', {})

    def edit(name, script):
        root.write('/etc/editor', f'#!/bin/sh\n{script}\n', mode=0o755)
        return tool(root, 'edit', name, env={'PATH': '/usr/bin:/bin', 'EDITOR': '/etc/editor'})
    done = edit('net.conf.d/50-x.conf', 'echo "bob veth nobr 1" >>"$1"')
    assert done.code == 0 and read(f'{NET}.d/50-x.conf') == '# x\nbob veth nobr 1\n', done
    done = edit(f'{NET}.d/60-new.conf', 'echo "bob veth nobr 2" >>"$1"')
    assert done.code == 0 and read(f'{NET}.d/60-new.conf') == 'bob veth nobr 2\n', done
    done = edit('cgroup.conf.d/50-x.conf', 'echo "base = /y" >>"$1"')
    assert done.code == 1 and 'given twice' in done.err and not os.path.exists(f'{CGROUP}.d/50-x.conf'), done
    for name in ('net.conf.d/x', 'net.conf.d/.x.conf', 'net.conf.d/a/x.conf', 'net.conf.d/', 'subuid.d/x.conf', '/tmp/net.conf.d/x.conf'):
        done = edit(name, 'true')
        assert done.code == 125 and 'none of the policy files' in done.err, (name, done)


@case('import-lxc --merge knows the lines of all files')
def _(root):
    policy(root, '', {'50-x.conf': 'alice veth lxcbr0 2\n'})
    root.write('/etc/usernet', 'alice veth lxcbr0 2\nbob veth lxcbr0 1\n')
    well(root, 'import-lxc', '--usernet', '/etc/usernet', '--merge')
    assert read(NET) == '# From /etc/usernet.\nbob veth lxcbr0 1\n' and read(f'{NET}.d/50-x.conf') == 'alice veth lxcbr0 2\n', state()


@case('guard is made from the lines of all files')
def _(root):
    policy(root, 'alice veth br0 1 ip=10.9.0.16/30\n', {'50-x.conf': 'bob veth br0 1 ip=10.9.0.32/30\n'})
    out = well(root, 'guard', '--print')
    assert '10.9.0.17' in out or '10.9.0.16' in out, out
    assert out != well(root, 'guard', '--print', NET)
    policy(root, 'alice veth br0 1 ip=10.9.0.16/30\nbob veth br0 1 ip=10.9.0.32/30\n')
    assert out == well(root, 'guard', '--print')
    policy(root, '', {'50-x.conf': 'x\n'})
    done = tool(root, 'guard', '--print')
    assert done.code == 125 and f'{NET}.d/50-x.conf:1:' in done.err, done


@case('--root: the directories of another system')
def _(root):
    there = f'{root.tmp}/other'
    for d in ('etc/userns/net.conf.d', 'proc'):
        os.makedirs(f'{there}/{d}', exist_ok=True)
    root.write(f'{there}/etc/passwd', 'root:x:0:0::/:/bin/sh\ndora:x:2000:2000::/:/bin/sh\n')
    root.write(f'{there}/etc/group', 'root:x:0:\n')
    root.write(f'{there}/etc/userns/net.conf', '')
    root.write(f'{there}/etc/userns/net.conf.d/50-x.conf', '# k\ndora veth br0 1\n')
    done = tool(root, 'check', '--root', there)
    assert f'{there}/etc/userns/net.conf.d/50-x.conf' in done.out and done.code == 0, done
    well(root, 'grant', 'dora', '--net', 'br0:3', '--root', there)
    assert read(f'{there}/etc/userns/net.conf.d/50-x.conf') == '# k\ndora  veth  br0  3\n'
    root.write(f'{there}/etc/userns/net.conf.d/50-x.conf', 'dora veth br0\n')
    done = tool(root, 'check', '--root', there)
    assert done.code == 2 and f'{there}/etc/userns/net.conf.d/50-x.conf:1:' in done.out, done


@case('doctor reads the directories, and says which file is at fault')
def _(root):
    def doctor():
        done = root.run([root.program('userns-run'), 'doctor', '--json'], root.alice, timeout=60)
        return {f"{c['id']} {c['subject']}".strip(): (c['status'], c['text']) for c in json.loads(done.out)['checks']}
    policy(root, '', {'50-x.conf': 'alice veth nobr 1\n'}, '', {'50-x.conf': 'x\n'})
    checks = doctor()
    assert 'bridge nobr' in checks and checks['bridge nobr'][0] == 'fail', checks
    assert checks['cgroup-conf'][0] == 'fail' and f'{CGROUP}.d/50-x.conf:1:' in checks['cgroup-conf'][1], checks['cgroup-conf']
    policy(root, '', {'50-x.conf': 'x\n'})
    checks = doctor()
    assert checks['net-conf'][0] == 'fail' and f'{NET}.d/50-x.conf:1:' in checks['net-conf'][1], checks['net-conf']


main()
