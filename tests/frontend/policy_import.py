#!/usr/bin/env python3
"""userns-policy import-lxc: LXC's files as they are on disks, and what userns-run and userns-net make of the outcome."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
sys.path.insert(0, os.path.dirname(__file__))
from container import FIRST, rootfs  # noqa: E402
from harness import CLONE_NEWNET, CLONE_NEWUSER, case, main, skip, spawn  # noqa: E402

NET = '/etc/userns/net.conf'


def tool(root, *words, user=None, **how):
    return root.run([root.program('userns-policy'), *words], user, **how)


def well(root, *words, **how):
    done = tool(root, *words, **how)
    assert done.code == 0 and done.err == '', done
    return done.out


def lxc(root, name, text):
    directory = f'{root.tmp}/lxc/{name}'
    os.makedirs(directory, exist_ok=True)
    root.write(f'{directory}/config', text)
    return f'{directory}/config'


@case('a container of LXC runs in userns-run with what its configuration came to')
def _(root):
    where = rootfs(root)
    os.makedirs(f'{where}/data')
    root.write(f'{root.tmp}/shared', 'from the host\n')
    config = lxc(root, 'web', f'''# a comment
lxc.idmap = u 0 {FIRST} 65536
lxc.idmap = g 0 {FIRST} 65536
lxc.rootfs.path = dir:{where}
lxc.uts.name = web
lxc.mount.entry = {root.tmp}/shared data/shared none bind,ro,create=file 0 0
lxc.environment = COLOUR=blue
lxc.prlimit.nofile = 100:200
lxc.net.0.type = empty
lxc.apparmor.profile = unconfined
''')
    out = well(root, 'import-lxc', '--config', config)
    assert '# lxc.apparmor.profile = unconfined: ' in out, out
    words = [f'--{key}={value}' for key, value in re.findall(r'^([a-z-]+) = (.*)$', out, re.M)]
    assert len(words) == 8, out
    root.write(f'{where}/data/shared', '', owner=(FIRST, FIRST))
    done = spawn([root.program('userns-run'), *words, '--', '/bin/sh', '-c',
                  'hostname; cat /data/shared; echo $COLOUR; ulimit -n; cat /proc/self/uid_map'], root.alice).wait()
    lines = done.out.splitlines()
    assert done.code == 0 and lines[:4] == ['web', 'from the host', 'blue', '100'] and lines[4].split() == ['0', str(FIRST), '65536'], done


@case('every line of a configuration is there again, as a setting or as a comment')
def _(root):
    common = '/usr/share/lxc/config'
    if not os.path.isdir(common):
        skip('lxc is not installed')
    lines = 0
    for name in sorted(os.listdir(common)):
        path = f'{common}/{name}'
        if not name.endswith('.conf') or os.path.isdir(path):
            continue
        out = well(root, 'import-lxc', '--config', path)
        with open(path) as file:
            for line in file:
                key = line.split('=')[0].strip()
                if key and not key.startswith('#'):
                    lines += 1
                    # Settings of ours stand for some; all others are named.
                    assert key in out or key in ('lxc.cap.drop', 'lxc.include'), (path, line, out)
    assert lines > 20, lines
    return f'{lines} lines of {common}'


@case('an lxc-usernet file comes to a net.conf that userns-net takes')
def _(root):
    root.write(f'{root.tmp}/usernet', '# bridges\nalice veth lxcbr0 2\nbob ovs x 1\n')
    out = well(root, 'import-lxc', '--usernet', f'{root.tmp}/usernet')
    assert '\nalice veth lxcbr0 2\n# bob ovs x 1   -- ' in out, out
    root.write(NET, out)
    with root.target(root.alice, CLONE_NEWUSER | CLONE_NEWNET) as target:
        done = root.run([root.program('userns-net'), 'add', '--netns', f'pid:{target.pid}', '--bridge', 'lxcbr0'], root.alice)
    assert '[NR-BRIDGE]' in done.err or done.code == 0, done  # granted, and the machine has no such bridge


@case('--output writes new files and overwrites none')
def _(root):
    config = lxc(root, 'db', 'lxc.uts.name = db\n')
    directory = f'{root.tmp}/out'
    os.makedirs(directory)
    root.write(f'{root.tmp}/usernet', 'alice veth lxcbr0 2\n')
    out = well(root, 'import-lxc', '--config', config, '--usernet', f'{root.tmp}/usernet', '--output', directory)
    assert sorted(out.split()) == [f'{directory}/db.conf', f'{directory}/net.conf'], out
    assert sorted(os.listdir(directory)) == ['db.conf', 'net.conf']
    done = tool(root, 'import-lxc', '--config', config, '--output', directory)
    assert done.code == 125 and 'nothing is overwritten' in done.err, done
    done = tool(root, 'import-lxc', '--config', config, '--config', config, '--output', f'{root.tmp}/out2')
    assert done.code == 125 and 'two files' in done.err, done


@case('includes are followed in their place: files, directories, missing ones')
def _(root):
    directory = f'{root.tmp}/inc'
    os.makedirs(directory)
    root.write(f'{directory}/b.conf', 'lxc.uts.name = b\n')
    root.write(f'{directory}/a.conf', 'lxc.uts.name = a\n')
    root.write(f'{directory}/c.txt', 'lxc.uts.name = c\n')
    config = lxc(root, 'inc', f'lxc.include = {directory}\nlxc.include = /nowhere/at-all\n')
    out = well(root, 'import-lxc', '--config', config)
    assert '\nhostname = b\n' in out and 'uts.name = c' not in out and 'can not be read (/nowhere/at-all)' in out, out


@case('--merge adds to net.conf what it lacks, keeps every other byte, and does nothing the second time')
def _(root):
    root.write(f'{root.tmp}/usernet', '# of LXC\nalice veth lxcbr0 2\nbob veth lxcbr0 3 # his\n@lab veth br1 1\ncarol ovs x 1\n')
    before = '# ours\n\nalice   veth lxcbr0\t5   # by hand\n@lab veth br1 1\n70002 veth lxcbr0 3\n'
    root.write(NET, before, mode=0o640)
    merge = ('import-lxc', '--usernet', f'{root.tmp}/usernet', '--merge')
    dry = tool(root, *merge, '--dry-run', user=root.alice)
    assert dry.code == 125 and 'Permission denied' in dry.err, dry  # 0640
    os.chmod(NET, 0o644)
    # bob is 70002, and has his line by number; carol's type is not ours; alice's count differs.
    dry = tool(root, *merge, '--dry-run', user=root.alice)
    assert dry.code == 1 and dry.out == '' and dry.err.count('\n') == 2, dry
    assert "usernet:2: 'alice veth lxcbr0 2': not taken: net.conf has a line for alice on lxcbr0 with other terms (count 5)" in dry.err, dry
    assert "usernet:5: 'carol ovs x 1': not taken: the type is 'ovs'" in dry.err, dry
    root.write(f'{root.tmp}/usernet', 'alice veth lxcbr0 5\ncarol veth lxcbr0 1\ncarol veth lxcbr0 1 mtu=1400\ndave veth br1 2\n')
    dry = well(root, *merge, '--dry-run', user=root.alice)
    added = f'# From {root.tmp}/usernet.\ncarol veth lxcbr0 1\ncarol veth lxcbr0 1 mtu=1400\ndave veth br1 2\n'
    with open(NET) as file:
        assert file.read() == before
    assert ''.join(line[1:] + '\n' for line in dry.splitlines() if line.startswith('+') and not line.startswith('+++')) == added, dry
    assert well(root, *merge) == dry
    with open(NET) as file:
        assert file.read() == before + added
    assert 'nothing was changed' in well(root, *merge)
    with open(NET) as file:
        assert file.read() == before + added
    assert sorted(name for name in os.listdir('/etc/userns') if name.startswith('net.conf')) == ['net.conf']


@case('--merge makes a net.conf where there is none, ends an open last line, and touches no malformed one')
def _(root):
    root.write(f'{root.tmp}/usernet', 'alice veth lxcbr0 2\n')
    merge = ('import-lxc', '--usernet', f'{root.tmp}/usernet', '--merge')
    if os.path.exists(NET):
        os.unlink(NET)
    well(root, *merge)
    with open(NET) as file:
        assert file.read() == f'# From {root.tmp}/usernet.\nalice veth lxcbr0 2\n'
    root.write(NET, 'bob veth br0 1')
    well(root, *merge)
    with open(NET) as file:
        assert file.read() == f'bob veth br0 1\n# From {root.tmp}/usernet.\nalice veth lxcbr0 2\n'
    root.write(NET, 'bob veth\n')
    done = tool(root, *merge)
    assert done.code == 125 and 'malformed and all stay as they are' in done.err, done
    with open(NET) as file:
        assert file.read() == 'bob veth\n'


@case('--merge is root\'s, of --usernet alone')
def _(root):
    root.write(f'{root.tmp}/usernet', 'alice veth lxcbr0 2\n')
    usernet = ['--usernet', f'{root.tmp}/usernet']
    for words, user, says in ((usernet + ['--merge'], root.alice, 'only root may'), (['--config', '/x', '--merge'], None, 'goes with neither'),
                              (usernet + ['--merge', '--output', '/mnt'], None, 'goes with neither'),
                              (usernet + ['--dry-run'], None, '--dry-run goes with --merge')):
        done = tool(root, 'import-lxc', *words, user=user)
        assert done.code == 125 and says in done.err and done.err.count('\n') == 1 and done.out == '', done


@case('a merge of a file without lines says so, and not that all of it is there')
def _(root):
    root.write(NET, '# ours\n')
    root.write(f'{root.tmp}/usernet', '# nothing\n')
    out = well(root, 'import-lxc', '--usernet', f'{root.tmp}/usernet', '--merge')
    assert out == f'no line of {root.tmp}/usernet gives anything: nothing was changed\n', out


@case('bad words and files are refused in one sentence')
def _(root):
    for words, says in (([], 'needs --usernet'), (['--config', '/nowhere'], 'No such file'), (['x', '--config', '/nowhere'], 'needs --usernet'),
                        (['--config', '/dev/zero'], 'not a regular file')):
        done = tool(root, 'import-lxc', *words)
        assert done.code == 125 and says in done.err and done.err.count('\n') == 1 and done.out == '', done


def examples():
    """The command lines of the manual: [(whether root's, command)]."""
    with open(os.path.join(os.path.dirname(__file__), '..', '..', 'man', 'userns-policy.8')) as file:
        blocks = re.findall(r'^\.Bd -literal.*\n((?:(?!\.Ed).*\n)+)\.Ed', file.read(), re.M)
    lines = '\n'.join(blocks).replace('\\e\n', '').splitlines()
    return [(line[0] == '#', line[2:]) for line in lines if line[:2] in ('# ', '$ ')]


@case('every example of the manual does what it is there for')
def _(root):
    with open('/etc/group', 'a') as file:
        file.write('students:x:72500:alice\n')
    home = f'{root.tmp}/home/alice'
    os.makedirs('/etc/lxc', exist_ok=True)
    root.write('/etc/lxc/lxc-usernet', 'alice veth lxcbr0 2\n')
    for name in ('', '/.local', '/.local/share', '/.local/share/lxc', '/.local/share/lxc/web'):
        os.makedirs(home + name, exist_ok=True)
    root.write(f'{home}/.local/share/lxc/web/config', 'lxc.uts.name = web\n')
    for name in ('net.conf', 'cgroup.conf'):
        root.write(f'/etc/userns/{name}', '')
    ran = []
    for is_root, command in examples():
        if '| jq' in command:
            assert root.run(['/bin/bash', '-c', command.split('|')[0]]).code in (0, 1, 2)
            continue
        env = {'HOME': '/root' if is_root else home, 'PATH': f"{os.path.dirname(root.program('userns-policy'))}:/usr/bin:/bin"}
        done = root.run(['/bin/bash', '-c', command], None if is_root else root.alice, cwd='/' if is_root else home, env=env)
        if command.startswith('userns-policy log'):  # newidmap_audit.py has an auditd; here there need be none
            assert done.code == 0 or 'no auditd and no journal' in done.err, done
            continue
        ran.append((command, done))
        assert done.code == (1 if '65537' in command else 0) and 'userns-policy:' not in done.err, done
    said = ' '.join(done.out for _, done in ran)
    assert len(ran) == 7 and 'newuidmap: refused: uid range [0-65537)' in said and './web.conf' in said, ran
    with open('/etc/userns/net.conf') as file:
        assert file.read() == '# From /etc/lxc/lxc-usernet.\nalice veth lxcbr0 2\n'


if __name__ == '__main__':
    main()
