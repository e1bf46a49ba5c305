#!/usr/bin/env python3
"""In the booted guest: userns-run as two ordinary users, with cgroups by userns-cgroup and by systemd's user manager."""

import json
import os
import re
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from cgroups import below, pids_in, read  # noqa: E402
from harness import case, main, spawn, wait_for  # noqa: E402
from users import ALICE, BASE, BOB, RUN, SLOW, env_of, first_id, linger, policy  # noqa: E402

def run(user, *words, env=None, **how):
    return spawn([RUN, *words], user, env=env or env_of(user), **how).wait(SLOW)


MAPS = 'cat /proc/self/uid_map; touch /tmp/x 2>/dev/null; id -u'


@case("two users' containers have root inside and different ids outside, by our newuidmap and newgidmap")
def _(_root):
    seen = []
    for user in (ALICE, BOB):
        done = run(user, '--', '/bin/sh', '-c', MAPS)
        assert done.code == 0 and done.out.split()[-1] == '0', done
        seen.append(tuple(int(word) for word in done.out.split()[:3]))
    assert seen[0][1] != seen[1][1] and all(s[0] == 0 and s[2] == 65536 for s in seen), seen
    log = open('/var/log/audit/audit.log').read()
    assert 'op=newuidmap uid=1000' in log and 'op=newgidmap uid=1001' in log


@case('--memory kills what exceeds it, and the end says so')
def _(_root):
    policy('alice memory.max=300M memory.swap.max=0 pids.max=200')
    done = run(ALICE, '--memory', '40M', '--', '/usr/bin/python3', '-c', 'x = bytearray(120 << 20)')
    assert done.code == 137 and 'the memory limit (--memory 40M) was reached' in done.err, done
    done = run(ALICE, '--memory', '200M', '--', '/usr/bin/python3', '-c', 'x = bytearray(60 << 20); print(len(x))')
    assert done.code == 0 and 'was reached' not in done.err, done


@case("the administrator's limit holds above a container's own, and the end says whose it was")
def _(_root):
    policy('alice memory.max=60M memory.swap.max=0 pids.max=200')
    done = run(ALICE, '--memory', '900M', '--', '/usr/bin/python3', '-c', 'x = bytearray(150 << 20)')
    assert done.code == 137 and "memory limit of the administrator's was reached" in done.err, done


@case('--pids stops a container from starting more, and the end says so')
def _(_root):
    policy('alice pids.max=200')
    done = run(ALICE, '--pids', '8', '--', '/bin/sh', '-c', 'for i in 1 2 3 4 5 6 7 8 9 10; do sleep 60 & done; true')
    assert 'the limit of processes (--pids 8) was reached' in done.err, done


@case('--cpus holds, and the end says how often')
def _(_root):
    policy('alice pids.max=200')
    done = run(ALICE, '--cpus', '0.2', '--', '/usr/bin/python3', '-c',
               'import time\nwhile time.process_time() < 0.4: pass')
    assert done.code == 0, done
    said = re.search(r'the CPU limit \(--cpus 0.2\) held it back in (\d+) of (\d+) periods', done.err)
    assert said and int(said[1]) > 5, done


@case('auto takes userns-cgroup where policy grants it, else systemd, and says which')
def _(_root):
    linger(ALICE)
    policy('alice pids.max=200')
    done = run(ALICE, '--pids', '50', '--', 'true')
    assert done.code == 0 and '--cgroup auto: helper' in done.err, done
    policy('bob pids.max=200')
    done = run(ALICE, '--pids', '50', '--', 'true')
    assert done.code == 0 and '--cgroup auto: systemd' in done.err, done


@case('where no way leads to a cgroup, a limit is a refusal that says why')
def _(_root):
    policy('alice pids.max=200')
    done = run(BOB, '--pids', '50', '--', 'true', env={'PATH': '/usr/bin:/bin'})
    assert done.code == 125 and 'CG-POLICY' in done.err and 'no systemd user manager' in done.err, done


@case('--cgroup systemd: a scope of the user manager with Delegate, below which the same limits hold')
def _(_root):
    linger(ALICE)
    child = spawn([RUN, '--cgroup', 'systemd', '--memory', '50M', '--pids', '30', '--', '/bin/sleep', '900'], ALICE,
                  env=env_of(ALICE))
    where = wait_for(lambda: [d for d in below('/sys/fs/cgroup/user.slice/user-1000.slice')
                              if d.endswith(f'/userns-run-{child.pid}.scope/payload') and pids_in(d)], 'the scope', SLOW)
    assert read(where[0] + '/memory.max') == str(50 << 20) and read(where[0] + '/pids.max') == '30'
    wait_for(lambda: pids_in(os.path.dirname(where[0]) + '/monitor') == [child.pid], 'the monitor alone', SLOW)
    os.kill(child.pid, 15)
    assert child.wait(SLOW).code == 143
    wait_for(lambda: not os.path.exists(os.path.dirname(where[0])), 'the scope to go', SLOW)
    done = run(ALICE, '--cgroup', 'systemd', '--memory', '40M', '--memory-swap', '0', '--', '/usr/bin/python3', '-c',
               'x = bytearray(120 << 20)')
    assert done.code == 137 and 'the memory limit (--memory 40M) was reached' in done.err, done


@case('monitor and payload are in leaves of their own, and the container sees its leaf as the root')
def _(_root):
    policy('alice pids.max=200')
    child = spawn([RUN, '--cgroup', 'helper', '--', '/bin/sh', '-c', 'cat /proc/self/cgroup; exec sleep 900'], ALICE,
                  env=env_of(ALICE))
    own = f'{BASE}/1000/run-{child.pid}'
    wait_for(lambda: os.path.exists(own + '/payload') and pids_in(own + '/payload'), 'the payload', SLOW)
    wait_for(lambda: 'sleep' in os.readlink(f'/proc/{pids_in(own + "/payload")[0]}/exe'), 'sleep', SLOW)
    wait_for(lambda: pids_in(own + '/monitor') == [child.pid], 'the monitor alone', SLOW)
    os.kill(child.pid, 15)
    done = child.wait(SLOW)
    assert done.out == '0::/\n', done


@case('root inside makes cgroups below his, with limits, as a systemd inside would')
def _(_root):
    policy('alice pids.max=200 memory.max=300M')
    script = ('mount -t cgroup2 none /mnt && cd /mnt && mkdir init.scope app.slice && echo 0 > init.scope/cgroup.procs && '
              'echo "+pids +memory" > cgroup.subtree_control && echo 7 > app.slice/pids.max && cat app.slice/pids.max; '
              'echo max > /mnt/pids.max || echo kept')
    done = run(ALICE, '--cgroup', 'helper', '--pids', '90', '--', '/bin/sh', '-c', script)
    assert done.out.split() == ['7', 'kept'], done


@case('nothing survives the end, also without a pid namespace')
def _(_root):
    policy('alice pids.max=200')
    done = run(ALICE, '--cgroup', 'helper', '--share', 'pid', '--', '/bin/sh', '-c', 'setsid sleep 901 & setsid sleep 902 & true')
    assert done.code == 0, done
    wait_for(lambda: not pids_in(f'{BASE}/1000'), 'the end of all', SLOW)


@case('empty leftovers of runs do not use up containers=')
def _(_root):
    policy('alice pids.max=200 containers=2')
    for _ in range(5):
        assert run(ALICE, '--cgroup', 'helper', '--', 'true').code == 0


@case('userns-cgroup enter and systemd-run --user --scope, ten times each: both work (the note compares them)')
def _(_root):
    linger(ALICE)
    policy('alice pids.max=200')
    taken = []
    for words in (['/usr/local/libexec/userns/userns-cgroup', 'enter', 'bench', '--'],
                  ['/usr/bin/systemd-run', '--user', '--scope', '--quiet', '--collect']):
        begun = time.monotonic()
        for _ in range(10):
            done = spawn([*words, '/bin/true'], ALICE, env=env_of(ALICE)).wait(SLOW)
            assert done.code == 0, done
        taken.append(time.monotonic() - begun)
    return f'userns-cgroup takes {taken[0] / taken[1]:.2f} of the time of systemd-run, in this emulated guest'


# --- with names -----------------------------------------------------------------------------------

HOME = '/home/alice'
STORE = HOME + '/.local/share/userns'
IDLE = 'command = sh -c "trap \'echo bye; exit 0\' TERM; echo up; while :; do sleep 1000 & wait; done"'
HUNGRY = 'dd if=/dev/zero of=/dev/null bs=120M count=1'


def alice(*words, **how):
    return spawn([*words], ALICE, env={**env_of(ALICE), 'HOME': HOME}, **how)


def verb(*words):
    return alice(RUN, *words).wait(SLOW)


def well(done, code=0):
    assert done.code == code, done
    return done


def tree():
    """A busybox for all of alice's containers here: made by hand, because unpacking takes its time in this guest."""
    where, first = '/var/lib/named-alice', first_id(ALICE)
    if not os.path.exists(where):
        os.makedirs(where + '/bin')
        shutil.copy('/bin/busybox', where + '/bin/busybox')
        for tool in ('sh', 'sleep', 'dd'):
            os.symlink('busybox', f'{where}/bin/{tool}')
        subprocess.run(['chown', '-hR', f'{first}:{first}', where], check=True)
    return where


def make(name, *settings):
    if not os.path.isdir(STORE):
        well(alice('/bin/mkdir', '-p', '-m', '700', STORE).wait(SLOW))
    where = f'{STORE}/{name}'
    os.makedirs(where, 0o700)
    with open(where + '/config', 'w') as file:
        file.write(''.join(f'{line}\n' for line in (f'rootfs = {tree()}', *settings)))
    for path in (where, where + '/config'):
        os.chown(path, ALICE.uid, ALICE.gid)


def kept(name, file):
    try:
        with open(f'{STORE}/{name}/{file}') as opened:
            return opened.read()
    except FileNotFoundError:
        return ''


def state(name):
    return json.loads(kept(name, 'state.json') or 'null')


def listed(name):
    return next(row for row in json.loads(well(verb('list', '--json')).out) if row['name'] == name)


def await_said(name, text):
    wait_for(lambda: text in kept(name, 'console.log'), f'{text} on the console of {name}', SLOW)


def events(name):
    """[(event, what it says)]"""
    out = well(verb('events', '--json', name)).out
    return [(one['event'], one.get('text')) for one in map(json.loads, out.splitlines())]


@case('limits of a config file hold, and stop, wait, info, list and start --foreground say which were met')
def _(_root):
    policy('alice pids.max=200 memory.max=300M memory.swap.max=0')
    make('hog', 'cgroup = helper', 'memory = 40M', 'pids = 20',
         f'command = sh -c "trap \'exit 3\' TERM; {HUNGRY}; echo up; while :; do sleep 1000 & wait; done"')
    well(verb('start', 'hog'))
    await_said('hog', 'up')
    payload = state('hog')['cgroup'] + '/payload'
    assert (read(payload + '/memory.max'), read(payload + '/pids.max')) == (str(40 << 20), '20')
    met = 'hog: the memory limit (--memory 40M) was reached, and processes were killed'
    waiter = alice(RUN, 'wait', 'hog')

    def is_connected():
        try:
            return any(os.readlink(f'/proc/{waiter.pid}/fd/{n}').startswith('socket:') for n in os.listdir(f'/proc/{waiter.pid}/fd'))
        except FileNotFoundError:  # closed meanwhile
            return False
    wait_for(is_connected, 'wait to ask', SLOW)
    assert met in well(verb('stop', 'hog')).err
    done = well(waiter.wait(SLOW), 3)
    assert done.out == '3\n' and met in done.err, done
    assert re.search(r'^Last end: +status 3, .* ago; the memory limit \(--memory 40M\)', well(verb('info', 'hog')).out, re.M)
    assert listed('hog')['last_end']['text'] == met.removeprefix('hog: ')
    done = well(verb('start', 'hog', '--foreground', '--', *HUNGRY.split()), 137)
    assert met in done.err, done
    done = well(verb('wait', 'hog'), 137)
    assert done.out == '137\n' and met in done.err, done
    assert [words for words in events('hog') if words[0] == 'limit'][0][1] == met.removeprefix('hog: '), events('hog')


@case('weights of a config file stand in the files of its cgroup')
def _(_root):
    policy('alice pids.max=200 cpu.weight=100 io.weight=100')
    make('heavy', IDLE, 'cgroup = helper', 'cpu-weight = 250', 'io-weight = 300')
    well(verb('start', 'heavy'))
    payload = state('heavy')['cgroup'] + '/payload'
    assert (read(payload + '/cpu.weight'), read(payload + '/io.weight')) == ('250', 'default 300')
    well(verb('stop', 'heavy'))


@case('a scope outlives who started the container in it, is frozen and thawed, and its memory is that of list')
def _(_root):
    linger(ALICE)
    make('far', IDLE, 'cgroup = systemd', 'memory = 60M')
    env = [f'--setenv={key}={value}' for key, value in {**env_of(ALICE), 'HOME': HOME}.items()]
    # A unit that ends takes along all that is still in it.
    done = subprocess.run(['systemd-run', '-q', '--wait', '--pipe', '--uid=alice', *env, RUN, 'start', 'far'], timeout=SLOW,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert done.returncode == 0, done
    await_said('far', 'up')
    found = state('far')
    own = found['cgroup']
    assert own.startswith('/sys/fs/cgroup/user.slice/user-1000.slice') and own.endswith('.scope'), own
    assert pids_in(own + '/monitor') == [found['monitor']['pid']] and found['init']['pid'] in pids_in(own + '/payload')
    assert read(own + '/payload/memory.max') == str(60 << 20)
    row = listed('far')
    assert row['state'] == 'running' and 0 < row['memory'] <= 60 << 20, row
    assert well(verb('freeze', 'far')).out == 'far: frozen by its cgroup\n'
    assert 'frozen 1' in read(own + '/payload/cgroup.events') and listed('far')['state'] == 'frozen'
    assert well(verb('thaw', 'far')).out == 'far: thawed by its cgroup\n'
    assert listed('far')['state'] == 'running'
    well(verb('stop', 'far'))
    wait_for(lambda: not os.path.exists(own), 'the scope to go', SLOW)


@case('--net user=NAME: two containers of a user, in cgroups of their own, reach each other by name; the last one takes the network along')
def _(_root):
    policy('alice pids.max=400 containers=8')
    home = '/home/alice'
    env = env_of(ALICE) | {'HOME': home}

    def do(*words):
        done = spawn([RUN, *words], ALICE, env=env).wait(5 * SLOW)
        assert done.code == 0, done
        return done.out
    names = ('web', 'db')
    for name in names:
        do('create', name, '--template', 'busybox', '--boot', '--net', 'user=lab', '--cgroup=helper', '--ids=20000')
    for name in names:
        do('start', name)
    first = {name: json.loads(do('list', name, '--json'))[0]['pid'] for name in names}
    assert len({read(f'/proc/{pid}/cgroup').strip().split('::', 1)[1] for pid in first.values()}) == 2
    for name, other in (names, names[::-1]):
        wait_for(lambda name=name, other=other: 'bytes from' in run(ALICE, 'exec', name, '--', 'ping', '-c1', '-W5', other, env=env).out,
                 f'{name} to reach {other}', SLOW)
    seen = json.loads(do('network', '--json'))
    assert [(one['network'], sorted(member['name'] for member in one['members'])) for one in seen] == [('lab', sorted(names))], seen
    for name in names:
        do('stop', name)
    wait_for(lambda: json.loads(do('network', '--json')) == [], 'the network to end', SLOW)
    for name in names:
        do('destroy', name)


@case('the user unit starts all that are to run with the user manager, whichever fails, and stops them in order')
def _(_root):
    def manager(*words):
        return alice('/usr/bin/systemctl', '--user', *words, 'userns-autostart').wait(SLOW)

    def unit(*wanted):
        shown = manager('show', *(f'--property={key}' for key, _ in wanted)).out.split()
        return set(shown) == {f'{key}={value}' for key, value in wanted}
    policy('alice pids.max=200')
    after = ['systemctl', 'show', '--value', '--property=After', f'user@{ALICE.uid}.service']
    assert 'userns-cgroup.service' in subprocess.run(after, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    linger(ALICE)
    make('one', IDLE, 'autostart = yes')
    make('two', IDLE, 'autostart = yes', 'cgroup = helper')
    make('astray', IDLE, 'autostart = yes', 'rootfs = /nowhere')
    make('typo', IDLE, 'autostart = yes', 'autostrat = yes')
    well(manager('enable', '-q'))
    subprocess.run(['systemctl', 'restart', f'user@{ALICE.uid}.service'], check=True, timeout=SLOW)
    for name in ('one', 'two'):
        await_said(name, 'up')
    wait_for(lambda: unit(('ActiveState', 'active'), ('SubState', 'exited'), ('ExecMainStatus', '125')), 'the unit to be up', SLOW)
    assert 'status=125' in manager('status').out
    said = subprocess.run(['journalctl', '-q', '-b', '-t', 'userns-run', '_UID=1000', '-o', 'cat'], stdout=subprocess.PIPE,
                          text=True, check=True).stdout
    assert 'astray' in said and 'typo' in said, said
    with open(f'/proc/{state("one")["monitor"]["pid"]}/cgroup') as file:
        assert file.read().endswith('/userns-autostart.service\n')
    well(manager('stop'))
    for name in ('one', 'two'):
        assert 'bye' in kept(name, 'console.log') and json.loads(kept(name, 'last.json'))['exit_status'] == 0, kept(name, 'last.json')
    assert unit(('ActiveState', 'inactive'), ('Result', 'success'))
    well(manager('disable', '-q'))


main(need_root=False)
