#!/usr/bin/env python3
"""Verbs whose containers are not there, or whose ids were taken away: the others have their turn, and what is left to do is said."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from named import IDLE, Store  # noqa: E402
from container import fails, well  # noqa: E402
from harness import case, main, with_own_pids  # noqa: E402

with_own_pids()  # ids are chosen that no process in sight has


@case('of several names those that are there have their turn: destroy, stop, freeze, thaw, restart, kill; the missing are told, status 125')
def _(root):
    store = Store(root)
    for name in ('one', 'two'):
        store.make(name, IDLE)
        well(store.do('start', name))
    names = ('one', 'nosuch', 'two')
    told = "there is no container 'nosuch'"
    for verb, words, after in (('freeze', (), 'frozen'), ('thaw', (), 'running'), ('restart', ('--timeout=0',), 'running'),
                               ('kill', ('--signal=CONT',), 'running'), ('stop', ('--timeout=0',), 'stopped')):
        done = store.do(verb, *names, *words, timeout=60)
        assert done.code == 125 and done.err.count('\n') == 1 and told in done.err, (verb, done)
        rows = [line.split()[:2] for line in well(store.do('list')).out.splitlines()[1:]]
        assert rows == [['one', after], ['two', after]], (verb, rows)
    done = store.do('destroy', *names)
    assert done.code == 125 and told in done.err and 'userns-run list shows which there are' in done.err, done
    assert well(store.do('list', '--names')).out == ''
    fails(store.do('stop', 'nosuch'), told)


@case('ids that were taken away: prune goes on with the rest, destroy says what to ask for, and goes on when they are back')
def _(root):
    def ids(lines):
        root.subuid(lines)
        root.subgid(lines)
    ids('alice:100000:655360\n')
    store = Store(root)
    for name in ('web', 'db'):
        well(store.do('create', name, '--template=busybox', timeout=60))
    # As a killed destroy leaves them.
    for name in ('web', 'db'):
        os.rename(f'{store.path}/{name}', f'{store.path}/.{name}.gone-x4Gk2a')
    ids('alice:165536:589824\n')  # the block of the first one is another's now
    done = store.do('prune')
    left = [name for name in os.listdir(store.path) if '.gone-' in name]
    assert done.code == 125 and left == ['.web.gone-x4Gk2a'], (done, left)
    assert done.out.startswith('deleted 0 blobs') and done.err.count('\n') == 1, done
    for piece in ('not all of web is deleted', 'give you these ids back, or to delete', '.web.gone-x4Gk2a', 'userns-run prune goes on with it'):
        assert piece in done.err, (piece, done)
    fails(store.do('destroy', 'web'), 'not all of web is deleted', 'give you these ids back', 'userns-run destroy web goes on with it')
    ids('alice:100000:655360\n')
    well(store.do('prune'))
    assert not [name for name in os.listdir(store.path) if '.gone-' in name]


@case('create --help names each way to a container')
def _(root):
    text = well(root.run([root.program('userns-run'), 'create', '--help'], root.alice)).out
    usage = text[:text.index('Options')] if 'Options' in text else text
    for word in ('--tar FILE', '--image REF', '--template NAME', '--from NAME', '--import FILE', '--rootfs DIR'):
        assert word in usage, (word, usage)
    assert 'oci-archive:FILE' in text, text


main()
