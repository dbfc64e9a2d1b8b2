#!/usr/bin/env python3
"""A sample gateway that asks agentauthd what others may do. Standard library only.

    gateway.py [--path PATH] [--socket PATH] < request.json

Sends the request on a greeted connection and prints the answer. Exit codes: 0 answered, 1 refused, 3 agentauthd cannot be
reached.
"""

import argparse
import http.client
import json
import os
import socket
import sys


class Agentauthd(http.client.HTTPConnection):
    """One kept connection to the daemon."""

    def __init__(self, path):
        super().__init__("agentauthd", timeout=35)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)

    def ask(self, method, path, body=None, nonce=None):
        headers = {"Content-Type": "application/json"}
        if nonce:
            headers["agentauthd-nonce"] = nonce
        self.request(method, path, body, headers)
        response = self.getresponse()
        return response.status, response.read().decode()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--path", default="/access/v1/evaluation")
    parser.add_argument("--socket", default=f"/run/user/{os.getuid()}/agentauthd/agent.sock")
    arguments = parser.parse_args()
    daemon = Agentauthd(arguments.socket)
    try:
        # The greeting makes this process the proven caller.
        _, hello = daemon.ask("GET", "/v1/hello")
        nonce = json.loads(hello)["nonce"]
        status, answer = daemon.ask("POST", arguments.path, sys.stdin.read(), nonce)
    except OSError as error:
        print(f"agentauthd cannot be reached at {arguments.socket}: {error}", file=sys.stderr)
        return 3
    print(answer)
    return 0 if status == 200 else 1


if __name__ == "__main__":
    sys.exit(main())
