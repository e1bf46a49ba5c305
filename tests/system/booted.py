#!/usr/bin/env python3
"""Runs guest programs in a booted Debian into which this build was installed.

    booted.py BUILD_DIR SUITE NAME[:PATTERN][,...] SECONDS [-k PATTERN]

SUITE: bookworm or trixie; the image is kept (lib/cache.py). guest/NAME.py run one after another in one boot, of those with a
pattern only the cases that match. Where there can be no guest, every case is a skip that says why.
"""

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
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
import distro  # noqa: E402
from skipped import skip_all  # noqa: E402
from vm import Image, copy_launcher  # noqa: E402


def install(build, payload):
    """The build as `meson install` lays it out, setuid bits and all, and the test itself."""
    subprocess.run(['meson', 'install', '-C', build, '--no-rebuild', '--destdir', payload + '/root'], check=True,
                   stdout=subprocess.DEVNULL)
    shutil.copytree(HERE + '/../lib', payload + '/lib')
    shutil.copytree(HERE + '/guest', payload + '/guest')
    copy_launcher(build, payload)


def distros_of(names):
    """The root file systems that the programs want: they say so in a comment. Of cases by pattern, those that it names."""
    wanted = set()
    for name in names:
        name, _, pattern = name.partition(':')
        with open(f'{HERE}/guest/{name}.py') as file:
            said = re.findall('^# distro: (.*)$', file.read(), re.M)
        wanted |= {word for word in ' '.join(said).split() if re.search(pattern, word)}
    return sorted(wanted)


def lay_out(build, payload, names, words):
    """What the guest gets: its ./run installs the build, then runs the programs."""
    os.chmod(payload, 0o755)
    install(build, payload)
    os.mkdir(payload + '/distros')
    for wanted in distros_of(names):
        shutil.copy(distro.tar(build, wanted), f'{payload}/distros/{wanted}.tar')
    with open(payload + '/run', 'w') as file:
        file.write('#!/bin/sh\ncp -a root/. / && systemctl daemon-reload && '
                   f'exec python3 guest/several.py {shlex.join([",".join(names), *words])}\n')
    os.chmod(payload + '/run', 0o755)


def main():
    build, suite, names, seconds = os.path.abspath(sys.argv[1]), sys.argv[2], sys.argv[3].split(','), int(sys.argv[4])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the guest ends, and what it lies in goes
    image = Image(build, suite)
    why = image.why_not() or next(filter(None, (distro.why_not(build, wanted) for wanted in distros_of(names))), None)
    if why:
        return skip_all([f'{HERE}/guest/{name.partition(":")[0]}.py' for name in names], why)
    image.build(lambda text: print('#', text, flush=True))
    with tempfile.TemporaryDirectory() as payload:
        lay_out(build, payload, names, sys.argv[5:])
        status = image.run(payload, lambda line: print(line, flush=True), seconds)
    return 1 if status is None else status


sys.exit(main())
