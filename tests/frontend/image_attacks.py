#!/usr/bin/env python3
"""Images as attacks: what a hostile registry sends, kills at any moment, and deletions beside creations."""

import hashlib
import json
import os
import random
import signal
import stat
import sys
import tarfile
import time

sys.path.insert(0, os.path.dirname(__file__))
from container import FIRST, fails, well  # noqa: E402
from harness import case, cases, main, wait_for  # noqa: E402
from images import busybox_layer  # noqa: E402
from oci import Registry, layout  # noqa: E402
from registry_home import BLOCK, Home, trusted  # noqa: E402
from rootfs_tree import Archive  # noqa: E402


def entries(home):
    """Names in the store of containers, but for its own files."""
    return sorted(name for name in os.listdir(f'{home.data}/userns') if name not in ('.lock', '.index', '.images', '.instant', '.events'))


def runs(home, name, *words):
    return well(home.do('start', name, '--foreground', '--', *words)).out


def pulled(root, home, *layers, **how):
    """create --image of a registry that has these layers."""
    with trusted(root, Registry(root)) as registry:
        registry.fill(layout(root, None, *layers, **how), 'it', '--dest-tls-verify=false')
        return home.do('create', 'box', f'--image=docker://{registry.address}/it')


@case('layers that lead out by links, with devices, whiteouts of what is above, and names that speak to a terminal')
def _(root):
    home = Home(root)
    secret = f'{root.tmp}/secret'
    root.write(secret, 'host\n', 0o666)
    first = busybox_layer().directory(root.tmp[1:]).link('out', root.tmp).link('etc2', '/etc').link('up', '../../../../..')
    first.add('sda', type=tarfile.BLKTYPE, devmajor=8, devminor=0, mode=0o666)
    second = Archive()
    second.add('out/secret', b'image').add('etc2/passwd', b'root:x:0:0::/root:/bin/sh\nown:x:1:1::/:\n').add('up/climbed', b'x')
    second.add('name\x1b]0;x\x07\x9b2J', b'x').add('out/.wh.secret2', b'')
    third = Archive().add('.wh.name\x1b]0;x\x07\x9b2J', b'').add('setuid', b'x', mode=0o4755)
    done = pulled(root, home, first, second, third)
    assert done.code == 0 and '\x1b' not in done.err and '\x9b' not in done.err, done
    with open(secret) as file:
        assert file.read() == 'host\n'
    assert not os.path.exists(f'{root.tmp}/climbed') and not os.path.exists('/climbed')
    look = f'cat /etc/passwd; cat {root.tmp}/secret; ls -d /climbed; ls /sda 2>&1; ls / | grep -c name; stat -c %a /setuid'
    out = runs(home, 'box', 'sh', '-c', look)
    assert 'own:x:1:1' in out and 'image' in out and '/climbed' in out and 'No such file' in out and out.split()[-2:] == ['0', '4755'], out
    # On the host the setuid file is no one's but an id of alice's, in a directory that only she may enter.
    (base,) = [name for name in entries(home) if name.endswith('.base')]
    facts = os.stat(f'{home.data}/userns/{base}/rootfs/setuid')
    assert FIRST <= facts.st_uid < FIRST + 4 * BLOCK and stat.S_IMODE(os.stat(f'{home.data}/userns/{base}').st_mode) == 0o700


@cases([('a name with ..', lambda: Archive().add('../../out', b'x'), 'would leave the root file system'),
        ('a hard link to a file of the host', lambda: Archive().hard('passwd', '/../../../etc/passwd'), 'passwd'),
        ('an owner that no container has', lambda: Archive().add('x', b'x', uid=4_000_000_000), '4000000000')])
def _(root, layer, piece):
    home = Home(root)
    done = pulled(root, home, busybox_layer(), layer())
    fails(done, piece)
    assert entries(home) == [], entries(home)


def rewritten(path, change):
    """The layout with its manifest changed by `change`, which is told the manifest."""
    with open(f'{path}/index.json') as file:
        index = json.load(file)
    name = index['manifests'][0]['digest'][7:]
    with open(f'{path}/blobs/sha256/{name}') as file:
        manifest = json.load(file)
    change(manifest)
    data = json.dumps(manifest).encode()
    fresh = hashlib.sha256(data).hexdigest()
    with open(f'{path}/blobs/sha256/{fresh}', 'wb') as file:
        file.write(data)
    index['manifests'][0] |= {'digest': f'sha256:{fresh}', 'size': len(data)}
    with open(f'{path}/index.json', 'w') as file:
        json.dump(index, file)
    return path


def many_layers(manifest):
    manifest['layers'] *= 5000


def wrong_size(manifest):
    manifest['layers'][0]['size'] = 1 << 60


def other_digest(manifest):
    manifest['layers'][0]['digest'] = 'sha256:' + '0' * 64


def path_digest(manifest):
    manifest['layers'][0]['digest'] = 'sha256:../../../../../../etc/passwd'


def no_digest(manifest):
    manifest['layers'][0]['digest'] = 'md5:abc'


@cases([(f'a manifest with {what}', change, piece) for what, change, piece in
        (('a layer that is not there', other_digest, ''),
         ('a path for a digest', path_digest, ''), ('a digest of another kind', no_digest, ''))])
def _(root, change, piece):
    home = Home(root)
    path = rewritten(layout(root), change)
    done = home.do('create', 'box', f'--image=oci:{path}:it')
    fails(done, piece)
    assert entries(home) == [] and not [name for name in home.litter()] and not os.path.exists(f'{home.data}/userns/box')


@case('a layout with 5,000 layers is refused before one is read')
def _(root):
    home = Home(root)
    fails(home.do('create', 'box', f'--tar={rewritten(layout(root), many_layers)}'), '5000 layers; more than 1000')
    assert entries(home) == []


@case('a size in a manifest that is not true: the digest decides')
def _(root):
    home = Home(root)
    well(home.do('create', 'box', f'--image=oci:{rewritten(layout(root), wrong_size)}:it'))
    assert runs(home, 'box', 'echo', 'ok').split() == ['ok']


def consistent(home):
    """Every blob that the index leads to is there and nothing lies about; what is listed can be used."""
    assert home.litter() == [] and [name for name in entries(home) if '.new-' in name or '.gone-' in name] == [], entries(home)
    for number, image in enumerate(home.list()):
        well(home.do('create', f'check{number}', f'--image={image["name"]}'))
        assert runs(home, f'check{number}', 'echo', 'ok').split() == ['ok']
        well(home.do('destroy', f'check{number}'))


@case('kill -9 at 40 random moments of a first creation from a registry: the next one works, and nothing is left')
def _(root):
    home = Home(root)
    pick = random.Random(12)
    layer = busybox_layer()
    for number in range(300):
        layer.add(f'file{number}', os.urandom(8000))
    with trusted(root, Registry(root)) as registry:
        registry.fill(layout(root, None, layer), 'it', '--dest-tls-verify=false')
        words = ('create', 'box', f'--image=docker://{registry.address}/it')
        begun = time.monotonic()
        well(home.do(*words))
        whole, killed = time.monotonic() - begun, 0
        for _ in range(40):
            if os.path.exists(f'{home.data}/userns/box'):
                well(home.do('destroy', 'box'))
            well(home.do('prune', '--all'))
            child = home.begin(*words)
            time.sleep(pick.random() * whole)
            os.kill(child.pid, signal.SIGKILL)
            killed += child.wait(60).code == -signal.SIGKILL
        if os.path.exists(f'{home.data}/userns/box'):
            well(home.do('destroy', 'box'))
        well(home.do(*words))
        consistent(home)
    assert runs(home, 'box', 'ls', '/file299').split() == ['/file299'] and len(home.blobs()) == 2, home.blobs()
    assert killed >= 10, killed
    return f'{killed} of 40 were killed half way'


@case('creations, throw-away runs, prune and rmi side by side: each works or says why, and all that is listed at the end is whole')
def _(root):
    home = Home(root)
    with trusted(root, Registry(root)) as registry:
        registry.fill(layout(root), 'it', '--dest-tls-verify=false')
        reference = f'docker://{registry.address}/it'
        good, refused = 0, []
        for turn in range(12):
            children = [home.begin('create', f'a{turn}', f'--image={reference}'), home.begin('prune', '--all'),
                        home.begin('create', f'b{turn}', f'--image={reference}', '--copy'), home.begin('rmi', f'{registry.address}/it'),
                        home.begin(f'--image={reference}', '--', 'echo', 'ok'), home.begin('prune', '--all')]
            for child in children:
                done = child.wait(120)
                good += done.code == 0
                if done.code != 0:
                    refused.append(done)
                    assert done.code == 125 and done.err.count('\n') == 1 and done.err.startswith('userns-run: '), done
            for name in (f'a{turn}', f'b{turn}'):
                if os.path.exists(f'{home.data}/userns/{name}'):
                    assert runs(home, name, 'echo', 'ok').split() == ['ok']
                    well(home.do('destroy', name))
        assert good > 24, (good, refused[:5])
        consistent(home)
        well(home.do('prune', '--all'))
    wait_for(lambda: entries(home) == [], 'nothing to be left')
    return f'{good} of 72 worked, {len(refused)} were refused'


main()
