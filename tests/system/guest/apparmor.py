#!/usr/bin/env python3
"""In the booted guest: AppArmor enforces our profiles, and a session profile that takes user namespaces away.

Debian's kernel has no Ubuntu sysctl that restricts user namespaces. A session under a profile that allows all but
`userns,` is restricted in the same way; it needs a kernel and a parser that know the rule (Debian 13).
"""

import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
from harness import case, main, skip, spawn  # noqa: E402
from users import ALICE, RUN, SLOW, env_of  # noqa: E402

PROFILES = '/usr/local/share/userns/apparmor'  # as `meson install` puts them there
SESSION = '''abi <abi/4.0>,
profile test-session {
  / r,
  /** rwlkm,
  /** pix,
  capability,
  network,
  mount,
  remount,
  umount,
  pivot_root,
  ptrace,
  signal,
  unix,
  dbus,
}
'''


def parser(*words, text=None):
    done = subprocess.run(['apparmor_parser', *words], input=text, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout


def at_local(name):
    """The profile of this installation."""
    with open(f'{PROFILES}/{name}.usr.local') as file:
        return file.read()


def loaded():
    """{profile: mode}"""
    with open('/sys/kernel/security/apparmor/profiles') as file:
        return dict(re.findall(r'^(\S+) \((\w+)\)$', file.read(), re.M))


def need_userns_rule():
    with open('/etc/os-release') as file:
        if 'VERSION_CODENAME=bookworm' in file.read():
            skip("Debian 12's kernel does not mediate user namespaces by AppArmor")
    with open('/sys/kernel/security/apparmor/features/namespaces/mask') as file:
        assert 'userns_create' in file.read()


def in_session(*argv):
    """A command that a program of the session starts: aa-exec itself would put it under the session's profile for good."""
    return spawn(['/usr/bin/aa-exec', '-p', 'test-session', '--', '/usr/bin/env', *argv], ALICE, env=env_of(ALICE)).wait(SLOW)


def denials():
    with open('/var/log/audit/audit.log') as file:
        return [line for line in file if 'apparmor="DENIED"' in line]


@case('our profiles are loaded and enforced, and a container starts by helpers that they confine')
def _(_root):
    parser('-r', text=at_local('userns-helpers'))
    for name in ('userns-newuidmap', 'userns-newgidmap', 'userns-net', 'userns-cgroup', 'userns-idmap'):
        assert loaded().get(f'{name}.usr.local') == 'enforce', loaded()
    done = spawn([RUN, '--', '/bin/sh', '-c', 'cat /proc/self/uid_map'], ALICE, env=env_of(ALICE)).wait(SLOW)
    assert done.code == 0 and done.out.split()[2] == '65536', done
    assert not [line for line in denials() if 'userns-' in line], denials()


@case('under a session profile without "userns," unshare is refused, and userns-run, too, which has no profile yet')
def _(_root):
    need_userns_rule()
    parser('-r', text=SESSION)
    assert in_session('/usr/bin/unshare', '--user', 'true').code != 0
    done = in_session(RUN, '--', '/bin/true')
    assert done.code == 125 and 'AppArmor' in done.err, done


@case('with its profile userns-run makes a user namespace in that session, and maps it by helpers under theirs')
def _(_root):
    need_userns_rule()
    parser('-r', text=at_local('userns-run'))
    before = denials()
    done = in_session(RUN, '--', '/bin/sh', '-c', 'id -u; cat /proc/self/uid_map')
    assert done.code == 0 and done.out.split()[0] == '0' and done.out.split()[3] == '65536', (done, denials()[len(before):])
    assert in_session('/usr/bin/unshare', '--user', 'true').code != 0  # the session is as restricted as before


main(need_root=False)
