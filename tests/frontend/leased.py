"""What list and a DHCP server say about a container with a NIC."""

import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from container import well  # noqa: E402
from harness import wait_for  # noqa: E402


def inside(store, name, *command):
    return well(store.do('exec', name, command=command)).out


def facts(store, name):
    (found,) = json.loads(well(store.do('list', name, '--json')).out)
    return found


def mac_of(store, name):
    return inside(store, name, 'cat', '/sys/class/net/eth0/address').strip()


def lease_of(store, name, server):
    """(MAC, address) of a lease that the server tells of and that the container has taken and uses."""
    try:
        address = wait_for(lambda: facts(store, name)['addresses'], 'an address', 60)
    except AssertionError as error:
        raise AssertionError(f'{name} has no lease; the server says {server.said()}') from error
    mac = mac_of(store, name)
    lease = wait_for(lambda: server.leases().get(mac), f'{mac} among the leases')
    assert address == [lease[0]] and lease[1] == name, (address, lease)
    wait_for(lambda: 'default via 10.9.0.1 dev eth0' in inside(store, name, 'ip', 'route'), 'the default route')
    return mac, lease[0]
