#!/usr/bin/env python3
"""Ours against shadow's newuidmap and newgidmap, and both against a policy written down a third time, in Python.

The same random (subid file, request) cases on the same kind of targets. Every case in which the two tools differ must be
one of OURS_REFUSES_MORE; what ours takes and shadow does not are the last cases; ours must never give a range that the third policy does not give.
"""

import collections
import os
import random
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
from harness import cases, main, skip

CASES = 300
SEED = 20240607
LARGEST = 2**32 - 2
REFERENCE = {'uid': '/usr/bin/newuidmap', 'gid': '/usr/bin/newgidmap'}


# --- the third policy -----------------------------------------------------------------------

def owned(text, user):
    """The set of ids, as merged [first, end) pairs, that the lines of a file give to a user."""
    found = []
    for line in text.split('\n'):
        got = re.fullmatch(rf'(?:{user.name}|{user.uid}):(0|[1-9][0-9]*):([1-9][0-9]*)', line)
        if got and int(got[1]) + int(got[2]) - 1 <= LARGEST:
            found.append((int(got[1]), int(got[1]) + int(got[2])))
    merged = []
    for first, end in sorted(found):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((first, end))
    return merged


def may(text, words, user, own):
    """Whether policy gives a request: triples of words."""
    if not all(re.fullmatch('0|[1-9][0-9]*', word) for word in words):
        return False
    numbers = [int(word) for word in words]
    triples = [tuple(numbers[i:i + 3]) for i in range(0, len(numbers), 3)]
    mine = owned(text, user)
    for at, (inside, outside, count) in enumerate(triples):
        if count == 0 or inside + count - 1 > LARGEST or outside + count - 1 > LARGEST or outside == 0:
            return False
        if not (count == 1 and outside == own) and not any(a <= outside and outside + count <= b for a, b in mine):
            return False
        for other_inside, other_outside, other_count in triples[:at]:
            if inside < other_inside + other_count and other_inside < inside + count:
                return False
            if outside < other_outside + other_count and other_outside < outside + count:
                return False
    return True


# --- random cases ---------------------------------------------------------------------------

def random_file(rng, user):
    """(text, mode) of a subid file; most lines are good, every kind of odd one occurs."""
    lines = []
    for _ in range(rng.randint(0, 6)):
        first = rng.choice([0, 1, 1000, 100000, 100010, 100020, 200000, user.uid, 2**31 - 5, 2**31, LARGEST - 10, LARGEST])
        count = rng.choice([1, 5, 10, 10, 20, 65536, 2**31, LARGEST])
        owner = rng.choice([user.name] * 4 + [str(user.uid)] * 3 + ['bob', '', user.name + 'x', str(user.gid)])
        line = f'{owner}:{first}:{count}'
        if rng.random() < 0.25:
            line = rng.choice([f'{owner}:0{first}:{count}', f'{owner}:{first:#x}:{count}', f'{owner}:+{first}:{count}',
                               f'{owner}:{first}:{count}:', f'{owner}:{first}:0', f'{owner}: {first}:{count}',
                               f'{owner}:{first}:{count} ', f'{line}\r', f'#{line}', f' {line}', f'{owner}:{first}',
                               f'{owner}:{first}:-1', f'{owner}:{first}:{2**32}', f'{owner}:{2**32 + 1}:{count}',
                               f'{owner}:{first}:{count}x', ''])
        lines.append(line)
    text = '\n'.join(lines) + rng.choice(['\n', '\n', ''])
    return text, rng.choice([0o644] * 19 + [0o666])


def random_request(rng, text, user, own):
    """Words of one to three triples, most of them near what the file gives."""
    words, inside = [], 0
    edges = [edge for pair in owned(text, user) for edge in pair] or [100000]
    for _ in range(rng.choice([1, 1, 1, 2, 2, 3])):
        kind = rng.random()
        if kind < 0.25:
            outside, count = own, rng.choice([1, 1, 1, 2])
        elif kind < 0.6 and owned(text, user):
            first, end = rng.choice(owned(text, user))
            outside = rng.randrange(first, end)
            count = rng.choice([1, end - outside, rng.randint(1, end - outside)])
        elif kind < 0.9:
            outside = max(0, rng.choice(edges) + rng.choice([-10, -1, 0, 0, 0, 0, 1, 5]))
            count = rng.choice([1, 1, 2, 5, 10, 11, 20, 65536])
        else:
            outside, count = rng.choice([(0, 1), (1, 1), (LARGEST, 1), (LARGEST, 2), (2**32, 1), (100000, 0), (1, 2**32 - 1),
                                         (2**32 + 100000, 1), (0, 65536), (2**31, 2**31)])
        triple = [str(inside), str(outside), str(count)]
        if rng.random() < 0.1:
            at = rng.randrange(3)
            value = int(triple[at])
            triple[at] = rng.choice([f'0{value:o}', f'{value:#x}', f'+{value}', f' {value}', f'{value} ', f'{value}k', '', '-1'])
        words += triple
        inside += rng.choice([count, count, count, count + 5, 1])
    return words


# --- differences that are meant -----------------------------------------------------------------

def is_odd_number(words):
    return not all(re.fullmatch('0|[1-9][0-9]*', word) for word in words)


def gives_more(text, user):
    """A line of the user's that shadow may understand and ours passes over."""
    for line in text.split('\n'):
        fields = line.split(':')
        if fields[0] in (user.name, str(user.uid)) and not re.fullmatch(r'[^:]*:(0|[1-9][0-9]*):[1-9][0-9]*', line):
            return True
        if fields[0] in (user.name, str(user.uid)) and len(fields) > 2 and int(fields[1]) + int(fields[2]) - 1 > LARGEST:
            return True
    return False


# reference grants, ours refuses: (name, whether the case is of this kind)
OURS_REFUSES_MORE = [
    ('octal, hex, signs and blanks in a request (IM-NUMBER)', lambda c: c.rule == 'IM-NUMBER' and is_odd_number(c.words)),
    ('the host\'s id 0 for a user (IM-ROOT)', lambda c: c.rule == 'IM-ROOT'),
    ('a file that others may write (TF-FILE)', lambda c: c.rule == 'TF-FILE' and c.mode & 0o22),
    ('a line that is not strictly owner:start:count (SU-LINE)', lambda c: c.rule == 'IM-RANGE' and gives_more(c.text, c.user)),
    ('a count of 0, or a range beyond the largest id (IM-BOUNDS)', lambda c: c.rule == 'IM-BOUNDS'),
]
class Case:
    pass


def outcome(root, program, user, words, kind):
    with root.target(user) as target:
        done = root.run([program, target.pid, *words], user)
        assert done.code >= 0, done
        return done, (target.uid_map() if kind == 'uid' else target.gid_map()), target.setgroups()


@cases([(f'new{kind}map decides {CASES} random cases as shadow does, but for the documented differences', kind)
        for kind in ('uid', 'gid')])
def _(root, kind):
    reference = REFERENCE[kind]
    if not os.path.exists(reference):
        skip(f'{reference} is not installed (package uidmap)')
    if 'userns suite' in root.run([reference, '--version']).out:
        skip(f'{reference} is ours')
    rng = random.Random(f'{SEED} {kind}')
    user, ours = root.alice, root.newuidmap if kind == 'uid' else root.newgidmap
    own = user.uid if kind == 'uid' else user.gid
    count = collections.Counter()
    for number in range(CASES):
        case = Case()
        case.user, case.kind = user, kind
        case.text, case.mode = random_file(rng, user)
        case.words = random_request(rng, case.text, user, own)
        root.write(f'/etc/sub{kind}', case.text, mode=case.mode)
        mine, my_map, my_setgroups = outcome(root, ours, user, case.words, kind)
        theirs, their_map, their_setgroups = outcome(root, reference, user, case.words, kind)
        case.rule = re.search(r'\[([A-Z]+-[A-Z]+)\]\n$', mine.err)[1] if mine.code else ''
        told = f'case {number}: {case.words} with {case.mode:o} {case.text!r}\n  ours: {mine}\n  shadow: {theirs}'
        # From a file that others may write nothing is taken; an own id needs no file.
        given = may('' if case.mode & 0o22 else case.text, case.words, user, own)
        assert (mine.code == 0) == given, f'ours and the policy differ: {told}'
        assert (my_map != []) == (mine.code == 0), f'ours says one thing and does another: {told}'
        if mine.code == theirs.code:
            if mine.code == 0:
                assert my_map == their_map and my_setgroups == their_setgroups, f'different maps: {told}'
            count['both grant' if mine.code == 0 else 'both refuse'] += 1
            continue
        names = [name for name, holds in OURS_REFUSES_MORE if mine.code and holds(case)]
        assert names, f'an undocumented difference: {told}'
        count['only shadow grants: ' + names[0]] += 1
    assert count['both grant'] > CASES / 10 and count['both refuse'] > CASES / 10, count
    return f'new{kind}map: ' + '; '.join(f'{number} {what}' for what, number in count.most_common())


@cases([(f'new{kind}map takes what shadow does not: {what}', kind, what) for kind in ('uid', 'gid')
        for what in ('a pidfd', 'a file behind a symlink of root\'s')])
def _(root, kind, what):
    if not os.path.exists(REFERENCE[kind]):
        skip(f'{REFERENCE[kind]} is not installed (package uidmap)')
    if what != 'a pidfd':
        path = f'/etc/sub{kind}'
        os.rename(path, f'/etc/real-sub{kind}')
        os.symlink(f'real-sub{kind}', path)
    for program, code in ((REFERENCE[kind], 1), (root.newuidmap if kind == 'uid' else root.newgidmap, 0)):
        with root.target(root.alice) as target:
            word = 'fd:5' if what == 'a pidfd' else target.pid
            done = root.run([program, word, 0, 100000, 1], root.alice, fds={5: target.pidfd})
            assert done.code == code, done


# --- getsubids ------------------------------------------------------------------------------

SUBID_FILES = {
    'one line': 'alice:100000:65536\n',
    'the order of the file, adjacent and overlapping lines': 'alice:300000:10\nbob:1:2\nalice:100000:65536\nalice:165536:10\nalice:100005:7\n',
    'by number': '{uid}:100000:65536\n',
    'by name and by number': '{uid}:200000:5\nalice:100000:65536\n{uid}:1:1\n',
    'malformed lines': 'alice:x:5\nalice:100000\nalice:100000:10:2\n\n#alice:1:1\nalice:0:5\n',
    'empty': '',
}


@cases([(f'getsubids: {what}: exactly as shadow\'s, by name and by number, uids and gids', text) for what, text in SUBID_FILES.items()])
def _(root, text):
    theirs, ours = '/usr/bin/getsubids', f'{root.build}/frontend/cli/getsubids'
    if not os.path.exists(theirs):
        skip('shadow\'s getsubids is not installed')
    mine = f'{root.tmp}/getsubids'
    os.path.exists(mine) or root.copy_program(ours, mine, None)
    filled = text.format(uid=root.alice.uid)
    root.write('/etc/subuid', filled)
    root.write('/etc/subgid', filled.replace('100000', '400000'))
    for words in ([], ['-g'], ['alice'], ['-g', 'alice'], [str(root.alice.uid)], ['-g', str(root.alice.uid)], ['nobody-of-this-name'],
                  ['424242'], ['alice', 'bob']):
        reference, done = (root.run([program, *words], root.alice) for program in (theirs, mine))
        assert (done.code, done.out, done.err) == (reference.code, reference.out, reference.err), (words, done, reference)


if __name__ == '__main__':
    main()
