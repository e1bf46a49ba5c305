#!/usr/bin/env python3
"""userns-run in jobs of a Slurm of three nodes, as userns-hpc(7) says: its lines are run."""

import os
import re
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
from harness import case, main, skip, wait_for, with_own_pids   # noqa: E402
from slurm import NODES, Cluster, alive  # noqa: E402

with open(os.path.join(os.path.dirname(__file__), '..', '..', 'man', 'userns-hpc.7')) as page:
    TEXT = page.read()


def from_manual(which):
    """The lines of an example, as a terminal shows them."""
    found = re.search(rf'^\.\\" lines: {which}\n\.Bd [^\n]*\n(.*?)^\.Ed', TEXT, re.M | re.S)[1]
    return found.replace('\\e', '\\')


def shared_app(root):
    """An OCI layout of one busybox, which all nodes see."""
    if not shutil.which('umoci'):
        skip('umoci is not installed: it makes the image')
    where = f'{root.tmp}/shared/app'
    if os.path.exists(where):
        return where
    tree = f'{root.tmp}/shared/tree'
    os.makedirs(f'{root.tmp}/shared')
    for words in (['umoci', 'init', '--layout', where], ['umoci', 'new', '--image', f'{where}:latest'],
                  ['umoci', 'unpack', '--image', f'{where}:latest', tree]):
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    os.makedirs(f'{tree}/rootfs/bin')
    shutil.copy('/bin/busybox', f'{tree}/rootfs/bin/busybox')
    for name in ('sh', 'id', 'env', 'ls', 'sleep', 'cat', 'readlink', 'true', 'echo', 'touch'):
        os.symlink('busybox', f'{tree}/rootfs/bin/{name}')
    subprocess.run(['umoci', 'repack', '--image', f'{where}:latest', tree], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(['chmod', '-R', 'a+rX', f'{root.tmp}/shared'], check=True)
    return where


def cluster(root, **how):
    """With the manual's TaskProlog; its /local and /shared are this test's."""
    shared_app(root)
    prolog = f'{root.tmp}/task_prolog'
    found = Cluster(root, task_prolog=prolog, **how)
    root.write(prolog, from_manual('TaskProlog').replace('/local', found.local), 0o755)
    return found


def line(root, which):
    """A line of the manual that begins with srun, as words for a shell."""
    return from_manual(which).replace('/shared/', f'{root.tmp}/shared/').strip()


def by_shell(cluster, root, text):
    return root.run(['/bin/sh', '-c', text], root.alice, env=cluster.env(root.alice), cwd=f'{root.tmp}/home/alice', timeout=60)


def ids(root):
    """Of alice, and those delegated to alice."""
    return {root.alice.uid, *range(100000, 165536)}


@case('the line of userns-hpc(7): an image of a shared file system, unpacked once on each node')
def _(root):
    slurm = cluster(root)
    done = by_shell(slurm, root, line(root, 'srun'))
    assert done.code == 0 and done.out.split() == ['0'] * 6, (done, slurm.said())
    for name in NODES:
        store = f'{slurm.top}/local.{name}/alice/userns'
        bases = [entry for entry in os.listdir(store) if entry.endswith('.base')]
        assert len(bases) == 1, (name, os.listdir(store))
    assert not os.path.exists(f'{root.tmp}/home/alice/.local/share/userns')
    done = slurm.srun(root.alice, '-n1', 'userns-run', '--image', f'oci:{shared_app(root)}', '--', 'sh', '-c', 'exit 9')
    assert done.code == 9, done
    slurm.end()


@case('200 containers on three nodes; scancel leaves nothing')
def _(root):
    slurm = cluster(root)
    image = f'oci:{shared_app(root)}'
    begun = time.monotonic()
    done = slurm.srun(root.alice, '-N3', '-n200', 'userns-run', '--image', image, '--', 'true', seconds=120)
    took = time.monotonic() - begun
    assert done.code == 0, (done, slurm.said())
    begun = time.monotonic()
    done = slurm.srun(root.alice, '-N3', '-n200', 'userns-run', '--image', image, '--', 'true', seconds=120)
    again = time.monotonic() - begun
    assert done.code == 0, done
    job = slurm.start(root.alice, '-N3', '-n200', 'userns-run', '--image', image, '--', 'sleep', '1000')
    wait_for(lambda: sum(text.startswith('sleep\0') for text in alive(ids(root))) == 200, '200 containers', 60)
    begun = time.monotonic()
    slurm.cancel(root.alice, '-u', 'alice')
    wait_for(lambda: not any(text.startswith(('sleep\0', 'userns-run\0')) for text in alive(ids(root))), 'nothing to be left', 60)
    ended = time.monotonic() - begun
    job.wait(60)
    wait_for(lambda: slurm.jobs() == [], 'the end of the job', 60)
    slurm.end()
    return f'{took:.1f} s with unpacking, {again:.1f} s without, scancel to nothing left {ended:.2f} s'


@case('the lines of userns-hpc(7): environment of the job, and memory shared by tasks of a node')
def _(root):
    slurm = cluster(root)
    done = by_shell(slurm, root, line(root, 'environment'))
    assert done.code == 0 and 'SLURM_PROCID=0\n' in done.out and 'SLURM_JOB_ID=' in done.out, (done, slurm.said())
    assert 'XDG_DATA_HOME' not in done.out, done
    done = by_shell(slurm, root, line(root, 'sharing'))
    assert done.code == 0, done
    inside = 'for n in net ipc pid; do readlink /proc/self/ns/$n; done'
    words = line(root, 'sharing').split(' -- ')[0]
    done = by_shell(slurm, root, f"{words} -- sh -c '{inside}'")
    assert done.code == 0 and len(done.out.split()) == 6 and len(set(done.out.split())) == 3, done
    script = 'touch /dev/shm/slurm-$SLURM_PROCID; until [ -e /dev/shm/slurm-0 ] && [ -e /dev/shm/slurm-1 ]; do :; done'
    done = by_shell(slurm, root, words.replace('--share', '--env SLURM_PROCID --share') + f" -- sh -c '{script}'")
    for number in (0, 1):
        os.unlink(f'/dev/shm/slurm-{number}')
    assert done.code == 0, done
    slurm.end()


@case("a job's --mem and --cpus-per-task hold inside; a limit of one's own that would not hold here is refused")
def _(root):
    slurm = cluster(root, cpus=2, cgroups=True)
    image = f'oci:{shared_app(root)}'
    script = 'grep Cpus_allowed_list /proc/self/status; x=$(yes | head -c 200000000 | tr "\\n" x); echo had it'
    words = ['userns-run', '--image', image, '--', '/bin/busybox', 'sh', '-c', script]
    done = slurm.srun(root.alice, '-n1', '--cpus-per-task=1', '--mem=50M', *words)
    assert re.search(r'Cpus_allowed_list:\s\d\n', done.out) and 'had it' not in done.out and done.code != 0, done
    done = slurm.srun(root.alice, '-n1', '--cpus-per-task=2', '--mem=1000M', *words)
    assert re.search(r'Cpus_allowed_list:\s0-1\n', done.out) and 'had it' in done.out and done.code == 0, done
    # Here the controllers are v1's, of which a job is given none.
    done = slurm.srun(root.alice, '-n1', '--mem=50M', 'userns-run', '--memory=20M', *words[1:])
    assert done.code == 125 and 'had it' not in done.out and 'no limit would hold' in done.err, done
    slurm.end()


@case('a named container that a job starts ends with the job')
def _(root):
    slurm = cluster(root)
    image = f'oci:{shared_app(root)}'
    script = f'userns-run create web --image {image} && userns-run start web -- sleep 1000; sleep 1000'
    job = slurm.start(root.alice, '-N1', '-n1', 'sh', '-c', script)
    wait_for(lambda: sum(text == 'sleep\x001000\0' for text in alive(ids(root))) == 2, f'the container\n{alive(ids(root))}')
    slurm.cancel(root.alice, '-u', 'alice')
    job.wait(60)
    wait_for(lambda: slurm.jobs() == [] and alive(ids(root)) == [], 'nothing to be left', 60)
    slurm.end()


with_own_pids()
main()
