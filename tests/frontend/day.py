#!/usr/bin/env python3
"""A day's use, typed at a real terminal, and the table of tasks that README.md has, row by row. The transcript is BUILD/day.txt."""

import contextlib
import os
import re
import shutil
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from container import well  # noqa: E402
from harness import ROOT, build_dir, case, main, skip, spawn, with_own_pids  # noqa: E402
from terminal import Terminal  # noqa: E402

with_own_pids()  # ids are chosen that no process in sight has
TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
PROMPT = r'\[{}\] day\$ '


class Shell(Terminal):
    """A shell of alice's; its prompt tells the status of the command before."""

    def __init__(self, root, home):
        self.transcript = ''
        path = os.path.dirname(root.program('userns-run'))
        super().__init__(['/bin/bash', '--noprofile', '--norc', '--noediting', '-i'], root.alice, size=(30, 180), cwd=home,
                         env={'HOME': home, 'PATH': f'{path}:/usr/bin:/bin', 'PS1': '[$?] day$ ', 'TERM': 'xterm', 'LANG': 'C.UTF-8'})
        self.expect(PROMPT.format(0))

    def _read(self, seconds):
        before = len(self.text)
        goes_on = super()._read(seconds)
        self.transcript += self.text[before:]
        return goes_on

    def begin(self, command):
        self.type(command + '\n')
        self.expect(re.escape(command) + r'\r\n')

    def say(self, command, *patterns, code=0):
        """Types the command; what it prints has these patterns in this order, and nothing else if there is none."""
        self.begin(command)
        for pattern in patterns:
            self.expect(pattern)
        if patterns:
            return self.expect(PROMPT.format(code))
        found = self.expect(r'(?s)^(.*?)' + PROMPT.format(code))
        assert not found[1], (command, found[1])
        return found


def home_of(root):
    if not os.path.exists('/bin/busybox'):
        skip('busybox-static is not installed')
    for write in root.subuid, root.subgid:
        write('alice:100000:655360\n')
    home = f'{root.tmp}/home/alice/day'
    shutil.rmtree(home, ignore_errors=True)
    os.makedirs(home)
    os.chown(home, root.alice.uid, root.alice.gid)
    return home


@case('a day: thirty-odd commands at a terminal, from create to destroy, each with what it says')
def _(root):
    with Shell(root, home_of(root)) as sh:
        try:
            play(sh)
        finally:
            with open(os.path.join(build_dir(), 'day.txt'), 'w') as file:
                file.write(sh.transcript.replace('\r\n', '\n'))
        sh.type('exit\n')
        assert sh.end() == 0


def play(sh):
    sh.say('userns-run list', r'^NAME +STATE')
    sh.say('userns-run create web --template busybox', r'^userns-run: web is there \(\d+ files, .*\): userns-run start web starts it\r\n')
    sh.say('userns-run lst', "no verb 'lst'", 'list', code=125)
    sh.say('userns-run list', r'web +stopped')
    sh.say("userns-run start web -- sh -c 'echo begun; trap exit TERM; while :; do sleep 1000 & wait; done'")
    sh.say('userns-run list --running', r'web +running +\d+ ')
    sh.say('userns-run exec web hostname', r'^web\r\n')
    sh.begin('userns-run shell web')
    sh.expect(r'[#$] ')
    sh.type('echo in-$((6*7)) as $(id -u)\n')
    sh.expect(r'in-42 as 0\r\n')
    sh.type('exit\n')
    sh.expect(PROMPT.format(0))
    sh.say("mkdir site; echo 'hello, you' > site/index.html")
    sh.say('userns-run cp ./site web:/root')
    sh.say('userns-run exec web cat /root/site/index.html', r'^hello, you\r\n')
    sh.say('userns-run cp web:/etc/passwd - | tar -t', r'^\./passwd\r\n')
    sh.begin('userns-run logs -f web')
    sh.expect(r'begun\r+\n')
    sh.type('\x03')
    sh.expect(PROMPT.format(130))
    sh.say('userns-run logs web --since 1h -t', r'\d\d:\d\d:\d\d\.\d+\S* begun\r+\n')
    sh.begin('userns-run top')
    sh.expect(r'\x1b\[\?1049h')
    sh.expect(r'web +[\d.]+ ')
    sh.type('q')
    sh.expect(r'\x1b\[\?1049l')
    sh.expect(PROMPT.format(0))
    sh.say('userns-run ps web', r'CONTAINER +PID +INSIDE', r'web +\d+ +1 +\d+ +0 ')
    sh.say('userns-run freeze web', r'web: frozen by ')
    sh.say('userns-run thaw web', r'web: thawed by ')
    sh.say('userns-run snapshot web', r'snap0')
    sh.say('userns-run exec web rm -r /root/site')
    sh.say('userns-run exec web ls /root/site', 'No such file', code=1)
    sh.say('userns-run stop web')
    sh.say('userns-run snapshot list web', 'snap0')
    sh.say('userns-run snapshot restore web snap0')
    sh.say('userns-run start web')
    sh.say('userns-run exec web cat /root/site/index.html', r'^hello, you\r\n')
    sh.say('userns-run update web restart=on-failure:3', r'web: restart holds from the next start on: ')
    sh.say('userns-run config web', r'restart = on-failure:3\r\n')
    sh.say('userns-run rename web shop', 'web is running', 'userns-run stop web', code=125)
    sh.say('userns-run stop web')
    sh.say('userns-run rename web shop', r'^userns-run: shop: its host name is shop from its next start on\r\n')
    sh.say('userns-run update shop net=user ports=127.0.0.1:18080:80')
    sh.say('userns-run list', r'shop +stopped.* 127\.0\.0\.1:18080:80')
    sh.say('userns-run update shop --unset ports --unset net')
    sh.say('userns-run start shop')
    sh.say('userns-run exec --user 1000:1000 shop id -u', r'^1000\r\n')
    sh.say('userns-run create two --from shop', r'userns-run: two is there')
    sh.say('userns-run info two', r'Name: +two', r'State: +stopped')
    sh.say('userns-run stop shop')
    sh.say('userns-run export shop', r'\x1b\[K')  # how far it is, which is wiped out
    sh.say('ls -1 *.zst', r'^shop\.tar\.zst\r\n')
    sh.say('userns-run create three --import shop.tar.zst', r'userns-run: three is there')
    sh.say('userns-run list --size', r'NAME .* SIZE', r'shop +stopped.* [\d.]+[KMG]\r\n')
    sh.say('userns-run events --since 1h shop', r'web rename \(to shop\)', r'shop start')
    sh.say('userns-run destroy shop two nosuch three', "there is no container 'nosuch'", code=125)
    sh.say('userns-run list --names')


# --- README's table -----------------------------------------------------------------------------------------

def table():
    """{task: the commands of ours}"""
    with open(f'{TOP}/README.md') as file:
        text = file.read()
    rows = re.search(r'^\| task \| here \|.*\n\|---.*\n((?:\|.*\n)+)', text, re.M)[1]
    found = {}
    for row in rows.splitlines():
        task, ours = [cell.strip() for cell in row.strip('|').split(' | ')][:2]
        found[task.strip()] = re.findall(r'`([^`]+)`', ours)
    return found


class Tasks:
    """The rows in the order in which they can be done, each with what is to be seen afterwards."""

    def __init__(self, root, home):
        self.root, self.home, self.done = root, home, set()
        self.rows = table()

    def words(self, task, number=0):
        self.done.add((task, number))
        command = self.rows[task][number]
        return command if command.startswith(('userns-run', 'systemctl')) else 'userns-run ' + command

    def start(self, command, user=None, **env):
        path = os.path.dirname(self.root.program('userns-run'))
        return spawn(['/bin/sh', '-c', command], user or self.root.alice, cwd=self.home,
                     env={'HOME': self.home, 'PATH': f'{path}:/usr/bin:/bin', **env})

    def run(self, command, err='', **env):
        """It ends well and says this on stderr."""
        done = self.start(command, **env).wait(90)
        assert done.code == 0 and re.fullmatch(err, done.err), (command, done)
        return done.out

    def row(self, task, number=0, **how):
        return self.run(self.words(task, number), **how)


@case('each row of README.md\'s table of tasks is done by the command that stands there')
def _(root):
    t = Tasks(root, home_of(root))
    t.run('userns-run create web --template busybox')
    t.run("userns-run start web -- sh -c 'echo begun; trap exit TERM; while :; do sleep 1000 & wait; done'")
    path = os.path.dirname(root.program('userns-run'))
    env = {'HOME': t.home, 'PATH': f'{path}:/usr/bin:/bin', 'TERM': 'xterm'}
    with Terminal(['/bin/sh', '-c', t.words('a shell in it')], root.alice, env=env) as terminal:
        terminal.expect(r'[#$] ')
        terminal.type('echo ready-$((6*7)); exit 3\n')
        terminal.expect('ready-42')
        assert terminal.end() == 3
    assert t.row('a command in it').startswith('uid=0(root)')
    t.run('mkdir site; echo hello > site/index.html')
    t.row('files in and out')
    assert t.run('userns-run exec web cat /root/site/index.html') == 'hello\n'
    with Terminal(['/bin/sh', '-c', t.words('what they use')], root.alice, env=env) as terminal:
        terminal.expect(r'web +[\d.]+ ')
        terminal.type('q')
        assert terminal.end() == 0
    follower = t.start(t.words('what happened'))
    said = t.row('what it said')
    assert re.search(r'^\S+ +begun\r?$', said, re.M), said
    out = t.start(t.words('of all users, as root'), ROOT).wait(60)
    assert re.search(rf'^{root.alice.name} +web +running ', well(out).out, re.M), out
    limit = t.start(t.words('a limit while it runs')).wait(60)
    assert limit.code in (0, 125) and (limit.code == 0 or 'this host offers no memory.max' in limit.err), limit
    assert re.search(r'^web +running.* [\d.]+M$', t.row('what they take on disk'), re.M)
    t.row('put it back', 0, err=r'userns-run: web runs, and has no cgroup .* is copied as it was found\n')
    t.run('userns-run exec web rm -r /root/site')
    t.run('userns-run stop web')
    t.row('put it back', 1)
    t.run('userns-run start web')
    assert t.run('userns-run exec web cat /root/site/index.html') == 'hello\n'
    t.run('userns-run stop web')
    t.row('to another host', 0)
    elsewhere = {'XDG_DATA_HOME': f'{t.home}/elsewhere'}
    t.row('to another host', 1, **elsewhere)
    assert t.run('userns-run list --names', **elsewhere) == 'web\n'
    t.row('a copy')
    t.row('another name', err=r'userns-run: shop: its host name is shop from its next start on\n')
    assert t.run('userns-run list --names') == 'shop\ntwo\n'
    t.row('with one\'s own home')
    t.row('a window on one\'s own screen')
    assert 'wayland = yes' in t.run('userns-run config app') and 'home = yes' in t.run('userns-run config dev')
    os.kill(follower.pid, signal.SIGTERM)
    told = follower.wait(30).out
    assert '"event":"stop"' in told.replace(' ', '') and '"event":"rename"' in told.replace(' ', ''), told
    # A user manager runs that one: the words of the unit are played by tests/frontend/words.py.
    assert t.words('by systemd').startswith('systemctl --user enable --now userns@web')
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f'{t.home}/web.tar.zst')
    every = {(task, number) for task, commands in t.rows.items() for number in range(len(commands))}
    assert t.done == every, every ^ t.done


main()
