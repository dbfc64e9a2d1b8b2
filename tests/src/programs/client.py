"""The socket's protocol, for the agents and attackers of the tests."""

import json
import socket


class Client:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.answers = self.socket.makefile("rb")
        self.nonce = None

    def greet(self):
        self.nonce = self.request("GET", "/v1/hello", None)["nonce"]

    def check(self, scope):
        print(json.dumps(self.request("POST", "/v1/check", {"scope": scope})), flush=True)

    def request(self, method, path, body):
        head = f"{method} {path} HTTP/1.1\r\nhost: agentauthd\r\n"
        if self.nonce:
            head += f"agentauthd-nonce: {self.nonce}\r\n"
        text = json.dumps(body).encode() if body is not None else b""
        head += f"content-type: application/json\r\ncontent-length: {len(text)}\r\n\r\n"
        try:
            self.socket.sendall(head.encode() + text)
            status, length = self.answers.readline(), 0
            if not status:
                return {"io_error": "the end of the connection"}
            while (line := self.answers.readline().strip()):
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            answer = json.loads(self.answers.read(length))
        except OSError as error:
            return {"io_error": str(error)}
        answer["http_status"] = int(status.split()[1])
        return answer
