"""Archives that are made to use up time: what they cost is in proportion to what they hold, and bounded."""

import json
import os
import resource
import sys

sys.path.insert(0, os.path.dirname(__file__))
from rootfs_tree import IDS, Archive, clean, fails, target, tool, well  # noqa: E402
from images import image  # noqa: E402
from harness import case, cases, main  # noqa: E402

MANY = 20_000
SLACK = 0.5  # seconds of CPU time that starting programs takes


def cpu_of(root, archive, *options, timeout=600):
    """(CPU seconds that unpacking takes, Done)"""
    where = target(root)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = root.run([tool(root), *options, IDS, 'archive', archive, where], root.alice, timeout=timeout)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    left = sorted(os.listdir(where))
    clean(where)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done, left


def files(count=MANY, where='d'):
    layer = Archive().directory(where)
    for number in range(count):
        layer.add(f'{where}/f{number:05}', b'')
    return layer


def opaque_again(where='d'):
    """The files, and as many whiteouts that hide what earlier layers have in their directory."""
    layer = files(where=where)
    for _ in range(MANY):
        layer.add(f'{where}/.wh..wh..opq', b'')
    return layer


def opaque_by_links():
    """The same directory by another name each time."""
    layer = files(where='top/d')
    for number in range(MANY):
        layer.link(f'l{number}', 'top')
    for number in range(MANY):
        layer.add(f'l{number}/d/.wh..wh..opq', b'')
    return layer


def whiteout_again():
    layer = files()
    for _ in range(MANY):
        layer.add('.wh.d', b'')
    return layer


def nested():
    """Opaque directories in opaque directories, the deepest first."""
    layer, depth = Archive(), 800
    for level in range(1, depth + 1):
        layer.directory('/'.join(['d'] * level))
    for _ in range(MANY // depth):
        for level in range(depth, 0, -1):
            layer.add('/'.join(['d'] * level) + '/.wh..wh..opq', b'')
    return layer


@cases([('20,000 opaque whiteouts of a directory with 20,000 files', opaque_again, 2),
        ('20,000 opaque whiteouts that name it by 20,000 links', opaque_by_links, 3),
        ('20,000 whiteouts of a directory that the layer itself has filled', whiteout_again, 2),
        ('opaque directories 800 deep, each 25 times', nested, 2)])
def _(root, make, parts):
    """Beside a layer that has as many plain entries."""
    plain = files(MANY * parts)
    by_plain, done, _ = cpu_of(root, image(root, {}, files(1), plain, name='plain.tar'))
    well(done)
    hostile, done, _ = cpu_of(root, image(root, {}, files(1), make(), name='hostile.tar'), '--max-cpu', f'{int(by_plain * 20) + 20}')
    well(done)
    assert hostile < 3 * by_plain + SLACK, f'{hostile:.2f} s of CPU time, {by_plain:.2f} s for as many plain files'
    return f'{hostile:.2f} s of CPU time, {by_plain:.2f} s for as many plain files'


@case('what a layer itself puts into an opaque directory stays, wherever the whiteout stands')
def _(root):
    lower = Archive().directory('d').add('d/old', b'').directory('d/deep').add('d/deep/old', b'').directory('e').add('e/old', b'')
    upper = Archive().add('d/new', b'').add('d/.wh..wh..opq', b'').add('d/new2', b'').directory('d/deep').add('d/deep/new', b'') \
        .add('d/deep/.wh..wh..opq', b'').add('.wh.e', b'').directory('e').add('e/new', b'').add('.wh.e', b'')
    where = target(root)
    well(root.run([tool(root), IDS, 'archive', image(root, {}, lower, upper), where], root.alice))
    found = {os.path.relpath(f'{directory}/{name}', where) for directory, _, names in os.walk(where) for name in names}
    assert found == {'d/new', 'd/new2', 'd/deep/new', 'e/new'}, found


@case('a later layer empties the same directory again')
def _(root):
    layers = [Archive().directory('d').add(f'd/{number}', b'').add('d/.wh..wh..opq', b'') for number in range(3)]
    where = target(root)
    well(root.run([tool(root), IDS, 'archive', image(root, {}, *layers), where], root.alice))
    assert os.listdir(f'{where}/d') == ['2'], os.listdir(f'{where}/d')


@case('an archive of links that lead through links ends when its CPU time is used up')
def _(root):
    layer = Archive().directory('x')
    layer.link('a0', '/'.join(['x/..'] * 800 + ['x']))
    for number in range(1, 30):
        layer.link(f'a{number}', '/'.join(['x/..'] * 800 + [f'a{number - 1}']))
    for number in range(50_000):
        layer.add(f'a{28 + number % 2}/g', b'')
    used, done, _ = cpu_of(root, layer.write(f'{root.tmp}/links.tar'), '--max-cpu', '2')
    fails(done, 'CPU time', '--max-cpu')
    assert used < 8, used
    return f'{used:.2f} s'


@case('layers that are named again and again count each time')
def _(root):
    layer = Archive().add('big', b'\0' * (1 << 20)).add('.wh.big', b'')
    name = f'{0:064x}/layer.tar'
    whole = Archive().add(name, layer.data()).add('c.json', b'{}')
    whole.add('manifest.json', json.dumps([{'Config': 'c.json', 'Layers': [name] * 900}]).encode())
    _, done, _ = cpu_of(root, whole.write(f'{root.tmp}/again.tar'), '--max-size', str(64 << 20))
    fails(done, '--max-size')


if __name__ == '__main__':
    main()
