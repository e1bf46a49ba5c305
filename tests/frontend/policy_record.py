#!/usr/bin/env python3
"""What userns-policy writes down of each change, and what its log shows: the audit system, syslog, a real journal.

Switches the machine's audit system on for a moment, where it is off: not to be run beside another user of it.
"""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from audit_log import AuditLog  # noqa: E402
from harness import MS_BIND, case, cases, main, mount, spawn, trace, umount, wait_for  # noqa: E402

NET, CGROUP = '/etc/userns/net.conf', '/etc/userns/cgroup.conf'
RENAME = 82


def tool(root, *words, **how):
    return root.run([root.program('userns-policy'), *words], **how)


class Syslog:
    """/dev/log, for as long as it takes."""

    def __init__(self, root):
        self.path = f'{root.tmp}/dev-log'

    def __enter__(self):
        self.had = os.path.lexists('/dev/log')
        mount('tmpfs', '/dev/shm', 'tmpfs', 0, 'mode=1777')
        self.reader = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.reader.bind('/dev/shm/log')
        self.reader.settimeout(5)
        if not self.had:
            os.symlink('/dev/shm/log', '/dev/log')
        else:
            mount('/dev/shm/log', '/dev/log', None, MS_BIND)
        return self

    def line(self):
        return self.reader.recv(65536).decode()

    def __exit__(self, *_):
        self.reader.close()
        os.unlink('/dev/log') if not self.had else umount('/dev/log')
        umount('/dev/shm')


def files(root, subids='alice:100000:65536\n', net='', cgroup=''):
    for path, text in (('/etc/subuid', subids), ('/etc/subgid', subids), (NET, net), (CGROUP, cgroup)):
        root.write(path, text)


def edit(root):
    root.write(f'{root.tmp}/editor', '#!/bin/sh\necho "* veth br9 1" >>"$1"\n', mode=0o755)
    return tool(root, 'edit', 'net.conf', env={'PATH': '/usr/bin:/bin', 'EDITOR': f'{root.tmp}/editor'})


def in_directory(root):
    os.mkdir(f'{NET}.d', 0o755)
    root.write(f'{NET}.d/50-x.conf', 'bob veth br0 1\n')
    done = tool(root, 'grant', 'bob', '--net', 'br0:3')
    shutil.rmtree(f'{NET}.d')
    return done


def merge(root):
    root.write(f'{root.tmp}/usernet', '* veth br9 1\n')
    return tool(root, 'import-lxc', '--merge', '--usernet', f'{root.tmp}/usernet')


@cases([(f'{name}: who, what, before and after are in the audit log', act, records) for name, act, records in [
    ('grant --ids', lambda r: tool(r, 'grant', 'carol', '--ids', '10'),
     [('/etc/subuid', 'grant%20carol%20--ids%2010', '', r'carol:\d+:10'), ('/etc/subgid', 'grant%20carol%20--ids%2010', '', r'carol:\d+:10')]),
    ('grant --net that changes a line', lambda r: tool(r, 'grant', 'alice', '--net', 'br0:3'),
     [(NET, 'grant%20alice%20--net%20br0:3', 'alice%20veth%20br0%201', 'alice%20%20veth%20%20br0%20%203')]),
    ('grant --net that changes a line in net.conf.d', in_directory, [(f'{NET}.d/50-x.conf', 'grant%20bob%20--net%20br0:3', 'bob%20veth%20br0%201', 'bob%20%20veth%20%20br0%20%203')]),
    ('revoke --cgroup', lambda r: tool(r, 'revoke', 'alice', '--cgroup', 'all'), [(CGROUP, 'revoke%20alice%20--cgroup%20all', 'alice%20pids.max=5', '')]),
    ('edit', edit, [(NET, 'edit%20net.conf', '', r'\*%20veth%20br9%201')]),
    ('import-lxc --merge', merge, [(NET, r'import-lxc%20.*', '', r'.*\*%20veth%20br9%201')]),
]])
def _(root, act, records):
    files(root, net='alice veth br0 1\n', cgroup='alice pids.max=5\n')
    with AuditLog() as log:
        done = act(root)
        assert done.code == 0, done
        said = log.records('userns-policy')
    assert len(said) == len(records), said
    for text, (path, command, before, after) in zip(said, records):
        words = re.search(r"op=userns-policy uid=0 auid=(\d+|none) file=(\S+) command=(\S*) before=(\S*) after=(\S*) rule=none end=granted ", text)
        assert words, text
        for got, wanted in zip(words.groups()[1:], (path, command, before, after)):
            assert re.fullmatch(wanted, got), (wanted, got)


@case('what changes nothing, and a dry run, write no record')
def _(root):
    files(root, net='alice veth br0 1\n')
    with AuditLog() as log:
        for words in (('grant', 'alice', '--ids', '10'), ('grant', 'alice', '--net', 'br0:1'), ('grant', 'carol', '--ids', '5', '--dry-run')):
            assert tool(root, *words).code == 0
        assert log.records('userns-policy', 1) == []


@case('the record comes before the change, so that a kill cannot hide it')
def _(root):
    files(root)
    with AuditLog() as log:
        child = spawn([root.program('userns-policy'), 'grant', 'carol', '--net', 'br0:1'], None, traced=True)
        seen = []

        def watch(stop):
            number = getattr(stop, 'number', getattr(stop, 'call', None))
            if number == RENAME and not seen:
                seen.append(open(NET).read())
                seen.append(log.records('userns-policy', 2))
        trace(child, watch)
    assert seen and seen[0] == '' and len(seen[1]) == 1, seen


@case('a change that fails is recorded as failed')
def _(root):
    files(root)
    with AuditLog() as log:
        # The name of the new text is taken by a directory of this name: rename fails.
        mount('/etc/userns', '/etc/userns', None, MS_BIND)
        try:
            done = root.run(['/usr/bin/strace', '-f', '-o', '/dev/null', '-e', 'inject=rename:error=EIO', root.program('userns-policy'), 'grant', 'carol',
                             '--net', 'br0:1'])
        finally:
            umount('/etc/userns')
        assert done.code == 125, done
        ends = [re.search(r'rule=(\w+) end=(\w+)', t).groups() for t in log.records('userns-policy')]
    assert ends == [('none', 'granted'), ('system', 'failed')], ends


@case('syslog gets a line, and a reader that does not read holds nobody up')
def _(root):
    files(root)
    with Syslog(root) as log:
        assert tool(root, 'grant', 'carol', '--net', 'br0:2').code == 0
        line = log.line()
        assert re.match(r'<85>userns-policy\[\d+\]: granted uid=0 auid=\S+ file=/etc/userns/net.conf command=grant%20carol%20--net%20br0:2 before= '
                        r'after=carol%20%20veth%20%20br0%20%202 rule=none$', line), line
        for count in range(3, 40):
            assert tool(root, 'grant', 'carol', '--net', f'br0:{count}').code == 0


@contextlib.contextmanager
def journal(root):
    """A journald of our own, on a /run of our own."""
    mount('tmpfs', '/run', 'tmpfs', 0, 'mode=755')
    for path in ('/run/systemd', '/run/log/journal'):
        os.makedirs(path)
    os.makedirs('/etc/systemd/journald.conf.d', exist_ok=True)
    root.write('/etc/systemd/journald.conf.d/test.conf', '[Journal]\nStorage=volatile\nAudit=no\nReadKMsg=no\n')
    had = os.path.lexists('/dev/log')
    daemon = subprocess.Popen(['/lib/systemd/systemd-journald'])
    try:
        wait_for(lambda: os.path.exists('/run/systemd/journal/dev-log'), 'a journal')
        if had:
            mount('/run/systemd/journal/dev-log', '/dev/log', None, MS_BIND)
        else:
            os.symlink('/run/systemd/journal/dev-log', '/dev/log')
        yield
    finally:
        if had:
            umount('/dev/log')
        elif os.path.lexists('/dev/log'):
            os.unlink('/dev/log')
        daemon.terminate()
        daemon.wait()
        umount('/run')


@case('log reads the journal where no auditd is: the helpers\' decisions and ours, by user and by end, and says that any user can write there')
def _(root):
    files(root)
    if os.path.exists('/var/log/audit/audit.log'):
        root.overlay('/var/log/audit')
        os.unlink('/var/log/audit/audit.log')
    with journal(root):
        start = int(time.time())
        assert tool(root, 'grant', 'carol', '--ids', '65536').code == 0
        with root.target(root.alice) as target:
            root.run([root.newuidmap, target.pid, 0, 5, 1], root.alice)
            root.run([root.newuidmap, target.pid, 0, 100000, 5], root.alice)
        subprocess.run(['/usr/bin/logger', '-t', 'other', 'granted uid=5 rule=none'], check=True)
        subprocess.run(['journalctl', '--sync'], check=True)
        done = tool(root, 'log', '--json', env={'PATH': '/usr/bin:/bin'})
        all_ = [(r['program'], r['result'], r.get('uid'), r['rule']) for r in json.loads(done.out)]
        assert all_ == [('userns-policy', 'granted', 0, 'none')] * 2 + [('newuidmap', 'refused', root.alice.uid, 'IM-RANGE'),
                                                                         ('newuidmap', 'granted', root.alice.uid, 'none')], done
        assert all(r['source'] == 'the journal' and r['time'] >= start for r in json.loads(done.out)), done
        assert 'after=carol:165536:65536' in done.out, done
        done = tool(root, 'log', '--user', 'alice', '--refused', env={'PATH': '/usr/bin:/bin'})
        assert done.out.count('\n') == 1 and 'IM-RANGE' in done.out and 'any user can write' in done.err, done
        done = tool(root, 'log', '--since', time.strftime('%Y-%m-%d %H:%M', time.localtime(time.time() + 120)), env={'PATH': '/usr/bin:/bin'})
        assert done.out == '' and done.code == 0, done


main(own_pids=False)  # audit records have pids of the machine's own namespace
