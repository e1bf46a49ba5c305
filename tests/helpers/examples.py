#!/usr/bin/env python3
"""The examples of the manuals and of README.md, run word for word by a user with uid 1000 and real setuid helpers.

A block or line of commands in a manual ("$ ...") stands below a comment `.\\" example: NAME`, or below `.\\" not run: WHY`. What it
must come to is said by a check below; without one it must end well. `.\\" example: NAME as root` has commands behind "# ".
What is not run here stands in ELSEWHERE with the test that runs it.
"""

import glob
import json
import os
import re
import shlex
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
import said  # noqa: E402
from harness import MS_BIND, MS_REC, ROOT, build_dir, case, cases, main, mount, skip, spawn, umount  # noqa: E402

TOP = os.path.join(os.path.dirname(__file__), '..', '..')
MANUALS = sorted(glob.glob(TOP + '/man/*.[1-9]'))
BLOCK = re.compile(r'^(?:\.\\" (example|not run|lines): (.+)\n)?(?:\.Bd -literal.*\n((?:(?!\.Ed).*\n)+)\.Ed|((?:\.Dl .*\n)+))', re.M)
# Words that begin a command, where a prompt was forgotten.
COMMAND = re.compile(r'^(userns-\w+|newuidmap|newgidmap|getsubids|systemctl|loginctl|dpkg-\w+|apt-get|ip|ln|mkdir|meson) ', re.M)

# {first command of a block that is not run here: (why, the file that does it, words of it there)}
NO_SYSTEMD = 'this machine may have no systemd'
NO_V2 = 'the controllers of this machine may be v1\'s'
ELSEWHERE = {
    'mmdebstrap --mode=unshare --variant=minbase bookworm debian.tar':
        ('it takes a minute and a mirror', 'packaging/quickstart', ['mmdebstrap --mode=unshare', '--variant=minbase']),
    'userns-run create dev --template debian --map keep-id --bind ~/src:/src':
        ('it takes a minute and a mirror', 'tests/frontend/machine_like.py', ["'--map=keep-id'"]),
    'userns-run unshare dev -- rm -rf ~/src/build': ('it takes a minute and a mirror', 'tests/frontend/machine_like.py', ["'unshare'", 'rm -rf']),
    'userns-policy grant alice --ids 65536':
        (NO_SYSTEMD, 'tests/packaging/guest/newcomer.py', ["grant('--ids', '65536'", "grant('--cgroup'", "grant('--net'"]),
    'userns-policy log --refused --since 7d':
        ('this machine may have no auditd', 'tests/helpers/newidmap_audit.py', ["'--refused'", "'--since', '1h'"]),
    'systemctl enable --now userns-cgroup.service':
        (NO_SYSTEMD, 'tests/system/guest/cgroups.py', ['systemctl enable --now userns-cgroup.service']),
    'userns-run cp ./site web:/srv/www': ('these files are not here', 'tests/frontend/copies.py', ["'cp', f'{here}/www', 'web:/srv'", "'web:/srv/data', '-'"]),
    'systemctl --user enable --now userns@web': (NO_SYSTEMD, 'tests/frontend/words.py', ['userns@.service.in']),
    'buildah run --isolation oci --runtime /usr/bin/userns-oci web make':
        ('it needs an image', 'tests/frontend/oci_podman.py', ["('run', '--isolation', 'oci', '--runtime', root.program('userns-oci')"]),
    'dockerd-rootless.sh --add-runtime userns=/usr/bin/userns-oci':
        ('it starts a daemon', 'tests/frontend/oci_docker.py', ["'--add-runtime'", '--default-runtime=userns']),
    'userns-oci create --bundle bundle web': ('it needs a bundle', 'tests/frontend/oci_runtime.py', ["'create', '-b'", "'start'", "'exec'", "'kill'"]),
    "userns-cgroup enter work -- sh -c '": (NO_V2, 'tests/system/guest/cgroups.py', []),
    "userns-cgroup enter work -- bash -c '": (NO_V2, 'tests/system/guest/cgroups.py', []),
}


def commands(text, prompt='$ '):
    """The words behind the prompt; a line that is not begun so belongs to the command above while a quote of it is open."""
    found = []
    for line in text.splitlines():
        if line.startswith(prompt):
            found.append(line[2:])
        elif found and (found[-1].count("'") % 2 or found[-1].count('\\(aq') % 2 or found[-1].endswith('\\e')):
            found[-1] += '\n' + line
    return [unescaped(command) for command in found]


def unescaped(text):
    return text.replace(r'\(aq', "'").replace(r'\e', '\\').replace(r'\-', '-').replace(r'\&', '')


def blocks():
    """{name: commands}, the commands of blocks that are not run, and the places of blocks that say neither."""
    named, not_run, taken, unnamed = {}, [], [], []
    for path in MANUALS:
        with open(path) as file:
            for kind, name, block, lines in BLOCK.findall(file.read()):
                text = block or lines.replace('.Dl ', '')
                place = f'{os.path.basename(path)}: {text.splitlines()[0]}'
                if kind == 'example' and name.endswith(' as root'):
                    named[name] = commands(text, '# ')
                elif kind == 'example':
                    assert name not in named, f'two examples are named {name}'
                    named[name] = commands(text)
                elif kind == 'lines':  # a test takes them from the page by this name
                    taken.append(name)
                elif kind:
                    not_run.append(commands(text) or commands(text, '# '))
                if not kind and (commands(text) or commands(text, '# userns-') or COMMAND.search(text)):
                    unnamed.append(place)
                if kind in ('example', 'not run') and COMMAND.search(text):
                    unnamed.append(place + ' (no prompt)')
    return named, not_run, taken, unnamed


EXAMPLES, NOT_RUN, TAKEN, UNNAMED = blocks()
CHECKS = {}


def example(*names):
    """The check of an example: called with the root and a function that runs the block as the user."""
    def register(function):
        for name in names:
            CHECKS[name] = function

        @case(f'the example {names[0].split()[0]} does what the manual says')
        def _(root):
            root.first = 100000  # as the manuals have it
            function(root, lambda name: run(root, EXAMPLES[name]))
        return function
    return register


def user(root):
    if not hasattr(root, 'mark'):
        root.mark = root.add_user('mark', 1000)
        root.home = f'{root.tmp}/home/mark'
    for path in ('/etc/subuid', '/etc/subgid'):
        root.write(path, f'1000:{root.first}:65536\n')  # by uid: the machine may have another name for it
    return root.mark


def start(root, commands, owner=None, **how):
    owner = owner or user(root)
    path = os.path.dirname(root.program('userns-run'))
    return spawn(['/bin/bash', '-ec', '\n'.join(commands)], owner, cwd=root.home,
                 env={'HOME': root.home, 'PATH': f'{path}:/usr/bin:/bin:/usr/sbin:/sbin'}, **how)


def run(root, commands, owner=None):
    done = start(root, commands, owner).wait()
    assert done.code == 0, done
    said.check_errors(commands, done)
    return done.out


@example('own-id')
def _(_root, run_it):
    assert run_it('own-id') == '0\n1000\n'


@example('many-ids')
def _(_root, run_it):
    lines = run_it('many-ids').splitlines()
    assert lines[0].split() == ['0', '100000', '65536'] and lines[1] == '100500', lines


@example('netns')
def _(_root, run_it):
    names = re.findall(r'^[\w@]+', run_it('netns'), re.M)
    assert sorted(names) == ['left@right', 'lo', 'right@left'], names


@example('home')
def _(_root, run_it):
    assert re.search(r' root +root .* /root/letter$', run_it('home'), re.M)


@example('two-terminals first', 'two-terminals second')
def _(root, _run_it):
    read, write = os.pipe()
    first = start(root, EXAMPLES['two-terminals first'], stdin=read)
    os.close(read)
    said = b''
    while b'\n' not in said:
        piece = os.read(first._err, 4096)
        assert piece, said
        said += piece
    pid = re.search(rb'process (\d+)', said)[1].decode()
    second = start(root, [line.replace('PID', pid) for line in EXAMPLES['two-terminals second']]).wait()
    assert second.code == 0 and second.out == '', second
    os.write(write, b'\n')
    os.close(write)
    done = first.wait()
    assert done.code == 0 and done.out.split() == ['0', '110000', '10000'], done


@example('give')
def _(_root, run_it):
    assert run_it('give') == '100000\n1000\n'


def make_debian(root):
    """A stand-in for the root file system of the manual, small and owned as that one is."""
    user(root)
    debian = f'{root.home}/debian'
    for name in ('bin', 'etc', 'proc', 'sys', 'dev', 'run', 'tmp'):
        os.makedirs(f'{debian}/{name}')
    with open('/bin/busybox', 'rb') as file:
        root.write(f'{debian}/bin/busybox', file.read(), mode=0o755)
    for name in ('sh', 'rm', 'touch', 'hostname'):
        os.symlink('busybox', f'{debian}/bin/{name}')
    for where, names, files in os.walk(debian):
        for name in ('.', *names, *files):
            os.lchown(f'{where}/{name}', 100000, 100000)


@example('rootfs')
def _(root, run_it):
    make_debian(root)
    lines = run_it('rootfs').split()
    assert 'etc' in lines and 'new' not in lines and lines[-1] == 'box', lines


@example('nested')
def _(_root, run_it):
    assert run_it('nested') == '7\n'


@example('dry-run')
def _(_root, run_it):
    out = run_it('dry-run')
    assert "'debian', read-only" in out and "'make' 'check'" in out, out


@example('doctor-json')
def _(_root, run_it):
    failed = run_it('doctor-json').split()
    assert set(failed) <= {'userns-net', 'userns-cgroup'}, failed


@example('getsubids')
def _(root, _run_it):
    root.program('getsubids')
    with open(f'{TOP}/man/getsubids.1') as file:
        shown = re.search(r'^\$ getsubids alice\n(.*\n)', file.read(), re.M)[1]
    root.write('/etc/subuid', 'alice:100000:65536\n')
    done = start(root, EXAMPLES['getsubids'], root.alice).wait()
    assert (done.code, done.out) == (0, shown), done


# Ids that no other test's processes have: what a process has is not given to a container.
UNUSED = 40_000_000


def make_web(root):
    """A container of the name that the manuals use, in the set lab, which ends when asked to."""
    root.first = UNUSED
    user(root)
    stale = f'{root.home}/.local/share/userns'
    run(root, [f'test ! -d {stale}/web || userns-run destroy --force web', 'userns-run create web --template busybox --group lab',
               """userns-run config web 'command = sh -c "trap exit TERM; echo up; while :; do sleep 1 & wait; done"' """.replace(' = ', '=', 1)])


@example('start')
def _(root, run_it):
    make_web(root)
    said = run_it('start').splitlines()
    assert 'nobody' in said and any('sleep' in line or 'trap' in line for line in said), said


@example('start-freeze')
def _(root, run_it):
    make_web(root)
    run(root, ['userns-run start web'])
    run_it('start-freeze')
    assert os.path.getsize(f'{root.home}/web.tar') > 0
    run(root, ['userns-run wait web || true'])


@example('start-wait')
def _(root, run_it):
    make_web(root)
    assert run_it('start-wait').splitlines()[-1] == 'ended with 3'


@example('start-console')
def _(root, _run_it):
    make_web(root)
    first, second = EXAMPLES['start-console']
    run(root, [first])
    ours, theirs = os.openpty()
    child = start(root, [second], stdin=theirs, fds={1: theirs})
    os.close(theirs)
    seen = b''
    while b'up' not in seen:
        seen += os.read(ours, 4096)
    os.write(ours, b'\x1d\x1d')
    assert child.wait().code == 0
    os.close(ours)
    run(root, ['userns-run stop web', 'userns-run destroy web'])


@example('autostart')
def _(root, run_it):
    shutil.which('systemctl') or skip('there is no systemctl here (apt-get install systemd)')
    user(root)
    with open(f'{TOP}/packaging/systemd/userns-autostart.service.in') as file:
        root.write('/etc/systemd/user/userns-autostart.service', file.read().replace('@BINDIR@', '/usr/bin'))
    # Without a service manager to tell, systemctl does what it does in a chroot.
    run(root, ['export SYSTEMD_OFFLINE=1', *EXAMPLES['autostart']])
    assert os.path.islink(f'{root.home}/.config/systemd/user/default.target.wants/userns-autostart.service')


@example('divert as root')
def _(root, _run_it):
    for place in ('/usr/libexec', '/var/lib'):
        root.overlay(place)
    os.makedirs('/usr/libexec/userns', exist_ok=True)
    os.makedirs('/usr/libexec/lxc', exist_ok=True)
    root.copy_program(root.program('userns-net'), '/usr/libexec/userns/userns-net', root.privilege)
    root.copy_program(root.program('lxc-user-nic'), '/usr/libexec/userns/lxc-user-nic', None)
    root.write('/etc/lxc/lxc-usernet', 'alice veth br0 2\n')
    if os.path.exists('/etc/userns/net.conf'):
        os.unlink('/etc/userns/net.conf')
    run(root, EXAMPLES['divert as root'], ROOT)
    done = root.run(['/usr/libexec/lxc/lxc-user-nic', 'create', '/p', 'n', '1', 'veth', 'br0'], root.alice)
    assert done.code == 1 and '[NR-' in done.err, done
    os.unlink('/etc/userns/net.conf')
    root.write('/etc/userns/net.conf', '')


def owners(path):
    return {os.lstat(f'{where}/{name}').st_uid for where, names, files in os.walk(path) for name in ('.', *names, *files)}


def tree_of(root, path, owner):
    user(root)
    os.makedirs(f'{path}/etc')
    root.write(f'{path}/etc/motd', 'hello\n')
    for where, names, files in os.walk(path):
        for name in ('.', *names, *files):
            os.lchown(f'{where}/{name}', owner, owner)


@example('shift-block')
def _(root, _run_it):
    tree_of(root, f'{root.home}/rootfs', 100000)
    os.chmod(f'{root.home}/rootfs', 0o755)
    for path in ('/etc/subuid', '/etc/subgid'):
        root.write(path, '1000:100000:131072\n')
    run(root, EXAMPLES['shift-block'], root.mark)
    assert owners(f'{root.home}/rootfs') == {165536}


@example('shift-own')
def _(root, run_it):
    user(root)
    tree_of(root, f'{root.home}/tree', root.mark.uid)
    run_it('shift-own')
    assert owners(f'{root.home}/tree') == {100000}


@example('shift-convert as root')
def _(root, _run_it):
    root.overlay('/srv')
    root.overlay('/var/lib')
    tree_of(root, '/srv/debian', 0)
    for path in ('/etc/subuid', '/etc/subgid'):
        root.write(path, 'alice:100000:65536\n')
    run(root, EXAMPLES['shift-convert as root'], ROOT)
    assert owners('/srv/debian') == {100000}


# A host that has no place for cgroups here may refuse, as userns-cgroup; tests/helpers/cgroup_contract.py enters those of its own.
@example('cgroup-build')
def _(root, _run_it):
    place = f'{root.tmp}/bin'
    os.makedirs(place, exist_ok=True)
    root.write(f'{place}/make', '#!/bin/sh\necho "made $*"\n', mode=0o755)
    root.write('/etc/userns/cgroup.conf', '1000 pids.max=100\n')
    line, = EXAMPLES['cgroup-build']
    helpers = os.path.dirname(root.program('userns-cgroup'))
    done = start(root, [f'PATH={helpers}:{place}:$PATH', line]).wait()
    assert done.code == 125 and done.err.startswith('userns-cgroup: ') or done.out == 'made -j64\n', done


@example('policy-jq as root')
def _(root, _run_it):
    root.write('/etc/subuid', 'alice:0x1:1\n')
    done = start(root, EXAMPLES['policy-jq as root'], ROOT).wait()
    assert done.code == 0 and done.out.strip(), done


@example('policy-explain')
def _(root, _run_it):
    done = start(root, EXAMPLES['policy-explain']).wait()
    assert done.code == 1 and '65537' in done.out, done


@case('every other example ends well and prints what it is to print')
def _(root):
    with open('/etc/group', 'a') as file:
        file.write('students:x:7777:\n')
    root.program('userns-policy')
    root.first = UNUSED
    user(root)
    root.write('/etc/lxc/lxc-usernet', 'alice veth br0 2\n')
    os.makedirs(f'{root.home}/.local/share/lxc/web', exist_ok=True)
    root.write(f'{root.home}/.local/share/lxc/web/config', 'lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n'
               'lxc.rootfs.path = dir:/srv/debian\n')
    os.chown(root.home + '/.local', root.mark.uid, root.mark.gid)
    for name, lines in EXAMPLES.items():
        if name not in CHECKS:
            said.check_output(said.EXAMPLES[name], run(root, lines, ROOT if name.endswith(' as root') else None))
    assert set(said.EXAMPLES) == set(EXAMPLES) - set(CHECKS)


@case('the commands that README.md gives a user end well and print what they are to print')
def _(root):
    with open(TOP + '/README.md') as file:
        block, = re.findall(r'Then as that user.*?```sh\n(.*?)```', file.read(), re.S)
    root.first = UNUSED
    lines = [line.partition(' #')[0].rstrip() for line in filter(None, block.splitlines())]
    assert lines == list(said.README), lines
    for line in lines:
        said.check_output(said.README[line], run(root, [line]))


def installed_by_readme():
    """The programs of a Debian with what README.md has root install, and nothing else: {name}."""
    text = subprocess.run(['dpkg-query', '-W', '-f', '${Package}\\t${Essential}\\t${Priority}\\t${Provides}\\t${Pre-Depends},${Depends}\\n'],
                          stdout=subprocess.PIPE, check=True, text=True).stdout
    depends, of, open_names = {}, {}, []
    for line in text.splitlines():
        name, essential, priority, provides, needs = line.split('\t')
        depends[name] = [[re.split(r'[ (:]', choice.strip())[0] for choice in group.split('|')] for group in needs.split(',') if group.strip()]
        for provided in (name, *(re.split(r'[ (:]', word.strip())[0] for word in provides.split(','))):
            of.setdefault(provided, name)
        if essential == 'yes' or priority == 'required':
            open_names.append(name)
    open_names += [word for word in build_block()[0].split()[2:] if not word.startswith('-')]
    packages = set()
    while open_names:
        name = of.get(open_names.pop())
        if name and name not in packages:
            packages.add(name)
            open_names += [choice for group in depends[name] for choice in group[:1]]
    files = subprocess.run(['dpkg-query', '-L', *sorted(packages)], stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()
    return {os.path.basename(path) for path in files if re.match(r'(/usr)?/s?bin/.', path)}


@case('the commands that README.md gives a user need no program but those of the packages that it names')
def _(root):
    shutil.which('dpkg-query') or skip('this is no Debian')
    keep = installed_by_readme()
    assert {'g++', 'meson', 'ip', 'busybox', 'ls'} <= keep and not {'mmdebstrap', 'pasta', 'skopeo', 'podman'} & keep, sorted(keep)
    root.first = UNUSED
    user(root)
    root.program('userns-run')
    for place in ('/usr/bin', '/usr/sbin'):
        root.overlay(place)
        for name in os.listdir(place):
            if name not in keep and os.path.basename(os.path.realpath(f'{place}/{name}')) not in keep:
                os.unlink(f'{place}/{name}')
    try:
        for line, wanted in said.README.items():
            said.check_output(wanted, run(root, [line]))
    finally:
        for place in ('/usr/bin', '/usr/sbin'):
            umount(place)


@case('a command that prints an error and ends well is found')
def _(root):
    user(root)
    for wrong in ("userns-run --map-self -- sh -c 'ip link add a type veth peer b; ip -br link'", 'echo odd >&2'):
        done = start(root, [wrong]).wait()
        assert done.code == 0 and done.err, done
        try:
            run(root, [wrong])
        except AssertionError:
            continue
        raise RuntimeError(f'{wrong} was taken as it should be')
    for out in ('', 'lo UNKNOWN\n'):
        try:
            said.check_output(said.README["userns-run --map-self -- sh -c 'ip link add left type veth peer right; ip -br link'"], out)
        except AssertionError:
            continue
        raise RuntimeError(f'{out!r} was taken as it should be')


@case('the ids that README.md has root grant are room for ten more containers')
def _(root):
    with open(TOP + '/README.md') as file:
        command, = re.findall(r'`(userns-policy grant [^`]*)`', file.read())
    root.first = UNUSED
    user(root)
    root.program('userns-policy')
    for path in ('/etc/subuid', '/etc/subgid'):
        root.write(path, 'alice:100000:65536\n')
    run(root, [command], ROOT)
    for path in ('/etc/subuid', '/etc/subgid'):
        with open(path) as file:
            assert sum(int(line.split(':')[2]) for line in file if line.startswith('alice:')) == 11 * 65536, path


def build_block():
    """The commands that README.md has root build and install with: apt-get, meson setup, meson install, useradd."""
    with open(TOP + '/README.md') as file:
        block, = re.findall(r'By hand, without the quickstart.*?```sh\n(.*?)```', file.read(), re.S)
    return [line for line in block.replace('\\\n', ' ').splitlines() if line]


def as_admin(words, **env):
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=TOP,
                          env={**os.environ, **env})
    assert done.returncode == 0, (words, done.stdout.decode(errors='replace')[-3000:])
    return done.stdout.decode(errors='replace')


@case('what README.md has root build and install with does so, in the words that stand there')
def _(root):
    install, setup, meson_install, mkdir, useradd = (shlex.split(line, comments=True) for line in build_block())
    as_admin([*install, '--simulate', '--no-download'])
    # In the build that is there already: in an empty directory the compiler would need minutes.
    build, destination = build_dir(), root.tmp + '/destination'
    root.overlay(build)
    as_admin([build if word == 'build' else word for word in setup] + ['--reconfigure'])
    said = as_admin([build if word == 'build' else word for word in meson_install], DESTDIR=destination)
    assert 'Compiling' not in said, said[-3000:]
    assert 'userns suite' in as_admin([destination + '/usr/local/bin/userns-run', '--version'])
    setuid = [path for path in glob.glob(destination + '/usr/local/**', recursive=True) if os.stat(path).st_mode & 0o4000]
    assert {os.path.basename(path) for path in setuid} == {'newuidmap', 'newgidmap', 'userns-net', 'userns-cgroup', 'userns-idmap'}, setuid
    root.overlay('/home')
    as_admin(mkdir)
    assert os.path.isdir('/etc/userns')
    as_admin([f'/usr/sbin/{useradd[0]}', *useradd[1:-1], 'newalice'])  # there is an alice already
    for path in ('/etc/subuid', '/etc/subgid'):
        with open(path) as file:
            assert re.search(r'^newalice:\d+:65536$', file.read(), re.M), path


@case('what README.md has root install and call is what packaging/quickstart does')
def _(_root):
    texts = {}
    for name in ('packaging/quickstart', 'packaging/lib.sh'):
        with open(f'{TOP}/{name}') as file:
            texts[name] = file.read()
    install, *others = build_block()
    known = re.search(r'^build_packages=\((.*?)\)', texts['packaging/lib.sh'], re.S | re.M)[1].split()
    # Tests are not built; the first steps use ip(8) and a template.
    wanted = [word for word in install.split()[2:] if not word.startswith('-')]
    assert set(wanted) - {'iproute2', 'busybox-static'} == set(known) - {'libgtest-dev', 'python3'}, set(wanted) ^ set(known)
    for words in ('-Dtests=false', 'prefix=/usr/local', 'meson install -C', 'useradd --create-home --shell /bin/bash'):
        assert any(words in line for line in others) and words in texts['packaging/quickstart'], words


@cases([(f'packaging/quickstart in {name} says why it cannot work before it does anything', how, pieces) for name, how, pieces in (
    ('a chroot', 'exec chroot {tree}', ('this is a chroot', 'a virtual machine')),
    ('a place without user namespaces', 'echo 0 >/proc/sys/user/max_user_namespaces; exec', ('switched off', 'sysctl')))])
def _(root, how, pieces):
    tree = f'{root.tmp}/tree'
    os.makedirs(tree, exist_ok=True)
    mount('tmpfs', tree, 'tmpfs', data='mode=0755')
    for name in ('usr', 'etc', 'proc', 'dev', 'src'):
        os.makedirs(f'{tree}/{name}')
        mount(os.path.realpath(TOP) if name == 'src' else f'/{name}', f'{tree}/{name}', flags=MS_BIND | MS_REC)
    for name in ('bin', 'lib', 'lib64', 'sbin'):
        os.symlink(f'usr/{name}', f'{tree}/{name}')
    # Should it go on, it comes no further than to its packages.
    root.write(f'{tree}/apt-get', '#!/bin/sh\nexit 9\n', mode=0o755)
    top = '/src' if 'chroot' in how else f'{tree}/src'
    # The limit is one user namespace's: it is switched off in one of its own.
    script = f'PATH=/:{tree}:/usr/sbin:/usr/bin; {how.format(tree=tree)} {top}/packaging/quickstart'
    done = root.run([*([] if 'chroot' in how else ['/usr/bin/unshare', '--user', '--map-root-user']), '/bin/sh', '-c', script], ROOT)
    umount(tree)
    assert done.code == 1 and done.out == '' and done.err.startswith('quickstart: ') and done.err.count('\n') == 1, done
    assert all(piece in done.err for piece in pieces), done


@case('every block of commands in a manual is an example, or says why it is not run; every check has its example')
def _(_root):
    assert not UNNAMED, UNNAMED
    takers = ''.join(open(path).read() for path in glob.glob(f'{TOP}/tests/*/*.py'))
    for name in TAKEN:
        assert f"'{name}'" in takers or f'lines: {name}\\n' in takers, name
    # Each block that is not run here is run where ELSEWHERE says, in the same words where those are a script.
    assert {lines[0].splitlines()[0] for lines in NOT_RUN} == set(ELSEWHERE), NOT_RUN
    for lines in NOT_RUN:
        why, path, words = ELSEWHERE[lines[0].splitlines()[0]]
        with open(f'{TOP}/{path}') as file:
            text = file.read()
        for word in words or [line.rstrip("'") for line in lines]:
            assert why and word in text, (path, word)
    assert set(CHECKS) <= set(EXAMPLES) and all(EXAMPLES.values()), set(CHECKS) - set(EXAMPLES)


def file_example(page):
    """The policy file that the EXAMPLES section of a manual shows."""
    with open(f'{TOP}/man/{page}') as file:
        return re.search(r'^\.Sh EXAMPLES\n.*?^\.Bd -literal.*?\n(.*?)^\.Ed', file.read(), re.M | re.S)[1]


@case('the examples of policy files, shown and shipped, are well-formed')
def _(root):
    texts = {}
    for name, page in (('net.conf', 'net.conf.5'), ('cgroup.conf', 'cgroup.conf.5')):
        with open(f'{TOP}/packaging/{name}.example') as file:
            shipped = file.read()
        uncommented = re.sub(r'^#(?=[a-z@*0-9][^ ]*( +[^ ]+)+$)', '', shipped, flags=re.M)
        texts[name] = (file_example(page), shipped, uncommented)
        assert uncommented != shipped, shipped
    for net, cgroup in zip(texts['net.conf'], texts['cgroup.conf']):
        root.write('/etc/userns/net.conf', net)
        root.write('/etc/userns/cgroup.conf', cgroup)
        done = root.run([root.program('userns-run'), 'doctor', '--json'], user(root))
        for check in json.loads(done.out)['checks']:
            if check['id'] in ('net-conf', 'cgroup-conf'):
                assert 'refused as a whole' not in check['text'], check
    for name in texts:
        root.write(f'/etc/userns/{name}', '')


main()
