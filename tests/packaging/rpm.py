#!/usr/bin/env python3
"""The RPM packages: the spec builds, rpmlint accepts them, and each helper has exactly its privilege."""

import os
import re
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from packages import TOP, build_rpm, must, need, text_of  # noqa: E402
from harness import build_dir, case, main  # noqa: E402


def rpms():
    out = build_rpm(build_dir())
    return {re.match(r'(.*?)-\d', name)[1]: f'{out}/{name}' for name in os.listdir(out)
            if name.endswith('.rpm') and not name.endswith('.src.rpm')}


def query(package, form):
    return must('rpm', '-qp', '--nosignature', '--qf', form, rpms()[package])


@case('the spec builds two packages, with the version of meson')
def _(_root):
    found = rpms()
    assert {'userns-tools', 'userns-helpers'} <= set(found), found
    with open(TOP + '/meson.build') as file:
        version = re.search(r"version: '([^']+)'", file.read())[1]
    assert query('userns-helpers', '%{VERSION}') == version


@case('each helper has its two file capabilities, userns-cgroup the setuid bit, and nothing else has any')
def _(_root):
    rows = query('userns-helpers', '[%{FILENAMES} %{FILEMODES:octal} %{FILEUSERNAME} %{FILECAPS}\n]').splitlines()
    privileged = {row.split()[0]: row.split()[1:] for row in rows if row.split()[1].startswith('104') or len(row.split()) > 3}
    assert {os.path.basename(path): [mode[-4:], user, ''.join(caps)] for path, (mode, user, *caps) in privileged.items()} == {
        'userns-newuidmap': ['0755', 'root', 'cap_setuid,cap_audit_write=ep'],
        'userns-newgidmap': ['0755', 'root', 'cap_setgid,cap_audit_write=ep'],
        'userns-net': ['0755', 'root', 'cap_net_admin,cap_audit_write=ep'],
        'userns-idmap': ['0755', 'root', 'cap_sys_admin,cap_audit_write=ep'],
        'userns-cgroup': ['4755', 'root', '']}, rows
    tools = query('userns-tools', '[%{FILEMODES:octal} %{FILECAPS}\n]').splitlines()
    assert all(row.split()[1:] in ([], ['(none)']) and row.split()[0][-4] == '0' for row in tools), tools


# What each needs beside libc, where nothing is linked statically.
SHARED = {'userns-run': {'libarchive.so', 'libboost_program_options.so', 'libnettle.so'},
          'userns-policy': {'libboost_program_options.so'}, 'userns-monitor': set(), 'userns-oci': {'libseccomp.so'},
          'userns-newuidmap': {'libcap.so', 'libaudit.so'}, 'userns-newgidmap': {'libcap.so', 'libaudit.so'},
          'userns-net': {'libcap.so', 'libaudit.so', 'libmnl.so'}, 'userns-cgroup': {'libcap.so', 'libaudit.so'},
          'userns-idmap': {'libcap.so', 'libaudit.so'}, 'userns-names': set(), 'lxc-user-nic': set()}


@case('every program is linked shared: with libraries, with the C++ runtime, and the monitor, too')
def _(_root):
    with tempfile.TemporaryDirectory() as tree:
        for package in ('userns-tools', 'userns-helpers'):
            must('sh', '-ec', 'rpm2cpio "$1" | (cd "$2" && cpio --quiet -idm)', 'unpack', rpms()[package], tree)
        found = {os.path.basename(path): must('readelf', '-W', '-ld', path) for path in must(
            'find', tree, '-type', 'f', '-perm', '/111', '-path', '*/usr/*').splitlines()}
        assert set(found) == set(SHARED), found
        for name, said in found.items():
            needed = set(re.findall(r'NEEDED.*\[(.*?\.so)', said))
            assert 'INTERP' in said and SHARED[name] | {'libc.so', 'libstdc++.so'} <= needed, (name, needed)


@case('the AppArmor profiles are profiles: no program of the same name was built over one')
def _(_root):
    with tempfile.TemporaryDirectory() as tree:
        for package, name in (('userns-tools', 'userns-run'), ('userns-helpers', 'userns-helpers')):
            must('sh', '-ec', 'rpm2cpio "$1" | (cd "$2" && cpio --quiet -idm)', 'unpack', rpms()[package], tree)
            with open(f'{tree}/usr/share/userns/apparmor/{name}', 'rb') as file:
                assert b'\nprofile ' in file.read(), name


@case('policy files are kept by an update')
def _(_root):
    assert query('userns-helpers', '[%{FILENAMES} %{FILEFLAGS:fflags}\n]').count('.conf cn') == 2


@case('rpmlint finds no error, and no warning that is not explained')
def _(_root):
    need(('rpmlint', 'rpmlint'))
    code, said = text_of('rpmlint', '--config', TOP + '/packaging/rpm/rpmlint.toml', TOP + '/packaging/rpm/userns-suite.spec',
                         *sorted(rpms().values()), env={**os.environ, 'LC_ALL': 'C.UTF-8'})
    assert code == 0 and not re.search(r': [EW]: ', said), said


main()
