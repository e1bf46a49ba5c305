"""Debians made from the package sources of this machine.

    make('trixie', 'tree.tar', ['systemd', ...], hooks)    # by mmdebstrap, as root
"""

import glob
import os
import re
import shutil
import subprocess

BOOKWORM, TRIXIE = 'bookworm', 'trixie'
SUITES = (BOOKWORM, TRIXIE)


def run(argv, **how):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **how)
    if done.returncode != 0:
        tail = '\n'.join(done.stdout.decode(errors='replace').splitlines()[-20:])
        raise RuntimeError(f'{" ".join(argv[:3])} ... ended with {done.returncode}:\n{tail}')


def _source_files():
    found = ['/etc/apt/sources.list', *glob.glob('/etc/apt/sources.list.d/*.list'), *glob.glob('/etc/apt/sources.list.d/*.sources')]
    texts = {}
    for path in found:
        if os.path.exists(path):
            with open(path) as file:
                texts[path] = file.read()
    return texts


def mirrors():
    """The archives that this machine takes its own Debian from, without those of security updates."""
    uris = []
    for text in _source_files().values():
        uris += re.findall(r'^URIs:\s*(\S+)', text, re.M) + re.findall(r'^deb\s+(?:\[[^]]*\]\s+)?(\S+)', text, re.M)
    return [uri for uri in uris if re.search(r'/debian/?$', uri)]


def sources(suite):
    """What mmdebstrap is told about where `suite` comes from: this machine's files, if they name it, else its first mirror."""
    own = [path for path, text in _source_files().items() if re.search(rf'\b{suite}\b', text) and re.search(r'/debian/?\s', text)]
    return own or [f'deb {uri} {suite} main' for uri in mirrors()[:1]]


def _apt_options():
    """The machine's own way to its mirrors (a proxy, a clock that is wrong)."""
    dump = subprocess.run(['apt-config', 'dump'], stdout=subprocess.PIPE, check=False).stdout.decode()
    return [f'--aptopt={line}' for line in re.findall(r'^(Acquire::(?:https?::|Check-|Retries)\S* ".*";)$', dump, re.M)]


def why_not(suite):
    """Why no such Debian can be made here, or None."""
    if not shutil.which('mmdebstrap'):
        return 'mmdebstrap is not installed'
    return None if sources(suite) else f'no apt source of this machine serves Debian {suite}'


def make(suite, where, packages=(), hooks=(), architectures=()):
    include = ['--include=' + ','.join(packages)] if packages else []
    also = ['--architectures=' + ','.join(architectures)] if architectures else []
    run(['mmdebstrap', '--variant=minbase', *include, *also, *_apt_options(), *[f'--customize-hook={hook}' for hook in hooks],
         suite, where, *sources(suite)])
