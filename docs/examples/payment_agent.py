#!/usr/bin/env python3
"""A sample agent that asks agentauthd before it pays an invoice. Standard library only.

    payment_agent.py --amount 120.50 --currency EUR --invoice INV-2041 [--profile NAME] [--socket PATH] [--json]

Exit codes: 0 paid, 2 denied, 3 agentauthd cannot be reached, 1 anything else.
"""

import argparse
import http.client
import json
import os
import socket
import sys
import time


class Agentauthd(http.client.HTTPConnection):
    """One kept connection to the daemon. The greeting makes this process the proven caller."""

    def __init__(self, path):
        super().__init__("agentauthd", timeout=35)
        self.path = path
        self.nonce = None

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)

    def ask(self, method, path, body=None):
        headers = {"Content-Type": "application/json"}
        if self.nonce:
            headers["agentauthd-nonce"] = self.nonce
        self.request(method, path, json.dumps(body) if body is not None else None, headers)
        response = self.getresponse()
        answer = json.loads(response.read())
        if response.status != 200:
            raise RuntimeError(f"{answer.get('code')}: {answer.get('detail')}")
        return answer

    def greet(self):
        self.nonce = self.ask("GET", "/v1/hello")["nonce"]

    def check(self, scope, purpose, action):
        return self.ask("POST", "/v1/check", {"scope": scope, "purpose": purpose, "action": action})


def socket_path(profile=None):
    """Where a profile's daemon listens; found from the user id, because agents are often started without an environment."""
    if not profile and os.environ.get("AGENTAUTHD_SOCKET"):
        return os.environ["AGENTAUTHD_SOCKET"]
    profile = profile or os.environ.get("AGENTAUTHD_PROFILE") or "default"
    name = "agent.sock" if profile == "default" else f"agent-{profile}.sock"
    run = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    if os.path.isdir(run):
        return f"{run}/agentauthd/{name}"
    return os.path.expanduser(f"~/.local/state/agentauthd/run/{name}")


def pay(invoice, amount, currency):
    """Stands in for the call to the bank. It is reached only after an allow."""
    return {"invoice": invoice, "amount": amount, "currency": currency, "reference": f"PAY-{invoice}"}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--invoice", default="INV-2041")
    arguments.add_argument("--amount", default="120.50")
    arguments.add_argument("--currency", default="EUR")
    arguments.add_argument("--profile", default=None, help="whose daemon to ask; AGENTAUTHD_PROFILE by default")
    arguments.add_argument("--socket", default=None)
    arguments.add_argument("--json", action="store_true", help="print the decision as JSON")
    given = arguments.parse_args()

    daemon = Agentauthd(given.socket or socket_path(given.profile))
    try:
        daemon.greet()
    except OSError as error:
        print(f"agentauthd cannot be reached at {daemon.path} ({error}): start it with `agentauthd run`", file=sys.stderr)
        return 3

    started = time.perf_counter()
    decision = daemon.check(
        f"payments.execute:currency={given.currency}",
        f"pay invoice {given.invoice}",
        {"invoice": given.invoice, "amount": given.amount, "currency": given.currency},
    )
    decision["asked_in_us"] = round((time.perf_counter() - started) * 1e6)
    allowed = decision["decision"] == "allow"
    if given.json:
        print(json.dumps(decision))
    if not allowed:
        if not given.json:
            print(f"not paid ({decision['reason']}): {decision['message']}", file=sys.stderr)
        return 2
    receipt = pay(given.invoice, given.amount, given.currency)
    if not given.json:
        print(f"paid {receipt['amount']} {receipt['currency']}, reference {receipt['reference']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
