#!/usr/bin/env python3
"""The Debian packages: what is in them, what the checkers of the distribution say, and their life in a root of their own."""

import json
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from packages import TOP, build, deb, must, need, text_of  # noqa: E402
from harness import (CLONE_NEWNS, MS_BIND, MS_PRIVATE, MS_REC, build_dir, case, main, mount, skip, umount,  # noqa: E402
                     unshare)

LIBEXEC = '/usr/libexec/userns/'
SETUID = {f'.{LIBEXEC}{name}' for name in ('newuidmap', 'newgidmap', 'userns-net', 'userns-cgroup', 'userns-idmap')}
HELPERS, TOOLS = 'userns-helpers', 'userns-tools'


def out():
    return build(build_dir())


def field(package, name):
    return must('dpkg-deb', '-f', deb(out(), package), name).strip()


def contents(package):
    """{path: (mode, owner)}"""
    rows = [line.split(None, 5) for line in must('dpkg-deb', '-c', deb(out(), package)).splitlines()]
    return {row[5].split(' -> ')[0]: (row[0], row[1]) for row in rows}


def unpacked(package):
    where = f'{out()}/unpacked/{package}'
    shutil.rmtree(where, ignore_errors=True)
    os.makedirs(os.path.dirname(where), exist_ok=True)
    must('dpkg-deb', '-R', deb(out(), package), where)
    return where


@case('the setuid bits are in the package, on the helpers and nothing else, and no script sets one')
def _(_root):
    for package, expected in ((HELPERS, SETUID), (TOOLS, set())):
        files = contents(package)
        assert {path for path, (mode, _) in files.items() if 's' in mode.lower() and not mode.startswith('d')} == expected, files
        assert all(owner == 'root/root' for _, owner in files.values()), files
        assert all(mode == '-rwsr-xr-x' for path, (mode, _) in files.items() if path in expected), files
        scripts = must('dpkg-deb', '-I', deb(out(), package))
        assert not re.search(r'chmod|chown|setcap', scripts), scripts


@case('userns-helpers takes the place of uidmap, with its programs and its manuals, and claims no version of shadow\'s')
def _(_root):
    assert field(HELPERS, 'Provides') == field(HELPERS, 'Conflicts') == field(HELPERS, 'Replaces') == 'uidmap'
    theirs = ['usr/bin/newuidmap', 'usr/bin/newgidmap', 'usr/bin/getsubids', 'usr/share/man/man1/newuidmap.1.gz',
              'usr/share/man/man1/newgidmap.1.gz', 'usr/share/man/man1/getsubids.1.gz']
    files = contents(HELPERS)
    assert all('./' + path in files for path in theirs), files.keys()


@case('the front-end has no privilege, and works with the uidmap of the distribution too')
def _(_root):
    assert HELPERS not in field(TOOLS, 'Depends') and 'uidmap' in field(TOOLS, 'Recommends')


@case('policy files are conffiles, and nothing in them is granted')
def _(_root):
    where = unpacked(HELPERS)
    with open(where + '/DEBIAN/conffiles') as file:
        listed = {line for line in file.read().split() if line.startswith('/etc/userns/')}
    assert listed == {'/etc/userns/net.conf', '/etc/userns/cgroup.conf'}, listed
    for path in listed:
        with open(where + path) as file:
            lines = file.read().splitlines()
        assert len(lines) > 5 and all(line.startswith('#') for line in lines), path


@case('the version is that of meson and the changelog, and grows with each commit that is not a release')
def _(_root):
    with open(TOP + '/meson.build') as file:
        version = re.search(r"version: '([^']+)'", file.read())[1]
    assert field(HELPERS, 'Version') == field(TOOLS, 'Version')
    found = re.fullmatch(re.escape(version) + r'(\+git(\d+)\.[0-9a-f]{8})?-1', field(HELPERS, 'Version'))
    assert found, field(HELPERS, 'Version')
    with open(TOP + '/packaging/debian/changelog') as file:
        assert file.readline().startswith(f'userns-suite ({version}-1) '), 'the changelog has another version'



@case('units, links and completions lie where Debian looks for them, nothing below /lib, and only ours has the paths that AppArmor knows')
def _(_root):
    helpers, tools = contents(HELPERS), contents(TOOLS)
    assert './usr/lib/systemd/system/userns-cgroup.service' in helpers and './usr/lib/systemd/user/userns-autostart.service' in tools
    for name in ('newuidmap', 'newgidmap'):
        assert os.readlink(f'{unpacked(HELPERS)}/usr/bin/{name}') == f'../libexec/userns/{name}'
    with open(unpacked(HELPERS) + '/etc/apparmor.d/userns-helpers') as file:
        attached = re.findall(r'^profile \S+ (\S+) flags', file.read(), re.M)
    assert {'.' + path for path in attached} <= SETUID and len(attached) >= 4, attached
    for program in ('userns-run', 'userns-policy'):
        for path in (f'bash-completion/completions/{program}.bash', f'zsh/vendor-completions/_{program}',
                     f'fish/vendor_completions.d/{program}.fish'):
            assert './usr/share/' + path in tools, tools.keys()
    for page in ('cgroup.conf', 'net.conf'):
        assert os.path.exists(f'{unpacked(HELPERS)}/usr/share/man/man5/userns-{page}.5userns.gz'), page
    assert not [path for path in (*helpers, *tools) if path.startswith(('./usr/share/userns', './lib', './bin', './sbin'))]


def script(package, name):
    path = f'{unpacked(package)}/DEBIAN/{name}'
    if not os.path.exists(path):
        return ''
    with open(path) as file:
        return file.read()


@case("no user's containers are started or ended by a package: autostart is each user's own choice, needrestart leaves the unit alone")
def _(_root):
    # debhelper's script for a unit that nobody has until they enable it: only those that had it before keep it.
    assert "--user debian-installed 'userns-autostart.service'" in script(TOOLS, 'postinst'), script(TOOLS, 'postinst')
    assert not re.search('restart', ''.join(script(HELPERS, name) for name in ('preinst', 'postinst', 'prerm', 'postrm'))
                         .replace('is never restarted', ''))
    conf = unpacked(HELPERS) + '/etc/needrestart/conf.d/userns-helpers.conf'
    judge = ('our %nrconf = (override_rc => {}); do $ARGV[0]; die $@ if $@; foreach my $unit (@ARGV[1..$#ARGV]) '
             '{ my ($key) = grep { $unit =~ /$_/ } keys %{$nrconf{override_rc}}; '
             'print "$unit ", defined $key ? $nrconf{override_rc}->{$key} : "unset", "\\n"; }')
    said = must('perl', '-we', judge, conf, 'userns-cgroup.service', 'ssh.service')
    assert said == 'userns-cgroup.service 0\nssh.service unset\n', said


@case('lintian finds neither errors nor warnings that are not explained')
def _(_root):
    need(('lintian', 'lintian'))
    changes, = (f for f in os.listdir(out()) if f.endswith('.changes'))
    code, said = text_of('lintian', '--allow-root', '--display-level', '>=warning', f'{out()}/{changes}',
                         env={**os.environ, 'LC_ALL': 'C.UTF-8'})
    assert code == 0 and not re.search(r'^[EW]: ', said, re.M), said


@case('the compiler was called with the flags of the distribution, and the programs show it')
def _(_root):
    need(('blhc', 'blhc'), ('hardening-check', 'devscripts'))
    # meson links with -pie alone; whether a program is position independent is looked at below.
    code, said = text_of('blhc', '--bindnow', '--ignore-flag', '-fPIE', out() + '/log')
    assert code == 0, said
    programs = [f'{unpacked(p)}/{path}' for p in (HELPERS, TOOLS) for path, (mode, _) in contents(p).items()
                if mode.startswith('-rw') and 'x' in mode and '/DEBIAN/' not in path]
    assert len(programs) >= 6, programs
    for program in programs:
        # static-pie, which hardening-check takes for a shared library; stripped, it shows nothing of its protection.
        if program.endswith('/userns-monitor'):
            assert 'statically linked' in must('file', program) or 'static-pie' in must('file', program), program
            continue
        _, said = text_of('hardening-check', program)
        for wanted in ('Position Independent Executable: yes', 'Stack protected: yes', 'Read-only relocations: yes',
                       'Immediate binding: yes'):
            assert wanted in said, said
        # The helpers and getsubids call nothing that could be fortified but memcpy with sizes known to fit; blhc sees the flag.
        assert 'Fortify Source functions: yes' in said or not program.endswith(('/userns-run', '/userns-policy')), said


# --- in a root of its own -------------------------------------------------------------------

# Not chroot(8): the kernel makes no user namespaces in one.
ENTER = 'cd "$0" && pivot_root . mnt && umount -l /mnt && exec "$@"'


class Sandbox:
    """The machine's own root, seen through an overlay that dies with this object; packages can be installed in it."""

    def __init__(self, root):
        self.base = root.tmp + '/sandbox'
        shutil.rmtree(self.base, ignore_errors=True)
        for name in ('upper', 'work', 'root'):
            os.makedirs(f'{self.base}/{name}')
        self.path = self.base + '/root'
        mount('overlay', self.path, 'overlay', 0, f'lowerdir=/,upperdir={self.base}/upper,workdir={self.base}/work')
        for name in ('proc', 'dev', 'sys'):
            mount('/' + name, f'{self.path}/{name}', None, MS_BIND | MS_REC)
        for name in ('run', 'tmp', 'mnt'):
            mount('tmpfs', f'{self.path}/{name}', 'tmpfs', 0, 'mode=1777')
        # No service is to be started by a maintainer script.
        self.write('/usr/sbin/policy-rc.d', '#!/bin/sh\nexit 101\n', 0o755)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        umount(self.path)
        shutil.rmtree(self.base, ignore_errors=True)

    def write(self, path, text, mode=0o644):
        with open(self.path + path, 'w') as file:
            file.write(text)
        os.chmod(self.path + path, mode)

    def read(self, path):
        with open(self.path + path) as file:
            return file.read()

    def take(self, source):
        """Copies a file to /tmp in it and returns its path there."""
        shutil.copy(source, self.path + '/tmp')
        return '/tmp/' + os.path.basename(source)

    def run(self, *argv, user=None):
        as_user = ['setpriv', f'--reuid={user}', f'--regid={user}', '--init-groups'] if user else []
        home = f'/home/{user}' if user else '/root'
        env = {'PATH': '/usr/sbin:/usr/bin:/sbin:/bin', 'HOME': home, 'DEBIAN_FRONTEND': 'noninteractive', 'LC_ALL': 'C'}
        return text_of('unshare', '--mount', '/bin/sh', '-c', ENTER, self.path, *as_user, *argv, env=env)

    def must(self, *argv, **how):
        code, text = self.run(*argv, **how)
        assert code == 0, f'{" ".join(argv)} ended with {code}:\n{text[-3000:]}'
        return text

    def install(self, *debs, options=()):
        return self.must('apt-get', '-y', '-q', '--no-install-recommends', '--allow-downgrades', *options, 'install',
                         *[self.take(path) for path in debs])

    def add_user(self, name='newcomer'):
        self.must('useradd', '--create-home', '--shell', '/bin/sh', name)
        self.must('sh', '-c', f'sed -i /^{name}:/d /etc/subuid /etc/subgid; echo {name}:300000:65536 | tee -a /etc/subuid >>/etc/subgid')
        return name


def repacked(name, where):
    """The installed package `name` as a .deb again."""
    if must('dpkg-query', '-W', '-f', '${db:Status-Status}', name) != 'installed':
        skip(f'apt-get install {name}')
    tree = f'{where}/{name}'
    os.makedirs(tree + '/DEBIAN')
    control = must('dpkg-query', '-s', name)
    with open(tree + '/DEBIAN/control', 'w') as file:
        file.write(re.sub(r'^(Status|Conffiles):.*\n( .*\n)*', '', control, flags=re.M))
    for path in must('dpkg-query', '-L', name).splitlines():
        if os.path.isdir(path):
            os.makedirs(tree + path, exist_ok=True)
        elif os.path.exists(path):  # manuals may have been left out of the installation
            must('cp', '-a', path, tree + path)
    must('dpkg-deb', '-b', tree, f'{where}/{name}.deb')
    return f'{where}/{name}.deb'


def package_of(sandbox, path):
    return sandbox.must('dpkg-query', '-S', path).split(':')[0]


def works(sandbox, user, *argv):
    """A command that prints the uid_map of a process that was mapped by newuidmap."""
    said = sandbox.must(*argv, user=user)
    assert re.search(r'^ *[01] +300000 +6553[56]$', said, re.M), said


# They look for newuidmap on PATH, and lxc whether the file there is setuid or has capabilities: it is a link to ours.
CALLERS = (('lxc-usernsexec', '-m', 'b:0:300000:65536', '--', 'cat', '/proc/self/uid_map'),
           ('rootlesskit', 'cat', '/proc/self/uid_map'),
           ('unshare', '--user', '--map-auto', '--map-root-user', 'cat', '/proc/self/uid_map'))

def subid_answers(sandbox, user):
    """What getsubids says of names and numbers: the exit status and the ranges."""
    uid = sandbox.must('id', '-u', user).strip()
    asked = [[*kind, who] for kind in ((), ('-g',)) for who in (user, uid, 'nobody-such', '4000000')]
    found = [sandbox.run('getsubids', *words, user=user) for words in asked]
    return [(words, code, re.findall(r'^\d+: .*$', said, re.M)) for words, (code, said) in zip(asked, found)]


# An overlay does not lie on the one that the sandbox is; of cgroups crun wants v2 alone, or none.
PODMAN = 'cd && exec podman --storage-driver=vfs --runtime=crun '
IMAGE = 'cd && mkdir -p i/bin i/proc i/sys i/dev && cp /bin/busybox i/bin && ln -s busybox i/bin/cat && tar -C i -cf i.tar .'


@case("from Debian's uidmap to ours and back: podman runs a container before, between and after, userns-run from then on")
def _(root):
    need(('podman', 'podman'), ('crun', 'crun'), ('busybox', 'busybox-static'), ('lxc-usernsexec', 'lxc'), ('rootlesskit', 'rootlesskit'))
    with Sandbox(root) as sandbox:
        mount('cgroup2', sandbox.path + '/sys/fs/cgroup', 'cgroup2')
        user = sandbox.add_user()
        theirs = repacked('uidmap', root.tmp + '/repacked')
        sandbox.must('sh', '-c', IMAGE, user=user)
        sandbox.must('sh', '-c', PODMAN + 'import i.tar i', user=user)
        podman = ('sh', '-c', PODMAN + 'run --rm --network=none --pids-limit=0 --cgroups=disabled i cat /proc/self/uid_map')
        run = ('/usr/bin/userns-run', '--', 'cat', '/proc/self/uid_map')
        assert package_of(sandbox, '/usr/bin/newuidmap') == 'uidmap'
        works(sandbox, user, *podman)
        shadows = subid_answers(sandbox, user)
        said = sandbox.install(deb(out(), HELPERS), deb(out(), TOOLS))
        assert 'uidmap' in said.split('The following packages will be REMOVED:')[1].split('\n')[1], said
        assert package_of(sandbox, '/usr/bin/newuidmap') == HELPERS
        assert 'userns suite' in sandbox.must('/usr/bin/newuidmap', '--version')
        assert sandbox.must('getsubids', user) == f'0: {user} 300000 65536\n'
        assert subid_answers(sandbox, user) == shadows
        for argv in (podman, run, *CALLERS):
            works(sandbox, user, *argv)
        assert sandbox.run('dpkg', '-s', 'podman')[1].count('install ok installed') == 1
        assert sandbox.run('apt-get', 'check')[0] == 0
        sandbox.install(theirs)
        assert package_of(sandbox, '/usr/bin/newuidmap') == 'uidmap'
        for argv in (podman, run):
            works(sandbox, user, *argv)
        assert sandbox.read('/etc/subuid').count(f'{user}:300000:65536') == 1


def newer(package, where, change=None):
    """The package with version +1; change(directory) may alter what is in it."""
    tree = f'{where}/newer'
    shutil.rmtree(tree, ignore_errors=True)
    must('dpkg-deb', '-R', deb(out(), package), tree)
    with open(tree + '/DEBIAN/control') as file:
        control = file.read()
    with open(tree + '/DEBIAN/control', 'w') as file:
        file.write(re.sub(r'^(Version: .*)$', r'\1+1', control, flags=re.M))
    if change:
        change(tree)
    must('dpkg-deb', '-b', tree, f'{where}/{package}-newer.deb')
    return f'{where}/{package}-newer.deb'


def recipe(sandbox, package, title):
    """Runs the commands of README.Debian below this title, as an administrator would type them."""
    with open(f'{TOP}/packaging/debian/{package}.README.Debian') as file:
        part = re.search(rf'^{re.escape(title)}\n-+\n(.*?)(\n\S[^\n]*\n-{{3,}}\n|\Z)', file.read(), re.M | re.S)
    lines = [line[2:] for line in part[1].splitlines() if line.startswith('  ')]
    assert lines, title
    return sandbox.must('sh', '-euc', '\n'.join(lines) + '\n')


CAPABILITIES = {'newuidmap': 'cap_setuid', 'newgidmap': 'cap_setgid', 'userns-net': 'cap_net_admin', 'userns-idmap': 'cap_sys_admin'}


@case("README.Debian's file capabilities: they work in the place of the setuid bits, and an upgrade keeps them")
def _(root):
    def has_them():
        for name, capability in CAPABILITIES.items():
            path = LIBEXEC + name
            assert sandbox.must('stat', '-c', '%a', path).strip() == '755', name
            assert {capability, 'cap_audit_write'} == set(re.findall(r'cap_\w+', sandbox.must('getcap', path))), name
        assert sandbox.must('stat', '-c', '%a', LIBEXEC + 'userns-cgroup').strip() == '4755'
        works(sandbox, user, '/usr/bin/userns-run', '--', 'cat', '/proc/self/uid_map')

    need(('setcap', 'libcap2-bin'))
    with Sandbox(root) as sandbox:
        user = sandbox.add_user()
        sandbox.install(deb(out(), HELPERS), deb(out(), TOOLS))
        recipe(sandbox, HELPERS, 'File capabilities instead of setuid bits')
        has_them()
        sandbox.install(newer(HELPERS, root.tmp))
        has_them()
        sandbox.must('dpkg', '--purge', '--force-depends', HELPERS)


@case("README.Debian's recipe for lxc-user-nic: the program is diverted, ours answers in its place, also after an upgrade of lxc")
def _(root):
    need(('lxc-start', 'lxc'))
    with Sandbox(root) as sandbox:
        sandbox.install(deb(out(), HELPERS))
        recipe(sandbox, HELPERS, 'In the place of lxc-user-nic')
        where, = re.findall(r'^\S+/lxc-user-nic$', sandbox.must('dpkg-query', '-L', 'liblxc-common'), re.M)
        assert sandbox.must('readlink', '-f', where).strip() == LIBEXEC + 'lxc-user-nic'
        assert 'userns suite' in sandbox.must(where, '--version')
        sandbox.install(repacked('liblxc-common', root.tmp + '/repacked-lxc'), options=('--reinstall',))
        assert sandbox.must('readlink', '-f', where).strip() == LIBEXEC + 'lxc-user-nic'


@case("userns-tools' README.Debian: userns-run for one group only")
def _(root):
    with Sandbox(root) as sandbox:
        user = sandbox.add_user()
        sandbox.install(deb(out(), HELPERS), deb(out(), TOOLS))
        with open(f'{TOP}/packaging/debian/{TOOLS}.README.Debian') as file:
            lines = re.findall(r'^  (groupadd .*|dpkg-statoverride .*)$', file.read(), re.M)
        sandbox.must('sh', '-euc', '\n'.join(lines))
        code, said = sandbox.run('/bin/sh', '-c', '/usr/bin/userns-run -- true', user=user)
        assert code == 126 and 'ermission denied' in said, said
        sandbox.must('usermod', '-aG', 'containers', user)
        works(sandbox, user, '/usr/bin/userns-run', '--', 'cat', '/proc/self/uid_map')


@case("what dpkg-statoverride says of uidmap's programs holds for ours, and after an upgrade")
def _(root):
    def modes():
        return sandbox.must('stat', '-L', '-c', '%a %G', '/usr/bin/newuidmap', '/usr/bin/newgidmap').splitlines()

    with Sandbox(root) as sandbox:
        sandbox.must('groupadd', 'mappers')
        sandbox.must('dpkg-statoverride', '--update', '--add', 'root', 'mappers', '4750', '/usr/bin/newuidmap')
        sandbox.install(deb(out(), HELPERS))
        assert modes() == ['4750 mappers', '4755 root'], modes()
        sandbox.install(newer(HELPERS, root.tmp))
        assert modes() == ['4750 mappers', '4755 root'], modes()


@case('an upgrade keeps changed policy and what dpkg-statoverride says; a purge leaves nothing')
def _(root):
    def other_example(tree):
        with open(tree + '/etc/userns/net.conf', 'a') as file:
            file.write('# a newer example\n')

    with Sandbox(root) as sandbox:
        sandbox.install(deb(out(), HELPERS))
        mine = 'alice veth br0 2\n'
        sandbox.write('/etc/userns/net.conf', mine)
        recipe(sandbox, HELPERS, 'To take a program away from all but one group')
        sandbox.install(newer(HELPERS, root.tmp))
        assert sandbox.read('/etc/userns/net.conf') == mine
        sandbox.install(newer(HELPERS, root.tmp, other_example), options=('-o', 'Dpkg::Options::=--force-confold'))
        assert sandbox.read('/etc/userns/net.conf') == mine
        assert sandbox.must('stat', '-c', '%a %G', '/usr/libexec/userns/userns-net').split() == ['4750', 'netusers']
        assert sandbox.must('stat', '-L', '-c', '%a', '/usr/bin/newuidmap').strip() == '4755'
        sandbox.must('dpkg', '--remove', '--force-depends', HELPERS)
        assert sandbox.read('/etc/userns/net.conf') == mine
        sandbox.must('dpkg', '--purge', '--force-depends', HELPERS)
        left = sandbox.run('find', '/etc/userns', '/usr/libexec/userns', '/usr/bin/newuidmap', '/etc/systemd/system',
                           '-name', '*userns*', '-o', '-name', 'newuidmap')[1]
        assert not re.search(r'^/', left, re.M), left


@case("the tests of the packages themselves (autopkgtest's), run in that root")
def _(root):
    with Sandbox(root) as sandbox:
        sandbox.install(deb(out(), HELPERS), deb(out(), TOOLS))
        for name in ('container', 'replaces-uidmap'):
            said = sandbox.must(sandbox.take(f'{TOP}/packaging/debian/tests/{name}'))
            assert name != 'container' or said.count('ok: ') == 6, said


main()
