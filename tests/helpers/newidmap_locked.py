#!/usr/bin/env python3
"""newuidmap is locked before it thinks: what runs before the lock, and what a fault in each parser behind it is worth.

The program is built once more with a call at the beginning of each function (injected.cc), which tries what an attacker
would whose bytes made that function go wrong.
"""

import os
import re
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
from harness import case, cases, main, skip

# Every function that interprets bytes: of the caller's argv, of files, of NSS and of the kernel.
PARSERS = ['userns::IdMap::parse(', 'userns::IdMap::from_extents(', 'userns::SubidScanner::feed(', 'userns::parse_subid_line(',
           'userns::find_entry(', 'userns::OwnedRanges::add(', 'userns::Asker::login(', 'userns::IdMap::kernel_text[', 'userns::decide(']
ATTEMPTS = ('open', 'write-file', 'exec', 'socket', 'fork', 'setuid', 'kill', 'mount')
# What may run before: the caller's word for the target, one line of the kernel's where that is an fd, and the sources that
# root's nsswitch.conf names.
BEFORE = {'userns::parse_target(', 'userns::parse_decimal(', 'userns::take_until(', 'userns::nss_subid_source(',
          'userns::name_source(', 'userns::nss_words(', 'userns::(anonymous namespace)::trimmed('}


def program(root):
    built = f'{root.build}/tests/helpers/newuidmap-injected'
    if not os.path.exists(built):
        skip('newuidmap-injected is not built with sanitizers')
    path = f'{root.tmp}/newuidmap'
    if not os.path.exists(path):
        root.copy_program(built, path, root.privilege)
    return path


def functions(root):
    """{address: name} of the program's own functions."""
    listing = subprocess.check_output(['nm', '-C', program(root)], text=True)
    return {int(line.split(' ', 2)[0], 16): line.split(' ', 2)[2] for line in listing.splitlines() if re.match(r'[0-9a-f]+ [TtWw] ', line)}


def address_of(root, start):
    (found,) = {at for at, name in functions(root).items() if name.startswith(start) and '[clone' not in name and '{lambda' not in name}
    return found


def run(root, start, what, *words, fds=None):
    return root.run([program(root), *words], root.alice, fds=fds, env={'USERNS_INJECT': f'{address_of(root, start):x} {what}'})


@cases([(f'a fault in {parser[8:-1]}() is reached, behind the lock', parser) for parser in PARSERS])
def _(root, parser):
    with root.target(root.alice) as target:
        assert run(root, parser, 'nothing', target.pid, 0, 100000, 10).code == 77
        assert target.uid_map() == []


@cases([(f'a fault in {parser[8:-1]}() gets nothing: {", ".join(ATTEMPTS)}', parser) for parser in PARSERS])
def _(root, parser):
    for what in ATTEMPTS:
        with root.target(root.alice) as target:
            done = run(root, parser, what, target.pid, 0, 100000, 10)
            assert done.code == -signal.SIGSYS, (what, done)
            assert target.uid_map() == []


@case('before the lock a fault would get something: the test can fail')
def _(root):
    with root.target(root.alice) as target:
        assert run(root, 'userns::parse_target(', 'open', target.pid, 0, 100000, 10).code == 77


@cases([(f'before the lock nothing of policy/ runs but what reads the target: {how}', how) for how in ('pid', 'dirfd', 'pidfd')])
def _(root, how):
    names = functions(root)
    policy = subprocess.check_output(['nm', '-C', '--defined-only', f'{root.build}/policy/libpolicy.a'], text=True)
    ours = {line.split(' ', 2)[2] for line in policy.splitlines() if re.match(r'[0-9a-f]+ [Tt] ', line)}
    with root.target(root.alice) as target:
        word, fds = (target.pid, None) if how == 'pid' else ('fd:9', {9: getattr(target, how)})
        done = run(root, 'userns::lock_down(', 'list', word, 0, 100000, 10, fds=fds)
        assert done.code == 0, done
    entered = {names.get(int(line.split()[0], 16), '?') for line in done.err.splitlines()}
    assert 'userns::Process::open(userns::Target const&)' in entered, entered
    parsed = {name for name in entered & ours if not name.startswith(('userns::concat', 'userns::append_piece'))}
    odd = {name for name in parsed if not name.startswith(tuple(BEFORE))}
    assert not odd, odd
    return 'before the lock: ' + ', '.join(sorted(name.split('(')[0][8:] for name in parsed))


if __name__ == '__main__':
    main()
