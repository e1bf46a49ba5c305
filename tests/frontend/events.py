#!/usr/bin/env python3
"""What has happened, and when: events of a store, and the times of a log."""

import datetime
import json
import os
import re
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from named import IDLE, Store  # noqa: E402
from container import fails, well  # noqa: E402
from harness import case, main, wait_for  # noqa: E402

STAMP = r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d'


def events(store, *words, user=None):
    """[(name, event)] and the objects."""
    out = well(store.do('events', '--json', *words, user=user)).out
    objects = [json.loads(line) for line in out.splitlines()]
    return [(one['name'], one['event']) for one in objects], objects


@case('a life is told: create, start, pause, unpause, stop, die, rename, destroy; with pid and status, in order of time')
def _(root):
    store = Store(root)
    well(store.do('create', 'web', '--template=busybox', timeout=60))
    well(store.do('start', 'web', command=['sh', '-c', 'trap "exit 7" TERM; while :; do sleep 1000 & wait; done']))
    pid = store.state('web')['init']['pid']
    well(store.do('freeze', 'web'))
    well(store.do('thaw', 'web'))
    well(store.do('stop', 'web'))
    well(store.do('rename', 'web', 'shop'))
    well(store.do('destroy', 'shop'))
    told, objects = events(store)
    assert told == [('web', word) for word in ('create', 'start', 'pause', 'unpause', 'stop', 'die', 'rename')] + [('shop', 'destroy')], told
    assert objects[1]['pid'] == pid and objects[5]['exit_status'] == 7 and objects[6]['to'] == 'shop', objects
    times = [one['time_ns'] for one in objects]
    assert times == sorted(times) and all(one['time'] == one['time_ns'] // 10**9 for one in objects)
    assert abs(times[-1] / 1e9 - time.time()) < 60
    lines = well(store.do('events', 'shop')).out.splitlines()
    assert len(lines) == 2 and re.fullmatch(rf'{STAMP} web rename \(to shop\)', lines[0]) and lines[1].endswith(' shop destroy'), lines


def follow(store, *words):
    """One that goes on looking, and what it says."""
    read, write = os.pipe()
    child = store.begin('events', '--json', *words, fds={1: write})
    os.close(write)
    return child, os.fdopen(read)


@case('events --follow tells each as it happens, through its own pipe, and ends when nobody reads')
def _(root):
    store = Store(root)
    store.make('web', IDLE)
    child, lines = follow(store, '--follow')
    well(store.do('start', 'web'))
    assert json.loads(lines.readline())['event'] == 'start'
    well(store.do('stop', 'web'))
    assert [json.loads(lines.readline())['event'] for _ in range(2)] == ['stop', 'die']
    lines.close()
    child.wait(30)


@case('an end that a killed monitor could not tell is told once: by who looks, and by who cleans up')
def _(root):
    store = Store(root)
    store.make('web', IDLE)
    child, lines = follow(store, '-f')
    well(store.do('start', 'web'))
    assert json.loads(lines.readline())['event'] == 'start'
    os.kill(store.state('web')['monitor']['pid'], 9)
    seen = json.loads(lines.readline())
    assert seen['event'] == 'die' and 'killed' in seen['text'] and 'exit_status' not in seen, seen
    assert events(store)[0] == [('web', 'start'), ('web', 'die')]
    well(store.do('start', 'web'))
    assert json.loads(lines.readline())['event'] == 'start'  # not what start has cleaned up, once more
    assert events(store)[0] == [('web', 'start'), ('web', 'die'), ('web', 'start')]
    well(store.do('stop', 'web'))
    child.kill()
    lines.close()


@case('restarts on failure are told, each with its number; a command that fails at once too')
def _(root):
    store = Store(root)
    store.make('web', 'command = sh -c "exit 3"')
    well(store.do('start', 'web', '--restart=on-failure:2'))
    wait_for(lambda: len(events(store)[0]) >= 6, 'three ends')
    told, objects = events(store)
    assert told == [('web', 'start'), ('web', 'die')] * 3, told
    assert [one.get('text') for one in objects[::2]] == [None, 'restart 1', 'restart 2'], objects
    assert {one['exit_status'] for one in objects[1::2]} == {3}


@case('--since and --until choose; a name chooses; what is no time is refused')
def _(root):
    store = Store(root)
    for name in ('web', 'db'):
        store.make(name, 'command = true')
        well(store.do('start', name))
        wait_for(lambda: (name, 'die') in events(store)[0], 'its end')
    middle = events(store)[1][1]['time_ns'] + 10**6  # a moment is whole milliseconds
    moment = time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(middle // 10**9)) + f'.{middle // 10**6 % 1000:03d}Z'
    assert ('db', 'die') in events(store, f'--since={moment}')[0]
    assert ('db', 'die') not in events(store, f'--until={moment}')[0] and ('web', 'start') in events(store, f'--until={moment}')[0]
    assert {name for name, _ in events(store, 'db')[0]} == {'db'}
    assert events(store, '--since=1h')[0] == events(store)[0] and not events(store, '--until=1h')[0]
    fails(store.do('events', '--since=yesterday'), 'yesterday', 'is not a time')


@case('what others have written into the file spoils nothing and reaches no terminal as it is')
def _(root):
    store = Store(root)
    with open(f'{store.path}/.events', 'w') as file:
        file.write('nonsense\n{"time_ns":1}\n[1,2]\n{"time_ns":5,"name":"a\\u001b[2J","event":"start\\u009b","text":"\\u202e"}\n{"time_ns":')
    os.chown(f'{store.path}/.events', root.alice.uid, root.alice.gid)
    store.make('web', 'command = true')
    well(store.do('start', 'web'))
    wait_for(lambda: ('web', 'die') in events(store)[0], 'its end')
    assert events(store)[0][-2:] == [('web', 'start'), ('web', 'die')]
    text = well(store.do('events')).out
    assert '\x1b' not in text and '\x9b' not in text and '\u202e' not in text and 'a?[2J' in text, text
    os.unlink(f'{store.path}/.events')
    os.mkfifo(f'{store.path}/.events')
    os.chown(f'{store.path}/.events', root.alice.uid, root.alice.gid)
    well(store.do('start', 'web'))  # stops nobody
    assert store.do('events').code == 125


@case('the file is bounded: it is put aside while several write, and a follower misses nothing')
def _(root):
    store = Store(root)
    line = '{"time":1,"time_ns":1000000000,"name":"old","event":"create"}\n'
    with open(f'{store.path}/.events', 'w') as file:
        file.write(line * ((1 << 20) // len(line)))
    os.chown(f'{store.path}/.events', root.alice.uid, root.alice.gid)
    for number in range(4):
        store.make(f'c{number}', 'command = true')
    child, lines = follow(store, '-f', '--since=1h')
    threads = [threading.Thread(target=lambda n=n: store.do('start', f'c{n}')) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen = [json.loads(lines.readline()) for _ in range(8)]
    assert sorted((one['name'], one['event']) for one in seen) == sorted((f'c{n}', w) for n in range(4) for w in ('start', 'die')), seen
    wait_for(lambda: os.path.exists(f'{store.path}/.events.1'), 'the file that was put aside')
    assert os.stat(f'{store.path}/.events').st_size < 1 << 20
    child.kill()
    lines.close()


@case('events are the store\'s: those of another user are not shown, nor can they be')
def _(root):
    store, other = Store(root), Store(root, root.bob, first=300000)
    store.make('web', 'command = true')
    well(store.do('start', 'web'))
    wait_for(lambda: ('web', 'die') in events(store)[0], 'its end')
    assert not events(other)[0]
    assert os.stat(f'{store.path}/.events').st_mode & 0o777 == 0o600
    assert root.run([root.program('userns-run'), 'events', f'--path={store.path}'], root.bob).code == 125


# --- logs ---------------------------------------------------------------------------------------------

@case('logs --timestamps: before each line when it came, over both files; --since and --until choose')
def _(root):
    store = Store(root)
    directory = store.make('web', IDLE)
    begun = time.time()
    well(store.do('start', 'web', command=['sh', '-c', 'echo one; while [ ! -e /go ]; do sleep 0.02; done; echo two; printf thr; sleep 0.1; echo ee']))
    wait_for(lambda: b'one' in store.log('web'), 'its first line')
    lines = well(store.do('logs', 'web', '--timestamps')).out.splitlines()
    assert len(lines) == 1 and re.fullmatch(rf'{STAMP} one', lines[0]), lines
    time.sleep(0.02)
    middle = time.time()
    open(f'{root.tmp}/trees/web/go', 'w').close()
    wait_for(lambda: store.state('web') is None, 'its end')
    lines = well(store.do('logs', 'web', '-t')).out.splitlines()
    assert [line.partition(' ')[2] for line in lines] == ['one', 'two', 'three'], lines
    moments = [datetime.datetime.fromisoformat(line.partition(' ')[0]).timestamp() for line in lines]
    assert begun - 0.001 <= moments[0] <= middle <= moments[1] + 0.001 <= moments[2] + 0.001, (begun, middle, moments)
    moment = time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(middle)) + f'.{int(middle * 1000) % 1000:03d}Z'
    assert well(store.do('logs', 'web', f'--since={moment}')).out.split() == ['two', 'three']
    assert well(store.do('logs', 'web', f'--until={moment}')).out.split() == ['one']
    assert not well(store.do('logs', 'web', '--until=1d')).out and well(store.do('logs', 'web', '--since=1d')).out.split() == ['one', 'two', 'three']
    fails(store.do('logs', 'web', '--since=soon'), 'is not a time')
    os.unlink(f'{directory}/console.times')  # a log of an older version
    assert well(store.do('logs', 'web', '-t')).out.splitlines() == ['- one', '- two', '- three']
    assert not well(store.do('logs', 'web', '--since=1d')).out


@case('times are right over rotations, while it is followed too: each line has one, and they never go back')
def _(root):
    store = Store(root)
    store.make('web', IDLE)
    seen = os.open(f'{store.path}/seen', os.O_CREAT | os.O_RDWR)
    well(store.do('start', 'web', '--log-size=2000', command=[
        'sh', '-c', 'i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); done; while [ ! -e /go ]; do sleep 0.02; done; echo last']))
    follower = store.begin('logs', 'web', '-f', '-t', fds={1: seen})
    wait_for(lambda: b'line 299' in store.log('web'), 'its lines')
    whole = well(store.do('logs', 'web', '-t')).out.splitlines()
    assert all(re.fullmatch(rf'{STAMP} line \d+', line) for line in whole[1:]), whole[:5]
    stamps = [line.partition(' ')[0] for line in whole[1:]]
    assert stamps == sorted(stamps) and whole[-1].endswith('line 299'), whole[-3:]
    open(f'{root.tmp}/trees/web/go', 'w').close()
    well(follower.wait())
    followed = os.pread(seen, 1 << 20, 0).decode().splitlines()
    assert followed[-1].endswith(' last') and all(re.match(rf'{STAMP} ', line) for line in followed[1:]), followed[-3:]
    assert well(store.do('logs', 'web', '-t')).out.splitlines()[-1] == followed[-1]


@case('several runs in one log are told apart, also where the last one ended within a line')
def _(root):
    store = Store(root)
    store.make('web', IDLE)
    for number in range(3):
        well(store.do('start', 'web', command=['sh', '-c', f'echo run {number}; printf end']))
        wait_for(lambda: store.state('web') is None, 'its end')
    lines = well(store.do('logs', 'web')).out.splitlines()
    assert [line for line in lines if not line.startswith('--')] == ['run 0', 'end', 'run 1', 'end', 'run 2', 'end'], lines
    assert [i for i, line in enumerate(lines) if re.fullmatch(rf'-- web started {STAMP} --', line)] == [2, 5], lines
    assert store.log('web').count(b'--') == 0  # the console did not say it
    assert well(store.do('logs', 'web', '-n', '2')).out.splitlines() == ['run 2', 'end']


main()
