"""Makes chain.jsonl and hashes.txt from the rule in the crate's documentation, with nothing of the crate."""
import hashlib
import json

EVENTS = [
    {"time": "2026-05-28T20:26:40.000000Z", "event": "service.start", "message": "agentauthd 0.1.0"},
    {"time": "2026-05-28T20:26:41.250000Z", "event": "login", "profile": "dev", "user": "U2abc"},
    {
        "time": "2026-05-28T20:26:42.000001Z",
        "event": "decision",
        "id": "dec_01",
        "trace": "0af7651916cd43dd8448eb211c80319c",
        "user": "U2abc",
        "actor": {
            "pid": 4711,
            "executable": "/usr/bin/python3.11",
            "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "assurance": "path",
            "agents": ["payment-agent"],
        },
        "scopes": ["payments.execute:currency=EUR"],
        "purpose": "pay “Müller”\n",
        "decision": "deny",
        "reason": "consent_required",
        "policies": ["floor.cedar#0"],
        "grants": ["g_1"],
        "dry_run": True,
        "message": "ask the user",
        "details": {"count": 2, "hash": "a member that looks like the frame's"},
    },
    {"time": "2026-05-28T20:26:43.000000Z", "event": "service.stop"},
]

head, lines, hashes = bytes(32), [], []
for seq, event in enumerate(EVENTS, 1):
    body = json.dumps({"seq": seq, "prev": head.hex(), **event}, ensure_ascii=False, separators=(",", ":"))
    record = body[:-1].encode()
    head = hashlib.sha256(b"\x01" + head + len(record).to_bytes(8, "big") + record).digest()
    lines.append(record + b',"hash":"' + head.hex().encode() + b'"}\n')
    hashes.append(head.hex() + "\n")
open("chain.jsonl", "wb").write(b"".join(lines))
open("hashes.txt", "w").write("".join(hashes))
