#!/usr/bin/env python3
"""tests/affected: what of a small tree a change touches, and what of this one the unit tests are made of."""

import importlib.machinery
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
from harness import build_dir, case, cases, main  # noqa: E402

TREE = {'policy/text.h': '', 'policy/text.cc': '#include "policy/text.h"\n', 'policy/ids.h': '#include "policy/text.h"\n',
        'policy/ids.cc': '#include "ids.h"\n', 'common/fd.cc': '#include <vector>\n', 'frontend/main.cc': '#include "policy/ids.h"\n',
        'helpers/a.cc': '', 'meson.build': '', 'common/meson.build': '', 'README.md': ''}
AFFECTED = HERE + '/../affected'


class Tree:
    """A copy of tests/affected in a tree of its own, with one commit."""

    def __init__(self, history=True):
        self.top = tempfile.mkdtemp()
        for path, text in TREE.items():
            self.write(path, text)
        os.mkdir(self.top + '/tests')
        shutil.copy(AFFECTED, self.top + '/tests')
        if history:
            self.git('init', '-q', '-b', 'main')
            self.commit()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.top)

    def write(self, path, text):
        os.makedirs(os.path.dirname(f'{self.top}/{path}'), exist_ok=True)
        with open(f'{self.top}/{path}', 'a') as file:
            file.write(text)

    def git(self, *words):
        env = {**os.environ, 'GIT_CONFIG_GLOBAL': '/dev/null', 'GIT_CONFIG_SYSTEM': '/dev/null'}
        subprocess.run(['git', '-C', self.top, '-c', 'user.name=a', '-c', 'user.email=a@b.invalid', *words], check=True, env=env,
                       stdout=subprocess.DEVNULL)

    def commit(self):
        self.git('add', '-A')
        self.git('commit', '-q', '-m', 'a')

    def commit_more(self):
        """With one commit alone everything counts."""
        self.write('README.md', '\n')
        self.commit()

    def affected(self, what, *words):
        done = subprocess.run([sys.executable, f'{self.top}/tests/affected', '.', what, *words], stdout=subprocess.PIPE, check=True)
        return done.stdout.decode().split()


@cases([('a header touches what includes it, through others too', 'policy/text.h',
         ['frontend/main.cc', 'policy/ids.cc', 'policy/text.cc']),
        ('a source touches itself', 'helpers/a.cc', ['helpers/a.cc']),
        ('how a directory is built touches all in it', 'common/meson.build', ['common/fd.cc']),
        ('how the tree is built touches all', 'meson.build', sorted(path for path in TREE if path.endswith('.cc'))),
        ('prose touches no source', 'README.md', [])])
def _(_root, path, expected):
    with Tree() as tree:
        tree.commit_more()
        tree.write(path, '\n')
        tree.commit()
        assert tree.affected('sources') == expected  # against the last commit
        tree.write(path, '\n')
        assert tree.affected('sources', '--base', 'HEAD') == expected  # what is not committed yet


@case('a branch is compared with where it left the main one, however many commits it has')
def _(_root):
    with Tree() as tree:
        tree.git('checkout', '-q', '-b', 'work')
        for path in ('helpers/a.cc', 'README.md'):
            tree.write(path, '\n')
            tree.commit()
        assert tree.affected('sources') == ['helpers/a.cc']


@case('a file that git does not know yet counts')
def _(_root):
    with Tree() as tree:
        tree.commit_more()
        tree.write('helpers/new.cc', '\n')
        assert tree.affected('sources', '--base', 'HEAD') == ['helpers/new.cc']


@cases([('with no history everything counts', False, []), ('with a first commit alone, too', True, []),
        ('and where it is asked for', True, ['--base', 'none'])])
def _(_root, history, words):
    with Tree(history) as tree:
        assert tree.affected('sources', *words) == sorted(path for path in TREE if path.endswith('.cc'))
        assert tree.affected('ships', *words) == ['yes']


@cases([('a source is shipped', 'helpers/a.cc', ['yes']), ('a manual is', 'man/a.1', ['yes']),
        ('a test is not', 'tests/run', []), ("a contributor's text is not", 'CONTRIBUTING.md', [])])
def _(_root, path, expected):
    with Tree() as tree:
        tree.commit_more()
        tree.write(path, '\n')
        assert tree.affected('ships', '--base', 'HEAD') == expected


@case('unit tests are made of their own sources and those of the libraries that they are linked with')
def _(_root):
    sys.path.insert(0, HERE + '/..')
    loader = importlib.machinery.SourceFileLoader('affected', AFFECTED)
    found = loader.load_module().targets(os.path.realpath(build_dir()), 'unit-')
    assert {'tests/unit/policy/text_test.cc', 'policy/text.cc'} <= set(found['unit-policy']), found['unit-policy']
    assert {'policy/text.cc', 'frontend/spec/options.cc'} <= set(found['unit-spec']), found['unit-spec']
    assert not any(source.startswith('frontend/') for source in found['unit-policy']), found['unit-policy']


main(need_root=False)
