#!/usr/bin/env python3
"""tests/syntax: a source that a compiler refuses or warns of is counted against that compiler, and headers are made first."""

import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
from harness import case, main  # noqa: E402

# Ninja's rule has the name that meson gives its own.
NINJA = '''rule CUSTOM_COMMAND
  command = echo 'int made();' > $out
build made.h: CUSTOM_COMMAND
'''
GOOD = '#include "made.h"\nint main() { return made(); }\n'


def judged(source, *compilers):
    """(exit status, output) for a build of one source."""
    with tempfile.TemporaryDirectory() as build:
        texts = {'build.ninja': NINJA, 'one.cc': source,
                 'compile_commands.json': json.dumps([{'directory': build, 'file': 'one.cc', 'command': 'c++ -I. -Wall -o one.o -c one.cc'}])}
        for name, text in texts.items():
            with open(f'{build}/{name}', 'w') as file:
                file.write(text)
        done = subprocess.run([sys.executable, HERE + '/../syntax', build, *compilers], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        assert not os.path.exists(f'{build}/one.o'), 'it made an object'
        return done.returncode, done.stdout


@case('a source that compiles is a pass of each compiler')
def _(_root):
    code, text = judged(GOOD, 'c++', 'g++')
    assert code == 0 and text.endswith('\n2 passed, 0 failed, 0 skipped\n'), text


@case('an error is a failure, and is quoted')
def _(_root):
    code, text = judged('#include "not_there.h"\n', 'c++')
    assert code == 1 and 'not_there.h' in text and text.endswith('\n0 passed, 1 failed, 0 skipped\n'), text


@case('a warning is a failure')
def _(_root):
    code, text = judged('int main() { int unused; }\n', 'c++')
    assert code == 1 and '-Werror=unused-variable' in text and text.endswith('\n0 passed, 1 failed, 0 skipped\n'), text


main()
