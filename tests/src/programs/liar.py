"""A script that writes another command line over its own: that of Python running CLAIM.

    liar.py before|after SOCKET SCOPE CLAIM [PADDING]

`before` lies before the greeting, `after` between greeting and question.
"""

import ctypes
import sys

from client import Client

when, socket, scope, claim = sys.argv[1:5]


def lie():
    with open("/proc/self/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    start, end = int(fields[45]), int(fields[46])
    line = f"python3\0{claim}\0{socket}\0{scope}\0".encode()
    room = end - start
    assert len(line) <= room - 2, "the command line must be longer than the lie"
    ctypes.memmove(start, line + b"x" * (room - len(line) - 1) + b"\0", room)
    with open("/proc/self/cmdline") as shown:
        assert shown.read().startswith(f"python3\0{claim}\0"), "the kernel shows the lie"


client = Client(socket)
if when == "before":
    lie()
client.greet()
if when == "after":
    lie()
client.check(scope)
for _ in sys.stdin:
    pass
