#!/usr/bin/env python3
"""userns-policy apply and export: a desired state for many, in one step; and --root for images."""

import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import case, cases, main, spawn, trace, with_own_pids  # noqa: E402

FILES = SUBUID, SUBGID, NET, CGROUP = '/etc/subuid', '/etc/subgid', '/etc/userns/net.conf', '/etc/userns/cgroup.conf'


def tool(root, *words, **how):
    return root.run([root.program('userns-policy'), *words], how.pop('user', None), **how)


def read(path):
    with open(path) as file:
        return file.read()


def texts(below=''):
    return [read(below + path) for path in FILES]


def files(root, subids='alice:100000:65536\nbob:200000:65536\n', net='', cgroup=''):
    for path, text in zip(FILES, (subids, subids, net, cgroup)):
        root.write(path, text)


def apply(root, text, *words, **how):
    root.write(f'{root.tmp}/wish', text)
    return tool(root, 'apply', '--from', f'{root.tmp}/wish', *words, **how)


WISH = '''# the lab
carol      ids 65536
alice      net br0:2,mtu=1400 br1:1
@students  net br-lab:1
alice      cgroup memory.max=1G pids.max=100
*          cgroup pids.max=7
'''


@case('what the file says is so afterwards, in one rewrite a file; the second time there is nothing to do')
def _(root):
    files(root, net='alice veth br0 1 isolated=yes\nalice veth old 1\nbob veth br0 3\n', cgroup='* pids.max=9 containers=2\nalice cpu.max=50%\n')
    root.write('/etc/group', read('/etc/group') + 'students:x:79999:\n')
    before = texts()
    done = apply(root, WISH, '--check', '--diff')
    assert done.code == 3 and texts() == before and '+carol:' in done.out and '-alice veth old 1' in done.out, done
    renames = []
    done = trace(spawn([root.program('userns-policy'), 'apply', '--from', f'{root.tmp}/wish'], None, traced=True),
                 lambda stop: renames.append(1) if getattr(stop, 'number', getattr(stop, 'call', None)) == 82 else None)
    assert done.code == 0 and done.out.count(' is changed\n') == 4, done
    assert len(renames) in (4, 8), 'a call is seen when it begins, and may be seen when it ends'
    assert read(SUBUID) == before[0] + 'carol:265536:65536\n' and read(SUBGID) == read(SUBUID)
    assert sorted(read(NET).split('\n')) == sorted(['', 'bob veth br0 3', 'alice  veth  br0  2  mtu=1400', 'alice  veth  br1  1', '@students  veth  br-lab  1']), read(NET)
    assert read(CGROUP) == 'alice memory.max=1G pids.max=100\n* pids.max=7\n', read(CGROUP)
    after = texts()
    for words in ((), ('--check',), ('--check', '--diff')):
        done = apply(root, WISH, *words)
        assert done.code == 0 and done.out == 'nothing to do\n' and texts() == after, done


@case('what export writes, apply finds in place; and it brings an empty host to the same state')
def _(root):
    files(root, net='alice veth br0 2 mtu=1400 isolated=yes # x\n* veth br1 0\nbob veth br0 0\nalice veth br2 1\n'
          'carol veth br9 1 ip=10.9.0.16/28,fd09::10/124 gateway=10.9.0.1/24,fd09::1/64 dns=10.9.0.1,10.9.0.2 group=7\n',
          cgroup='alice memory.max=1G io.max=8:0,rbps=5 io.max=8:16,rbps=6\n# y\nbob containers=0\n@root pids.max=5\n* pids.max=7\n')
    root.write(NET, read(NET).replace('* veth br1 0\n', '* veth br1 1\n'))
    said = tool(root, 'export')
    assert said.code == 0 and 'alice  ids 65536 from 100000\n' in said.out, said
    done = apply(root, said.out, '--check', '--diff')
    assert done.code == 0, done
    full = [sorted(text.split('\n')) for text in texts()[:2]]
    files(root, subids='')
    assert apply(root, said.out).code == 0
    assert [sorted(text.split('\n')) for text in texts()[:2]] == full
    assert tool(root, 'export').out == said.out, (said, tool(root, 'export'))


@case('none takes away; who is not named, and a kind that is not named, stay')
def _(root):
    files(root, net='alice veth br0 1\nbob veth br0 1\n', cgroup='alice pids.max=5\nbob pids.max=6\n')
    assert apply(root, 'alice ids none\nalice net none\n').code == 0
    assert texts() == ['bob:200000:65536\n'] * 2 + ['bob veth br0 1\n', 'alice pids.max=5\nbob pids.max=6\n'], texts()
    assert apply(root, 'alice cgroup none\n').code == 0 and read(CGROUP) == 'bob pids.max=6\n'


@cases([(f'{text!r} is refused with its place, and nothing is changed', text, says) for text, says in [
    ('alice ids\n', 'wish:1:10: say what'), ('\nalice ids x\n', "wish:2:11: 'x' is not a number"), ('alice ids 0\n', 'wish:1:11:'),
    ('alice ids 5 5\n', 'wish:1:13:'), ('alice ids 5 from\n', 'wish:1:'), ('alice net br0:1\nalice net br1:1\n', 'wish:2:1: line 1 is for the same'),
    ('alice what 5\n', "wish:1:7: 'what' is none of ids, net, cgroup"), ('alice ids 5 from 7 8\n', 'wish:1:20:'),
    ('alice net br0:1\nnobody-such ids 5\n', "wish:2: there is no user 'nobody-such'"), ('alice net br0:2\n@root ids 5\n', 'wish:2:'),
    ('alice net br0:2\nalice cgroup pids.max\n', 'wish:2: '), ('alice net br0\n', 'wish:1: '), ('alice cgroup x.y=1\n', 'wish:1: '),
    ('bob net br0:1\ncarol ids 65536 from 100000\n', "wish:2: --from 100000"), ('alice\n', 'wish:1:6:')]])
def _(root, text, says):
    files(root)
    before = texts()
    done = apply(root, text)
    assert done.code == 125 and says in done.err and texts() == before, done


@case('ids that a process has are not taken away without --force')
def _(root):
    files(root)
    with root.target(root.alice) as target:
        assert root.run([root.newuidmap, target.pid, 0, 100000, 10], root.alice).code == 0
        done = apply(root, 'alice net br0:1\nalice ids none\n')
        assert done.code == 125 and f'process {target.pid}' in done.err and read(NET) == '', done
        assert apply(root, 'alice ids none\n', '--force').code == 0 and 'alice' not in read(SUBUID)


@case('a user may look with --check, and not write')
def _(root):
    files(root)
    for path in FILES:
        os.chmod(path, 0o644)
    os.chmod(f'{root.tmp}', 0o755)
    done = apply(root, 'alice net br0:1\n', '--check', user=root.alice)
    assert done.code == 3, done
    done = apply(root, 'alice net br0:1\n', user=root.alice)
    assert done.code == 125 and 'only root may' in done.err, done


@case('five hundred users at once: every range apart, one rewrite')
def _(root):
    accounts = read('/etc/passwd')
    root.write('/etc/passwd', accounts + ''.join(f'u{n}:x:{20000 + n}:{20000 + n}::/:/bin/sh\n' for n in range(500)))
    try:
        files(root)
        wish = ''.join(f'u{n} ids 65536\nu{n} net br0:1\n' for n in range(500))
        assert apply(root, wish).code == 0
        last = 0
        for start, count in sorted((int(s), int(c)) for s, c in re.findall(r':(\d+):(\d+)$', read(SUBUID), re.M)):
            assert start >= last, start
            last = start + count
        assert read(SUBUID).count('\n') == 502 and read(SUBGID) == read(SUBUID) and read(NET).count('\n') == 500
        assert apply(root, wish, '--check').code == 0
    finally:
        root.write('/etc/passwd', accounts)


# --- --root -------------------------------------------------------------------------------------

def image(root, proc=True):
    top = f'{root.tmp}/image'
    subprocess.run(['rm', '-rf', top], check=True)
    for directory in ('etc/userns', 'proc') if proc else ('etc/userns',):
        os.makedirs(f'{top}/{directory}')
    os.chmod(f'{root.tmp}', 0o755)
    root.write(f'{top}/etc/passwd', 'root:x:0:0::/:/bin/sh\ninner:x:1000:1000::/:/bin/sh\n')
    root.write(f'{top}/etc/group', 'root:x:0:\ninner:x:1000:\nlab:x:1001:inner\n')
    root.write(f'{top}/etc/nsswitch.conf', 'passwd: files sss\ngroup: sss\n')
    for path in FILES:
        root.write(top + path, '')
    return top


@case('--root: grant, explain, apply, export, revoke and check are about the image, its users and its files')
def _(root):
    files(root)
    before, top = texts(), image(root)
    done = tool(root, 'grant', 'inner', '--ids', '65536', '--net', 'br0:1', '--root', top)
    assert done.code == 0 and done.err == '', done
    assert texts(top)[:3] == ['inner:100000:65536\n'] * 2 + ['inner  veth  br0  1\n'] and texts() == before, texts(top)
    assert apply(root, 'inner ids 65536\n@lab net br1:1\n', '--root', top).code == 0 and '@lab  veth  br1  1\n' in read(top + NET)
    said = tool(root, 'export', '--root', top)
    assert 'inner  ids 65536 from 100000\n' in said.out and 'alice' not in said.out, said
    done = tool(root, 'explain', 'inner', 'map', '0:100000:65536', '--root', top)
    assert done.code == 0 and 'newuidmap: allowed' in done.out and 'inner: uid 1000, groups inner lab' in done.out, done
    assert tool(root, 'check', '--errors-only', '--root', top).code == 0
    done = tool(root, 'grant', 'alice', '--ids', '5', '--root', top)
    assert done.code == 125 and "no user 'alice'" in done.err, done
    assert tool(root, 'revoke', 'inner', '--ids', 'all', '--root', top).code == 0 and read(top + SUBUID) == '' and texts() == before
    assert not [n for n in os.listdir(f'{top}/etc') if n.endswith('.lock') and n != '.pwd.lock'], os.listdir(f'{top}/etc')


@case('--root: a module of the image\'s name service does not run, and links lead nowhere else')
def _(root):
    top = image(root)
    lib = f'{top}/usr/lib/x86_64-linux-gnu'
    os.makedirs(lib)
    subprocess.run(['cp', os.path.join(root.build, 'tests', 'helpers', 'libsubid_x.so'), f'{lib}/libnss_sss.so.2'], check=True)
    root.write(f'{top}/etc/subid-plugin', 'thief')
    os.unlink(f'{top}{NET}')
    os.symlink('/etc/shadow-of-the-image', f'{top}{NET}')
    root.write(f'{top}/etc/shadow-of-the-image', '')
    assert tool(root, 'grant', 'inner', '--net', 'br0:1', '--root', top).code == 0
    assert 'inner' in read(f'{top}/etc/shadow-of-the-image') and not os.path.exists('/etc/shadow-of-the-image')


@case('--root: edit is about the image; the editor and its copy are of this system, and nothing is left')
def _(root):
    files(root)
    before, top = texts(), image(root)
    work = f'{root.tmp}/work'
    os.makedirs(work, exist_ok=True)
    # The editor is a script of this system's, which the image has not, as it has no shell.
    root.write(f'{root.tmp}/editor', f'#!/bin/sh\ncp "$1" {root.tmp}/seen\npwd >{root.tmp}/where\n'
                                     f'echo "$1" >>{root.tmp}/where\necho "inner veth br0 2" >>"$1"\n', mode=0o755)
    root.write(f'{top}{NET}', '# the image\n')
    env = {'PATH': '/usr/bin:/bin', 'EDITOR': f'{root.tmp}/editor', 'TMPDIR': work}
    done = tool(root, 'edit', 'net.conf', '--root', top, env=env, cwd=root.tmp)
    assert done.code == 0 and 'is changed' in done.err, done
    assert read(f'{root.tmp}/seen') == '# the image\n' and read(f'{top}{NET}') == '# the image\ninner veth br0 2\n', texts(top)
    assert re.fullmatch(rf'{root.tmp}\n{work}/userns-policy\.\w+/net\.conf\n', read(f'{root.tmp}/where')), read(f'{root.tmp}/where')
    assert texts() == before and os.listdir(work) == [] and os.listdir(f'{top}/proc') == [], (texts(), os.listdir(work))
    # Accounts are the image's: alice is none of them. What was written with errors is not installed.
    root.write(f'{root.tmp}/editor', '#!/bin/sh\necho "alice veth br0 2" >"$1"\n', mode=0o755)
    done = tool(root, 'edit', 'net.conf', '--root', top, env=env)
    assert done.code == 0 and "'alice'" in done.err and read(f'{top}{NET}') == 'alice veth br0 2\n', done
    root.write(f'{root.tmp}/editor', '#!/bin/sh\necho "inner veth" >"$1"\n', mode=0o755)
    done = tool(root, 'edit', 'net.conf', '--root', top, env=env)
    assert done.code == 1 and 'discarded' in done.err and read(f'{top}{NET}') == 'alice veth br0 2\n', done
    assert os.listdir(work) == [] and not [n for n in os.listdir(f'{top}/etc/userns') if 'lock' in n], os.listdir(f'{top}/etc/userns')


@case('--root: import-lxc --merge takes a file of this system into net.conf of the image')
def _(root):
    files(root)
    before, top = texts(), image(root)
    root.write(f'{root.tmp}/usernet', 'inner veth lxcbr0 3\n1000 veth lxcbr1 1\n')
    root.write(f'{top}{NET}', '1000 veth lxcbr0 3\n')
    done = tool(root, 'import-lxc', '--usernet', f'{root.tmp}/usernet', '--merge', '--root', top)
    # By the image's accounts inner is uid 1000.
    assert read(f'{top}{NET}') == f'1000 veth lxcbr0 3\n# From {root.tmp}/usernet.\n1000 veth lxcbr1 1\n' and texts() == before, (done, texts(top))
    done = tool(root, 'import-lxc', '--usernet', f'{root.tmp}/usernet', '--root', top)
    assert done.code == 125 and '--merge' in done.err, done


@case('--root that is not there, empty, or without /proc says what to do')
def _(root):
    for where, says in ((f'{root.tmp}/none', 'No such file'), ('', 'name the directory'), (image(root, proc=False), 'mkdir')):
        done = tool(root, 'export', '--root', where)
        assert done.code == 125 and says in done.err, done


if __name__ == '__main__':
    with_own_pids()
    main()
