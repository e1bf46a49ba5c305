#!/usr/bin/env python3
"""Programs in the field use our map helpers unchanged. Debian's own are hidden, so only ours can answer."""

import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
from harness import MS_BIND, case, main, mount, skip

PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
MAP = [['0', '100000', '65536']]


def hide_reference(root):
    for name in ('newuidmap', 'newgidmap'):
        reference = f'/usr/bin/{name}'
        if os.path.exists(reference) and os.stat(reference).st_size and reference != root.program(name):
            mount('/dev/null', reference, None, MS_BIND)
        found = shutil.which(name, path=PATH)
        assert found == root.program(name), f'{name} is {found}, not ours'


def call(root, program, *words, timeout=60, **env):
    if not shutil.which(program, path=PATH):
        skip(f'{program} is not installed')
    hide_reference(root)
    runtime = f'{root.tmp}/run-alice'
    os.makedirs(runtime, 0o700, exist_ok=True)
    os.chown(runtime, root.alice.uid, root.alice.gid)
    done = root.run([shutil.which(program, path=PATH), *words], root.alice, timeout=timeout, cwd=f'{root.tmp}/home/alice',
                    env={'PATH': PATH, 'HOME': f'{root.tmp}/home/alice', 'USER': 'alice', 'XDG_RUNTIME_DIR': runtime, **env})
    assert done.code == 0, done
    return done.out


def maps(text):
    return [line.split() for line in text.splitlines()]


@case('unshare --map-auto --map-root-user maps through ours')
def _(root):
    out = call(root, 'unshare', '--user', '--map-auto', '--map-root-user', 'cat', '/proc/self/uid_map', '/proc/self/gid_map')
    alice = root.alice
    # It leaves the last id of the range out (util-linux 2.38).
    assert maps(out) == [['0', str(alice.uid), '1'], ['1', '100000', '65535'],
                         ['0', str(alice.gid), '1'], ['1', '100000', '65535']], out


@case('lxc-usernsexec maps through ours')
def _(root):
    out = call(root, 'lxc-usernsexec', '-m', 'b:0:100000:65536', '--', 'cat', '/proc/self/uid_map', '/proc/self/gid_map')
    assert maps(out) == MAP + MAP, out


@case('rootlesskit maps through ours')
def _(root):
    out = call(root, 'rootlesskit', 'cat', '/proc/self/uid_map')
    assert maps(out) == [['0', str(root.alice.uid), '1'], ['1', '100000', '65536']], out


@case('podman unshare maps through ours')
def _(root):
    out = call(root, 'podman', 'unshare', 'cat', '/proc/self/uid_map')
    assert maps(out) == [['0', str(root.alice.uid), '1'], ['1', '100000', '65536']], out


@case('mmdebstrap in its unshare mode makes a root file system through ours')
def _(root):
    there = f'{root.tmp}/home/alice/root.tar'
    call(root, 'mmdebstrap', '--quiet', '--mode=unshare', '--variant=extract', '--include=busybox-static', 'bookworm', there,
         timeout=300, TMPDIR=f'{root.tmp}/home/alice')
    assert os.path.getsize(there) > 1 << 20


main()
