#!/usr/bin/env python3
"""newuidmap and newgidmap with `subid:` in nsswitch.conf: a plugin of the tests, well and badly behaved."""

import contextlib
import os
import resource
import shutil
import signal

from newidmap import both, granted, refused, unmapped
from harness import MS_BIND, cases, main, mount, spawn, status_of, umount, wait_for

LIBRARIES = '/usr/lib/x86_64-linux-gnu'


def plugin(root, mode, source='x'):
    """From now on nsswitch.conf names the plugin, which behaves as `mode` says."""
    root.overlay(LIBRARIES)
    shutil.copyfile(os.path.join(root.build, 'tests', 'helpers', 'libsubid_x.so'), f'{LIBRARIES}/libsubid_x.so')
    root.write('/etc/nsswitch.conf', f'passwd: files\ngroup: files\nsubid: {source} files\n')
    root.write('/etc/subid-plugin', mode)
    root.write(f'{root.tmp}/witness', '', mode=0o666)


def witness(root):
    with open(f'{root.tmp}/witness') as file:
        return dict(line.rstrip('\n').split(':\t', 1) for line in file if ':\t' in line)


def children_of(pid):
    with open(f'/proc/{pid}/task/{pid}/children') as file:
        return [int(word) for word in file.read().split()]


def first(kind):
    return 400000 if kind.which == 'uid' else 500000


@both('ranges of the NSS source are granted, those of the file are not')
def _(root, kind):
    plugin(root, 'good')
    with root.target(root.alice) as target:
        refused(kind.run(root, target, 0, 100000, 1), 'IM-RANGE',
                f'alice has [{first(kind)}-{first(kind) + 10}) (NSS source x')
        unmapped(target)
        granted(kind.run(root, target, 0, first(kind), 10))
        assert kind.map(target) == [(0, first(kind), 10)]


@both('the plugin runs in a process without any privilege that nobody can look into')
def _(root, kind):
    plugin(root, 'good')
    with root.target(root.alice) as target:
        granted(kind.run(root, target, 0, first(kind), 10))
    seen = witness(root)
    assert seen['Name'] == 'userns-names' and seen['NoNewPrivs'] == '1' and seen['Dumpable'] == '0', seen
    for name in ('CapPrm', 'CapEff', 'CapInh', 'CapAmb'):
        assert int(seen[name], 16) == 0, (name, seen[name])
    assert seen['Uid'].split() == [str(root.alice.uid)] * 4, seen['Uid']


@both('one\'s own id needs no source')
def _(root, kind):
    for mode in ('none', 'error'):
        plugin(root, mode)
        with root.target(root.alice) as target:
            refused(kind.run(root, target, 0, first(kind), 1), 'IM-RANGE' if mode == 'none' else 'SU-NSS')
            granted(kind.run(root, target, 0, kind.own(root.alice), 1))


FAILURES = ['crash', 'exit1', 'error', 'unreachable', 'negative', 'shouting']


@both('SU-NSS: a plugin that crashes, exits or fails is a refusal, and the file is not asked instead')
def _(root, kind):
    root.subuid('alice:400000:100\nalice:1:100000\n')
    root.subgid('alice:500000:100\nalice:1:100000\n')
    for mode in FAILURES:
        plugin(root, mode)
        with root.target(root.alice) as target:
            for outside in (first(kind), 50000):
                done = kind.run(root, target, 0, outside, 1)
                assert done.code == 1 and '[SU-NSS]' in done.err, (mode, done)
            unmapped(target)


@both('SU-NSS: a plugin that ends the process as if all were well gives nothing')
def _(root, kind):
    for mode in ('exit0', 'closing'):
        plugin(root, mode)
        with root.target(root.alice) as target:
            done = kind.run(root, target, 0, first(kind), 1)
            assert done.code == 1 and '[SU-NSS]' in done.err, (mode, done)
            unmapped(target)


@both('garbage of a plugin grants nothing')
def _(root, kind):
    for mode in ('null', 'overflow', 'wrapping', 'empty'):
        plugin(root, mode)
        with root.target(root.alice) as target:
            for outside in (first(kind), 4294967294, 1, 0):
                done = kind.run(root, target, 0, outside, 1)
                assert done.code == 1, (mode, done)
            unmapped(target)


@both('a plugin that gives everything does not give the host\'s root')
def _(root, kind):
    plugin(root, 'everything')
    with root.target(root.alice) as target:
        refused(kind.run(root, target, 0, 0, 1), 'IM-ROOT')
        granted(kind.run(root, target, 0, 1, 4294967293))


@both('SU-MANY: a plugin with too many separate ranges is a refusal')
def _(root, kind):
    plugin(root, 'many')
    with root.target(root.alice) as target:
        refused(kind.run(root, target, 0, 400000, 1), 'SU-MANY')
        unmapped(target)


@both('SU-NSS: a source whose module is missing, or whose name is odd, is a refusal')
def _(root, kind):
    for source in ('missing', '../../../mnt/evil', 'x' * 500, '%s%n'):
        plugin(root, 'good', source)
        with root.target(root.alice) as target:
            done = kind.run(root, target, 0, 100000, 1)
            assert done.code == 1 and '[SU-NSS]' in done.err, done
            assert all(32 <= ord(c) < 127 for c in done.err.rstrip('\n').replace('\n', '')), done
            unmapped(target)


@both('SU-NSS: a module that lacks the function to ask is a refusal, where libsubid would turn to the file')
def _(root, kind):
    plugin(root, 'good')
    shutil.copyfile(f'{LIBRARIES}/libcap.so.2', f'{LIBRARIES}/libsubid_lacking.so')
    root.write(f'{LIBRARIES}/libsubid_broken.so', 'not a library')
    for source in ('lacking', 'broken'):
        root.write('/etc/nsswitch.conf', f'subid: {source}')
        with root.target(root.alice) as target:
            refused(kind.run(root, target, 0, 100000, 1), 'SU-NSS', source)
            unmapped(target)


@both('SU-NSS: a user whom the module does not know is a refusal, and one\'s own id still maps')
def _(root, kind):
    plugin(root, 'good')
    with root.target(root.bob) as target:
        refused(kind.run(root, target, 0, first(kind), 1, user=root.bob), 'SU-NSS')
        granted(kind.run(root, target, 0, kind.own(root.bob), 1, user=root.bob))


@both('SU-NSS: a plugin that hangs and is killed is a refusal')
def _(root, kind):
    plugin(root, 'hang')
    with root.target(root.alice) as target:
        child = spawn([kind.program(root), target.pid, 0, first(kind), 1], root.alice)

        def asked():
            with open(f'/proc/{child.pid}/task/{child.pid}/children') as file:
                pids = file.read().split()
            return int(pids[0]) if pids and witness(root).get('Dumpable') else 0
        asker = wait_for(asked, 'the child that asks')
        unmapped(target)
        os.kill(asker, signal.SIGKILL)
        refused(child.wait(), 'SU-NSS')
        unmapped(target)


@both('SU-NAME: without a process to ask with the answer is a refusal')
def _(root, kind):
    plugin(root, 'good')
    with root.target(root.alice) as target:
        refused(kind.run(root, target, 0, first(kind), 1, rlimits={resource.RLIMIT_NPROC: 0}), 'SU-NAME', 'fork')
        unmapped(target)


@both('SU-NAME: a passwd module that grabs for root, leaves a thread and a destructor behind, gets nothing, and changes nothing')
def _(root, kind):
    plugin(root, 'thief')
    shutil.copyfile(f'{LIBRARIES}/libsubid_x.so', f'{LIBRARIES}/libnss_x.so.2')
    root.write('/etc/nsswitch.conf', 'passwd: x files\ngroup: files\n')
    with root.target(root.alice) as target:
        granted(kind.run(root, target, 0, 100000, 10))
    seen = witness(root)
    assert seen['Stolen'] == '0' and int(seen['CapPrm'], 16) == 0 and seen['Uid'].split() == [str(root.alice.uid)] * 4, seen


@both('SU-NAME: a passwd module that never answers is a refusal after ten seconds, and its process is gone with it')
def _(root, kind):
    plugin(root, 'pause')
    shutil.copyfile(f'{LIBRARIES}/libsubid_x.so', f'{LIBRARIES}/libnss_x.so.2')
    root.write('/etc/nsswitch.conf', 'passwd: x files\ngroup: files\n')
    with root.target(root.alice) as target:
        child = spawn([kind.program(root), target.pid, 0, 100000, 1], root.alice)
        asker = wait_for(lambda: children_of(child.pid), 'the child that asks')[0]
        refused(child.wait(), 'SU-NAME')
        wait_for(lambda: not os.path.exists(f'/proc/{asker}') or status_of(asker)['State'].startswith('Z'), 'the end of the child')
        # Killed before that, it takes the child along.
        child = spawn([kind.program(root), target.pid, 0, 100000, 1], root.alice)
        asker = wait_for(lambda: children_of(child.pid), 'the child that asks')[0]
        child.kill()
        wait_for(lambda: not os.path.exists(f'/proc/{asker}') or status_of(asker)['State'].startswith('Z'), 'the end of the child')


def passwd_by_module(root, mode):
    plugin(root, mode)
    shutil.copyfile(f'{LIBRARIES}/libsubid_x.so', f'{LIBRARIES}/libnss_x.so.2')
    root.write('/etc/nsswitch.conf', 'passwd: x files\ngroup: files\n')


@both('SU-NAME: the caller cannot trace the process that answers, nor read or write in it, nor take its socket')
def _(root, kind):
    passwd_by_module(root, 'pause')
    with root.target(root.alice) as target:
        child = spawn([kind.program(root), target.pid, 0, 100000, 1], root.alice)
        asker = wait_for(lambda: children_of(child.pid), 'the child that asks')[0]
        wait_for(lambda: os.readlink(f'/proc/{asker}/exe').endswith('/userns-names'), 'the program that answers')
        assert status_of(asker)['Uid'].split() == [str(root.alice.uid)] * 4
        for what in ('mem', 'fd/3', 'environ', 'maps'):
            for how in ('<', '>'):
                done = root.run(['/bin/sh', '-c', f'exec 9{how}/proc/{asker}/{what}'], root.alice)
                assert done.code != 0 and 'ermission denied' in done.err, (what, how, done)
        traced = root.run(['/usr/bin/strace', '-p', asker], root.alice)
        assert traced.code != 0 and 'ermitted' in traced.err, traced
        child.kill()


@both('SU-NAME: an answering program that users can read, or of another owner, or a kernel in which all can be traced: not started')
def _(root, kind):
    program = root.program('userns-names')
    passwd_by_module(root, 'thief')
    everybody = f'{root.tmp}/suid_dumpable'
    root.write(everybody, '1\n')
    with root.target(root.alice) as target:
        for mode, owner in ((0o755, 0), (0o751, 0), (0o715, 0), (0o731, 0), (0o711, root.alice.uid)):
            os.chown(program, owner, 0)
            os.chmod(program, mode)
            refused(kind.run(root, target, 0, 100000, 10), 'SU-NAME')
        os.chown(program, 0, 0)
        os.chmod(program, 0o711)
        mount(everybody, '/proc/sys/fs/suid_dumpable', None, MS_BIND)
        try:
            refused(kind.run(root, target, 0, 100000, 10), 'SU-NAME')
        finally:
            umount('/proc/sys/fs/suid_dumpable')
        os.rename(program, program + '.away')
        refused(kind.run(root, target, 0, 100000, 10), 'SU-NAME')
        os.rename(program + '.away', program)
        assert not witness(root), witness(root)
        unmapped(target)
        granted(kind.run(root, target, 0, 100000, 10))


@contextlib.contextmanager
def known_to_module_alone(root, kind, words):
    """The module's word is what keeps alice from a grant: her gid is not that of her login."""
    passwd_by_module(root, 'knows')
    root.write('/etc/nsswitch.conf', f'passwd: {words}\ngroup: files\n')
    kind.write(root, f'{root.alice.uid}:100000:100\n')
    with open('/etc/passwd') as file:
        before = file.readlines()
    root.write('/etc/passwd', ''.join(line for line in before if not line.startswith(f'{root.alice.name}:')))
    try:
        with root.target(root.alice) as target:
            refused(kind.run(root, target, 0, 100000, 10), 'IM-GROUP')
            yield target
    finally:
        root.write('/etc/passwd', ''.join(before))


@both('SU-NAME: a source that fails is a refusal, also if the source behind it knows no such user')
def _(root, kind):
    for words in ('files x', 'x files', 'files x systemd', 'x systemd', 'x [UNAVAIL=continue] systemd', 'x[NOTFOUND=return]files'):
        with known_to_module_alone(root, kind, words) as target:
            root.write('/etc/subid-plugin', 'down')
            refused(kind.run(root, target, 0, 100000, 10), 'SU-NAME')
            root.write('/etc/nsswitch.conf', f' passwd {words}\n')  # the C library takes it
            refused(kind.run(root, target, 0, 100000, 10), 'SU-NAME')
            unmapped(target)


@both('SU-NAME: a limit of the caller\'s that keeps a module from being loaded is a refusal, not "no such user"')
def _(root, kind):
    for words in ('files x', 'x', 'files x systemd'):
        with known_to_module_alone(root, kind, words) as target:
            for which in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
                refused(kind.run(root, target, 0, 100000, 10, rlimits={which: 40 << 20}), 'SU-NAME')
            unmapped(target)


@both('a uid without a name has what it was given, if each source says so or is not installed')
def _(root, kind):
    for words in ('files x', 'files systemd x', 'x [NOTFOUND=return] files', 'files missing x systemd', 'missing [!UNAVAIL=return] x'):
        with known_to_module_alone(root, kind, words) as target:
            root.write('/etc/subid-plugin', 'unknown')
            granted(kind.run(root, target, 0, 100000, 10))


@cases([(f'an nsswitch line "{line}" means {meaning}', line, meaning) for line, meaning in (
    ('subid: files', 'the file'), ('subid: files x', 'the file'), ('#subid: x', 'the file'), ('', 'the file'),
    ('subid:x', 'the plugin'), ('subid:\tx files', 'the plugin'))])
def _(root, line, meaning):
    plugin(root, 'good')
    root.write('/etc/nsswitch.conf', f'passwd: files\n{line}\n')
    with root.target(root.alice) as target:
        outside = 100000 if meaning == 'the file' else 400000
        granted(root.run([root.newuidmap, target.pid, 0, outside, 1], root.alice))


if __name__ == '__main__':
    main()
