#!/usr/bin/env python3
"""Runs guest/NAME.py in a booted Debian into which this build was installed: booted.py BUILD_DIR NAME SECONDS [-k PATTERN].

The image is kept (lib/cache.py). Where there can be no guest, every case is a skip that says why.
"""

import os
import re
import shlex
import shutil
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


def main():
    build, name, seconds = os.path.abspath(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    image = Image(build)
    with open(f'{HERE}/guest/{name}.py') as file:
        text = file.read()
    distros = re.findall(r'\w+', ' '.join(re.findall('^# distro: (.*)$', text, re.M)))
    why = image.why_not() or next(filter(None, (distro.why_not(build, wanted) for wanted in distros)), None)
    if why:
        return skip_all(f'{HERE}/guest/{name}.py', why)
    image.build(lambda text: print('#', text, flush=True))
    with tempfile.TemporaryDirectory() as payload:
        os.chmod(payload, 0o755)
        install(build, payload)
        os.mkdir(payload + '/distros')
        for wanted in distros:
            shutil.copy(distro.tar(build, wanted), f'{payload}/distros/{wanted}.tar')
        with open(payload + '/run', 'w') as file:
            file.write(f'#!/bin/sh\ncp -a root/. / && systemctl daemon-reload && exec python3 guest/{name}.py . {shlex.join(sys.argv[4:])}\n')
        os.chmod(payload + '/run', 0o755)
        status = image.run(payload, lambda line: print(line, flush=True), seconds)
    return 1 if status is None else status


sys.exit(main())
