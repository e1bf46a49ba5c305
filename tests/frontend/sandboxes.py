#!/usr/bin/env python3
"""Sandboxes that programs bring along, inside a container with nothing configured: flatpak's, and chromium's.

An app and a runtime for flatpak are made on the spot, by its own build commands, from busybox.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from container import run, well  # noqa: E402
from distro import CHROMIUM, FLATPAK, unpack  # noqa: E402
from harness import case, cases, main  # noqa: E402

made = {}

# As joe. What a runtime is: files that are /usr to the app. The sandbox is the app's own: no network, no home.
FLATPAK_APP = r'''
set -e
export DBUS_SYSTEM_BUS_ADDRESS=$DBUS_SESSION_BUS_ADDRESS
cd; export XDG_RUNTIME_DIR=/tmp/run-joe; mkdir -p -m 700 $XDG_RUNTIME_DIR
mkdir -p r/files r/usr/bin
cp /bin/busybox r/usr/bin/busybox
for t in sh id cat ls touch ip mount; do ln -sf busybox r/usr/bin/$t; done
printf '[Runtime]\nname=org.example.Platform\nruntime=org.example.Platform/x86_64/1\nsdk=org.example.Platform/x86_64/1\n' > r/metadata
flatpak build-export --runtime repo r 1 >&2
flatpak --user remote-add --no-gpg-verify here repo >&2
flatpak --user install -y --noninteractive here org.example.Platform//1 >&2
flatpak build-init a org.example.App org.example.Platform org.example.Platform 1 >&2
mkdir -p a/files/bin
printf '#!/bin/sh\nexec "$@"\n' > a/files/bin/app
cat > a/files/bin/inside <<'EOF'
id -u; ls /; grep NoNewPrivs /proc/self/status; ls /proc | grep -c '^[0-9]'; ip link; touch /usr/x || echo kept
EOF
chmod 755 a/files/bin/app
flatpak build-finish a --command=app >&2
flatpak build-export repo a 1 >&2
flatpak --user install -y --noninteractive here org.example.App//1 >&2
flatpak run org.example.App sh /app/bin/inside
'''


def tree(root, name):
    if name not in made:
        made[name] = unpack(root, name)
    return made[name]


def as_joe(root, name, script, bus=False, timeout=100):
    """In a default container of that distribution, by an ordinary user of its own."""
    command = ('su', '-', 'joe', '-s', '/bin/sh', '-c', f"cat > s <<'END'\n{script}\nEND\nexec dbus-run-session sh s" if bus else script)
    return run(root, command=command, where=tree(root, name), timeout=timeout)


@case('flatpak runs an app in its sandbox: its own root, processes and network, its caller\'s id, no new privileges')
def _(root):
    done = well(as_joe(root, FLATPAK, FLATPAK_APP, bus=True))
    lines = done.out.splitlines()
    assert lines[0] == '1000', done
    assert 'app' in lines and 'kept' in lines and 'NoNewPrivs:\t1' in lines, done
    assert 'eth0' not in done.out, done


# chromium would say "No usable sandbox!" and end; what it shows of its zygote is asked for by the page itself.
CHROMIUM_PAGE = """
cd; echo '<script>document.write(6 * 7)</script>' > p.html
chromium --headless=new --disable-gpu --disable-dev-shm-usage --user-data-dir=$PWD/d --dump-dom file://$PWD/p.html
"""


@case('chromium renders a page with its sandbox of user namespaces and seccomp')
def _(root):
    done = well(as_joe(root, CHROMIUM, CHROMIUM_PAGE, timeout=200))
    assert '42' in done.out, done


@cases([('without user namespaces bwrap says so', FLATPAK, 'bwrap --ro-bind / / --unshare-all true', 'user namespace'),
        ('without user namespaces chromium says so', CHROMIUM, CHROMIUM_PAGE, 'sandbox')])
def _(root, distribution, script, said):
    """What would show if the cases above ran without their sandbox: no process in a chroot makes user namespaces."""
    inside = 'mount --rbind / /mnt && exec chroot /mnt su - joe -s /bin/sh -c "$1"'
    done = run(root, command=('sh', '-c', inside, 'sh', script), where=tree(root, distribution), timeout=200)
    assert done.code != 0 and said in done.err, done


main()
