"""What the tests of newuidmap and newgidmap share."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
import harness


class Kind:
    """One of the two programs, as the tests see it."""

    def __init__(self, name, which):
        self.name, self.which = name, which
        self.other_capability = 1 << harness.CAP['setgid' if which == 'uid' else 'setuid']
        self.capability = 1 << harness.CAP['setuid' if which == 'uid' else 'setgid']
        self.file = f'/etc/sub{which}'
        self.map_file = f'{which}_map'

    def program(self, root):
        return root.newuidmap if self.which == 'uid' else root.newgidmap

    def own(self, user):
        return user.uid if self.which == 'uid' else user.gid

    def map(self, target):
        return target.uid_map() if self.which == 'uid' else target.gid_map()

    def write(self, root, text, **how):
        root.write(self.file, text, **how)

    def run(self, root, target, *numbers, user=None, **how):
        """The program on a Target (by pid) or on a word such as 'fd:5', by alice unless told otherwise."""
        named = target.pid if isinstance(target, harness.Target) else target
        return root.run([self.program(root), named, *numbers], user or root.alice, **how)


KINDS = (Kind('newuidmap', 'uid'), Kind('newgidmap', 'gid'))


def both(sentence):
    """Registers a case for each of the two programs: function(root, kind)."""
    return harness.cases([(f'{kind.name}: {sentence}', kind) for kind in KINDS])


def granted(done):
    assert (done.code, done.out, done.err) == (0, '', ''), done


def refused(done, rule, *words):
    """Exit 1, silent stdout, one line on stderr that names the rule and has the words."""
    assert done.code == 1 and done.out == '', done
    lines = done.err.splitlines()
    assert len(lines) == 1 and lines[0].startswith('new') and lines[0].endswith(f'[{rule}]'), done
    for word in words:
        assert word in done.err, f'{word!r} is not in: {done}'


def unmapped(target):
    assert target.uid_map() == [] and target.gid_map() == [], (target.uid_map(), target.gid_map())
    assert target.setgroups() == 'allow', target.setgroups()
