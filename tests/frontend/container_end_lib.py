"""What is left of a container that has ended, as the tests of its end ask for it."""

import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import MS_BIND, mount, umount  # noqa: E402
from named import below  # noqa: E402


def holders_of(first, count=65536):
    """Those that this program has started, and that have one of these uids."""
    found = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{pid}/status') as file:
                fields = dict(line.split(':', 1) for line in file if ':' in line)
            threads = int(fields['Threads'])
        except (FileNotFoundError, ProcessLookupError):
            continue
        dead = fields['State'].split()[0] in 'ZX' and threads <= 1
        if not dead and any(first <= int(uid) < first + count for uid in fields['Uid'].split()) and is_ours(int(pid)):
            found.append(int(pid))
    return found


def is_ours(pid):
    try:
        return below(pid)
    except (FileNotFoundError, ProcessLookupError):
        return False


def everyones_device(name, minor):
    """The machine keeps it to root; elsewhere it is everyone's."""
    nodes = f'/mnt/nodes-of-{minor}'
    os.makedirs(nodes, exist_ok=True)
    mount('tmpfs', nodes, 'tmpfs')
    os.mknod(f'{nodes}/it', 0o20666, os.makedev(10, minor))
    os.chmod(f'{nodes}/it', 0o666)
    mount(f'{nodes}/it', f'/dev/{name}', None, MS_BIND)
    umount(nodes)
    os.rmdir(nodes)


def is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(('0.0.0.0', port))
            return True
        except OSError:
            return False
