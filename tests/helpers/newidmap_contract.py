#!/usr/bin/env python3
"""newuidmap and newgidmap: what they promise, told by real runs of scratch users."""

import os
import resource

from newidmap import both, granted, refused, unmapped
from harness import (CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER, PR_SET_DUMPABLE, ROOT, User, case, cases, main, mount,
                     prctl, spawn, unshare)

LARGEST = 2**32 - 2


# --- naming the target ----------------------------------------------------------------------

@both('a delegated range is written for a pid, silently')
def _(root, kind):
    with root.target(root.alice) as target:
        granted(kind.run(root, target, 0, 100000, 65536))
        assert kind.map(target) == [(0, 100000, 65536)], kind.map(target)


@both('fd:N of a /proc/PID directory names the target')
def _(root, kind):
    for number in (0, 3, 5, 200):
        with root.target(root.alice) as target:
            granted(kind.run(root, f'fd:{number}', 0, 100000, 1, fds={number: target.dirfd}))
            assert kind.map(target) == [(0, 100000, 1)]


@both('fd:N of a pidfd names the target')
def _(root, kind):
    for number in (0, 3, 77):
        with root.target(root.alice) as target:
            granted(kind.run(root, f'fd:{number}', 0, 100000, 1, fds={number: target.pidfd}))
            assert kind.map(target) == [(0, 100000, 1)]


@both('an O_PATH fd of a /proc/PID directory names the target')
def _(root, kind):
    with root.target(root.alice) as target:
        fd = os.open(f'/proc/{target.pid}', os.O_PATH | os.O_DIRECTORY)
        granted(kind.run(root, 'fd:3', 0, 100000, 1, fds={3: fd}))
        os.close(fd)


@both('IM-TARGET: a word that is neither a decimal pid nor fd:N is refused')
def _(root, kind):
    for word in ('', '0', '-1', '+1', ' 1', '01', '0x1', '1x', 'self', 'fd:', 'fd:-1', 'fd:01', 'fd:x', '/proc/self',
                 '2147483648', 'fd:2147483648', '99999999999999999999'):
        refused(kind.run(root, word, 0, 100000, 1), 'IM-TARGET')


@both('IM-PROC: a fd that is not open, or of something else, is refused')
def _(root, kind):
    refused(kind.run(root, 'fd:9', 0, 100000, 1), 'IM-PROC', 'fd:9')
    things = [os.open(path, os.O_RDONLY) for path in ('/tmp', '/etc/passwd', '/dev/null', '/proc/version', '/')]
    things += [os.memfd_create('x'), os.pipe()[0]]
    for fd in things:
        refused(kind.run(root, 'fd:9', 0, 100000, 1, fds={9: fd}), 'IM-PROC')
        os.close(fd)


@both('IM-PROC: a /proc directory that is not a process is refused')
def _(root, kind):
    with root.target(root.alice) as target:
        for path in ('/proc', '/proc/sys', '/proc/fs', f'/proc/{target.pid}/ns', f'/proc/{target.pid}/task',
                     f'/proc/{target.pid}/fd'):
            fd = os.open(path, os.O_RDONLY)
            refused(kind.run(root, 'fd:9', 0, 100000, 1, fds={9: fd}), 'IM-PROC')
            os.close(fd)
        unmapped(target)


@both('a thread\'s directory is its process by another name, or refused (IM-PROC)')
def _(root, kind):
    with root.target(root.alice) as target:
        fd = os.open(f'/proc/{target.pid}/task/{target.pid}', os.O_RDONLY)
        done = kind.run(root, 'fd:9', 0, 100000, 1, fds={9: fd})
        os.close(fd)
        # The main thread's directory has Tgid == Pid: it is the process, by another name.
        if done.code == 0:
            assert kind.map(target) == [(0, 100000, 1)]
        else:
            refused(done, 'IM-PROC')


@both('IM-GONE: a pid that no process has is refused')
def _(root, kind):
    with root.target(root.alice) as target:
        target.kill()
        refused(kind.run(root, target, 0, 100000, 1), 'IM-GONE')
        refused(kind.run(root, 'fd:5', 0, 100000, 1, fds={5: target.pidfd}), 'IM-GONE')
        refused(kind.run(root, 'fd:5', 0, 100000, 1, fds={5: target.dirfd}), 'IM-GONE')


@both('IM-HIDDEN, IM-GONE: a zombie is refused, by pid, directory and pidfd')
def _(root, kind):
    with root.target(root.alice) as target:
        target.kill(reap=False)
        refused(kind.run(root, target, 0, 100000, 1), 'IM-HIDDEN', 'has ended')
        refused(kind.run(root, 'fd:5', 0, 100000, 1, fds={5: target.pidfd}), 'IM-GONE')
        refused(kind.run(root, 'fd:5', 0, 100000, 1, fds={5: target.dirfd}), 'IM-HIDDEN')


@both('IM-PIDFD: a pidfd of a process outside of this pid namespace is refused')
def _(root, kind):
    with root.target(root.alice) as target:
        def enter():
            # A new pid namespace with its own /proc, in which the target has no number.
            unshare(CLONE_NEWPID | CLONE_NEWNS)
            child = os.fork()
            if child:
                os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            mount('proc', '/proc', 'proc')
            root.alice.become()
        done = root.run([kind.program(root), 'fd:5', 0, 100000, 1], fds={5: target.pidfd}, before=enter)
        refused(done, 'IM-PIDFD')
        unmapped(target)


# --- whose process --------------------------------------------------------------------------

@both('IM-OWNER: another user\'s process is refused, by pid, directory and pidfd')
def _(root, kind):
    with root.target(root.bob) as target:
        refused(kind.run(root, target, 0, 100000, 1), 'IM-OWNER', f'uid {root.bob.uid}')
        refused(kind.run(root, 'fd:5', 0, 100000, 1, fds={5: target.dirfd}), 'IM-OWNER')
        refused(kind.run(root, 'fd:5', 0, 100000, 1, fds={5: target.pidfd}), 'IM-OWNER')
        unmapped(target)


@both('IM-OWNER: root\'s process is refused to a user, and a user\'s to root')
def _(root, kind):
    with root.target(ROOT) as target:
        refused(kind.run(root, target, 0, 100000, 1), 'IM-OWNER')
        unmapped(target)
    with root.target(root.alice) as target:
        refused(kind.run(root, target, 0, 100000, 1, user=ROOT), 'IM-OWNER')
        unmapped(target)


@both('IM-OWNER: the gid counts too')
def _(root, kind):
    with root.target(root.alice.but(gid=root.bob.gid)) as target:
        refused(kind.run(root, target, 0, 100000, 1), 'IM-OWNER', f'gid {root.bob.gid}')
        unmapped(target)


@both('IM-OWNER: a setgid caller is judged by its real gid')
def _(root, kind):
    setgid = root.alice.but(egid=root.bob.gid)
    with root.target(setgid) as target:
        refused(kind.run(root, target, 0, 100000, 1, user=setgid), 'IM-OWNER')
        unmapped(target)
    with root.target(root.alice) as target:
        if kind.which == 'gid':
            refused(kind.run(root, target, 0, root.bob.gid, 1, user=setgid), 'IM-RANGE')
            unmapped(target)
        granted(kind.run(root, target, 0, kind.own(root.alice), 1, user=setgid))


@both('IM-HIDDEN: a process of the caller\'s that is not dumpable is refused and the message says why')
def _(root, kind):
    with root.target(root.alice, prepare=lambda: prctl(PR_SET_DUMPABLE, 0)) as target:
        refused(kind.run(root, target, 0, 100000, 1), 'IM-HIDDEN', 'not dumpable')
        unmapped(target)


@both('another user\'s hidden process is refused as any of another user\'s')
def _(root, kind):
    with root.target(root.bob, prepare=lambda: prctl(PR_SET_DUMPABLE, 0)) as target:
        refused(kind.run(root, target, 0, 100000, 1), 'IM-OWNER')
        unmapped(target)


@both('IM-WRITE: a process in the caller\'s own user namespace is refused')
def _(root, kind):
    with root.target(root.alice, namespaces=0) as target:
        # No setgroups(2) of the host's is denied on the way.
        refused(kind.run(root, target, 0, 100000, 1), 'IM-WRITE', kind.map_file)
        refused(kind.run(root, target, 0, kind.own(root.alice), 1), 'IM-WRITE' if kind.which == 'uid' else 'IM-SETGROUPS')


@both('IM-WRITE: a grandchild namespace is refused')
def _(root, kind):
    def nest():
        # The inner namespace's owner has no mapping yet; that is allowed for the outer one only once mapped.
        with open('/proc/self/uid_map', 'w') as file:
            file.write(f'0 {root.alice.uid} 1')
        with open('/proc/self/setgroups', 'w') as file:
            file.write('deny')
        with open('/proc/self/gid_map', 'w') as file:
            file.write(f'0 {root.alice.gid} 1')
        unshare(CLONE_NEWUSER)
    with root.target(root.alice, prepare=nest) as target:
        refused(kind.run(root, target, 0, 100000, 1), 'IM-WRITE')
        assert kind.map(target) == []


@both('IM-GROUP: delegated ids only from the login\'s primary group, unless GRANT_AUX_GROUP_SUBIDS')
def _(root, kind):
    other = root.alice.but(gid=root.bob.gid)
    root.write('/etc/login.defs', '')
    with root.target(other) as target:
        refused(kind.run(root, target, 0, 100000, 10, 10, kind.own(other), 1, user=other), 'IM-GROUP', 'GRANT_AUX_GROUP_SUBIDS')
        unmapped(target)
        granted(kind.run(root, target, 0, kind.own(other), 1, user=other))
    for text, allowed in (('GRANT_AUX_GROUP_SUBIDS no\n', False), ('#GRANT_AUX_GROUP_SUBIDS yes\n', False),
                          ('GRANT_AUX_GROUP_SUBIDS\tyes\n', True)):
        root.write('/etc/login.defs', text)
        with root.target(other) as target:
            done = kind.run(root, target, 0, 100000, 10, user=other)
            assert done.code == (not allowed), (text, done)


@both('a login name as directories give them, with @, and another name of the same uid, are granted what their lines say')
def _(root, kind):
    with open('/etc/passwd') as file:
        before = file.read()
    root.write('/etc/passwd', before + 'jdoe@corp.example:x:6543:6543::/:/bin/sh\njd:x:6543:6543::/:/bin/sh\n')
    user = root.alice.but(name='jdoe@corp.example', uid=6543, gid=6543, groups=())
    try:
        for owner in ('jdoe@corp.example', 'jd', '6543'):
            kind.write(root, f'bob:100000:10\n{owner}:700000:65536\n')
            with root.target(user) as target:
                refused(kind.run(root, target, 0, 100000, 1, user=user), 'IM-RANGE')
                granted(kind.run(root, target, 0, 700000, 65536, user=user))
    finally:
        root.write('/etc/passwd', before)


@both('one\'s own id needs no policy: neither its files nor a name')
def _(root, kind):
    os.chmod(kind.file, 0o666)
    root.write('/etc/nsswitch.conf', 'passwd: nowhere\nsubid: nowhere\n', mode=0o666)
    with root.target(root.alice) as target:
        granted(kind.run(root, target, 0, kind.own(root.alice), 1))


@both('IM-WRITE: a second map is refused and the first stays')
def _(root, kind):
    with root.target(root.alice) as target:
        granted(kind.run(root, target, 0, 100000, 10))
        refused(kind.run(root, target, 0, 100000, 20), 'IM-WRITE', kind.map_file, 'one map')
        assert kind.map(target) == [(0, 100000, 10)]


# --- the request ----------------------------------------------------------------------------

@both('IM-ARGS: no target, no triple or half a triple is refused with the usage')
def _(root, kind):
    program = kind.program(root)
    refused(root.run([program], root.alice), 'IM-ARGS', 'usage:')
    with root.target(root.alice) as target:
        refused(kind.run(root, target), 'IM-ARGS', 'usage:')
        for numbers in ((0,), (0, 100000), (0, 100000, 1, 5), (0, 100000, 1, 5, 100001)):
            refused(kind.run(root, target, *numbers), 'IM-ARGS', 'triples')
        unmapped(target)


@both('SU-NAME: a line with a number is for that uid, not for whoever has the number as login name')
def _(root, kind):
    number = (root.bob if kind.which == 'uid' else root.carol).uid
    other = root.add_user(str(number), number + 50)
    with root.target(other) as target:
        kind.write(root, f'{number}:300000:10\n')
        refused(kind.run(root, target, 0, 300000, 1, user=other), 'IM-RANGE', f'uid {other.uid} has no range')
        kind.write(root, f'{other.uid}:300000:10\n')
        granted(kind.run(root, target, 0, 300000, 1, user=other))


@both('--version prints one line and exits 0')
def _(root, kind):
    done = root.run([kind.program(root), '--version'], root.alice)
    assert done.code == 0 and done.err == '' and done.out.startswith(kind.name + ' (userns suite) '), done


@both('IM-NUMBER: octal, hex, signs, spaces and units are refused with a hint')
def _(root, kind):
    with root.target(root.alice) as target:
        for bad, hint in (('0100000', 'octal'), ('0x186a0', 'hexadecimal'), ('+100000', 'sign'), ('-1', 'sign'),
                          (' 100000', 'decimal'), ('100000 ', 'decimal'), ('1e5', 'decimal'), ('', 'empty'),
                          ('99999999999999999999', 'too large'), ('1\n0', 'decimal')):
            refused(kind.run(root, target, 0, bad, 1), 'IM-NUMBER', hint)
            refused(kind.run(root, target, bad, 100000, 1), 'IM-NUMBER', hint)
            refused(kind.run(root, target, 0, 100000, bad), 'IM-NUMBER', hint)
        unmapped(target)


@both('IM-BOUNDS: count 0 and ranges that leave the id space are refused, whatever policy says')
def _(root, kind):
    kind.write(root, f'alice:1:{LARGEST}\n')
    with root.target(root.alice) as target:
        for numbers in ((0, 100000, 0), (0, LARGEST, 2), (0, LARGEST + 1, 1), (LARGEST, 1, 2), (LARGEST + 1, 1, 1),
                        (0, 1, 2**32 - 1), (0, 1, 2**32), (0, 2**32, 1), (2**32, 1, 1), (0, 1, 2**32 + 1),
                        (0, 2**32 + 100000, 1), (0, 2**64 - 1, 1), (0, 1, 2**64 - 1)):
            refused(kind.run(root, target, *numbers), 'IM-BOUNDS')
        unmapped(target)


@both('the whole id space but 0 can be mapped where it is delegated')
def _(root, kind):
    kind.write(root, f'alice:1:{LARGEST}\n')
    with root.target(root.alice) as target:
        granted(kind.run(root, target, 0, 1, LARGEST))
        assert kind.map(target) == [(0, 1, LARGEST)]
    with root.target(root.alice) as target:
        granted(kind.run(root, target, LARGEST, LARGEST, 1, 2**31, 2**31, 1, 2**31 - 1, 2**31 - 1, 1))
        assert len(kind.map(target)) == 3


@both('IM-OVERLAP: overlapping triples are refused and both are named')
def _(root, kind):
    with root.target(root.alice) as target:
        refused(kind.run(root, target, 0, 100000, 10, 50, 100100, 1, 9, 100200, 10), 'IM-OVERLAP', 'triples 1 and 3',
                'inside', '[0-10) -> [100000-100010)', '[9-19) -> [100200-100210)')
        refused(kind.run(root, target, 0, 100000, 10, 20, 100009, 1), 'IM-OVERLAP', 'triples 1 and 2', 'outside')
        unmapped(target)


def separate(count, base=1):
    return [n for i in range(count) for n in (2 * i, base + 2 * i, 1)]


@both('IM-EXTENTS: 340 triples are mapped, 341 refused')
def _(root, kind):
    kind.write(root, 'alice:1:65536\n')
    with root.target(root.alice) as target:
        refused(kind.run(root, target, *separate(341)), 'IM-EXTENTS', '341', '340')
        unmapped(target)
        granted(kind.run(root, target, *separate(340)))
        assert len(kind.map(target)) == 340


@both('IM-EXTENTS: 4095 bytes of map are written, 4096 refused')
def _(root, kind):
    kind.write(root, 'alice:1:4000000000\n')
    most = [n for i in range(170) for n in (3000000000 + 2 * i, 3000000000 + 2 * i, 1)]
    with root.target(root.alice) as target:
        refused(kind.run(root, target, *most, 10, 1234567890, 1), 'IM-EXTENTS', '4096 bytes')
        unmapped(target)
        granted(kind.run(root, target, *most, 0, 1234567890, 1))
        assert len(kind.map(target)) == 171


@both('ST-ARGS: more or longer arguments than any map needs are refused')
def _(root, kind):
    with root.target(root.alice) as target:
        refused(kind.run(root, target, *separate(700)), 'ST-ARGS')
        refused(kind.run(root, target, *(['1'] * 100000)), 'ST-ARGS')
        refused(kind.run(root, target, 0, '1' * 33, 1), 'ST-ARGS', 'longer than')
        refused(kind.run(root, target, 0, '1' * 100000, 1), 'ST-ARGS', 'longer than')
        unmapped(target)


# --- what policy gives ----------------------------------------------------------------------

@both('IM-RANGE: what is not delegated is refused, and the message says what is')
def _(root, kind):
    kind.write(root, 'bob:1:99999\n\nalice:100000:65536\nalice:300000:10\nbob:165536:65536\n')
    with root.target(root.alice) as target:
        refused(kind.run(root, target, 0, 165536, 65537), 'IM-RANGE',
                f'{kind.which} range [0-65537) -> [165536-231073) not allowed: alice has [100000-165536) ({kind.file}:3), '
                f'[300000-300010) ({kind.file}:4)')
        for first, count in ((99999, 1), (99999, 2), (165535, 2), (165536, 1), (299999, 1), (300010, 1), (300000, 11),
                             (1, LARGEST), (100000, 200010), (LARGEST, 1)):
            refused(kind.run(root, target, 0, first, count), 'IM-RANGE')
        refused(kind.run(root, target, 0, 100000, 10, 10, 165536, 1), 'IM-RANGE', '[10-11) -> [165536-165537)')
        unmapped(target)


@both('one\'s own id is mapped without any line, with count 1 only')
def _(root, kind):
    kind.write(root, '')
    own = kind.own(root.alice)
    with root.target(root.alice) as target:
        for first, count in ((own, 2), (own - 1, 1), (own + 1, 1), (own - 1, 2)):
            refused(kind.run(root, target, 0, first, count), 'IM-RANGE', 'alice has no range in ' + kind.file)
        granted(kind.run(root, target, 5, own, 1))
        assert kind.map(target) == [(5, own, 1)]


@both('the own uid is not a gid and the own gid no uid')
def _(root, kind):
    other = root.alice.gid if kind.which == 'uid' else root.alice.uid
    with root.target(root.alice) as target:
        refused(kind.run(root, target, 0, other, 1), 'IM-RANGE')
        unmapped(target)


@both('adjacent and overlapping lines unite, by name and by number')
def _(root, kind):
    kind.write(root, f'alice:200000:10\nbob:100010:5\nalice:100000:10\n{root.alice.uid}:100010:10\nalice:100015:100\n')
    with root.target(root.alice) as target:
        refused(kind.run(root, target, 0, 100000, 116), 'IM-RANGE')
        granted(kind.run(root, target, 0, 100000, 115, 500, 200000, 10))
        assert kind.map(target) == [(0, 100000, 115), (500, 200000, 10)]


@both('a line is by the numeric uid, never by the gid')
def _(root, kind):
    kind.write(root, f'{root.alice.uid}:100000:10\n{root.alice.gid}:200000:10\n')
    with root.target(root.alice) as target:
        refused(kind.run(root, target, 0, 200000, 10), 'IM-RANGE')
        granted(kind.run(root, target, 0, 100000, 10))


@both('a uid without a name is served by its number')
def _(root, kind):
    nobody = User('', 79999, 78888)
    kind.write(root, '79999:100000:10\n:200000:10\n')
    with root.target(nobody) as target:
        refused(kind.run(root, target, 0, 200000, 1, user=nobody), 'IM-RANGE', 'uid 79999 has')
        granted(kind.run(root, target, 0, 100000, 10, user=nobody))


@both('an absent file means no ranges: one\'s own id still maps')
def _(root, kind):
    os.unlink(kind.file)
    with root.target(root.alice) as target:
        refused(kind.run(root, target, 0, 100000, 1), 'IM-RANGE', 'alice has no range')
        granted(kind.run(root, target, 0, kind.own(root.alice), 1))


@both('each program reads its own file')
def _(root, kind):
    kind.write(root, 'alice:100000:10\n')
    root.write('/etc/subgid' if kind.which == 'uid' else '/etc/subuid', 'alice:500000:10\n')
    with root.target(root.alice) as target:
        refused(kind.run(root, target, 0, 500000, 1), 'IM-RANGE')
        granted(kind.run(root, target, 0, 100000, 1))


@both('IM-ROOT: outside id 0 is nobody\'s but root\'s, even where a line gives it')
def _(root, kind):
    kind.write(root, 'alice:0:65536\n')
    with root.target(root.alice) as target:
        refused(kind.run(root, target, 0, 0, 1), 'IM-ROOT', 'root')
        refused(kind.run(root, target, 0, 0, 65536), 'IM-ROOT')
        granted(kind.run(root, target, 0, 1, 65535))
    wheel = root.alice.but(gid=0)
    with root.target(wheel) as target:
        refused(kind.run(root, target, 0, 0, 1, user=wheel), 'IM-ROOT')
        unmapped(target)


@both('root maps outside id 0, for its own id and where a line gives more')
def _(root, kind):
    kind.write(root, 'root:100000:10\n')
    with root.target(ROOT) as target:
        refused(kind.run(root, target, 0, 0, 2, user=ROOT), 'IM-RANGE')
        granted(kind.run(root, target, 0, 0, 1, 1, 100000, 10, user=ROOT))
        assert kind.map(target) == [(0, 0, 1), (1, 100000, 10)]
    kind.write(root, 'root:0:65536\n')
    with root.target(ROOT) as target:
        granted(kind.run(root, target, 0, 0, 65536, user=ROOT))


# --- the file -------------------------------------------------------------------------------

@both('a file of odd lines: only the well-formed ones of the caller grant, and the refusal names the first odd one')
def _(root, kind):
    odd = ['alice', 'alice:1', 'alice:400000:10:', 'alice:400000:0', 'alice:0400000:10', 'alice:0x61a80:10',
           'alice:400000:10 ', ' alice:400000:10', 'alice :400000:10', 'alice:+400000:10', 'alice:400000:-1',
           'alice:400000:4294967295', '#alice:400000:10', 'Alice:400000:10', 'alice:400000:10#', 'alicex:400000:10']
    kind.write(root, '\n'.join(odd) + '\nalice:100000:10')
    with root.target(root.alice) as target:
        refused(kind.run(root, target, 0, 400000, 1), 'IM-RANGE', f'alice has [100000-100010) ({kind.file}:17)',
                'line 2 grants nothing')
        granted(kind.run(root, target, 0, 100000, 10))


@both('SU-LINE: CRLF lines grant nothing and the message says so')
def _(root, kind):
    kind.write(root, 'bob:1:1\r\nalice:100000:10\r\n')
    with root.target(root.alice) as target:
        refused(kind.run(root, target, 0, 100000, 1), 'IM-RANGE', 'line 2 grants nothing', '\\x0d')
        unmapped(target)


@both('NUL bytes make a line odd and do not end the file')
def _(root, kind):
    kind.write(root, b'alice:100000\0:10\nali\0ce:200000:10\nalice:300000:10\n\0')
    with root.target(root.alice) as target:
        refused(kind.run(root, target, 0, 100000, 1), 'IM-RANGE')
        refused(kind.run(root, target, 0, 200000, 1), 'IM-RANGE')
        granted(kind.run(root, target, 0, 300000, 10))


@both('a last line without newline counts')
def _(root, kind):
    kind.write(root, 'alice:100000:10')
    with root.target(root.alice) as target:
        granted(kind.run(root, target, 0, 100000, 10))


@both('lines beyond any buffer: what a long line hides is not a line')
def _(root, kind):
    long_line = 'bob:1:' + '1' * 70000
    kind.write(root, f'{long_line}\n{"x" * 65530}alice:400000:10\nalice:100000:10\n')
    with root.target(root.alice) as target:
        refused(kind.run(root, target, 0, 400000, 1), 'IM-RANGE', f'({kind.file}:3)')
        granted(kind.run(root, target, 0, 100000, 10))


@both('SU-MANY: 1024 separate ranges are taken, one more is refused')
def _(root, kind):
    lines = [f'alice:{100000 + 10 * i}:5\n' for i in range(1024)]
    kind.write(root, ''.join(lines))
    with root.target(root.alice) as target:
        granted(kind.run(root, target, 0, 100000 + 10230, 5))
    kind.write(root, ''.join(lines) + 'alice:1:1\n')
    with root.target(root.alice) as target:
        refused(kind.run(root, target, 0, 100000, 5), 'SU-MANY')
        unmapped(target)


@both('TF-FILE: a file that is not root\'s alone is refused')
def _(root, kind):
    text = 'alice:100000:10\n'
    with root.target(root.alice) as target:
        for how in ({'mode': 0o664}, {'mode': 0o646}, {'mode': 0o666}, {'owner': (root.alice.uid, 0)},
                    {'owner': (root.bob.uid, root.bob.gid), 'mode': 0o444}):
            kind.write(root, text, **how)
            refused(kind.run(root, target, 0, 100000, 1), 'TF-FILE', kind.file)
        unmapped(target)
        kind.write(root, text, owner=(0, root.alice.gid))
        granted(kind.run(root, target, 0, 100000, 1))


@both('TF-FILE: a directory, fifo or device in the file\'s place is refused and never waited for')
def _(root, kind):
    with root.target(root.alice) as target:
        for make in (lambda: os.mkdir(kind.file), lambda: os.mkfifo(kind.file, 0o644),
                     lambda: os.mknod(kind.file, 0o020644, os.makedev(1, 5))):
            os.path.isdir(kind.file) and os.rmdir(kind.file)
            os.path.lexists(kind.file) and os.unlink(kind.file)
            make()
            refused(kind.run(root, target, 0, 100000, 1, timeout=10), 'TF-FILE', 'regular')
        os.unlink(kind.file)
        unmapped(target)


@both('TF-FILE: a file that the caller may not read is a refusal, not an empty one')
def _(root, kind):
    kind.write(root, 'alice:100000:10\n', mode=0o600)
    with root.target(root.alice) as target:
        refused(kind.run(root, target, 0, 100000, 1), 'TF-FILE', kind.file)
        unmapped(target)


def linked(root, kind, links):
    """Makes kind.file the first of `links`: (path, leads to, owner)."""
    for path, leads_to, owner in links:
        if os.path.lexists(path):
            os.unlink(path)
        os.symlink(leads_to, path)
        os.lchown(path, owner, 0)


@both('a symlink of root\'s through root\'s directories is followed, as NixOS has it')
def _(root, kind):
    os.makedirs('/etc/static/deep', exist_ok=True)
    root.write('/etc/static/deep/ids', 'alice:100000:10\n')
    for links in ([(kind.file, '/etc/static/deep/ids', 0)], [(kind.file, 'static/deep/ids', 0)],
                  [(kind.file, './static/../static//deep/ids', 0)],
                  [('/etc/static/link', 'deep', 0), (kind.file, 'static/link/ids', 0)],
                  [('/etc/static/ids', '/etc/static/deep/ids', 0), (kind.file, '/etc/static/ids', 0)]):
        linked(root, kind, links)
        with root.target(root.alice) as target:
            granted(kind.run(root, target, 0, 100000, 10))


@both('TF-PATH: a symlink of a user\'s, or through a user\'s directory, is refused')
def _(root, kind):
    os.makedirs('/etc/mine', exist_ok=True)
    root.write('/etc/mine/ids', 'alice:100000:10\n')
    os.makedirs('/etc/open', exist_ok=True)
    root.write('/etc/open/ids', 'alice:100000:10\n')
    os.chmod('/etc/open', 0o1777)
    with root.target(root.alice) as target:
        linked(root, kind, [(kind.file, '/etc/mine/ids', root.alice.uid)])
        refused(kind.run(root, target, 0, 100000, 1), 'TF-PATH')
        os.chown('/etc/mine', root.alice.uid, 0)
        linked(root, kind, [(kind.file, '/etc/mine/ids', 0)])
        refused(kind.run(root, target, 0, 100000, 1), 'TF-PATH')
        linked(root, kind, [(kind.file, '/etc/open/ids', 0)])
        refused(kind.run(root, target, 0, 100000, 1), 'TF-PATH')
        linked(root, kind, [(kind.file, '/etc/mine/../ids', 0)])
        refused(kind.run(root, target, 0, 100000, 1), 'TF-PATH')
        unmapped(target)


@both('TF-PATH: an /etc that others may write is refused')
def _(root, kind):
    mode = os.stat('/etc').st_mode
    with root.target(root.alice) as target:
        try:
            for bad in (0o775, 0o757, 0o1777):
                os.chmod('/etc', bad)
                refused(kind.run(root, target, 0, 100000, 1), 'TF-PATH')
        finally:
            os.chmod('/etc', mode & 0o7777)
        unmapped(target)


@both('TF-PATH: a loop of symlinks ends in a refusal')
def _(root, kind):
    linked(root, kind, [(kind.file, kind.file, 0)])
    with root.target(root.alice) as target:
        refused(kind.run(root, target, 0, 100000, 1), 'TF-PATH', 'symbolic link')
        unmapped(target)


@both('a symlink of root\'s that leads nowhere is an absent file')
def _(root, kind):
    linked(root, kind, [(kind.file, '/etc/nowhere/ids', 0)])
    with root.target(root.alice) as target:
        refused(kind.run(root, target, 0, 100000, 1), 'IM-RANGE', 'no range')
        granted(kind.run(root, target, 0, kind.own(root.alice), 1))


@both('a login whose line is longer than a file may be that we read ourselves is asked for')
def _(root, kind):
    whole = open('/etc/passwd').read()
    try:
        root.write('/etc/passwd', whole.replace('alice:x:', 'alice:' + 'x' * (3 << 20) + ':'))
        with root.target(root.alice) as target:
            granted(kind.run(root, target, 0, 100000, 1))
    finally:
        root.write('/etc/passwd', whole)


@both('SU-NAME: a login name that cannot be looked up is a refusal')
def _(root, kind):
    with open('/etc/passwd') as file:
        before = file.read()
    root.write('/etc/nsswitch.conf', 'passwd: files\ngroup: files\n')
    os.unlink('/etc/passwd')
    os.mkdir('/etc/passwd')
    try:
        with root.target(root.alice) as target:
            refused(kind.run(root, target, 0, 100000, 1), 'SU-NAME')
            unmapped(target)
    finally:
        os.rmdir('/etc/passwd')
        root.write('/etc/passwd', before)


@both('/etc/passwd alone answers where nsswitch.conf names nobody else: no process is forked')
def _(root, kind):
    root.write('/etc/nsswitch.conf', 'passwd: files\ngroup: files\n')
    with root.target(root.alice) as target:
        granted(kind.run(root, target, 0, 100000, 1, rlimits={resource.RLIMIT_NPROC: 0}))
    # Whoever might be asked: then somebody must be there to ask.
    for line in ('passwd: files systemd\ngroup: files', 'passwd: files\ngroup: files\nsubid: x', 'passwd: x files\ngroup: files', 'group: files'):
        root.write('/etc/nsswitch.conf', line + '\n')
        with root.target(root.alice) as target:
            refused(kind.run(root, target, 0, 100000, 1, rlimits={resource.RLIMIT_NPROC: 0}), 'SU-NAME', 'fork')
            unmapped(target)


@both('SU-NAME: an /etc/passwd that others can write names nobody by itself: its user is asked for')
def _(root, kind):
    root.write('/etc/nsswitch.conf', 'passwd: files\ngroup: files\n')
    os.chmod('/etc/passwd', 0o666)
    try:
        with root.target(root.alice) as target:
            refused(kind.run(root, target, 0, 100000, 1, rlimits={resource.RLIMIT_NPROC: 0}), 'SU-NAME', 'fork')
            granted(kind.run(root, target, 0, 100000, 1))
    finally:
        os.chmod('/etc/passwd', 0o644)


@both('SU-READ: an nsswitch.conf too large to read is a refusal')
def _(root, kind):
    root.write('/etc/nsswitch.conf', 'passwd: files\n' + '#' * (1 << 20) + '\nsubid: files\n')
    with root.target(root.alice) as target:
        refused(kind.run(root, target, 0, 100000, 1), 'SU-READ', '/etc/nsswitch.conf')
        unmapped(target)


@both('an unsafe nsswitch.conf is a refusal, an absent one means files')
def _(root, kind):
    root.write('/etc/nsswitch.conf', 'passwd: files\n', mode=0o666)
    with root.target(root.alice) as target:
        refused(kind.run(root, target, 0, 100000, 1), 'TF-FILE', '/etc/nsswitch.conf')
        unmapped(target)
        os.unlink('/etc/nsswitch.conf')
        granted(kind.run(root, target, 0, 100000, 1))


# --- setgroups ------------------------------------------------------------------------------

@case('IM-SETGROUPS: newgidmap: a delegated gid leaves setgroups allowed')
def _(root):
    with root.target(root.alice) as target:
        granted(root.run([root.newgidmap, target.pid, 0, 100000, 10], root.alice))
        assert target.setgroups() == 'allow'


@case('IM-SETGROUPS: newgidmap: the own gid alone denies setgroups before the map is there (CVE-2018-7169)')
def _(root):
    with root.target(root.alice) as target:
        granted(root.run([root.newgidmap, target.pid, 0, root.alice.gid, 1], root.alice))
        assert target.setgroups() == 'deny' and target.gid_map() == [(0, root.alice.gid, 1)]


@case('newgidmap: the own gid with a delegated one leaves setgroups allowed')
def _(root):
    with root.target(root.alice) as target:
        granted(root.run([root.newgidmap, target.pid, 0, root.alice.gid, 1, 1, 100000, 10], root.alice))
        assert target.setgroups() == 'allow'


@case('newgidmap: an own gid that a line delegates leaves setgroups allowed')
def _(root):
    root.subgid(f'alice:{root.alice.gid}:1\n')
    with root.target(root.alice) as target:
        granted(root.run([root.newgidmap, target.pid, 0, root.alice.gid, 1], root.alice))
        assert target.setgroups() == 'allow'


@case('IM-SETGROUPS: newgidmap: a preset deny is kept')
def _(root):
    def deny():
        with open('/proc/self/setgroups', 'w') as file:
            file.write('deny')
    for outside in (100000, root.alice.gid):
        with root.target(root.alice, prepare=deny) as target:
            granted(root.run([root.newgidmap, target.pid, 0, outside, 1], root.alice))
            assert target.setgroups() == 'deny'


@case('newgidmap: a refusal leaves setgroups as it was')
def _(root):
    with root.target(root.alice) as target:
        refused(root.run([root.newgidmap, target.pid, 0, root.alice.gid, 2], root.alice), 'IM-RANGE')
        unmapped(target)


@case('newuidmap never touches setgroups')
def _(root):
    with root.target(root.alice) as target:
        granted(root.run([root.newuidmap, target.pid, 0, root.alice.uid, 1], root.alice))
        assert target.setgroups() == 'allow'


# --- as callers in the field use it -----------------------------------------------------------

@cases([('uids first, then gids', False), ('gids first, then uids, as crun does', True)])
def _(root, gids_first):
    with root.target(root.alice) as target:
        for program in sorted([root.newuidmap, root.newgidmap], reverse=not gids_first):
            granted(root.run([program, target.pid, 0, 100000, 65536], root.alice))
        assert target.uid_map() == target.gid_map() == [(0, 100000, 65536)]


@both('an empty environment is enough, as runc has it')
def _(root, kind):
    with root.target(root.alice) as target:
        granted(kind.run(root, target, 0, 100000, 1, env={}))


@case('two callers at once: one map is written, the other caller is told')
def _(root):
    for _ in range(10):
        with root.target(root.alice) as target:
            racers = [spawn([root.newuidmap, target.pid, 0, 100000 + i, 1], root.alice) for i in range(4)]
            done = [r.wait() for r in racers]
            won = [i for i, d in enumerate(done) if d.code == 0]
            assert len(won) == 1, done
            assert target.uid_map() == [(0, 100000 + won[0], 1)]


if __name__ == '__main__':
    main()
