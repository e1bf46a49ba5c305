#!/usr/bin/env python3
"""The cache of tests (lib/cache.py): where it lies, that a thing is made once and whole, and what goes."""

import concurrent.futures
import os
import subprocess
import sys
import tempfile
import time

LIB = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib')
sys.path.insert(0, LIB)
import cache  # noqa: E402
from harness import case, cases, main  # noqa: E402


def where(build, **env):
    """What a run with this environment takes for its cache."""
    code = f'import sys; sys.path.insert(0, {LIB!r}); import cache; print(cache.directory({build!r}))'
    kept = {'PATH': os.environ['PATH'], 'PYTHONDONTWRITEBYTECODE': '1'}
    return subprocess.run([sys.executable, '-c', code], env={**kept, **env}, check=True, stdout=subprocess.PIPE).stdout.decode().strip()


@case('it lies outside of the tree: by its own variable, by XDG_CACHE_HOME, or in the home')
def _(_root):
    with tempfile.TemporaryDirectory() as top:
        assert where('/b', HOME=top) == f'{top}/.cache/userns-check'
        assert where('/b', HOME='/nowhere', XDG_CACHE_HOME=top + '/x') == top + '/x/userns-check'
        assert where('/b', HOME='/nowhere', XDG_CACHE_HOME='/nowhere', USERNS_CHECK_CACHE=top + '/own') == top + '/own'


@cases([('without a home it lies below the build directory', {}),
        ('a home that cannot be written is passed over', {'HOME': '/proc/nowhere'}),
        ('a relative path is passed over', {'USERNS_CHECK_CACHE': 'somewhere'})])
def _(_root, env):
    assert where('/b', **env) == '/b/cache'


@case('a directory that others can write is passed over: root boots and unpacks what lies there')
def _(_root):
    with tempfile.TemporaryDirectory() as top:
        os.mkdir(top + '/own')
        os.chmod(top + '/own', 0o777)
        assert where('/b', USERNS_CHECK_CACHE=top + '/own') == '/b/cache'
        os.chmod(top + '/own', 0o755)
        assert where('/b', USERNS_CHECK_CACHE=top + '/own') == top + '/own'


@case('of several that want a thing at the same time one makes it; what was half made is made anew')
def _(_root):
    made = []

    def make(half):
        assert not os.path.exists(half)
        made.append(half)
        with open(half, 'w') as file:
            file.write('whole')

    with tempfile.TemporaryDirectory() as top:
        thing = top + '/kind/thing.tar'
        os.makedirs(top + '/kind/half-thing.tar')
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            assert list(pool.map(lambda _: cache.once(thing, make), range(4))) == [thing] * 4
        assert made == [top + '/kind/half-thing.tar'], made
        with open(thing) as file:
            assert file.read() == 'whole'


@case('a thing whose making fails is not there')
def _(_root):
    def fails(half):
        os.mkdir(half)
        raise RuntimeError('no mirror')

    with tempfile.TemporaryDirectory() as top:
        try:
            cache.once(top + '/kind/thing', fails)
        except RuntimeError as error:
            assert str(error) == 'no mirror'
        else:
            raise AssertionError('no error')
        assert not os.path.exists(top + '/kind/thing')


@case('what nobody used for a month goes when something new is made; what is in use stays')
def _(_root):
    with tempfile.TemporaryDirectory() as top:
        for name in ('old', 'used'):
            cache.once(f'{top}/{name}', os.mkdir)
        long_ago = time.time() - (cache.UNUSED_DAYS + 1) * 86400
        os.utime(top + '/old', (long_ago, long_ago))
        cache.once(top + '/new', os.mkdir)
        assert not os.path.exists(top + '/old') and os.path.exists(top + '/used') and os.path.exists(top + '/new')


@case('another recipe has another key')
def _(_root):
    assert cache.key('a', 'b') != cache.key('a', 'c') and cache.key('ab') != cache.key('a', 'b')


main(need_root=False)
