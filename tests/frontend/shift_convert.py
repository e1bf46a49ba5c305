#!/usr/bin/env python3
"""userns-run convert, and shift --by-config: the root file systems of named containers."""

import os
import shutil

from shift_tree import A, RANGE, capability, check, expected, listing, make_file, mover, needs_acls, own, state, zoo
from container import fails, rootfs, well
from harness import case, main


def store(root, user, name='web', config='', owner=None):
    """A container of the user's, its root file system owned by `owner`. Returns (--path, the container's directory)."""
    path = f'{root.tmp}/home/{user.name}/store' if user else f'{root.tmp}/root-store'
    shutil.rmtree(path, ignore_errors=True)
    here = f'{path}/{name}'
    os.makedirs(here, 0o700)
    os.chmod(path, 0o700)
    root.write(f'{here}/config', config, 0o600)
    shutil.move(rootfs(root, 'for-store', owner or 0), f'{here}/rootfs')
    if user:
        for one in (path, here, f'{here}/config'):
            own(one, user.uid, user.gid)
    return path, here


def run(root, verb, *words, user=None):
    return root.run([root.program('userns-run'), verb, *words], user, env=state(root, user), timeout=60)


def config_of(here):
    with open(f'{here}/config') as file:
        return file.read()


@case('a user\'s own files become his container\'s, its map is written, and it runs')
def _(root):
    user = root.alice
    path, here = store(root, user, config='# mine\nhostname = web\n', owner=user.uid)
    for directory, names, files in os.walk(f'{here}/rootfs'):
        for name in [''] + names + files:
            own(os.path.join(directory, name), user.uid, user.gid)
    make_file(f'{here}/rootfs/bin/suid', user.uid, user.gid, 0o4755)
    done = well(run(root, 'convert', 'web', '--path', path, user=user))
    assert 'its id map is in its config' in done.out, done
    text = config_of(here)
    assert f'b:0:{A}:{RANGE}' in text and text.startswith('# mine\nhostname = web\n'), text
    status = os.stat(f'{here}/rootfs/bin/suid')
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (A, A, 0o4755)
    ran = root.run([root.program('userns-run'), '--rootfs', f'{here}/rootfs', '--', 'stat', '-c', '%u:%g', '/bin/suid'], user)
    assert ran.out == '0:0\n', ran
    # Once more: nothing is left to do, and the map stays.
    done = well(run(root, 'convert', 'web', '--path', path, user=user))
    assert ' 0 to shift' in done.out and config_of(here) == text, done


@case('root converts a container with the map of its config')
def _(root):
    path, here = store(root, None, config=f'map = b:0:{A}:{RANGE}\n')
    zoo(f'{here}/rootfs/zoo', 0)
    before = listing(f'{here}/rootfs')
    well(run(root, 'convert', 'web', '--path', path, '--dry-run'))
    check(f'{here}/rootfs', before)
    well(run(root, 'convert', 'web', '--path', path))
    check(f'{here}/rootfs', expected(before, mover(0, A, RANGE)))
    well(run(root, 'shift', '--out', '--by-config', 'web', '--path', path))
    check(f'{here}/rootfs', before)
    well(run(root, 'shift', '--by-config', 'web', '--path', path))
    check(f'{here}/rootfs', expected(before, mover(0, A, RANGE)))


@case('root converts a directory for a user, and says how he uses it')
def _(root):
    needs_acls(root.tmp)
    top = f'{root.tmp}/for-alice'
    shutil.rmtree(top, ignore_errors=True)
    zoo(top, 0)
    make_file(f'{top}/caps of root', 0, 0, 0o755, caps=capability(0))
    before = listing(top)
    fails(run(root, 'convert', top), '--for USER')
    fails(run(root, 'convert', top, '--for', 'nobody-of-that-name'), 'there is no user')
    fails(run(root, 'convert', top, '--for', 'carol'), 'carol has no subordinate ids')
    check(top, before)
    done = well(run(root, 'convert', top, '--for', 'alice'))
    assert f"--map b:0:{A}:{RANGE}" in done.out, done
    check(top, expected(before, mover(0, A, RANGE)))
    shutil.rmtree(top)


@case('what makes no sense is refused')
def _(root):
    path, _here = store(root, None, config=f'map = b:0:{A}:{RANGE}\n')
    fails(run(root, 'convert'), 'one NAME of a container, or one DIR')
    fails(run(root, 'convert', 'wbe', '--path', path), 'neither a container nor a directory')
    fails(run(root, 'convert', 'web', '--path', path, '--map', '5:6'), 'those of its config')
    fails(run(root, 'convert', f'{root.tmp}', '--for', 'alice', user=root.alice), "--for is root's")
    fails(run(root, 'shift', '--by-config', 'wbe', '--path', path), 'did you mean web')


main()
