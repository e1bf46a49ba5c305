#!/usr/bin/env python3
"""pull, push, images, rmi: a real registry on loopback, and what goes wrong on the way."""

import base64
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(__file__))
from container import fails, well  # noqa: E402
from harness import case, main, skip, umount, wait_for  # noqa: E402
from images import busybox_layer  # noqa: E402
from rootfs_tree import Archive  # noqa: E402
from oci import Registry, layout  # noqa: E402
from registry_home import Home, trusted  # noqa: E402


def big(root, name='big', megabytes=24):
    """An image that takes a while."""
    layer = busybox_layer()
    layer.add('noise', os.urandom(megabytes << 20))
    return layout(root, None, layer, name=name)


@case('an image by TLS and a password; a wrong password is a sentence')
def _(root):
    home = Home(root)
    with Registry(root, password='secret') as registry:
        registry.fill(layout(root), 'some/it:1', '--dest-creds=alice:secret', f'--dest-cert-dir={registry.path}/certs')
        reference = f'docker://{registry.address}/some/it:1'
        certs = f'--cert-dir={registry.path}/certs'
        for secret, good in (('wrong', False), ('secret', True)):
            auth = f'{root.tmp}/auth.json'
            token = base64.b64encode(f'alice:{secret}'.encode()).decode()
            root.write(auth, json.dumps({'auths': {registry.address: {'auth': token}}}), 0o644)
            done = home.do('pull', reference, certs, f'--authfile={auth}')
            if not good:
                fails(done, 'cannot pull')
                assert 'unauthorized' in done.err or 'authentication required' in done.err, done  # skopeo 1.9, 1.18
                assert home.list() == [] and home.litter() == []
        assert well(done).out.startswith(f'{registry.address}/some/it:1 sha256:'), done
        fails(home.do('pull', reference), 'cannot pull', 'certificate')
        # create and a throw-away container say the same to the registry.
        for words in (('create', 'early', f'--image={reference}'), (f'--image={reference}',)):
            well(home.do('rmi', f'{registry.address}/some/it:1'))
            fails(home.do(*words, *(() if 'create' in words else ('--', 'true'))), 'cannot pull')
            well(home.do(*words, certs, f'--authfile={auth}', *(() if 'create' in words else ('--', 'true'))))
    assert [image['name'] for image in home.list()] == [f'{registry.address}/some/it:1']
    # It is here now: no registry is asked any more.
    assert well(home.do(f'--image={reference}', '--', 'echo', 'ran')).out == 'ran\n'
    well(home.do('create', 'box', f'--image={reference}'))


@case('a pull that is interrupted leaves nothing, and the next one is whole')
def _(root):
    home = Home(root)
    with Registry(root) as registry:
        registry.fill(big(root), 'big', '--dest-tls-verify=false')
        words = ('pull', f'docker://{registry.address}/big', '--no-tls-verify')
        child = home.begin(*words)
        wait_for(lambda: os.path.exists(home.images) and home.litter(), 'the pull')
        os.kill(child.pid, signal.SIGINT)
        done = child.wait(60)
        assert done.code != 0 and 'interrupted by SIGINT' in done.err, done
        assert home.list() == [] and home.litter() == []
        well(home.do(*words))
        assert len(home.list()) == 1
        assert well(home.do(f'--image={registry.address}/big', '--', 'ls', '/noise')).out == '/noise\n'


@case('a pull that was killed leaves litter that the next one sweeps')
def _(root):
    home = Home(root)
    with Registry(root) as registry:
        registry.fill(big(root), 'big', '--dest-tls-verify=false')
        words = ('pull', f'docker://{registry.address}/big', '--no-tls-verify')
        child = home.begin(*words)
        wait_for(lambda: os.path.exists(home.images) and home.litter(), 'the pull')
        os.kill(child.pid, signal.SIGKILL)
        child.wait(60)
        well(home.do(*words))
        assert home.litter() == [] and len(home.list()) == 1


@case('a blob that is not what its digest says is refused, and nothing is kept')
def _(root):
    home = Home(root)
    with Registry(root) as registry:
        registry.fill(big(root, megabytes=2), 'big', '--dest-tls-verify=false')
        blobs = [os.path.join(top, name) for top, _, names in os.walk(f'{registry.path}/data/docker/registry/v2/blobs') for name in names]
        largest = max(blobs, key=os.path.getsize)
        with open(largest, 'r+b') as file:
            file.seek(1 << 20)
            file.write(b'\0' * 64)
        fails(home.do('pull', f'docker://{registry.address}/big', '--no-tls-verify'), 'cannot pull')
        assert home.list() == [] and home.litter() == []
        assert os.path.basename(os.path.dirname(largest)) not in home.blobs()


@case('a full disk is a sentence, and nothing is left of the pull')
def _(root):
    home = Home(root, small=True)
    with Registry(root) as registry:
        registry.fill(big(root, megabytes=2), 'big', '--dest-tls-verify=false')
        fails(home.do('pull', f'docker://{registry.address}/big', '--no-tls-verify'), 'no space left')
        assert home.list() == [] and home.litter() == []
    umount(home.data)


@case('two pulls at once, of images that share a layer')
def _(root):
    home = Home(root)
    shared = busybox_layer()
    shared.add('noise', os.urandom(4 << 20))
    more = busybox_layer()
    more.add('more', b'more')
    with Registry(root) as registry:
        registry.fill(layout(root, None, shared, name='a'), 'a', '--dest-tls-verify=false')
        registry.fill(layout(root, None, shared, more, name='b'), 'b', '--dest-tls-verify=false')
        pulls = [home.begin('pull', f'docker://{registry.address}/{name}', '--no-tls-verify') for name in ('a', 'b', 'a')]
        for child in pulls:
            well(child.wait(120))
    assert [image['name'].rsplit('/')[-1] for image in home.list()] == ['a:latest', 'b:latest']
    assert home.litter() == [] and len(home.blobs()) == 2 + 2 + 2, home.blobs()
    assert well(home.do(f'--image={registry.address}/b', '--', 'ls', '/noise', '/more')).out.split() == ['/more', '/noise']


@case('rmi and prune delete what no other image has, and a container stays')
def _(root):
    home = Home(root)
    shared = busybox_layer()
    more = busybox_layer()
    more.add('more', b'more')
    first, second = layout(root, None, shared, name='a'), layout(root, None, shared, more, name='b')
    for path in (first, second):
        well(home.do('pull', f'oci:{path}:it'))
    well(home.do('create', 'box', f'--image=oci:{second}:it'))
    before = home.blobs()
    assert len(before) == 6
    well(home.do('rmi', f'oci:{second}:it'))
    assert len(home.blobs()) == 3 and [image['name'] for image in home.list()] == [f'oci:{first}:it']
    well(home.do('prune', '--all'))
    assert well(home.do('start', 'box', '--foreground', '--', 'cat', '/more')).out == 'more'
    assert well(home.do(f'--image=oci:{first}:it', '--', 'echo', 'whole')).out == 'whole\n'
    fails(home.do('rmi', 'nobody'), 'there is no image')


def data(home):
    """Bytes of its blobs."""
    return sum(os.path.getsize(f'{home.images}/blobs/sha256/{name}') for name in home.blobs())


def runs(home, name, *words):
    return well(home.do('start', name, '--foreground', '--', *words)).out


@case('an image that is fetched for a container is kept as its tree alone: nothing is on disk twice')
def _(root):
    home = Home(root)
    with trusted(root, Registry(root)) as registry:
        registry.fill(big(root, megabytes=2), 'big', '--dest-tls-verify=false')
        name = f'{registry.address}/big:latest'
        well(home.do('create', 'one', f'--image=docker://{registry.address}/big'))
        (image,) = home.list()
        assert image['name'] == name and image['is_tree_alone'] and image['tree_bytes'] > 2 << 20, image
        assert len(home.blobs()) == 2 and image['bytes'] == data(home) < 4096, image
    # No registry is there any more, and no skopeo.
    for words in (('create', 'two'), ('create', 'three', '--copy')):
        well(home.do(*words, f'--image={name}', PATH='/nowhere'))
        assert runs(home, words[1], 'ls', '/noise').split() == ['/noise']
    assert os.path.isdir(f'{home.data}/userns/three/rootfs') and not os.path.isdir(f'{home.data}/userns/two/rootfs')
    assert well(home.do(f'--image={name}', '--', 'ls', '/noise', PATH='/nowhere')).out == '/noise\n'
    fails(home.do('push', name, 'docker://localhost:1/x'), 'the layers of', f'userns-run pull docker://{name}')
    well(home.do('commit', 'two', 'localhost/mine'))
    assert {one['name']: one['is_tree_alone'] for one in home.list()} == {name: True, 'localhost/mine:latest': False}


@case('an image that is fetched for a container: pulled by hand it has layers again, and its tree gone it is fetched again')
def _(root):
    home = Home(root)
    with trusted(root, Registry(root)) as registry:
        registry.fill(layout(root), 'it', '--dest-tls-verify=false')
        reference = f'docker://{registry.address}/it'
        assert well(home.do(f'--image={reference}', '--', 'echo', 'ran')).out == 'ran\n'
        assert len(home.blobs()) == 2
        well(home.do('pull', reference))
        assert len(home.blobs()) == 3 and not home.list()[0]['is_tree_alone']
        well(home.do('create', 'one', f'--image={reference}'))
        assert len(home.blobs()) == 3
        well(home.do('push', f'{registry.address}/it', f'docker://{registry.address}/sent'))
        well(home.do('destroy', 'one'))
        well(home.do('rmi', f'{registry.address}/it'))
        well(home.do('prune', '--all'))

        well(home.do('create', 'two', f'--image={reference}'))
        well(home.do('destroy', 'two'))
        well(home.do('prune'))
        assert len(home.list()) == 1 and len(home.blobs()) == 2  # its tree is still there
        well(home.do('prune', '--all'))
        assert home.list() == [] and home.blobs() == set()
        well(home.do('create', 'three', f'--image={reference}'))
        # In another place there is no tree of it, and its layers are not here.
        other = f'{root.tmp}/other'
        shutil.rmtree(other, ignore_errors=True)
        os.makedirs(other)
        os.chown(other, root.alice.uid, root.alice.gid)
        well(home.do('create', 'four', f'--path={other}', f'--image={registry.address}/it'))
        assert well(home.do('start', 'four', f'--path={other}', '--foreground', '--', 'echo', 'up')).out.split() == ['up']


@case('a layer that another image has stays, and so do all while a pull goes on')
def _(root):
    home = Home(root)
    shared = busybox_layer()
    more = busybox_layer()
    more.add('more', b'more')
    with trusted(root, Registry(root)) as registry:
        registry.fill(layout(root, None, shared, name='a'), 'a', '--dest-tls-verify=false')
        registry.fill(layout(root, None, shared, more, name='b'), 'b', '--dest-tls-verify=false')
        well(home.do('pull', f'docker://{registry.address}/a'))
        assert len(home.blobs()) == 3
        with open(f'{home.images}/.pulls') as pulls:
            fcntl.flock(pulls, fcntl.LOCK_SH)
            well(home.do('create', 'one', f'--image=docker://{registry.address}/b'))
            assert len(home.blobs()) == 6
        well(home.do('create', 'two', f'--image=docker://{registry.address}/b'))  # a later one does it
        assert len(home.blobs()) == 5, home.blobs()


@case('a layout of the user\'s: a second container of it needs no skopeo, unless it has changed')
def _(root):
    home = Home(root)
    path = layout(root)
    well(home.do('create', 'one', f'--image=oci:{path}:it'))
    assert len(home.blobs()) == 2
    well(home.do('create', 'two', f'--image=oci:{path}:it', PATH='/nowhere'))
    more = busybox_layer()
    more.add('more', b'more')
    layout(root, None, more)
    fails(home.do('create', 'three', f'--image=oci:{path}:it', PATH='/nowhere'), 'skopeo')
    well(home.do('create', 'three', f'--image=oci:{path}:it'))
    assert runs(home, 'three', 'cat', '/more') == 'more' and home.do('start', 'two', '--foreground', '--', 'cat', '/more').code != 0


@case('push sends it to a registry, from where it can be pulled')
def _(root):
    home = Home(root)
    with Registry(root) as registry:
        well(home.do('pull', f'oci:{layout(root)}:it'))
        name, digest = home.list()[0]['name'], home.list()[0]['digest']
        well(home.do('push', name, f'docker://{registry.address}/sent:2', '--no-tls-verify'))
        well(home.do('pull', f'docker://{registry.address}/sent:2', '--no-tls-verify'))
        assert {image['digest'] for image in home.list()} == {digest}


@case('commit makes an image of a container: files, owners, attributes, settings')
def _(root):
    home = Home(root)
    well(home.do('create', 'box', f'--image=oci:{layout(root)}:it', '--env=A=b', '--cwd=/etc'))
    script = 'echo kept >/root/file; chown 5:7 /root/file; chmod 4750 /root/file; rm /etc/group; ln -s file /root/link'
    well(home.do('start', 'box', '--foreground', '--', 'sh', '-c', script))
    well(home.do('commit', 'box', 'localhost/mine:1'))
    assert [image['name'] for image in home.list() if 'mine' in image['name']] == ['localhost/mine:1']
    look = 'echo $A; pwd; stat -c "%u:%g %a" /root/file; cat /root/link; ls /etc/group 2>/dev/null || echo gone'
    done = well(home.do('--image=localhost/mine:1', '--', 'sh', '-c', look))
    assert done.out.split() == ['b', '/etc', '5:7', '4750', 'kept', 'gone'], done
    with Registry(root) as registry:
        well(home.do('push', 'localhost/mine:1', f'docker://{registry.address}/mine', '--no-tls-verify'))
        well(home.do('rmi', 'localhost/mine:1'))
        well(home.do('pull', f'docker://{registry.address}/mine', '--no-tls-verify'))
        assert well(home.do(f'--image={registry.address}/mine', '--', 'cat', '/root/file')).out == 'kept\n'


@case('commit: a name that would mean a deletion in an image is refused, and nothing is kept')
def _(root):
    home = Home(root)
    well(home.do('create', 'box', f'--image=oci:{layout(root)}:it'))
    before = home.blobs()
    for name in ('.wh.passwd', '.wh..wh..opq', 'a/b/.wh.x'):
        runs(home, 'box', 'sh', '-c', f'mkdir -p /etc/a/b; echo x >/etc/{name}')
        fails(home.do('commit', 'box', 'localhost/mine'), f'/etc/{name}', 'means a deletion')
        runs(home, 'box', 'rm', f'/etc/{name}')
    assert home.blobs() == before and len(home.list()) == 1
    # Names that only look like it.
    runs(home, 'box', 'sh', '-c', 'cd /etc; echo a >x.wh.y; echo b >"$(printf "line\\nwh.z")"; mkdir a/.whole')
    well(home.do('commit', 'box', 'localhost/mine'))
    assert well(home.do('--image=localhost/mine', '--', 'sh', '-c', 'cat /etc/x.wh.y /etc/line*; ls -a /etc/a')).out.split() == [
        'a', 'b', '.', '..', '.whole', 'b']


@case('commit: the holes of a file take no room, however large root inside has made it')
def _(root):
    home = Home(root)
    well(home.do('create', 'box', f'--image=oci:{layout(root)}:it'))
    script = 'echo begin >/root/file; echo end | dd of=/root/file bs=1 seek=1073741824; stat -c %s /root/file'
    well(home.do('start', 'box', '--foreground', '--', 'sh', '-c', script))
    well(home.do('commit', 'box', 'localhost/mine'))
    (image,) = [image for image in home.list() if 'mine' in image['name']]
    assert image['bytes'] < 8 << 20, image
    look = 'stat -c %s /root/file; head -c 6 /root/file; dd if=/root/file bs=1 skip=1073741824 2>/dev/null; du -k /root/file'
    done = well(home.do('--image=localhost/mine', '--', '/bin/busybox', 'sh', '-c', look.replace('du ', '/bin/busybox du ')))
    words = done.out.split()
    assert words[:3] == [str((1 << 30) + 4), 'begin', 'end'] and int(words[3]) < 1024, done


@case('a running container is not committed')
def _(root):
    home = Home(root)
    well(home.do('create', 'box', f'--image=oci:{layout(root)}:it'))
    well(home.do('start', 'box', '--', 'sh', '-c', 'trap "exit 0" TERM; while :; do sleep 1000 & wait; done'))
    fails(home.do('commit', 'box', 'localhost/mine'), 'is running')
    well(home.do('stop', 'box'))


@case('layers of zstd, of gzip and not compressed, from a layout and from a registry')
def _(root):
    home = Home(root)
    layers = []
    for name in ('one', 'two', 'three'):
        layer = busybox_layer() if name == 'one' else Archive()
        layers.append(layer.add(name, name.encode()))
    for form in ('zstd', 'gzip', None):
        path = layout(root, None, *layers, form=form, name=f'layout-{form}')
        name = f'of-{form}'.lower()
        well(home.do('create', name, f'--image=oci:{path}:it'))
        assert runs(home, name, 'cat', '/one', '/two', '/three') == 'onetwothree'
    # As a registry has it: pulled as it is.
    path = layout(root, None, *layers, form='zstd')
    with trusted(root, Registry(root)) as registry:
        registry.fill(path, 'it', '--dest-tls-verify=false')
        well(home.do('pull', f'docker://{registry.address}/it'))
        (image,) = [one for one in home.list() if registry.address in one['name']]
        with open(f'{home.images}/blobs/sha256/{image["digest"][7:]}') as file:
            assert {layer['mediaType'].rsplit('+')[-1] for layer in json.load(file)['layers']} == {'zstd'}
        assert well(home.do(f'--image={registry.address}/it', '--', 'cat', '/one', '/two', '/three')).out == 'onetwothree'


@case('a docker-archive and a directory of skopeo\'s')
def _(root):
    home, path = Home(root), layout(root)
    for transport, place in (('docker-archive', f'{root.tmp}/it.tar'), ('dir', f'{root.tmp}/it.dir')):
        target = f'{transport}:{place}' + (':it:1' if transport == 'docker-archive' else '')
        done = root.run(['/usr/bin/skopeo', 'copy', '--insecure-policy', '-q', f'oci:{path}:it', target])
        assert done.code == 0, done
        for top, _, names in os.walk(place):
            for name in names:
                os.chmod(os.path.join(top, name), 0o644)
        assert well(home.do(f'--image={transport}:{place}', '--', 'echo', 'ran')).out == 'ran\n'


def rejecting(root, path, registry):
    """A policy.json of the user's that takes nothing of this registry."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    root.write(path, json.dumps({'default': [{'type': 'insecureAcceptAnything'}],
                                 'transports': {'docker': {registry.address: [{'type': 'reject'}]}}}), 0o644)


@case('an image that policy.json rejects is refused, and the file is named: the user\'s own, and the system\'s')
def _(root):
    home = Home(root)
    own = f'{root.tmp}/home/alice/.config/containers/policy.json'
    with trusted(root, Registry(root)) as registry:
        registry.fill(layout(root), 'it', '--dest-tls-verify=false')
        reference = f'docker://{registry.address}/it'
        for path in (own, '/etc/containers/policy.json'):
            kept = open(path).read() if os.path.exists(path) else None
            rejecting(root, path, registry)
            try:
                for words in (('pull', reference), ('create', 'box', f'--image={reference}'), (f'--image={reference}', '--', 'true')):
                    fails(home.do(*words), 'rejected by policy', path)
                assert home.list() == [] and home.blobs() == set() and home.litter() == []
            finally:
                os.unlink(path)
                if kept is not None:
                    root.write(path, kept, 0o644)
        well(home.do('pull', reference))


@case('a policy that wants a signature: an image without one is refused, and one that is signed is taken')
def _(root):
    if not shutil.which('gpg'):
        skip('gpg is not installed')
    home = Home(root)
    own = f'{root.tmp}/home/alice/.config/containers'
    shutil.rmtree(own, ignore_errors=True)
    os.makedirs(f'{own}/registries.d')
    gnupg = f'{root.tmp}/gnupg'
    shutil.rmtree(gnupg, ignore_errors=True)
    os.makedirs(gnupg, 0o700)
    gpg = ['gpg', '--homedir', gnupg, '--batch', '--passphrase', '', '--pinentry-mode', 'loopback']
    subprocess.run([*gpg, '--quick-generate-key', 'it@example.org', 'default', 'default', 'never'], check=True, capture_output=True)
    subprocess.run([*gpg, '--export', '-o', f'{own}/key.gpg', 'it@example.org'], check=True, capture_output=True)
    os.chmod(f'{own}/key.gpg', 0o644)
    with trusted(root, Registry(root)) as registry:
        store = f'{root.tmp}/sigstore'
        shutil.rmtree(store, ignore_errors=True)
        root.write(f'{own}/registries.d/it.yaml', f'docker:\n  {registry.address}:\n    sigstore: file://{store}\n', 0o644)
        root.write(f'{own}/policy.json', json.dumps({'default': [{'type': 'reject'}], 'transports': {'docker': {registry.address: [
            {'type': 'signedBy', 'keyType': 'GPGKeys', 'keyPath': f'{own}/key.gpg'}]}}}), 0o644)
        registry.fill(layout(root), 'it', '--dest-tls-verify=false')
        reference = f'docker://{registry.address}/it'
        fails(home.do('pull', reference), f'{own}/policy.json', 'signature')
        assert home.list() == []
        os.makedirs(store)
        done = subprocess.run(['skopeo', 'copy', '-q', '--insecure-policy', '--dest-tls-verify=false', '--sign-by=it@example.org',
                               f'--registries.d={own}/registries.d', f'oci:{root.tmp}/layout:it', reference],
                              capture_output=True, text=True, env={**os.environ, 'GNUPGHOME': gnupg})
        assert done.returncode == 0, done
        subprocess.run(['chmod', '-R', 'a+rX', store], check=True)
        well(home.do('pull', reference))
        assert len(home.list()) == 1
    shutil.rmtree(own)


@case('without skopeo: the sentence that names the package; references that are none')
def _(root):
    home = Home(root)
    fails(home.do('pull', 'docker://localhost/it', PATH='/nowhere'), 'install the package skopeo')
    fails(home.do('pull', 'localhost/it'), 'userns-run pull docker://localhost/it')
    for bad in ('docker://', 'docker://a b', 'docker://--help', 'containers-storage:it'):
        done = home.do('pull', bad)
        assert done.code == 125 and done.err.count('\n') == 1, done
    fails(home.do('create', 'box', '--image=nobody'), 'there is no image', 'userns-run pull')
    assert home.list() == []


@case('the store is an OCI layout that others read')
def _(root):
    home = Home(root)
    well(home.do('pull', f'docker://{registry_name(root, home)}', '--no-tls-verify'))
    name = home.list()[0]['name']
    done = root.run(['/usr/bin/skopeo', 'inspect', f'oci:{home.images}:{name}'], root.alice, env=home.env())
    assert done.code == 0 and json.loads(done.out)['Digest'] == home.list()[0]['digest'], done
    root.registry.__exit__()


def registry_name(root, _home):
    root.registry = Registry(root)
    root.registry.fill(layout(root), 'it', '--dest-tls-verify=false')
    return f'{root.registry.address}/it'


main()
