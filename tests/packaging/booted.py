#!/usr/bin/env python3
"""Runs guest/NAME.py in a booted Debian in which nothing of ours is but the .debs: booted.py BUILD_DIR SUITE NAME SECONDS [-k PATTERN]."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, HERE + '/../system')
from packages import TOP, build, deb  # noqa: E402
import debian  # noqa: E402
from harness import Skip  # noqa: E402
from skipped import skip_all  # noqa: E402
from vm import Image, copy_launcher  # noqa: E402


def add_profile(payload):
    """The one of userns-run, which packages have if they were built where AppArmor is 4.0 or newer."""
    with open(TOP + '/packaging/apparmor/userns-run.in') as file:
        text = file.read().replace('@SUFFIX@', '').replace('@BINDIR@', '/usr/bin')
    os.mkdir(payload + '/profiles')
    with open(payload + '/profiles/userns-run', 'w') as file:
        file.write(text)


def copy_deb(deb_path, where, suite):
    """The packages are built where this runs, and another Debian has another libsubid, which only getsubids needs."""
    tree = where + '.tree'
    subprocess.run(['dpkg-deb', '-R', deb_path, tree], check=True)
    with open(tree + '/DEBIAN/control') as file:
        control = file.read()
    if suite != debian.BOOKWORM:
        control = re.sub(r', libsubid\d+ \([^)]*\)', '', control)
    with open(tree + '/DEBIAN/control', 'w') as file:
        file.write(control)
    subprocess.run(['dpkg-deb', '--root-owner-group', '-b', tree, os.path.join(where, os.path.basename(deb_path))], check=True,
                   stdout=subprocess.DEVNULL)
    shutil.rmtree(tree)


def main():
    build_dir, suite, name, seconds = os.path.abspath(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the guest ends, and what it lies in goes
    image = Image(build_dir, suite)
    why = image.why_not()
    try:
        out = None if why else build(build_dir)
    except Skip as missing:
        why = str(missing)
    if why:
        return skip_all([f'{HERE}/guest/{name}.py'], why)
    image.build(lambda text: print('#', text, flush=True))
    with tempfile.TemporaryDirectory() as payload:
        os.chmod(payload, 0o755)
        shutil.copytree(HERE + '/../lib', payload + '/lib')
        shutil.copytree(HERE + '/guest', payload + '/guest')
        copy_launcher(build_dir, payload)
        os.mkdir(payload + '/debs')
        for package in ('userns-helpers', 'userns-tools'):
            copy_deb(deb(out, package), payload + '/debs', suite)
        add_profile(payload)
        with open(payload + '/run', 'w') as file:
            file.write(f'#!/bin/sh\necho 0 >/sys/fs/cgroup/cgroup.procs\nexec python3 guest/{name}.py . {shlex.join(sys.argv[5:])}\n')
        os.chmod(payload + '/run', 0o755)
        status = image.run(payload, lambda line: print(line, flush=True), seconds)
    return 1 if status is None else status


sys.exit(main())
