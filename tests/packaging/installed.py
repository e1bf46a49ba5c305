#!/usr/bin/env python3
"""The Debian packages as Debian's own tools judge them, in a Debian made for it: piuparts and autopkgtest."""

import functools
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from packages import TOP, build, deb, must, need, text_of  # noqa: E402
import cache  # noqa: E402
import debian  # noqa: E402
from harness import build_dir, case, cases, main, skip  # noqa: E402

with open(TOP + '/packaging/debian/tests/control') as control:
    NAMES = re.findall(r'^Tests: (\S+)$', control.read(), re.M)
GOOD = {0, 2, 8}  # autopkgtest(1): 2, 8: some or all were skipped


def ours():
    out = build(build_dir())
    return [deb(out, name) for name in ('userns-helpers', 'userns-tools')]


@functools.cache
def base():
    """A minimal Debian, as a tar."""
    if os.geteuid() != 0:
        skip('needs root')
    path = cache.path(build_dir(), 'base', f'{debian.BOOKWORM}.tar.gz')
    if not os.path.exists(path) and (why := debian.why_not(debian.BOOKWORM)):
        skip(why)
    return cache.once(path, lambda half: debian.make(debian.BOOKWORM, half))


@case('piuparts: installed, removed, purged and installed again, they leave nothing')
def _(_root):
    need(('piuparts', 'piuparts'))
    must('piuparts', '--basetgz=' + base(), '--distribution=bookworm', '--keep-sources-list', '--no-eatmydata',
         '--warn-on-leftovers-after-purge', *ours())


@functools.cache
def autopkgtest():
    """{test: what its line in the summary says}"""
    need(('autopkgtest', 'autopkgtest'))
    out = build(build_dir())
    ids, (source,) = out + '/ids', [name for name in os.listdir(out) if name.endswith('.dsc')]
    with open(ids, 'w') as file:
        file.write('root:100000:65536\n')
    script = 'mount --bind "$0" /etc/subuid && mount --bind "$0" /etc/subgid && exec "$@"'
    code, said = text_of('unshare', '--mount', 'sh', '-c', script, ids, 'autopkgtest', '--apt-upgrade', '--no-built-binaries', *ours(),
                         f'{out}/{source}', '--', 'unshare', '--tarball', base(), '--release', 'bookworm')
    assert code in GOOD, said[-3000:]
    return dict(re.findall(r'^([a-z-]+) +((?:PASS|SKIP|FAIL).*)$', said.rpartition(' summary\n')[2], re.M))


@cases([(f'autopkgtest: {name}', name) for name in NAMES])
def _(_root, name):
    word, _, why = autopkgtest()[name].partition(' ')
    if word == 'SKIP':  # it needs user namespaces, which there are none of in there
        skip(f'{why}; run by tests/packaging/deb.py')
    assert word == 'PASS', autopkgtest()


main(need_root=False)
