#!/usr/bin/env python3
"""lib/matrix.py: its rows cover every pair that can occur, and what cannot occur is data with a reason."""

import itertools
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import build_dir, case, main  # noqa: E402
from matrix import IMPOSSIBLE, PARAMETERS, every, pairs, pairwise, scenarios, why_not  # noqa: E402


@case('every pair of values is in a row, or a reason says why no row can hold it')
def _(_root):
    rows = pairwise(PARAMETERS, why_not)
    covered = set().union(*map(pairs, rows))
    for one, other in itertools.combinations(PARAMETERS, 2):
        for pair in itertools.product(PARAMETERS[one], PARAMETERS[other]):
            wanted = ((one, pair[0]), (other, pair[1]))
            can_be = any(wanted[0] in row.items() and wanted[1] in row.items() for row in every(PARAMETERS, why_not))
            assert (wanted in covered) == can_be, wanted


@case('no row is impossible, and none is there twice')
def _(_root):
    rows = pairwise(PARAMETERS, why_not)
    assert not [row for row in rows if why_not(row)]
    assert len({tuple(row.items()) for row in rows}) == len(rows)


@case('it is a small part of all combinations, and always the same one')
def _(_root):
    rows = pairwise(PARAMETERS, why_not)
    assert rows == pairwise(PARAMETERS, why_not) and len(rows) < len(every(PARAMETERS, why_not)) / 3, len(rows)


@case('a pair that is left out is noticed: of two by two values, three rows do not do')
def _(_root):
    small = {'a': (1, 2), 'b': (1, 2)}
    assert len(pairwise(small)) == 4
    assert set().union(*map(pairs, pairwise(small)[:3])) != set().union(*map(pairs, every(small)))
    assert len(pairwise(small, lambda row: 'no' if row['a'] == row['b'] == 2 else None)) == 3


@case('every reason forbids something that would be possible otherwise, of values that there are')
def _(_root):
    for part, why in IMPOSSIBLE:
        assert why and all(value in PARAMETERS[name] for name, value in part.items()), part
        assert any(all(row[name] == value for name, value in part.items()) for row in every(PARAMETERS)), part


@case('what was missed once is there: exec into a booted systemd on v2, in a cgroup by the helper or a scope')
def _(_root):
    acts = [acts for (init, cgroup), acts in scenarios(pairwise(PARAMETERS, why_not), hierarchy='v2').items()
            if init.startswith('systemd') and cgroup in ('helper', 'systemd')]
    assert any('exec' in one for one in acts), acts


@case('each container of the v2 half is booted in exactly one of the guests')
def _(_root):
    tests = json.loads(subprocess.check_output(['meson', 'introspect', '--tests', build_dir()]))
    parts = [part for test in tests for word in test['cmd'] for part in re.findall(r'(?:^|,)matrix:([^,]*)', word)]
    for (init, cgroup), acts in scenarios(pairwise(PARAMETERS, why_not), hierarchy='v2').items():
        name = f'{init}, cgroup {cgroup}: {", ".join(acts)}'
        assert len([part for part in parts if re.search(part, name)]) == 1, (name, parts)


main(need_root=False)
