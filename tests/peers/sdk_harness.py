"""What the cases of the official Python SDK are made of: the emulator's control API, clients, and the runner."""

import functools
import json
import os
import sys
import tempfile
import time
import traceback

import certifi
import httpx
from descope import DescopeClient

BASE, PROJECT = sys.argv[1:3]
MANAGEMENT, READ_ONLY, AUTHENTICATION = (
    "acme-management-key", "acme-read-only-management-key", "acme-authentication-key")
ALICE, CAROL, ERIN = "alice@acme.test", "carol@acme.test", "erin@acme.test"
CASES = []

# The SDK reads the certificate authorities for every client. Over plain HTTP nobody asks them, so one is enough.
END = "-----END CERTIFICATE-----\n"
AUTHORITY = tempfile.NamedTemporaryFile("w", suffix=".pem")
with open(certifi.where(), encoding="utf-8") as authorities:
    AUTHORITY.write(authorities.read().split(END)[0] + END)
AUTHORITY.flush()
os.environ["SSL_CERT_FILE"] = AUTHORITY.name


def case(function):
    CASES.append(function)
    return function


# --- the emulator's control API ------------------------------------------------------------------------------------

control = httpx.Client(base_url=BASE + "/emulator/", timeout=30, trust_env=False)


def emulator(method, path, body=None):
    response = control.request(method, path, json=body)
    assert response.is_success, f"{method} {path}: {response.text}"
    return response.json()


def settings(**parts):
    emulator("PATCH", "settings", parts)


def fault(path, times=1, **action):
    emulator("POST", "faults", {"path": path, "times": times, "action": action})


def sign_in(login=ALICE):
    return emulator("POST", f"users/{login}/sign-in")


def mint(login=ALICE, **change):
    return emulator("POST", f"users/{login}/mint", {"kind": "session", **change})["token"]


def count(path):
    return emulator("GET", "requests")["counts"].get(path, {}).get("total", 0)


def key_fetches():
    return count(f"/v2/keys/{PROJECT}")


AS_STARTED = emulator("GET", "settings")


def reset():
    emulator("DELETE", "faults")
    emulator("DELETE", "overrides")
    emulator("DELETE", "requests")
    emulator("POST", "clock", {"skew_seconds": 0})
    emulator("PATCH", "settings", AS_STARTED)
    emulator("PATCH", f"users/{ALICE}", {"roles": ["payment_processor"], "disabled": False, "claims": {}})


# --- what cases are made of ----------------------------------------------------------------------------------------

def client(**arguments):
    return DescopeClient(PROJECT, base_url=BASE, **arguments)


@functools.cache
def admin():
    """One for all cases: it remembers nothing, and making a client takes a while."""
    return client(management_key=MANAGEMENT)


def refused(kind, call, *, status=None, says=None, error_type=None):
    """`call` fails with `kind`; returns the exception."""
    try:
        result = call()
    except kind as error:
        text = " ".join(str(part) for part in (error, getattr(error, "error_message", "")))
        assert status is None or error.status_code == status, f"status {error.status_code}: {text}"
        assert says is None or says in text, text
        assert error_type is None or error.error_type == error_type, error.error_type
        return error
    raise AssertionError(f"accepted: {result}")


def same(left, right):
    assert left == right, f"{left!r} is not {right!r}"


def fresh(name):
    """A login id that nobody has yet."""
    return f"{name}.{time.monotonic_ns()}@acme.test"


def new_user(name, **arguments):
    login = fresh(name)
    admin().mgmt.user.create(login, email=login, **arguments)
    return login


def new_test_user(name):
    login = fresh(name)
    admin().mgmt.user.create_test_user(login, email=login)
    return login


def run():
    failed = 0
    for function in CASES:
        line = {"case": function.__name__, "ok": True, "error": ""}
        try:
            reset()
            function()
        except Exception:  # noqa: BLE001 - whatever goes wrong in a case is that case's failure
            line.update(ok=False, error=traceback.format_exc(limit=-3))
            failed += 1
        print(json.dumps(line), flush=True)
    reset()
    sys.exit(1 if failed else 0)
