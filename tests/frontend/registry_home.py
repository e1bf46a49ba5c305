"""A store of images of alice's, and a registry that her skopeo trusts."""

import json
import os
import shutil
import sys

sys.path.insert(0, os.path.dirname(__file__))
from container import FIRST, well  # noqa: E402
from harness import mount, spawn, umount  # noqa: E402
from oci import need_skopeo  # noqa: E402

BLOCK = 65536


class Home:
    """Alice's store of images, empty."""

    def __init__(self, root, small=False):
        need_skopeo()
        for write in root.subuid, root.subgid:
            write(f'alice:{FIRST}:{4 * BLOCK}\n')
        self.root = root
        self.data = f'{root.tmp}/data'
        if os.path.ismount(self.data):
            umount(self.data)
        shutil.rmtree(self.data, ignore_errors=True)
        os.makedirs(self.data)
        if small:
            mount('tmpfs', self.data, 'tmpfs', 0, 'size=600k')
        os.chown(self.data, root.alice.uid, root.alice.gid)
        self.images = f'{self.data}/userns/.images'

    def env(self, **more):
        return {'PATH': os.environ['PATH'], 'HOME': f'{self.root.tmp}/home/alice', 'XDG_DATA_HOME': self.data, **more}

    def words(self, *words):
        return [self.root.program('userns-run'), *words]

    def do(self, *words, timeout=120, **env):
        return self.root.run(self.words(*words), self.root.alice, timeout=timeout, env=self.env(**env))

    def begin(self, *words, **env):
        return spawn(self.words(*words), self.root.alice, env=self.env(**env))

    def list(self):
        return json.loads(well(self.do('images', '--json')).out)

    def blobs(self):
        return set(os.listdir(f'{self.images}/blobs/sha256'))

    def litter(self):
        return [name for name in os.listdir(self.images) if name.startswith('.pull-')]


def trusted(root, registry):
    """Everybody's registries.conf knows that this one has no TLS."""
    os.makedirs('/etc/containers/registries.conf.d', exist_ok=True)
    root.write('/etc/containers/registries.conf.d/it.conf', f'[[registry]]\nlocation = "{registry.address}"\ninsecure = true\n', 0o644)
    return registry
