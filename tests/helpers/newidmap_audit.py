#!/usr/bin/env python3
"""newuidmap and newgidmap: the record of each decision, in the audit system and in syslog, before the act.

Switches the machine's audit system on for a moment, where it is off: not to be run beside another user of it.
"""

import errno
import json
import os
import re
import resource
import socket
import subprocess
import time

from newidmap import KINDS, both, granted, refused
from audit_log import AuditLog
from harness import ROOT, CLONE_NEWNS, MS_BIND, SYSCALL, Result, cases, main, mount, skip, spawn, trace, unshare, wait_for

LANDLOCK_CREATE_RULESET = 444


@both('a grant and a refusal are in the audit log, with caller, target, map and rule')
def _(root, kind):
    with AuditLog() as log, root.target(root.alice) as target:
        refused(kind.run(root, target, 0, 200000, 1), 'IM-RANGE')
        granted(kind.run(root, target, 0, 100000, 10, 10, kind.own(root.alice), 1))
        records = log.records(kind.name)
    assert len(records) == 2, records
    for record, rule, result in zip(records, ('IM-RANGE', 'none'), ('failed', 'success')):
        for word in (f'uid={root.alice.uid} ', f'gid={root.alice.gid}', f'target={target.pid}', f'rule={rule}', f'res={result}'):
            assert word in record, (word, record)
    assert 'map=0:200000:1 ' in records[0] and f'map=0:100000:10,10:{kind.own(root.alice)}:1' in records[1], records


@both('the record is there before the map is, so that a kill cannot hide it')
def _(root, kind):
    with AuditLog() as log, root.target(root.alice) as target:
        def kill_at_write(stop):
            if stop.number == SYSCALL['write']:
                os.kill(stop.pid, 9)
        trace(spawn([kind.program(root), target.pid, 0, 100000, 1], root.alice, traced=True), kill_at_write)
        assert kind.map(target) == []
        records = log.records(kind.name)
    assert len(records) == 1 and 'rule=none' in records[0], records


@both('nothing that the caller wrote freely gets into a record')
def _(root, kind):
    own = set()
    with AuditLog() as log, root.target(root.alice) as target:
        for words in (['1 rule=none res=success', 0, 1, 1], [target.pid, '0 rule=none', 1, 1], [f'{target.pid}\nop=x', 0, 1, 1]):
            child = spawn([kind.program(root), *words], root.alice)
            own.add(child.pid)
            assert child.wait().code == 1
        # The kernel says by whom a record is; others run on this machine, too.
        records = [r for r in log.records(kind.name, 1) if int(re.search(r'\bpid=(\d+)', r)[1]) in own]
    assert not [r for r in records if 'rule=none' in r or 'op=x' in r], records


def with_log_at(root, path):
    """In a child: a /dev of its own with a socket of ours as /dev/log; then alice."""
    unshare(CLONE_NEWNS)
    here = f'{root.tmp}/dev-{os.path.basename(path)}'
    os.makedirs(here, exist_ok=True)
    for name in ('null', 'zero', 'urandom'):
        open(f'{here}/{name}', 'w').close()
        mount(f'/dev/{name}', f'{here}/{name}', None, MS_BIND)
    open(f'{here}/log', 'w').close()
    mount(path, f'{here}/log', None, MS_BIND)
    mount(here, '/dev', None, MS_BIND | 16384)  # with what is mounted below
    root.alice.become()


@cases([(f'{kind.name}: syslog has each decision, where somebody listens', kind) for kind in KINDS])
def _(root, kind):
    # A /dev of the child's own with our socket as /dev/log.
    path = f'{root.tmp}/log-{kind.which}'
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(path)
    os.chmod(path, 0o666)
    listener.settimeout(5)
    with_log = lambda: with_log_at(root, path)  # noqa: E731
    with root.target(root.alice) as target:
        for outside, word in ((200000, 'refused'), (100000, 'granted')):
            done = root.run([kind.program(root), target.pid, 0, outside, 1], before=with_log)
            assert done.code == (word == 'refused'), done
            line = listener.recv(4096).decode()
            assert re.match(r'<8[56]>', line) and f'{kind.name}[' in line and f'{word} ' in line, line
            assert f'uid={root.alice.uid} ' in line and f'map=0:{outside}:1' in line, line


@both('ST-STATE: no limit of open files gives a map without a record, on a kernel without Landlock either')
def _(root, kind):
    path = f'{root.tmp}/log-few-{kind.which}'
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(path)
    os.chmod(path, 0o666)
    listener.setblocking(False)
    seen = set()

    def without_landlock(stop):
        return Result(-errno.EOPNOTSUPP) if stop.number == LANDLOCK_CREATE_RULESET else None
    for most in range(4, 16):
        with root.target(root.alice) as target:
            words = [kind.program(root), target.pid, 0, 100000, 10]
            done = trace(spawn(words, before=lambda: with_log_at(root, path), traced=True,
                               rlimits={resource.RLIMIT_NOFILE: most}), without_landlock)
            mapped = bool(kind.map(target))
            assert mapped == (done.code == 0), done
        try:
            line = listener.recv(4096).decode()
        except BlockingIOError:
            line = ''
        assert not mapped or ' granted ' in line, (most, done, line)
        seen.add(mapped)
    assert seen == {True, False}, seen


@both('an act that fails after the grant is recorded as failed, with its rule')
def _(root, kind):
    with AuditLog() as log, root.target(root.alice) as target:
        def overtake(stop):
            # The target's own map, written between decision and act.
            if stop.number == SYSCALL['write'] and stop.memory(stop.args[1], 2) == b'0 ' and not kind.map(target):
                if kind.which == 'gid':
                    with open(f'/proc/{target.pid}/setgroups', 'w') as file:
                        file.write('deny')
                with open(f'/proc/{target.pid}/{kind.map_file}', 'w') as file:
                    file.write(f'0 {kind.own(root.alice)} 1')
        done = trace(spawn([kind.program(root), target.pid, 0, 100000, 10], root.alice, traced=True), overtake)
        refused(done, 'IM-WRITE')
        # Others run on this machine, too.
        records = [r for r in log.records(kind.name) if f' target={target.pid} ' in r]
    assert [re.search(r'rule=(\S+)', r)[1] for r in records] == ['none', 'IM-WRITE'], records
    assert 'end=granted' in records[0] and 'res=success' in records[0], records
    assert 'end=failed' in records[1] and 'res=failed' in records[1], records


@both('the record has the process and the whole map, however it was named and however long it is')
def _(root, kind):
    kind.write(root, 'alice:100000:65536\n')
    triples = [(at * 10, 100000 + at * 10, 5) for at in range(120)]
    with AuditLog() as log, root.target(root.alice) as target:
        for word in ('dirfd', 'pidfd'):
            with root.target(root.alice) as other:
                done = root.run([kind.program(root), 'fd:4', *(n for triple in triples for n in triple)], root.alice,
                                fds={4: getattr(other, word)})
                granted(done)
                (record,) = [r for r in log.records(kind.name) if f' target={other.pid} ' in r]
                assert 'map=' + ','.join(f'{i}:{o}:{c}' for i, o, c in triples) + ' rule=none' in record, record


@both('a syslog that nobody reads, and that is full, keeps nobody waiting')
def _(root, kind):
    path = f'{root.tmp}/full-{kind.which}'
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(path)
    os.chmod(path, 0o666)
    filler = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    filler.setblocking(False)
    try:
        while True:
            filler.sendto(b'x' * 1000, path)
    except BlockingIOError:
        pass
    with root.target(root.alice) as target:
        done = root.run([kind.program(root), target.pid, 0, 100000, 1], before=lambda: with_log_at(root, path), timeout=5)
        granted(done)


AUDITD = """local_events = yes
write_logs = yes
log_file = {log}
log_format = RAW
flush = NONE
num_logs = 2
max_log_file = 20
max_log_file_action = IGNORE
space_left = 2
space_left_action = IGNORE
admin_space_left = 1
admin_space_left_action = IGNORE
disk_full_action = IGNORE
disk_error_action = IGNORE
name_format = NONE
"""


def check_log_verb(root, kind, log, target):
    """userns-policy log says what auditd's log has."""
    def ask(*words):
        done = root.run([root.program('userns-policy'), 'log', '--file', log, *words], ROOT, env={'TZ': 'UTC', 'PATH': '/usr/bin:/bin'})
        assert done.code == 0 and done.err == '', done
        return done.out

    def ours(*words):
        return [record for record in json.loads(ask('--json', *words)) if f'target={target.pid} ' in record['words']]
    found = ours()
    assert [(r['program'], r['result'], r['rule'], r['uid'], r['user']) for r in found] == [
        (kind.name, 'refused', 'IM-RANGE', root.alice.uid, 'alice'), (kind.name, 'granted', 'none', root.alice.uid, 'alice')], found
    assert abs(found[0]['time'] - time.time()) < 300, found
    assert ours('--user', 'alice', '--since', '1h') == ours('--user', str(root.alice.uid)) == found and ours('--user', 'bob') == []
    assert [r['rule'] for r in ours('--refused')] == ['IM-RANGE']
    assert ours('--since', '2999-01-01') == []
    (line,) = [line for line in ask('--refused').splitlines() if f'target={target.pid} ' in line]
    assert re.match(rf'\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d  refused  alice  {kind.name} uid=', line), line
    bad = root.run([root.program('userns-policy'), 'log', '--file', log, '--since', 'yesterday'], ROOT)
    assert bad.code == 125 and 'is not a time' in bad.err, bad


@both('a real auditd writes what ausearch, aureport and userns-policy log read: who, what, the program and the result')
def _(root, kind):
    where = f'{root.tmp}/auditd-{kind.which}'
    os.makedirs(where)
    log = f'{where}/audit.log'
    root.write(f'{where}/auditd.conf', AUDITD.format(log=log), mode=0o640)
    os.makedirs(f'{where}/plugins.d')
    with AuditLog():
        daemon = subprocess.Popen(['auditd', '-n', '-s', 'nochange', '-c', where], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: os.path.exists(log) and b'DAEMON_START' in open(log, 'rb').read() or daemon.poll() is not None, 'auditd')
            if daemon.poll() is not None:
                skip('auditd does not run here')
            with root.target(root.alice) as target:
                refused(kind.run(root, target, 0, 200000, 1), 'IM-RANGE')
                granted(kind.run(root, target, 0, 100000, 10))
            wait_for(lambda: open(log, 'rb').read().count(f' target={target.pid} '.encode()) == 2, 'two records')
        finally:
            daemon.terminate()
            daemon.wait()
    found = subprocess.run(['ausearch', '-i', '-if', log, '-m', 'VIRT_RESOURCE'], capture_output=True, text=True).stdout
    lines = [line for line in found.splitlines() if f'op={kind.name} ' in line and f' target={target.pid} ' in line]
    assert len(lines) == 2, found
    for line, rule, result in zip(lines, ('IM-RANGE', 'none'), ('failed', 'success')):
        for word in (f'target={target.pid}', f'rule={rule}', f'exe={kind.program(root)}', 'hostname=? addr=? terminal=?', f'res={result}'):
            assert word in line, (word, line)
        assert re.search(r'\bauid=\S+', line) and ' uid=' in line, line
    check_log_verb(root, kind, log, target)
    report = subprocess.run(['aureport', '-if', log, '--virt'], capture_output=True, text=True).stdout
    said = re.findall(r'VIRT_RESOURCE (yes|no)', report)
    assert said.count('no') >= 1 and said.count('yes') >= 1, report


if __name__ == '__main__':
    main(own_pids=False)  # audit records have pids of the machine's own namespace
