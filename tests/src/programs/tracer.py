"""Starts a program and attaches to it as a debugger does, then hands it its standard input's lines.

    tracer.py PROGRAM ARGUMENT...
"""

import ctypes
import subprocess
import sys

PTRACE_SEIZE = 0x4206

child = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE)
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
if libc.ptrace(PTRACE_SEIZE, child.pid, None, None) != 0:
    raise OSError(ctypes.get_errno(), "ptrace")
print('{"attached": true}', flush=True)
for line in sys.stdin:
    child.stdin.write(line.encode())
    child.stdin.flush()
