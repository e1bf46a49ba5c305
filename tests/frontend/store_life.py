"""Named containers on disk: create, config, list, info, destroy; what others, crashes and full disks do to them."""

import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
from container import fails, rootfs, well  # noqa: E402
from harness import case, cases, main, mount, skip, spawn, status_of, umount, wait_for  # noqa: E402

MANY = 64 * 65536  # alice's ids in these tests: room for 64 containers
# No other test has processes with these: what a process has is not given to a container.
FIRST = 20_000_000


def fresh(root, ids=MANY):
    """Alice without any container; a tar of a small root file system. Returns its path."""
    for user in ('alice', 'bob'):
        shutil.rmtree(f'{root.tmp}/home/{user}', ignore_errors=True)
        os.makedirs(f'{root.tmp}/home/{user}')
        os.chown(f'{root.tmp}/home/{user}', *[getattr(root, user).uid] * 2)
    for path in ('/etc/subuid', '/etc/subgid'):
        root.write(path, f'alice:{FIRST}:{ids}\nbob:{FIRST + ids}:65536\n')
    tar = f'{root.tmp}/small.tar'
    if not os.path.exists(tar):
        tree = rootfs(root, 'packed', owner=0)
        os.chown(f'{tree}/home/u', 1000, 1000)
        os.chmod(f'{tree}/home/u', 0o700)
        subprocess.run(['tar', '-C', tree, '-cf', tar, '.'], check=True)
        os.chmod(tar, 0o644)
    return tar


def home(root, user=None):
    return f'{root.tmp}/home/{(user or root.alice).name}'


def environment(root, user=None):
    return {'HOME': home(root, user), 'PATH': '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin'}


def do(root, *words, user=None, env=None, timeout=60, **how):
    user = user or root.alice
    return root.run([root.program('userns-run'), *words], user, env=env or environment(root, user), timeout=timeout, **how)


def begin(root, *words, user=None, **how):
    user = user or root.alice
    return spawn([root.program('userns-run'), *words], user, env=environment(root, user), **how)


def store(root, user=None):
    return f'{home(root, user)}/.local/share/userns'


def names(root, *words):
    return well(do(root, 'list', '--names', *words)).out.split()


def left_over(root):
    """What is in the store beside finished containers, the index and the events."""
    there = os.listdir(store(root)) if os.path.isdir(store(root)) else []
    return [name for name in there if name.startswith('.') and name not in ('.lock', '.index', '.events')]


def maps(root, name, where=None):
    """[(first, count)] of the uids of a container."""
    with open(f'{where or store(root)}/{name}/config') as file:
        return [tuple(map(int, found)) for found in re.findall(r'^map = u:\d+:(\d+):(\d+)$', file.read(), re.M)]


def overlapping(ranges):
    ranges = sorted(ranges)
    return [(a, b) for a, b in zip(ranges, ranges[1:]) if a[0] + a[1] > b[0]]


def processes():
    """What runs below this test: orphans come to it."""
    def below(pid):
        found = []
        try:
            with open(f'/proc/{pid}/task/{pid}/children') as file:
                children = file.read().split()
        except OSError:
            return found
        for child in children:
            with open(f'/proc/{child}/stat') as file:
                if file.read().rsplit(')', 1)[1].split()[0] != 'Z':
                    found += [child] + below(child)
        return found
    return below(os.getpid())


# --- life ---------------------------------------------------------------------------------------

@case('a container is made from an archive, listed, shown, started and destroyed with all its files')
def _(root):
    tar = fresh(root)
    well(do(root, 'create', 'web', '--tar', tar, '--group', 'juju', '--memory', '64M', '--cgroup', 'none', '--', 'sleep', '900'),
         125)  # a limit without a cgroup
    assert names(root) == [] and left_over(root) == []
    well(do(root, 'create', 'web', '--tar', tar, '--group', 'juju', '--', 'sleep', '900'))
    where = f'{store(root)}/web'
    assert os.stat(where).st_mode & 0o777 == 0o700
    assert os.stat(f'{where}/rootfs/home/u').st_uid == FIRST + 1000 and os.stat(f'{where}/rootfs').st_uid == FIRST
    (facts,) = json.loads(well(do(root, 'list', '--json')).out)
    assert (facts['name'], facts['state'], facts['groups'], facts['pid']) == ('web', 'stopped', ['juju'], None), facts
    well(do(root, 'start', 'web'))
    (facts,) = json.loads(well(do(root, 'list', '--json', '--running')).out)
    assert facts['state'] == 'running' and facts['memory'] > 0 and os.path.isdir(f'/proc/{facts["pid"]}'), facts
    assert str(facts['pid']) in well(do(root, 'list')).out and 'running' in well(do(root, 'info', 'web')).out
    fails(do(root, 'destroy', 'web'), 'is running', 'userns-run stop web')
    # Nothing of ours that locks is open in the payload.
    assert not [link for link in os.listdir(f'/proc/{facts["pid"]}/fd')
                if 'userns/' in os.readlink(f'/proc/{facts["pid"]}/fd/{link}')]
    well(do(root, 'destroy', 'web', '--force'))
    assert names(root) == [] and os.listdir(store(root)) != [] and left_over(root) == []
    wait_for(lambda: processes() == [], 'no process to be left')


@case('the busybox template makes a system that starts')
def _(root):
    fresh(root)
    well(do(root, 'create', 'box', '--template', 'busybox'))
    well(do(root, 'start', 'box'))
    (facts,) = json.loads(well(do(root, 'list', '--json')).out)
    assert facts['state'] == 'running', facts
    well(do(root, 'destroy', 'box', '--force'))


@cases([('by names', 'web:data', 'web:x:33:34::/:/bin/sh\n', '33:5 groups=5'),
        ('by name', 'web', 'web:x:33:34::/:/bin/sh\n', '33:34 groups=34,6,7'),
        ('by number', '33', 'web:x:33:34::/:/bin/sh\n', '33:34 groups=34,6,7'),
        ('by numbers that have no name', '77:88', '', '77:88 groups=88'),
        ('by two numbers', '0:0', '', '0:0')])
def _(root, user, passwd, seen):
    """An image's user, command, variables, directory and stop signal."""
    fresh(root)
    tree = rootfs(root, 'image', owner=0)
    with open(f'{tree}/etc/passwd', 'a') as file:
        file.write(passwd)
    with open(f'{tree}/etc/group', 'w') as file:
        file.write('root:x:0:\ndata:x:5:\none:x:6:web\ntwo:x:7:web,u\n')
    os.makedirs(f'{tree}/srv')
    subprocess.run(['tar', '-C', tree, '-cf', f'{root.tmp}/layer.tar', '.'], check=True)
    script = 'trap "exit 9" QUIT; echo $(id -u):$(id -g) groups=$(id -G | tr " " ,) $PWD $A; while :; do sleep 100 & wait; done'
    config = {'architecture': {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(os.uname().machine), 'os': 'linux',
              'config': {'Env': ['PATH=/bin', 'A=b c'], 'Entrypoint': ['/bin/sh', '-c'], 'Cmd': [script],
                         'WorkingDir': '/srv', 'User': user, 'StopSignal': 'SIGQUIT'}}
    work = f'{root.tmp}/image-files'
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    shutil.move(f'{root.tmp}/layer.tar', f'{work}/layer.tar')
    for name, content in (('config.json', config), ('manifest.json', [{'Config': 'config.json', 'RepoTags': ['a:b'], 'Layers': ['layer.tar']}])):
        with open(f'{work}/{name}', 'w') as file:
            json.dump(content, file)
    subprocess.run(['tar', '-C', work, '-cf', f'{root.tmp}/image.tar', '.'], check=True)
    os.chmod(f'{root.tmp}/image.tar', 0o644)
    well(do(root, 'create', 'web', '--tar', f'{root.tmp}/image.tar'))
    well(do(root, 'start', 'web'))
    log = f'{store(root)}/web/console.log'
    text = wait_for(lambda: os.path.exists(log) and open(log).read().endswith('\n') and open(log).read(), 'it to speak')
    assert text.startswith(seen) and text.endswith(' /srv b c\n'), text
    well(do(root, 'stop', 'web'))
    with open(f'{store(root)}/web/last.json') as file:
        assert json.load(file)['exit_status'] == 9
    well(do(root, 'destroy', 'web'))


@case('a tree of 5,000 levels is copied and destroyed with few open files')
def _(root):
    tar = fresh(root)
    levels = 5000
    well(do(root, 'create', 'deep', '--tar', tar))
    few = {'before': lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024)), 'timeout': 300}

    def descend(container, visit):
        here = os.open(f'{store(root)}/{container}/rootfs', os.O_RDONLY)
        for level in range(levels):
            visit(here, level)
            below = os.open(f'd{level % 10}', os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
            os.close(here)
            here = below
        return here

    first = maps(root, 'deep')[0][0]

    def make(here, level):
        os.mkdir(f'd{level % 10}', dir_fd=here)
        os.chown(f'd{level % 10}', first + level % 3, first, dir_fd=here)
    bottom = descend('deep', make)
    with open(os.open('file', os.O_CREAT | os.O_WRONLY, 0o640, dir_fd=bottom), 'w') as file:
        file.write('deep')
    for name in ('file', 'other'):
        if name != 'file':
            os.link('file', name, src_dir_fd=bottom, dst_dir_fd=bottom)
        os.chown(name, first + 5, first + 6, dir_fd=bottom)
    os.close(bottom)
    well(do(root, 'create', 'copy', '--from', 'deep', **few))
    ours = maps(root, 'copy')[0][0]

    def look(here, level):
        assert os.stat(f'd{level % 10}', dir_fd=here).st_uid == ours + level % 3, level
    bottom = descend('copy', look)
    facts, other = (os.stat(name, dir_fd=bottom) for name in ('file', 'other'))
    assert (facts.st_uid, facts.st_gid, facts.st_size, facts.st_mode & 0o7777) == (ours + 5, ours + 6, 4, 0o640)
    assert facts.st_ino == other.st_ino and facts.st_nlink == 2
    os.close(bottom)
    for name in ('deep', 'copy'):
        well(do(root, 'destroy', name, **few))
    assert names(root) == [] and left_over(root) == []


@case('snapshots of snapshots: each sees what is below it, and keeps its own; up to eight, none goes before what stands on it')
def _(root):
    tar = fresh(root)
    script = 'echo $0 > /made-$0; rm -f /gone-$0; echo $0 >> /all; mkdir -p /dir; echo $0 > /dir/$0; ls /; cat /all; ls /dir'
    well(do(root, 'create', 's0', '--tar', tar))
    run = lambda name, *options: well(do(root, 'start', name, '--foreground', *options, '--', 'sh', '-c', script, name)).out.split()  # noqa: E731
    well(do(root, 'start', 's0', '--foreground', '--', 'sh', '-c', 'for n in 1 2 3 4 5 6 7 8; do touch /gone-s$n; done; chmod 750 /'))
    for n in range(1, 9):
        well(do(root, 'create', f's{n}', '--from', f's{n - 1}', '--snapshot'))
        assert maps(root, f's{n}') == maps(root, 's0')
        if n == 4:
            continue  # one in between never ran
        seen = run(f's{n}')
        below = [m for m in range(1, n + 1) if m != 4]
        assert sorted(w for w in seen if w.startswith('made-')) == [f'made-s{m}' for m in below], seen
        assert sorted(w for w in seen if w.startswith('gone-')) == [f'gone-s{m}' for m in range(1, 9) if m not in below], seen
        every = [f's{m}' for m in below]
        assert seen[-2 * len(below):-len(below)] == every and sorted(seen[-len(below):]) == every, seen
    fails(do(root, 'create', 's9', '--from', 's8', '--snapshot'), 's8', 'stands on 8 others', 'copy')
    well(do(root, 'create', 'copy', '--from', 's8'))
    assert 'made-s8' in run('copy') and 'made-s7' in run('copy')
    fails(do(root, 'start', 's3'), 's3', 'snapshots', 's4', code=125)
    for option in ('--read-only', '--overlay'):
        out = well(do(root, 'start', 's3', '--foreground', option, '--', 'sh', '-c', 'ls /; (echo > /new) 2>/dev/null && echo wrote; true')).out.split()
        assert 'made-s3' in out and 'made-s2' in out and 'made-s5' not in out and ('wrote' in out) == (option == '--overlay'), out
    assert not os.path.exists(f'{store(root)}/s3/upper/new')
    fails(do(root, 'destroy', 's3', '--force'), 'has snapshots', 's4')
    with open(f'{store(root)}/s1/config') as file:
        text = file.read()
    with open(f'{store(root)}/s1/config', 'w') as file:
        file.write(text.replace('base = s0', 'base = s2'))  # a ring
    fails(do(root, 'start', 's5'), 's5', 'more than 8')
    with open(f'{store(root)}/s1/config', 'w') as file:
        file.write(text)
    for n in range(8, -1, -1):
        well(do(root, 'destroy', f's{n}'))
    well(do(root, 'destroy', 'copy'))
    assert names(root) == []


@case('one that is finished just when another creation looks at it is not a litter')
def _(root):
    strace = shutil.which('strace') or skip('strace is not installed')
    tar = fresh(root)

    def stopped(call, count, name):
        """A creation and its pid, once it has stopped after its count-th such call; pid 0: it has ended before."""
        log = f'{root.tmp}/{name}.strace'
        open(log, 'w').close()
        os.chown(log, root.alice.uid, root.alice.gid)
        child = spawn([strace, '-o', log, '-e', f'trace={call}', '-e', f'inject={call}:signal=SIGSTOP:when={count}',
                       root.program('userns-run'), 'create', name, '--tar', tar], root.alice, env=environment(root))

        def seen():
            with open(log) as file:
                return 'stopped by SIGSTOP' in file.read() or child._reap()
        wait_for(seen, f'{name} to stop')
        if child.code is not None:
            return child, 0
        with open(f'/proc/{child.pid}/task/{child.pid}/children') as file:
            return child, next(int(pid) for pid in file.read().split() if os.readlink(f'/proc/{pid}/exe').endswith('userns-run'))
    well(do(root, 'create', 'first', '--tar', tar))
    between = 0
    for count in range(1, 60):
        made, there = stopped('mkdirat', 2, 'made')  # its directory has its first name yet
        assert there and left_over(root), made.wait()
        other, looking = stopped('openat2', count, 'other')
        os.kill(there, signal.SIGCONT)
        if looking:
            # It may hold the lock that the first one needs for nothing any more.
            well(made.wait(20))
            os.kill(looking, signal.SIGCONT)
        well(other.wait(20))
        if made.code is None:
            well(made.wait(20))
        between += bool(looking)
        assert maps(root, 'made') and os.path.isdir(f'{store(root)}/made/rootfs/bin'), count
        for name in ('made', 'other'):
            well(do(root, 'destroy', name))
        if not looking:
            break
    assert between >= 4, between
    return f'{between} moments'


@case('a copy has ids of its own, a snapshot the same, and its base stays while it is there')
def _(root):
    tar = fresh(root)
    well(do(root, 'create', 'base', '--tar', tar, '--env', 'A=1', '--', 'sh', '-c', 'echo $A > /made; sleep 900'))
    well(do(root, 'create', 'copy', '--from', 'base', '--env', 'A=2'))
    well(do(root, 'create', 'snap', '--from', 'base', '--snapshot'))
    assert maps(root, 'copy') == [(FIRST + 65536, 65536)] and maps(root, 'snap') == maps(root, 'base')
    assert os.stat(f'{store(root)}/copy/rootfs/home/u').st_uid == FIRST + 65536 + 1000
    assert not os.path.exists(f'{store(root)}/snap/rootfs')
    well(do(root, 'start', 'snap'))
    wait_for(lambda: os.path.exists(f'{store(root)}/snap/upper/made'), 'the snapshot to write')
    assert not os.path.exists(f'{store(root)}/base/rootfs/made')
    fails(do(root, 'start', 'base'), 'base', 'snapshots', 'snap')
    well(do(root, 'stop', 'snap', '--timeout', '0'))
    fails(do(root, 'destroy', 'base'), 'has snapshots', 'snap')
    well(do(root, 'create', 'more', '--from', 'snap'))
    assert os.path.exists(f'{store(root)}/more/rootfs/made') and os.path.exists(f'{store(root)}/more/rootfs/bin/sh')
    well(do(root, 'destroy', 'snap', 'more', 'copy'))
    well(do(root, 'destroy', 'base'))
    assert names(root) == [] and left_over(root) == []


@case('a root file system of the user is adopted where it fits his ids, and stays')
def _(root):
    fresh(root)
    tree = rootfs(root, 'adopted', owner=FIRST + 70000)
    well(do(root, 'create', 'own', '--rootfs', tree, '--', 'sleep', '900'))
    assert maps(root, 'own') == [(FIRST + 70000, 65536)]
    well(do(root, 'start', 'own'))
    fails(do(root, 'create', 'two', '--rootfs', tree), 'has ids from there on', '--share-ids')
    well(do(root, 'destroy', 'own', '--force'))
    assert os.path.exists(f'{tree}/bin/busybox') and names(root) == []
    strange = rootfs(root, 'strange', owner=500)
    fails(do(root, 'create', 'own', '--rootfs', strange), 'belongs to uid 500', 'userns-run shift')
    fails(do(root, 'create', 'own', '--rootfs', strange, '--map', f'b:0:{FIRST}:10'), '500:500', 'userns-run shift')
    fails(do(root, 'create', 'own', '--rootfs', f'{root.tmp}/nowhere'), 'cannot open the root file system')
    assert names(root) == [] and left_over(root) == []


@cases([
    ('a name that is none is refused', ['create', 'We/b', '--template', 'busybox'], ["'We/b' is not a container name"]),
    ('a creation says what it is from', ['create', 'web'], ['no source given', '--template busybox']),
    ('a creation is from one thing', ['create', 'web', '--tar', 'x', '--template', 'busybox'], ['a container has one source', 'give one of']),
    ('a template that is none is refused', ['create', 'web', '--template', 'busibox'], ['did you mean busybox?']),
    ('options of debian are for debian', ['create', 'web', '--template', 'busybox', '--suite', 'sid'], ['--suite goes with']),
    ('a missing archive is named', ['create', 'web', '--tar', '/nowhere.tar'], ['/nowhere.tar']),
    ('a setting that is none is named', ['create', 'web', '--template', 'busybox', '--restart', 'maybe'], ["restart 'maybe'"]),
    ('a bad size is refused', ['create', 'web', '--template', 'busybox', '--max-size', 'x'], ['--max-size']),
    ('a bad number of ids is refused', ['create', 'web', '--template', 'busybox', '--ids', '0'], ['--ids']),
    ('a container that is not there is named', ['info', 'wbe'], ["there is no container 'wbe'"]),
    ('destroy wants names', ['destroy'], ['which containers?']),
])
def _(root, words, pieces):
    fresh(root)
    fails(do(root, *words), *pieces)
    assert names(root) == [] and left_over(root) == []


@case('a container that is not there is said to be missing once, by each verb')
def _(root):
    fresh(root)
    tree = rootfs(root, 'tree')
    for words in (['start', 'web'], ['stop', 'web'], ['restart', 'web'], ['freeze', 'web'], ['thaw', 'web'], ['kill', 'web'], ['wait', 'web'],
                  ['exec', 'web', '--', 'true'], ['console', 'web'], ['logs', 'web'], ['ps', 'web'], ['info', 'web'], ['list', 'web'],
                  ['config', 'web'], ['destroy', 'web'], ['create', 'new', '--from', 'web'], ['create', 'new', '--from', 'web', '--snapshot'],
                  ['create', 'new', '--rootfs', tree, '--share-ids', 'web'], ['shift', tree, '--by-config', 'web']):
        done = fails(do(root, *words), "there is no container 'web'")
        assert 'No such' not in done.err, done


# --- ids ----------------------------------------------------------------------------------------

@case('when ids run out it says who holds them and what helps')
def _(root):
    tar = fresh(root, 65536)
    well(do(root, 'create', 'a', '--tar', tar))
    fails(do(root, 'create', 'b', '--tar', tar), 'held by', '/a', '--ids', '--share-ids', 'ask the administrator')
    well(do(root, 'create', 'b', '--tar', tar, '--share-ids', 'a'))
    well(do(root, 'destroy', 'a', 'b'))
    for name in 'abcd':
        well(do(root, 'create', name, '--tar', tar, '--ids', '16384'))
    assert not overlapping([maps(root, name)[0] for name in 'abcd'])
    fails(do(root, 'create', 'e', '--tar', tar, '--map', f'b:0:{FIRST + 5}:1001'), 'held by', '/a')


@case('containers of every --path are reckoned with, also of one that is out of reach')
def _(root):
    tar = fresh(root)
    for name in ('one', 'two'):
        well(do(root, 'create', name, '--tar', tar, '--path', f'{home(root)}/disk-{name}'))
    os.rename(f'{home(root)}/disk-one', f'{home(root)}/elsewhere')
    well(do(root, 'create', 'three', '--tar', tar))
    held = maps(root, 'one', f'{home(root)}/elsewhere') + maps(root, 'two', f'{home(root)}/disk-two') + maps(root, 'three')
    assert len(held) == 3 and not overlapping(held), held
    os.rename(f'{home(root)}/elsewhere', f'{home(root)}/disk-one')
    assert sorted(names(root, '--all-paths')) == ['one', 'three', 'two']
    well(do(root, 'destroy', 'one', '--path', f'{home(root)}/disk-one'))
    well(do(root, 'create', 'four', '--tar', tar))
    assert maps(root, 'four') == [(FIRST, 65536)]


@case('20 creations at a time, of different names and of one: no id twice, one winner')
def _(root):
    tar = fresh(root)
    children = [begin(root, 'create', f'c{i}', '--tar', tar) for i in range(20)]
    for child in children:
        well(child.wait(120))
    ranges = [maps(root, f'c{i}')[0] for i in range(20)]
    assert len(set(ranges)) == 20 and not overlapping(ranges), ranges
    children = [begin(root, 'create', 'same', '--tar', tar) for _ in range(20)]
    done = [child.wait(120) for child in children]
    assert sorted(d.code for d in done) == [0] + [125] * 19, [str(d) for d in done]
    assert all('already' in d.err or 'right now' in d.err or 'by now' in d.err for d in done if d.code), [str(d) for d in done]
    assert left_over(root) == [] and os.path.exists(f'{store(root)}/same/rootfs/bin/busybox')
    well(do(root, 'destroy', *[f'c{i}' for i in range(20)], 'same', timeout=120))
    assert names(root) == [] and left_over(root) == []


# --- interruptions ------------------------------------------------------------------------------

def tree_of(root):
    return set(os.listdir(store(root))) - {'.events'} if os.path.isdir(store(root)) else set()


@cases([(f'SIG{name} during a creation ends it and leaves nothing', getattr(signal, f'SIG{name}'))
        for name in ('INT', 'TERM', 'HUP')])
def _(root, number):
    fresh(root)
    read, write = os.pipe()
    child = begin(root, 'create', 'web', '--tar', '-', stdin=read)
    os.close(read)
    with open(f'{root.tmp}/small.tar', 'rb') as file:
        os.write(write, file.read(30000))
    wait_for(lambda: any(name.startswith('.web.new-') for name in tree_of(root)), 'the creation to begin')
    time.sleep(0.1)
    child.kill(number)
    done = child.wait()
    os.close(write)
    assert done.code in (125, -number) and 'SIG' in done.err or done.code == -number, done
    assert names(root) == [] and left_over(root) == [], (tree_of(root), done)


@case('kill -9 at 50 random moments of a creation: the next one works and nothing is left')
def _(root):
    tar = fresh(root)
    pick = random.Random(5)
    begun = time.monotonic()
    well(do(root, 'create', 'web', '--tar', tar))
    whole = time.monotonic() - begun
    well(do(root, 'destroy', 'web'))
    killed = 0
    for _ in range(50):
        child = begin(root, 'create', 'web', '--tar', tar)
        time.sleep(pick.random() * whole)
        child.kill()
        killed += child.wait().code == -signal.SIGKILL
        if 'web' in names(root):
            well(do(root, 'destroy', 'web'))
    well(do(root, 'create', 'web', '--tar', tar))
    assert left_over(root) == [] and maps(root, 'web') == [(FIRST, 65536)], (tree_of(root), maps(root, 'web'))
    well(do(root, 'destroy', 'web'))
    wait_for(lambda: processes() == [], 'no process to be left')
    assert killed >= 10, killed
    return f'{killed} of 50 were killed half way'


@case('kill -9 during a deletion: it is gone, the rest can be deleted by saying it again')
def _(root):
    tar = fresh(root)
    pick = random.Random(6)
    for _ in range(10):
        well(do(root, 'create', 'web', '--tar', tar))
        child = begin(root, 'destroy', 'web')
        time.sleep(pick.random() * 0.03)
        child.kill()
        child.wait()
        again = do(root, 'destroy', 'web')
        assert again.code == 0 or 'there is no container' in again.err, again
        wait_for(lambda: do(root, 'destroy', 'web').code != 0, 'all of it to be deleted')
        assert names(root) == [] and left_over(root) == [], tree_of(root)


@case('a full disk: the creation says so and leaves nothing')
def _(root):
    tar = fresh(root)
    where = f'{home(root)}/disk'
    os.makedirs(where)
    for size in ('64k', '300k', '1m'):
        mount('tmpfs', where, 'tmpfs', 0, f'size={size},mode=0700,uid={root.alice.uid},gid={root.alice.gid}')
        done = do(root, 'create', 'web', '--tar', tar, '--path', where, '--max-size', '100M')
        fails(done)
        assert 'No space left' in done.err or 'space' in done.err, done
        assert os.listdir(where) == [], (done, os.listdir(where))
        umount(where)


# --- others -------------------------------------------------------------------------------------

@case('two users neither see nor touch what is the other\'s')
def _(root):
    tar = fresh(root)
    well(do(root, 'create', 'web', '--tar', tar))
    assert well(do(root, 'list', '--names', user=root.bob)).out == ''
    for verb in (['list'], ['info', 'web'], ['destroy', 'web', '--force'], ['config', 'web', 'memory=1G'],
                 ['create', 'x', '--tar', tar]):
        done = do(root, *verb, '--path', store(root), user=root.bob)
        fails(done)
        assert 'Permission denied' in done.err or 'belongs to' in done.err, done
    os.chmod(home(root), 0o755)
    for path in (f'{home(root)}/.local', f'{home(root)}/.local/share', store(root)):
        os.chmod(path, 0o755)
    fails(do(root, 'info', 'web', '--path', store(root), user=root.bob), f'belongs to uid {root.alice.uid}')
    assert names(root) == ['web']


@case('a place of another user\'s, or that others can write to, is refused')
def _(root):
    fresh(root)
    where = f'{root.tmp}/public'
    shutil.rmtree(where, ignore_errors=True)
    os.makedirs(where)
    fails(do(root, 'create', 'web', '--template', 'busybox', '--path', where), 'belongs to uid 0')
    os.chown(where, root.alice.uid, root.alice.gid)
    os.chmod(where, 0o777)
    fails(do(root, 'create', 'web', '--template', 'busybox', '--path', where), 'others can write', 'chmod go-w')


@case('without HOME the user database says where; a home that cannot be written to is named')
def _(root):
    fresh(root)
    env = {'PATH': '/usr/bin:/bin:/usr/sbin:/sbin'}
    well(do(root, 'create', 'web', '--template', 'busybox', env=env))
    assert names(root) == ['web']
    fails(do(root, 'create', 'web2', '--template', 'busybox', env={**env, 'HOME': '/proc/nothing'}), '/proc/nothing')
    os.chown(home(root, root.bob), 0, 0)
    fails(do(root, 'create', 'web', '--template', 'busybox', user=root.bob), 'cannot make', 'Permission denied')
    path = f'{root.tmp}/bobs'
    os.makedirs(path, exist_ok=True)
    os.chown(path, root.bob.uid, root.bob.gid)
    fails(do(root, 'create', 'web', '--template', 'busybox', '--path', path, user=root.bob), 'which ids are taken',
          'Permission denied')
    assert os.listdir(path) == []


# --- config -------------------------------------------------------------------------------------

@case('config shows and changes settings, checks them first, and keeps comments')
def _(root):
    tar = fresh(root)
    well(do(root, 'create', 'web', '--tar', tar))
    path = f'{store(root)}/web/config'
    with open(path, 'a') as file:
        file.write('# mine\n')
    well(do(root, 'config', 'web', 'rlimit=nofile=64', 'bind=rel:/x', 'bind=/tmp:/y:ro', 'env+=A=1', cwd='/usr'))
    text = well(do(root, 'config', 'web')).out
    assert re.search(r'# mine\nrlimit = nofile=64\nbind = /usr/rel:/x\nbind = /tmp:/y:ro\nenv = A=1\n', text), text
    fails(do(root, 'config', 'web', 'memory=lots'), "memory: 'lots' is not a valid memory.max")
    fails(do(root, 'config', 'web', 'memroy=1G'), 'did you mean memory')
    fails(do(root, 'config', 'web', 'read-only=yes', 'overlay=yes'), '--read-only')
    fails(do(root, 'config', 'web', '--unset', 'map'), 'ids of its own')
    fails(do(root, 'config', 'web', '--unset', 'nonsense'), 'there is no key')
    assert well(do(root, 'config', 'web')).out == text
    well(do(root, 'config', 'web', '--unset', 'bind'))
    assert 'bind' not in well(do(root, 'config', 'web')).out
    with open(path, 'a') as file:
        file.write('oops\n')
    done = fails(do(root, 'config', 'web', 'pids=5'), f'{path}:')
    assert re.search(r'config:\d+:1: no = ', done.err), done
    assert 'web' in names(root)


@case('a default.conf of the user\'s is under every container\'s settings')
def _(root):
    tar = fresh(root)
    where = f'{home(root)}/.config/userns'
    os.makedirs(where)
    for path in (f'{home(root)}/.config', where):
        os.chown(path, root.alice.uid, root.alice.gid)
    root.write(f'{where}/default.conf', 'env = FROM=default\ngroup = all\n', owner=(root.alice.uid, root.alice.gid))
    well(do(root, 'create', 'web', '--tar', tar, '--', 'sh', '-c', 'echo $FROM > /made; sleep 900'))
    assert 'env = FROM=default' in well(do(root, 'config', 'web', '--all')).out
    assert names(root, '--group', 'all') == ['web'] and names(root, '--group', 'none') == []
    well(do(root, 'start', 'web'))
    made = f'{store(root)}/web/rootfs/made'
    wait_for(lambda: os.path.exists(made) and open(made).read() == 'default\n', 'the variable to be there')
    well(do(root, 'stop', 'web', '--timeout', '0'))
    root.write(f'{where}/default.conf', 'memroy = 1\n', owner=(root.alice.uid, root.alice.gid))
    fails(do(root, 'create', 'db', '--tar', tar), 'default.conf:1:1', 'did you mean memory')


@case('edits at the same time: none is lost')
def _(root):
    tar = fresh(root)
    well(do(root, 'create', 'web', '--tar', tar))
    for child in [begin(root, 'config', 'web', f'env+=N{i}=1') for i in range(20)]:
        well(child.wait(60))
    text = well(do(root, 'config', 'web')).out
    assert sorted(re.findall(r'env = N(\d+)=1', text), key=int) == [str(i) for i in range(20)], text
    assert [n for n in os.listdir(f'{store(root)}/web') if n.endswith('.tmp')] == []


@case('a hostile config is an error, never followed, never read for ever')
def _(root):
    tar = fresh(root)
    well(do(root, 'create', 'web', '--tar', tar))
    well(do(root, 'create', 'ok', '--tar', tar))
    path = f'{store(root)}/web/config'
    alice = root.alice

    def link():
        os.symlink('/etc/shadow', path)

    def fifo():
        os.mkfifo(path)
        os.chown(path, alice.uid, alice.gid)

    def text(data):
        return lambda: root.write(path, data, owner=(alice.uid, alice.gid))
    for make in (link, fifo, text(b'a' * (1 << 20)), text(os.urandom(4096)), text(b'include = /dev/zero\n'),
                 text(b'include = config\n'), text(b'base = web\n'), text(b'rootfs = \x1b[2J\n')):
        os.unlink(path)
        make()
        fails(do(root, 'start', 'web', timeout=20))
        assert names(root) == ['ok', 'web']
        done = well(do(root, 'list', timeout=20))
        assert '\x1b' not in done.err, done
    well(do(root, 'destroy', 'ok'))


# --- refused when it is asked, not when it is started ------------------------------------------

def archive_of(root, name, *tops, beside=()):
    """A tar with a small root file system below each of these directories, and files beside them."""
    work = f'{root.tmp}/{name}-files'
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    for top in tops:
        subprocess.run(['cp', '-a', rootfs(root, 'packed-below', owner=0), f'{work}/{top}'], check=True)
        os.chmod(f'{work}/{top}', 0o751)
    for path in beside:
        os.makedirs(os.path.dirname(f'{work}/{path}'), exist_ok=True)
        with open(f'{work}/{path}', 'w') as file:
            file.write('x')
    subprocess.run(['tar', '-C', work, '-cf', f'{root.tmp}/{name}.tar', '--owner=0', '--group=0', '.'], check=True)
    os.chmod(f'{root.tmp}/{name}.tar', 0o644)
    return f'{root.tmp}/{name}.tar'


@cases([('an archive whose root file system lies one level down, as images of LXC have it', ['rootfs'], ['metadata.yaml', 'templates/hosts.tpl']),
        ('one in a directory of any name, alone', ['debian-backup'], []),
        ('one whose directory has the name of one in it', ['etc'], ['notes'])])
def _(root, tops, beside):
    fresh(root)
    done = well(do(root, 'create', 'web', '--tar', archive_of(root, 'below', *tops, beside=beside)))
    assert f"'{tops[0]}'" in done.err and 'beside' in done.err, done
    tree = f'{store(root)}/web/rootfs'
    assert set(os.listdir(tree)) == {'bin', 'etc', 'root', 'home'}, os.listdir(tree)
    assert os.stat(tree).st_mode & 0o7777 == 0o751 and os.stat(tree).st_uid == maps(root, 'web')[0][0]
    done = well(do(root, 'start', 'web', '--foreground', '--', 'cat', '/etc/passwd'))
    assert 'root:x:0' in done.out, done
    well(do(root, 'destroy', 'web'))


@cases([('an archive without a root file system', [], ['etc-notes/a', 'b'], 'no root file system'),
        ('one with two', ['one', 'two'], [], 'several root file systems')])
def _(root, tops, beside, says):
    fresh(root)
    fails(do(root, 'create', 'web', '--tar', archive_of(root, 'none', *tops, beside=beside)), says)
    assert names(root) == [] and left_over(root) == []


@case('an archive of one program is taken with a command that names it')
def _(root):
    fresh(root)
    work = f'{root.tmp}/program-files'
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    shutil.copy('/bin/busybox', f'{work}/busybox')
    subprocess.run(['tar', '-C', work, '-cf', f'{root.tmp}/program.tar', '--owner=0', '--group=0', 'busybox'], check=True)
    os.chmod(f'{root.tmp}/program.tar', 0o644)
    fails(do(root, 'create', 'web', '--tar', f'{root.tmp}/program.tar'), 'no root file system', '--')
    well(do(root, 'create', 'web', '--tar', f'{root.tmp}/program.tar', '--', '/busybox', 'echo', 'here'))
    assert 'here' in well(do(root, 'start', 'web', '--foreground')).out
    well(do(root, 'destroy', 'web'))


def cgroup2_root():
    return next(top for top in ('/sys/fs/cgroup', '/sys/fs/cgroup/unified') if os.path.exists(f'{top}/cgroup.controllers'))


@case('a limit that no cgroup would hold is refused by create and config, not at the start')
def _(root):
    tar = fresh(root)
    # A host without such a limit says that first.
    has = {'memory.max': 'memory', 'pids.max': 'pids', 'cpu.max': 'cpu'}
    with open(cgroup2_root() + '/cgroup.controllers') as file:
        offered = file.read().split()
    refused = {limit: 'no way to a cgroup' if controller in offered else f'offers no {limit}' for limit, controller in has.items()}
    fails(do(root, 'create', 'web', '--tar', tar, '--memory', '64M'), refused['memory.max'])
    assert names(root) == []
    well(do(root, 'create', 'web', '--tar', tar))
    for setting, why in (('memory=64M', refused['memory.max']), ('pids=5', refused['pids.max']), ('cpus=1', refused['cpu.max']),
                         ('cgroup=auto', 'no way to a cgroup')):
        fails(do(root, 'config', 'web', setting), why)
        assert setting.split('=')[0] not in well(do(root, 'config', 'web')).out
    well(do(root, 'config', 'web', 'hostname=x'))
    well(do(root, 'destroy', 'web'))


@case('a snapshot where the kernel puts no overlay is refused, and a copy helps')
def _(root):
    tar = fresh(root)
    where = f'{root.tmp}/on-overlay'
    for name in ('', '/lower', '/upper', '/work', '/merged'):
        os.makedirs(where + name, exist_ok=True)
    mount('overlay', f'{where}/merged', 'overlay', data=f'lowerdir={where}/lower,upperdir={where}/upper,workdir={where}/work')
    try:
        os.chown(f'{where}/merged', root.alice.uid, root.alice.gid)
        os.chmod(f'{where}/merged', 0o700)
        path = f'--path={where}/merged'
        well(do(root, 'create', 'web', '--tar', tar, path))
        fails(do(root, 'create', 'two', '--from', 'web', '--snapshot', path), 'no snapshot', '--snapshot for a copy')
        assert names(root, path) == ['web']
        well(do(root, 'create', 'two', '--from', 'web', path))
        for name in ('web', 'two'):
            well(do(root, 'destroy', name, path))
    finally:
        umount(f'{where}/merged')


main()
