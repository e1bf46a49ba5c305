#!/usr/bin/env python3
"""Named containers: start, exec and stop, the monitor's memory, containers a second. In one run; nothing here judges.

usage: containers.py BUILD_DIR        (root)
"""

import os
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'frontend'))
from container import rootfs
from harness import Root, end_all_children
from named import IDLE, Store, await_log

TURNS = 40


def memory(pid):
    with open(f'/proc/{pid}/smaps_rollup') as file:
        rows = dict(line.split(':', 1) for line in file if line.startswith(('Rss', 'Pss:')))
    return {name: int(text.split()[0]) for name, text in rows.items()}


def median(turns, act):
    taken = []
    for _ in range(turns):
        began = time.monotonic()
        act()
        taken.append((time.monotonic() - began) * 1000)
    return statistics.median(taken)


def well(done):
    if done.code != 0:
        raise RuntimeError(done)


def main():
    root = Root(sys.argv[1])
    store = Store(root)
    store.make('web', IDLE)
    starts, stops, runs = [], [], []
    nothing = median(TURNS, lambda: well(root.run(['/bin/true'], root.alice)))
    for _ in range(TURNS):
        starts.append(median(1, lambda: well(store.do('start', 'web'))))
        runs.append(median(3, lambda: well(store.do('exec', 'web', command=['true']))))
        stops.append(median(1, lambda: well(store.do('stop', 'web'))))
    print(f'the harness itself (/bin/true)      {nothing:6.1f} ms')
    for name, taken in (('start, to the exec', starts), ('exec true', runs), ('stop', stops)):
        print(f'{name:35} {statistics.median(taken):6.1f} ms')
    well(store.do('start', 'web'))
    await_log(store, 'web', 'up')
    print('monitor, kB                        ', memory(store.state('web')['monitor']['pid']))
    well(store.do('stop', 'web'))
    tree = rootfs(root, 'trees/many')
    names = [f'm{n}' for n in range(60)]
    for name in names:
        store.make(name, IDLE, tree=tree)
    began = time.monotonic()
    well(store.do('start', *names, timeout=120))
    print(f'started side by side                {len(names) / (time.monotonic() - began):6.1f} a second')
    began = time.monotonic()
    well(store.do('stop', *names, timeout=120))
    print(f'stopped side by side                {len(names) / (time.monotonic() - began):6.1f} a second')
    end_all_children()


if __name__ == '__main__':
    main()
