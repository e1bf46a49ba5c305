#!/usr/bin/env python3
"""The AppArmor profiles are parsed whole, by a parser that need not be that of the kernel they are for."""

import os
import subprocess

from packages import TOP, need
from harness import case, main


def parsed(text):
    """What apparmor_parser says of a profile; nothing is loaded or kept."""
    need(('apparmor_parser', 'apparmor'))
    done = subprocess.run(['apparmor_parser', '-Q', '-K', '-S'], input=text.encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env={**os.environ, 'PATH': os.environ['PATH'] + ':/usr/sbin:/sbin'}, check=False)
    return done.returncode, done.stderr.decode(errors='replace')


def profile(name):
    with open(f'{TOP}/packaging/apparmor/{name}', encoding='utf-8') as file:
        return file.read()


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


main(need_root=False)
