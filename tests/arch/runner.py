#!/usr/bin/env python3
"""tests/run itself: what it counts, what it tells, and its exit status. Its test programs here are a few lines of shell."""

import json
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import case, cases, main  # noqa: E402

RUN = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'run')
# Fails when it is run for the first time, and knows -k; the first word is the directory of its memory.
UNSTEADY = 'if mkdir $0/been; then echo 1..2; echo ok 1 - a; echo "not ok 2 - b (\\#c)"; echo "# why"; exit 1; fi; echo 1..1; test "$2" = "^(b\\ \\(\\#c\\))\\$" && echo "ok 1 - b (\\#c)"'


def run(programs, *words, alone=(), suite='s', long=(), exclusive=(), watched=None, parallel=False):
    """(exit status, output) of tests/run with these {name: shell script}; $0: a directory of its own, beside the others'."""
    with tempfile.TemporaryDirectory() as work:
        tests = []
        for name, script in programs.items():
            os.mkdir(f'{work}/{name}')
            tests.append({'name': name, 'cmd': ['sh', '-c', script, f'{work}/{name}'], 'env': {}, 'workdir': None, 'timeout': 20,
                          'suite': [f's:{suite if name in alone else "s"}'] + ['s:long'] * (name in long) +
                          ['s:exclusive'] * (name in exclusive), 'protocol': 'tap', 'is_parallel': parallel or name not in alone})
        with open(work + '/meson', 'w') as file:
            file.write(f"#!/bin/sh\ncat <<'END'\n{json.dumps(tests)}\nEND\n")
        os.chmod(work + '/meson', 0o755)
        done = subprocess.run([sys.executable, RUN, work, '--no-build', *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, env={**os.environ, 'PATH': f'{work}:{os.environ["PATH"]}', **({'TEST_WATCHED': watched} if watched else {})})
        return done.returncode, done.stdout


def counts(code, *numbers):
    def check(programs, *words):
        done = run(programs, *words)
        last = '{} passed, {} failed, {} skipped'.format(*numbers)
        assert done[0] == code and done[1].splitlines()[-1] == last, (last, done)
        return done[1]
    return check


@case('passes and skips are counted, a skip with its reason')
def _(_root):
    text = counts(0, 1, 0, 1)({'good': 'echo 1..2; echo ok 1 - a; echo "ok 2 - b # SKIP no such thing"'})
    assert 'good: b: no such thing' in text, text


@cases([('a case that fails twice is a failure', 'echo 1..1; echo not ok 1 - a; echo "# why"; exit 1', 'bad: a'),
        ('a program without a plan is a failure', 'echo ok 1 - a', 'printed no plan'),
        ('a program that runs fewer cases than it planned is a failure', 'echo 1..2; echo ok 1 - a', 'planned 2 cases and ran 1'),
        ('a program that dies after its last case is a failure', 'echo 1..1; echo ok 1 - a; kill -9 $$', 'ended with status -9'),
        ('a program that runs no case is a failure', 'echo 1..0', 'ran no test case')])
def _(_root, script, said):
    code, text = run({'bad': script})
    assert code == 1 and re.search(r'\b1 failed, 0 skipped\n$', text) and said in text, (code, text)


@case('a case that passes when it is run again is counted as passed, and told with what it said at first')
def _(_root):
    text = counts(0, 2, 0, 0)({'odd': UNSTEADY})
    assert re.search(r'unsteady, passed when it was run again: odd: b .*\n# why\n', text), text
    assert text.splitlines()[-2].startswith('unsteady: odd: b '), text


@case('--strict: such a case is a failure')
def _(_root):
    counts(1, 1, 1, 0)({'odd': UNSTEADY}, '--strict')


@case('where many programs are unsteady, those beyond the first few are failures')
def _(_root):
    counts(1, 11, 1, 0)({f'odd{number}': UNSTEADY for number in range(5)} | {'good': 'echo 1..2; echo ok 1 - a; echo ok 2 - b'})


GOOD = 'echo 1..1; echo ok 1 - a'


@case('--short leaves out the programs of the suite "long", and names them')
def _(_root):
    code, text = run({'quick': GOOD, 'slow': 'exit 1', 'slower': 'exit 1'}, '--short', long=('slow', 'slower'))
    assert code == 0 and text.splitlines()[-1] == '1 passed, 0 failed, 0 skipped', text
    assert text.splitlines()[-2].endswith('has them): slow, slower'), text


@case('without --short they are run, and nothing is said to be left out')
def _(_root):
    code, text = run({'quick': GOOD, 'slow': GOOD}, long=('slow',))
    assert code == 0 and text.splitlines()[-1] == '2 passed, 0 failed, 0 skipped' and 'left out' not in text, text


@case('--repeat runs all again and again, and a case that fails in one run is a failure')
def _(_root):
    counts(0, 3, 0, 0)({'good': GOOD}, '--repeat', '3')
    once = 'echo 1..1; mkdir $0/been || printf "not "; echo ok 1 - a'
    counts(1, 3, 1, 0)({'good': GOOD, 'odd': once}, '--repeat', '2')


@case("a program's CPU time is told, with that of its children")
def _(_root):
    burn = 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done'
    text = run({'busy': f'echo 1..1; ({burn}); echo ok 1 - a'})[1]
    assert float(re.search(r'CPU ([\d.]+) s', text)[1]) > 0, text


@case('the programs that took longest are named, the longest first, and what all took of the CPU')
def _(_root):
    text = run({'short': GOOD, 'long': f'sleep 1; {GOOD}'})[1]
    assert re.search(r'^CPU \d+ s in all; longest: long 1 s \(CPU 0 s\), short 0 s', text, re.M), text


@case("a test that changes an owner or a mode of the machine's own directories is a failure")
def _(_root):
    with tempfile.TemporaryDirectory() as top:
        assert run({'good': GOOD}, watched=top)[0] == 0
        code, text = run({'bad': f'chmod 711 {top}; {GOOD}'}, watched=top)
        assert code == 1 and text.splitlines()[-1] == '1 passed, 1 failed, 0 skipped' and f'changed {top} from' in text, text


# Makes a directory for as long as it runs; fails where, after a while, another's is there, or (LOOKS '!') is not.
BUSY = 'mkdir $0/busy; sleep 1; rmdir $0/busy; echo 1..1; echo ok 1 - a'
# Fails where another is never there at the same time.
MEETS = ('mkdir $0/busy; echo 1..1; i=0; until test -e $0/../{0}/busy || test -e $0/../{0}/met; do '
         '[ $i = 150 ] && echo not ok 1 - a && exit 1; i=$((i+1)); sleep 0.1; done; mkdir $0/met; rmdir $0/busy; echo ok 1 - a')
LOOKS = 'mkdir $0/busy; echo 1..1; sleep {}; {} test -e $0/../{}/busy && printf "not "; echo ok 1 - a; sleep 0.5; rmdir $0/busy'


@case('what is not parallel runs beside others, and not two at once')
def _(_root):
    done = run({'other': MEETS.format('one'), 'one': MEETS.format('other'), 'two': LOOKS.format(0.4, '', 'one')}, '-j', '2', '--strict', alone=('one', 'two'))
    assert done[0] == 0 and done[1].endswith('3 passed, 0 failed, 0 skipped\n'), done


@case('what is exclusive runs after all the others')
def _(_root):
    looks = 'mkdir $0/busy; echo 1..1; for n in one other; do test -e $0/../$n/done || printf "not "; done; echo ok 1 - a'
    done = run({'audit': looks, 'one': BUSY + '; mkdir $0/done', 'other': BUSY + '; mkdir $0/done'}, '-j', '2', '--strict', alone=('audit', 'one'), exclusive=('audit',))
    assert done[0] == 0 and done[1].endswith('3 passed, 0 failed, 0 skipped\n'), done


@case('what waits for most of its time takes no job, and is there before what is exclusive')
def _(_root):
    all_three = ('mkdir $0/busy; echo 1..1; i=0; until [ -e $0/../quiet/busy ] && [ -e $0/../one/busy ] && [ -e $0/../two/busy ]; do '
                 '[ $i = 150 ] && echo not ok 1 - a && exit 1; i=$((i+1)); sleep 0.1; done; echo ok 1 - a')
    done = run({name: all_three for name in ('one', 'two', 'quiet')}, '-j', '2', '--strict', alone=('quiet',), suite='waiting', parallel=True)
    assert done[0] == 0, done
    looks = 'echo 1..1; test -e $0/../quiet/done || printf "not "; echo ok 1 - a'
    done = run({'audit': looks, 'quiet': BUSY + '; mkdir $0/done'}, '-j', '2', '--strict', alone=('quiet',), suite='waiting', parallel=True,
               exclusive=('audit',))
    assert done[0] == 0, done


@case('a booted guest runs beside the others, where there is more than one job')
def _(_root):
    done = run({'other': MEETS.format('guest'), 'guest': MEETS.format('other')}, '-j', '2', '--strict', alone=('guest',), suite='system')
    assert done[0] == 0, done
    done = run({'other': BUSY, 'guest': LOOKS.format(0.3, '', 'other')}, '-j', '1', '--strict', alone=('guest',), suite='system')
    assert done[0] == 0, done


main(need_root=False)
