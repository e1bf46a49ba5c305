#!/usr/bin/env python3
"""userns-policy edit with editors that are scripts: what is installed, what is not, and what is left behind."""

import os
import pty
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
from harness import SYSCALL, Result, case, cases, main, mount, spawn, trace, umount, wait_for  # noqa: E402

NET = '/etc/userns/net.conf'
PATH = '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin'
RENAME = 82


def read(path):
    with open(path) as file:
        return file.read()


def start(root, file, script, answers='', env=None, user=None, **how):
    """`script`: sh, with the copy as $1."""
    os.makedirs(f'{root.tmp}/work', exist_ok=True)
    root.write(f'{root.tmp}/editor', f'#!/bin/sh\n{script}\n', mode=0o755)
    ours, theirs = os.pipe()
    os.write(theirs, answers.encode())
    os.close(theirs)
    child = spawn([root.program('userns-policy'), 'edit', file], user, stdin=ours,
                  env={'PATH': PATH, 'EDITOR': f'{root.tmp}/editor', 'TMPDIR': f'{root.tmp}/work', **(env or {})}, **how)
    os.close(ours)
    return child


def edit(root, file, script, answers='', **how):
    return start(root, file, script, answers, **how).wait()


def nothing_left(root):
    left = [n for n in os.listdir('/etc') + os.listdir('/etc/userns')
            if n.endswith(('.userns-policy',)) or (n.endswith('.lock') and n != '.pwd.lock') or re.search(r'\.\d+$', n) and n.startswith(('sub', 'net'))]
    assert not left and os.listdir(f'{root.tmp}/work') == [], (left, os.listdir(f'{root.tmp}/work'))


@case('a good edit is installed, with owner, mode, ACL and attributes of the old file')
def _(root):
    root.write(NET, '# mine\n', mode=0o640, owner=(0, 71001))
    subprocess.run(['setfacl', '-m', 'u:70002:r', NET], check=True)
    os.setxattr(NET, 'trusted.note', b'x')
    acl = subprocess.check_output(['getfacl', '-n', NET])
    done = edit(root, 'net.conf', 'echo "root veth nobr 1" >>"$1"')
    assert done.code == 0 and 'is changed' in done.err and done.out == '', done
    assert read(NET) == '# mine\nroot veth nobr 1\n' and subprocess.check_output(['getfacl', '-n', NET]) == acl
    assert os.getxattr(NET, 'trusted.note') == b'x'
    nothing_left(root)


@case('the copy is private: 0600 in a directory of root\'s, and bears the file\'s name')
def _(root):
    done = edit(root, '/etc/subuid', f'stat -c "%a %u %n" "$1" "$(dirname "$1")" >{root.tmp}/seen')
    assert done.code == 0 and 'is unchanged' in done.err, done
    file, directory = read(f'{root.tmp}/seen').splitlines()
    assert re.fullmatch(r'600 0 \S+/userns-policy\.\w+/subuid', file) and directory.startswith('700 0 '), (file, directory)
    nothing_left(root)


@case('$VISUAL comes before $EDITOR, and may have arguments')
def _(root):
    root.write(f'{root.tmp}/other', '#!/bin/sh\necho "$1" >"$2"\n', mode=0o755)
    done = edit(root, 'net.conf', 'echo nonsense >"$1"', env={'VISUAL': f'{root.tmp}/other "# two words"'})
    assert done.code == 0 and read(NET) == '# two words\n', done


@case('errors are shown and not installed: edit again until it is well')
def _(root):
    root.write(NET, '')
    done = edit(root, 'net.conf', 'if grep -q veth "$1"; then echo "# well" >"$1"; else echo "root veth" >"$1"; fi', 'e\n')
    assert done.code == 0 and read(NET) == '# well\n', done
    assert f'{NET}:1:10: error:' in done.err and '^' in done.err and done.err.count('What now?') == 1, done
    nothing_left(root)


@cases([('discard', 'd\n', 1), ('the end of input', '', 1), ('install anyway is refused, then discarded', 'i\ni\nwhat\nd\n', 4)])
def _(root, answers, asked):
    root.write(NET, '# old\n')
    done = edit(root, 'net.conf', 'echo "root veth" >"$1"', answers)
    assert done.code == 1 and read(NET) == '# old\n' and done.err.count('What now?') == asked, done
    assert done.err.count('never installed') == answers.count('i\n'), done
    nothing_left(root)


@case('warnings are shown and installed')
def _(root):
    root.write(NET, '')
    done = edit(root, 'net.conf', 'echo "nosuchuser veth nobridge 1" >"$1"')
    assert done.code == 0 and 'unknown-owner' in done.err and read(NET).startswith('nosuchuser'), done


@case('each file has its own check, and subuid is judged with subgid beside it')
def _(root):
    for file, text, says in (('subuid', 'alice:0x10:5\\n', '[hex]'), ('subgid', 'alice:1:5\\n', '[system-ids]'),
                             ('cgroup.conf', 'alice pids.max=0\\n', '[malformed]')):
        done = edit(root, file, f'printf "{text}" >"$1"', 'd\n')
        assert done.code == 1 and says in done.err, done
    done = edit(root, 'subuid', 'echo carol:400000:65536 >>"$1"')
    assert done.code == 0 and '[one-sided]' in done.err and 'carol' in read('/etc/subuid'), done


@case('an editor that fails, is killed or is not there changes nothing')
def _(root):
    root.write(NET, '# old\n')
    for script, env, says in (('echo "# new" >"$1"; exit 3', {}, 'status 3'), ('echo "# new" >"$1"; kill -9 $PPID; kill -9 $$', {}, None),
                              ('', {'EDITOR': '/nowhere/ed'}, 'status 127')):
        if says is None:
            continue
        done = edit(root, 'net.conf', script, env=env)
        assert done.code == 125 and says in done.err and read(NET) == '# old\n', done
        nothing_left(root)
    done = edit(root, 'net.conf', 'echo "# new" >"$1"; kill -9 $$')
    assert done.code == 125 and read(NET) == '# old\n', done


@case('an editor that removes the copy, or makes it a link, installs nothing')
def _(root):
    root.write(NET, '# old\n')
    for script in ('rm "$1"', 'rm "$1"; mkdir "$1"', 'rm "$1"; mkfifo "$1"'):
        done = edit(root, 'net.conf', script)
        assert done.code == 125 and read(NET) == '# old\n', done


@case('a change by somebody else meanwhile wins, and what was written is kept')
def _(root):
    root.write(NET, '# old\n')
    done = edit(root, 'net.conf', f'echo "# theirs" >{NET}.new; mv {NET}.new {NET}; echo "# mine" >"$1"')
    assert done.code == 125 and 'meanwhile' in done.err and read(NET) == '# theirs\n', done
    kept = re.search(r'kept in (\S+)', done.err)[1]
    assert read(kept) == '# mine\n'
    subprocess.run(['rm', '-r', os.path.dirname(kept)], check=True)
    # In place, too, with the same length.
    done = edit(root, 'net.conf', f'echo "# thEirs" >{NET}; echo "# mine" >"$1"')
    assert done.code == 125 and read(NET) == '# thEirs\n', done
    subprocess.run(['rm', '-r', os.path.dirname(re.search(r'kept in (\S+)', done.err)[1])], check=True)
    nothing_left(root)


@case('while a subid file is being edited shadow\'s tools keep off, and passwd\'s lock is free')
def _(root):
    child = start(root, 'subuid', f'touch {root.tmp}/editing; while [ -e {root.tmp}/editing ]; do sleep 0.02; done; echo carol:400000:65536 >>"$1"')
    wait_for(lambda: os.path.exists(f'{root.tmp}/editing'), 'the editor')
    assert read('/etc/subuid.lock').rstrip('\0') == str(child.pid)
    done = root.run(['/usr/sbin/usermod', '--add-subuids', '900000-900009', 'bob'])
    assert done.code != 0 and '/etc/subuid' in done.err, done
    with root.target(root.alice) as target:
        assert root.run([root.newuidmap, target.pid, 0, 100000, 1], root.alice).code == 0
    os.unlink(f'{root.tmp}/editing')
    done = child.wait()
    assert done.code == 0 and read('/etc/subuid') == 'alice:100000:65536\nbob:200000:65536\ncarol:400000:65536\n', done
    assert root.run(['/usr/sbin/usermod', '--add-subuids', '900000-900009', 'bob']).code == 0
    nothing_left(root)


@case('two edits of a file: the second waits, and sees what the first wrote')
def _(root):
    root.write(NET, '')
    first = start(root, 'net.conf', f'touch {root.tmp}/editing; while [ -e {root.tmp}/editing ]; do sleep 0.02; done; echo "# first" >>"$1"')
    wait_for(lambda: os.path.exists(f'{root.tmp}/editing'), 'the editor')
    second = start(root, 'net.conf', 'echo "# second" >>"$1"')
    time.sleep(0.3)
    os.unlink(f'{root.tmp}/editing')
    assert first.wait().code == 0 and second.wait().code == 0
    assert read(NET) == '# first\n# second\n'


@case('a signal at the question discards and cleans up; a kill while editing leaves a lock that the next one takes over')
def _(root):
    root.write(NET, '# old\n')
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        outer, inner = pty.openpty()
        child = spawn([root.program('userns-policy'), 'edit', 'net.conf'], None, stdin=inner,
                      env={'PATH': PATH, 'EDITOR': 'printf "x\\n" >', 'TMPDIR': f'{root.tmp}/work'})

        def asks():
            with open(f'/proc/{child.pid}/syscall') as file:
                return file.read().startswith('0 0x0 ')
        wait_for(asks, 'the question')
        child.kill(number)
        done = child.wait()
        os.close(outer), os.close(inner)
        assert done.code == 1 and 'discarded' in done.err and read(NET) == '# old\n', done
        nothing_left(root)
    child = start(root, 'net.conf', f'touch {root.tmp}/editing; sleep 60')
    wait_for(lambda: os.path.exists(f'{root.tmp}/editing'), 'the editor')
    child.kill()
    child.wait()
    subprocess.run(f'rm -r {root.tmp}/work/* {root.tmp}/editing', shell=True, check=True)
    done = edit(root, 'net.conf', 'echo "# new" >"$1"')
    assert done.code == 0 and read(NET) == '# new\n', done
    nothing_left(root)


@case('a full disk keeps the old file and what was written')
def _(root):
    directory = f'{root.tmp}/tiny'
    os.makedirs(directory, exist_ok=True)
    mount('tmpfs', directory, 'tmpfs', 0, 'size=16k,mode=755')
    try:
        root.write(f'{directory}/net.conf', '# old\n')
        with open(f'{directory}/filler', 'wb') as filler:
            try:
                filler.write(b'x' * (64 << 10))
                filler.flush()
            except OSError:
                pass
        os.path.lexists(NET) and os.unlink(NET)
        os.symlink(f'{directory}/net.conf', NET)
        done = edit(root, 'net.conf', 'echo "# new" >"$1"')
        assert done.code == 125 and 'No space left' in done.err and read(NET) == '# old\n', done
        kept = re.search(r'kept in (\S+)', done.err)[1]
        assert read(kept) == '# new\n' and sorted(os.listdir(directory)) == ['filler', 'net.conf']
        subprocess.run(['rm', '-r', os.path.dirname(kept)], check=True)
    finally:
        os.unlink(NET)
        umount(directory)


@case('a rename that fails leaves the old file')
def _(root):
    root.write(NET, '# old\n')
    os.makedirs(f'{root.tmp}/work', exist_ok=True)
    root.write(f'{root.tmp}/editor', '#!/bin/sh\necho "# new" >"$1"\n', mode=0o755)
    child = spawn([root.program('userns-policy'), 'edit', 'net.conf'], traced=True,
                  env={'PATH': PATH, 'EDITOR': f'{root.tmp}/editor', 'TMPDIR': f'{root.tmp}/work'})
    done = trace(child, lambda stop: Result(-5) if stop.number == RENAME else None)
    assert done.code == 125 and 'cannot replace' in done.err and read(NET) == '# old\n', done
    subprocess.run(f'rm -r {root.tmp}/work/*', shell=True, check=True)
    nothing_left(root)


@case('a file that is not safe is not edited: a new one would look as if it were')
def _(root):
    root.write(NET, '# old\n', mode=0o666)
    done = edit(root, 'net.conf', 'echo "# new" >"$1"')
    assert done.code == 125 and '[TF-FILE]' in done.err and read(NET) == '# old\n', done
    nothing_left(root)


@case('a user without root, another file and bad words are refused before anything happens')
def _(root):
    for file, user, says in (('net.conf', root.alice, 'only root'), ('/tmp/net.conf', None, 'none of the policy files'),
                             ('passwd', None, 'none of the policy files')):
        done = edit(root, file, f'touch {root.tmp}/ran', user=user)
        assert done.code == 125 and says in done.err and done.err.count('\n') == 1, done
    assert not os.path.exists(f'{root.tmp}/ran')


if __name__ == '__main__':
    main()
