"""Container images as docker save writes them, with any config: what strangers send."""

import hashlib
import json
import os
import sys

sys.path.insert(0, os.path.dirname(__file__))
from container import TOOLS  # noqa: E402
from rootfs_tree import Archive  # noqa: E402
from harness import skip  # noqa: E402


def busybox_layer(passwd='root:x:0:0::/root:/bin/sh\n', group='root:x:0:\n'):
    """A layer with a shell in it; more can be added to it."""
    if not os.path.exists('/bin/busybox'):
        skip('busybox-static is not installed')
    layer = Archive()
    for name in ('bin', 'etc', 'root', 'tmp', 'proc', 'sys', 'dev', 'run'):
        layer.directory(name)
    with open('/bin/busybox', 'rb') as file:
        layer.add('bin/busybox', file.read(), mode=0o755)
    for tool in TOOLS:
        layer.link(f'bin/{tool}', 'busybox')
    return layer.add('etc/passwd', passwd.encode()).add('etc/group', group.encode())


def image(root, config, *layers, name='image.tar'):
    """The path of an archive whose image has this `config` member and these layers (a busybox unless told)."""
    text = json.dumps({'architecture': 'amd64', 'os': 'linux', 'config': config}).encode()
    whole, names = Archive(), []
    for number, layer in enumerate(layers or [busybox_layer()]):
        names.append(f'{number:064x}/layer.tar')
        whole.add(names[-1], layer.data())
    config_name = f'{hashlib.sha256(text).hexdigest()}.json'
    whole.add(config_name, text)
    whole.add('manifest.json', json.dumps([{'Config': config_name, 'RepoTags': ['it:latest'], 'Layers': names}]).encode())
    return whole.write(f'{root.tmp}/{name}')
