#!/usr/bin/env python3
"""packaging/check itself: which stages there are, what is named as left out, what it counts. What it calls are stand-ins."""

import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.realpath(HERE + '/../..')
sys.path.insert(0, HERE + '/../lib')
from harness import case, main  # noqa: E402

# Each writes down how it was called.
SAYS = 'echo "$(basename "$0") $*" >>"$CALLS"; '
TOOLS = {'meson': '', 'ninja': 'case "$*" in *$BREAKS*) exit 1 ;; esac', 'clang-format-19': '', 'clang-tidy-19': '', 'shellcheck': '',
         'mandoc': '', 'ccache': '', 'apt-get': '', 'dpkg-buildflags': '', 'dpkg-query': 'echo installed', 'fuzz-words': ''}
TREE = {'tests/run': 'case "$*" in *--short*) echo "left out, being long: guest_net" ;; esac; echo "3 passed, 0 failed, 1 skipped"',
        'tests/warm': '', 'tests/affected': 'eval "echo \\$AFFECTED_$2"',
        'tests/mutate': 'echo "5 killed, 0 survived, 0 errors"', 'tests/coverage': '', 'packaging/build-deb': '',
        'packaging/on-debian': 'echo "2 passed, 0 failed, 0 skipped"', 'packaging/cross': 'echo "4 passed, 1 failed, 0 skipped"; exit 1'}


def check(*words, **env):
    """(exit status, output, [calls]) of packaging/check in a tree of stand-ins."""
    with tempfile.TemporaryDirectory() as top:
        for path in ('packaging', 'tests', 'man', 'bin', 'tests/lib', 'tests/corpus'):
            os.makedirs(f'{top}/{path}', exist_ok=True)
        for path in ('packaging/check', 'packaging/lib.sh', 'packaging/stages.sh', 'tests/lib/cache.py'):
            shutil.copy(f'{TOP}/{path}', f'{top}/{path}')
        scripts = {f'bin/{name}': script for name, script in TOOLS.items()} | TREE
        scripts['build/sanitized/tests/fuzz/fuzz-words'] = scripts.pop('bin/fuzz-words')
        for path, script in scripts.items():
            os.makedirs(os.path.dirname(f'{top}/{path}'), exist_ok=True)
            with open(f'{top}/{path}', 'w') as file:
                file.write(f'#!/bin/sh\n{SAYS}{script}\n')
            os.chmod(f'{top}/{path}', 0o755)
        for path in ('man/a.1', 'policy/text.cc'):
            os.makedirs(os.path.dirname(f'{top}/{path}'), exist_ok=True)
            open(f'{top}/{path}', 'w').close()
        env = {'PATH': f'{top}/bin:{os.environ["PATH"]}', 'CALLS': top + '/calls', 'HOME': top, 'BREAKS': 'nothing', **env}
        done = subprocess.run([f'{top}/packaging/check', '--build-dir', top + '/build', *words], env=env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        with open(top + '/calls') as file:
            return done.returncode, done.stdout, file.read().splitlines()


CHANGED = {'AFFECTED_units': 'unit-policy', 'AFFECTED_fuzzers': 'fuzz-words', 'AFFECTED_sources': 'policy/text.cc', 'AFFECTED_ships': 'yes'}


@case('short: the long tests and all that only --full has are named, and the last line counts')
def _(_root):
    code, text, calls = check(**CHANGED)
    assert code == 0, text
    # Three formats, g++, configured and built by clang, analysed; 3 tests, 3 sanitized; 1 fuzz target.
    assert text.splitlines()[-1] == '14 passed, 0 failed, 2 skipped', text
    for said in ('left out: tests being long: guest_net', 'left out: with --full only: ', 'left out: sanitizers, fuzz targets, clang-tidy: '):
        assert said in text, (said, text)
    assert re.search(r'^time by stage:\n +\d+ s  Format', text, re.M), text
    assert 'warm: ' in text, text
    assert not [c for c in calls if c.startswith(('mutate', 'coverage', 'build-deb', 'cross', 'on-debian'))], calls


@case('short: clang builds and runs only what changed')
def _(_root):
    _, _, calls = check(**CHANGED)
    assert any(re.fullmatch(r'ninja .*/sanitized tests/unit/unit-policy tests/fuzz/fuzz-words', c) for c in calls), calls
    assert any(re.fullmatch(r'run .*/sanitized --no-build -k  \(unit-policy\)\$', c) for c in calls), calls
    assert [c for c in calls if c.startswith('clang-tidy')][0].endswith('policy/text.cc'), calls


@case('short: where nothing changed that packages hold, they are not made, and the output says so')
def _(_root):
    _, text, calls = check()
    assert any(re.search(r'^run .*/gcc --no-build --short --without deb$', c) for c in calls), calls
    assert 'left out: packages: ' in text, text
    assert not [c for c in calls if c.startswith(('clang-tidy', 'fuzz')) or re.match('(ninja|run) .*/sanitized', c)], calls
    assert 'ran 0 unit test programs, 0 fuzz targets, 0 sources' in text, text


@case('--full runs everything, also for other CPUs and the other Debian, and counts what they count')
def _(_root):
    code, text, calls = check('--full', **CHANGED)
    # As above, and: 3 of the build as README says and the build, packages, coverage, 5 rules, 2 of the other Debian, 2 of
    # sid, 4 other CPUs.
    assert code == 1 and text.splitlines()[-1] == '33 passed, 1 failed, 3 skipped', text
    assert 'left out' not in text, text
    for name in ('mutate', 'coverage', 'build-deb', 'cross', 'on-debian', 'fuzz-words'):
        assert any(c.startswith(name) for c in calls), (name, calls)
    assert any(c.startswith('on-debian sid ') for c in calls), calls
    assert any(re.search(r'^run .*/gcc --no-build --strict$', c) for c in calls), calls


@case('a build that fails is a failure, and no test of it is run')
def _(_root):
    code, text, calls = check(BREAKS='gcc', **CHANGED)
    assert code == 1 and 'failed: Build (g++)' in text, text
    assert not any(re.search(r'^run .*/gcc ', c) for c in calls), calls


main()
