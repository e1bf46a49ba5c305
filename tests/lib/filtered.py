"""Starts under a filter of system calls, as container engines have one around them."""

import ctypes
import errno
import struct

from harness import CLONE_NEWUSER, libc

UNSHARE = 272  # of x86-64


def filtered(root, *numbers, code=errno.EPERM, but_users=False):
    """As alice under a filter that refuses these calls, as container engines have one; for spawn(), as root."""
    def before():
        # unshare(2) of all but a user namespace: its first argument decides.
        rest = [(0x15, 0, 3, UNSHARE), (0x20, 0, 0, 16), (0x45, 1, 0, CLONE_NEWUSER), (6, 0, 0, 0x50000 | code)] * but_users
        rows = [(0x20, 0, 0, 0)] + [row for n in numbers for row in ((0x15, 0, 1, n), (6, 0, 0, 0x50000 | code))] + rest + [(6, 0, 0, 0x7fff0000)]
        program = b''.join(struct.pack('HBBI', *row) for row in rows)
        text = ctypes.create_string_buffer(program)
        head = struct.pack('HxxxxxxQ', len(rows), ctypes.addressof(text))
        assert libc.prctl(22, 2, ctypes.create_string_buffer(head), 0, 0) == 0, 'no filter'
        root.alice.become()
    return {'before': before, 'user': None}
