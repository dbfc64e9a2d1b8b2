# Carries out what it is told, line by line of Python: `ask(SCOPE)` greets, checks and prints the answer as JSON.
import errno, fcntl, http.client, json, os, signal, socket, subprocess, sys, time

class Daemon(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(os.environ["AGENTAUTHD_SOCKET"])
    def ask(self, method, path, body, headers={}):
        self.request(method, path, body and json.dumps(body), headers)
        answer = self.getresponse()
        return {**json.loads(answer.read()), "http_status": answer.status}

daemon = None
def ask(scope):
    global daemon
    if daemon is None:
        daemon = Daemon("agentauthd")
        daemon.nonce = {"agentauthd-nonce": daemon.ask("GET", "/v1/hello", None)["nonce"]}
    print(json.dumps(daemon.ask("POST", "/v1/check", {"scope": scope}, daemon.nonce)), flush=True)

def outcome(work):
    try:
        work()
        return "done"
    except OSError as error:
        return errno.errorcode[error.errno]

exec(sys.argv[1])
