"""An agent: greets, asks, and asks again for each line on standard input.

    agent.py SOCKET SCOPE
"""

import sys

from client import Client

client = Client(sys.argv[1])
client.greet()
client.check(sys.argv[2])
for _ in sys.stdin:
    client.check(sys.argv[2])
