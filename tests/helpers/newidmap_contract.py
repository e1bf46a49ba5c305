#!/usr/bin/env python3
"""newuidmap and newgidmap: what they promise (design: contracts), told by real setuid runs of scratch users."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
from harness import case, main


@case('a delegated range is written for a pid, silently')
def _(root):
    with root.target(root.alice) as target:
        done = root.run([root.newuidmap, target.pid, 0, 100000, 65536], root.alice)
        assert (done.code, done.out, done.err) == (0, '', ''), done
        assert target.uid_map() == [(0, 100000, 65536)], target.uid_map()


@case('IM-RANGE: another user\'s range is refused and nothing is mapped')
def _(root):
    with root.target(root.alice) as target:
        done = root.run([root.newuidmap, target.pid, 0, 200000, 1], root.alice)
        assert done.code == 1 and '[IM-RANGE]' in done.err, done
        assert 'alice has [100000-165536) (/etc/subuid:1)' in done.err, done
        assert target.uid_map() == []


if __name__ == '__main__':
    main()
