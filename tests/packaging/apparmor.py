#!/usr/bin/env python3
"""The AppArmor profiles are parsed whole, by a parser that need not be that of the kernel they are for."""

import json
import os
import re
import subprocess

from packages import TOP, need
from harness import build_dir, case, main


def parsed(text):
    """What apparmor_parser says of a profile; nothing is loaded or kept."""
    need(('apparmor_parser', 'apparmor'))
    done = subprocess.run(['apparmor_parser', '-Q', '-K', '-S'], input=text.encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env={**os.environ, 'PATH': os.environ['PATH'] + ':/usr/sbin:/sbin'}, check=False)
    return done.returncode, done.stderr.decode(errors='replace')


def profile(name, **values):
    """As a distribution has it (in /usr), or as another build."""
    with open(f'{TOP}/packaging/apparmor/{name}.in', encoding='utf-8') as file:
        text = file.read()
    values = {'SUFFIX': '', 'BINDIR': '/usr/bin', 'HELPERDIR': '/usr/libexec/userns', 'POLICYDIR': '/etc/userns',
              'NEWUIDMAP': '/usr/libexec/userns/newuidmap', 'NEWGIDMAP': '/usr/libexec/userns/newgidmap', **values}
    return re.sub(r'@([A-Z]+)@', lambda name: values[name[1]], text)


@case('the profile of userns-run is well-formed; where the parser is older than its abi, all but its one rule')
def _(_root):
    text = profile('userns-run')
    note = None
    if not os.path.exists('/etc/apparmor.d/abi/4.0'):
        stand_in = text.replace('abi <abi/4.0>,', 'abi <abi/3.0>,').replace('\n  userns,\n', '\n')
        assert len(text) - len(stand_in) == len('  userns,\n'), stand_in
        text, note = stand_in, 'parsed with abi 3.0 and without the rule "userns,", which this parser does not know'
    code, said = parsed(text)
    assert code == 0, said
    assert parsed(text.replace('flags=(unconfined)', 'flags=(unconfinde)'))[0] != 0
    return note


@case('the profiles of the helpers are well-formed')
def _(_root):
    code, said = parsed(profile('userns-helpers'))
    assert code == 0, said


@case('a build for another prefix has profiles of its own, with names of their own')
def _(_root):
    for name in ('userns-run', 'userns-helpers'):
        path = f'{TOP}/packaging/apparmor/{name}.in'
        with open(path, encoding='utf-8') as file:
            declared = re.findall(r'^profile (\S+) (\S+)', file.read(), re.M)
        assert declared and all(title.endswith('@SUFFIX@') and where.startswith('@') for title, where in declared), declared
    plan = json.loads(subprocess.run(['meson', 'introspect', '--installed', build_dir()], stdout=subprocess.PIPE, check=True).stdout)
    mine = {os.path.basename(where): made for made, where in plan.items() if '/share/userns/apparmor/' in where}
    assert {name.split('.')[0] for name in mine} == {'userns-run', 'userns-helpers'}, mine
    for made in mine.values():
        with open(made, encoding='utf-8') as file:
            text = file.read()
        assert not re.search(r'@[A-Z]+@', text), made
        assert '/usr/local/' in text or '/usr/local/' not in ''.join(plan.values()), made


main(need_root=False)
