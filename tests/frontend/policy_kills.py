#!/usr/bin/env python3
"""Each writing verb of userns-policy, killed before any of its system calls: nothing torn, nothing lost, nothing that stays in the
way.

POLICY_KILLS=1000 kills each verb that often; moments are evenly among its calls, and all of them if it has fewer.
"""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import cases, main, spawn, trace, with_own_pids  # noqa: E402

KILLS = int(os.environ.get('POLICY_KILLS', '30'))
SUBUID, SUBGID, NET, CGROUP = FILES = '/etc/subuid', '/etc/subgid', '/etc/userns/net.conf', '/etc/userns/cgroup.conf'
SUBIDS = 'alice:100000:65536\nbob:200000:65536\n'
CONF = ('alice veth br0 1\n', 'alice pids.max=5\n')


def texts():
    found = []
    for path in FILES:
        with open(path) as file:
            found.append(file.read())
    return tuple(found)


def put(root):
    for path, text in zip(FILES, (SUBIDS, SUBIDS, *CONF)):
        root.write(path, text)


VERBS = {
    'grant': ['grant', 'carol', '--ids', '65536', '--net', 'br0:1', '--cgroup', 'pids.max=9'],
    'revoke': ['revoke', 'alice', '--ids', 'all', '--net', 'br0', '--cgroup', 'all'],
    'apply': ['apply', '--from', '/etc/userns-wish'],
    'edit': ['edit', 'net.conf'],
    'import-lxc': ['import-lxc', '--merge', '--usernet', '/etc/userns-usernet'],
}


@cases([(f'{verb}, killed at {KILLS} of its calls: each file is the old text or the new one, the next works, and nothing is left', verb) for verb in VERBS])
def _(root, verb):
    root.write('/etc/userns-wish', 'carol ids 65536\nalice net none\nalice cgroup pids.max=7\n')
    root.write('/etc/userns-usernet', '* veth br9 1\n')
    root.write(f'{root.tmp}/editor', '#!/bin/sh\necho "* veth br9 1" >>"$1"\n', mode=0o755)
    words = [root.program('userns-policy'), *VERBS[verb]]
    env = {'PATH': '/usr/bin:/bin', 'EDITOR': f'{root.tmp}/editor', 'TMPDIR': root.tmp}
    put(root)
    calls = [0]

    def begin():
        return spawn(words, None, env=env, traced=True)

    def step(at):
        def on_entry(stop):
            calls[0] += 1
            if calls[0] == at:
                os.kill(stop.pid, 9)
        calls[0] = 0
        return on_entry
    done = trace(begin(), step(0))
    assert done.code == 0, done
    before, after, most = (SUBIDS, SUBIDS, *CONF), texts(), calls[0]
    assert after != before
    moments = sorted({1 + most * n // KILLS for n in range(KILLS)})
    hit = between = 0
    for moment in moments:
        put(root)
        done = trace(begin(), step(moment))
        hit += done.code == -9
        now = texts()
        assert all(text in pair for text, pair in zip(now, zip(before, after))), (moment, now)
        between += now not in (before, after)
        # The same again brings it to its end, whatever the dead one left; what an editor adds twice is there twice.
        done = root.run(words, env=env)
        assert done.code == 0, (moment, done)
        assert verb == 'edit' or texts() == after, (moment, texts())
        left = [name for name in os.listdir('/etc') + os.listdir('/etc/userns')
                if re.fullmatch(r'(subuid|subgid|net\.conf|cgroup\.conf)\.(lock|\d+|userns-policy)', name)]
        assert not left, (moment, left)
    assert hit >= len(moments) - 2, f'{hit} of {len(moments)} were killed before their end'
    return f'{hit} killed, of {most} calls; {between} between two files'


if __name__ == '__main__':
    with_own_pids()
    main()
