#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""vault.py - plays HashiCorp Vault, for tests

    python3 tests/vault.py [--tls FOLDER] [--port N] [--control JSON]

Prints its port, and serves on 127.0.0.1 until its standard input ends.  It
knows what the crypto `vault` needs (KV version 1 and 2, transit, AppRole,
tokens) and refuses every method, path, query, header and member that is none of
that; what it refused stands in `unfaithful`, which a test wants to be empty.

As a module:  vault = Vault(); vault.start(); vault.control(fault="sealed")

From outside, POST /control has the same arguments as a JSON object, and GET
/control says what came: {"requests": ["GET legion/data/crypt 200", ...],
"unfaithful": [...], "logins": n, "renewals": n}.

    reset       anything: all is as at the start
    engine      {"legion": 2}: a KV mount and its version
    secret      {"legion/crypt": {...}}: write it; a new version in KV 2
    delete      ["legion/crypt", n]: version n can be undeleted
    undelete    ["legion/crypt", n]
    forget      ["legion/crypt", n]: version n and all before it are gone
    transit     ["audit", ...]: keys; one that is there gets a new version
    token       {"name": {"ttl": 3600, "renewable": true, "max": 7200,
                "may": ["legion/data/crypt"]}}: ttl 0 does not end; without
                `may` it may do everything
    revoke      ["name", ...], or "all"
    role        {"id": "r", "secret": "s", ...as a token...}
    namespace   the one that requests must name
    fault       a word of FAULTS, or null; fault_path: only paths that begin so;
                fault_times: so often, then no more; fault_value: see there
"""
import argparse
import base64
import binascii
import hashlib
import hmac
import http.server
import json
import os
import re
import secrets
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse

FAULTS = {
    "sealed": 503,	# fault_value: Retry-After
    "standby": 473,
    "recovery": 472,
    "unreachable": 474,
    "busy": 429,	# fault_value: Retry-After
    "late": 412,
    "broken": 500,
    "gateway": 502,
    "uninitialised": 501,
    "denied": 403,
    "slow": 0,		# fault_value: seconds
    "cut": 0,		# in the middle of the answer
    "away": 0,		# closes the connection
    "junk": 0,		# 200, and no JSON
    "huge": 0,		# 200, and no end
    "redirect": 0,	# fault_value: the address to go to
    "empty": 0,		# 200, an object without what is asked for
}
HEADERS = {"host", "user-agent", "accept", "content-type", "content-length",
           "x-vault-token", "x-vault-request", "x-vault-namespace",
           "connection"}
LIMIT = 32 << 20


class Answer(Exception):
    """What a request comes to."""

    def __init__(self, status, tree=None, headers=None):
        super().__init__(status)
        self.status = status
        self.tree = tree
        self.headers = headers or {}


def errors(status, *texts):
    return Answer(status, {"errors": list(texts)})


class Vault:
    def __init__(self, port=0, tls=None):
        self.lock = threading.RLock()
        self.set_reset(True)
        vault = self

        class Handler(Request):
            state = vault

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                if not isinstance(sys.exc_info()[1], OSError):
                    super().handle_error(request, client_address)

        self.server = Server(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.scheme = "http"
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate(tls))
            self.server.socket = context.wrap_socket(
                self.server.socket, server_side=True,
                do_handshake_on_connect=False)
            self.scheme = "https"

    def set_reset(self, _):
        self.engines = {}
        self.secrets = {}	# path -> list of versions, from 1
        self.keys = {}
        self.tokens = {}
        self.roles = {}
        self.namespace = None
        self.fault = None
        self.fault_path = ""
        self.fault_times = -1
        self.fault_value = None
        self.requests = []
        self.unfaithful = []
        self.logins = 0
        self.renewals = 0

    @property
    def address(self):
        return "%s://127.0.0.1:%d" % (self.scheme, self.port)

    def start(self):
        threading.Thread(target=self.server.serve_forever, args=(0.05,),
                         daemon=True).start()
        return self

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    # --- from outside

    def control(self, **more):
        with self.lock:
            for name, value in more.items():
                getattr(self, "set_" + name)(value)

    def told(self):
        with self.lock:
            return {"requests": self.requests, "unfaithful": self.unfaithful,
                    "logins": self.logins, "renewals": self.renewals}

    def count(self, word):
        """Requests whose line begins with that."""
        with self.lock:
            return sum(line.startswith(word) for line in self.requests)

    def set_engine(self, value):
        self.engines.update(value)

    def set_secret(self, value):
        for path, data in value.items():
            versions = self.secrets.setdefault(path, [])
            if self.engines[path.split("/")[0]] == 1:
                versions.clear()
            versions.append({"data": data, "state": "there"})

    def set_delete(self, value):
        self.secrets[value[0]][value[1] - 1]["state"] = "deleted"

    def set_undelete(self, value):
        self.secrets[value[0]][value[1] - 1]["state"] = "there"

    def set_forget(self, value):
        for version in self.secrets[value[0]][:value[1]]:
            version["state"] = "gone"

    def set_transit(self, value):
        for name in value:
            self.keys.setdefault(name, []).append(secrets.token_bytes(32))

    def set_token(self, value):
        for name, token in value.items():
            self.issue(name, token)

    def set_revoke(self, value):
        for name in list(self.tokens) if value == "all" else value:
            self.tokens.pop(name, None)

    def set_role(self, value):
        self.roles[value["id"]] = value

    def set_namespace(self, value):
        self.namespace = value

    def set_fault(self, value):
        assert value is None or value in FAULTS
        self.fault = value
        self.fault_times = -1
        self.fault_path = ""
        self.fault_value = None

    def set_fault_path(self, value):
        self.fault_path = value

    def set_fault_times(self, value):
        self.fault_times = value

    def set_fault_value(self, value):
        self.fault_value = value

    # --- tokens

    def issue(self, name, wants):
        now = time.monotonic()
        ttl = wants.get("ttl", 3600)
        self.tokens[name] = {
            "ttl": ttl, "renewable": wants.get("renewable", True),
            "ends": now + ttl if ttl else None,
            "last": now + wants["max"] if "max" in wants else None,
            "may": wants.get("may")}
        return self.tokens[name]

    def left(self, token):
        return 0 if token["ends"] is None else \
            max(0, int(token["ends"] - time.monotonic() + 0.5))

    def need(self, request, path):
        token = self.tokens.get(request.headers.get("X-Vault-Token"))
        if token is not None and token["ends"] is not None and \
                token["ends"] <= time.monotonic():
            token = None
        if token is None or (path is not None and token["may"] is not None and
                             not any(path.startswith(may)
                                     for may in token["may"])):
            raise errors(403, "permission denied")
        return token

    def auth(self, name, token):
        return Answer(200, {"auth": {
            "client_token": name, "accessor": "a-" + name[-4:],
            "lease_duration": self.left(token), "policies": ["default"],
            "renewable": token["renewable"]}})

    # --- what it does

    def handle(self, request, method, path, query, body):
        if method == "POST" and \
                re.fullmatch(r"auth/[a-z0-9-]+/login", path):
            members(body, {"role_id", "secret_id"})
            return self.log_in(body)
        if (method, path) == ("GET", "auth/token/lookup-self"):
            token = self.need(request, None)
            return Answer(200, {"data": {
                "ttl": self.left(token), "renewable": token["renewable"],
                "policies": ["default"]}})
        if (method, path) == ("POST", "auth/token/renew-self"):
            members(body, {"increment"})
            return self.renew(request)
        if method == "GET" and path.startswith("sys/internal/ui/mounts/"):
            self.need(request, None)
            return self.mount(path[len("sys/internal/ui/mounts/"):])
        if method == "POST" and re.fullmatch(
                r"transit/(de|en)crypt/[^/]+", path):
            self.need(request, path)
            return self.transit(path.split("/")[1], path.split("/")[2], body)
        mount = path.split("/")[0]
        if method == "GET" and mount in self.engines:
            self.need(request, path)
            return self.read(mount, path, query)
        raise Unfaithful("%s %s is not known" % (method, path))

    def log_in(self, body):
        role = self.roles.get(body.get("role_id"))
        if role is None or role["secret"] != body.get("secret_id"):
            return errors(400, "invalid role or secret ID")
        self.logins += 1
        name = "hvs." + secrets.token_hex(16)
        return self.auth(name, self.issue(name, role))

    def renew(self, request):
        token = self.need(request, None)
        if not token["renewable"]:
            return errors(400, "lease is not renewable")
        self.renewals += 1
        now = time.monotonic()
        token["ends"] = now + token["ttl"]
        if token["last"] is not None:
            token["ends"] = min(token["ends"], token["last"])
        return self.auth(request.headers["X-Vault-Token"], token)

    def mount(self, path):
        engine = self.engines.get(path.split("/")[0])
        if engine is None:
            return errors(403, "preflight capability check returned 403, "
                          "please ensure client's policies grant access to "
                          "path \"%s/\"" % path)
        return Answer(200, {"data": {
            "type": "kv", "path": path.split("/")[0] + "/",
            "options": {"version": "2"} if engine == 2 else None}})

    def read(self, mount, path, query):
        if self.engines[mount] == 1:
            members(query, ())
            versions = self.secrets.get(path)
            return Answer(200, {"data": versions[-1]["data"]}) \
                if versions else errors(404)
        if not path.startswith(mount + "/data/"):
            return Answer(404, {"errors": [], "warnings": [
                "Invalid path for a versioned K/V secrets engine."]})
        members(query, {"version"})
        versions = self.secrets.get(mount + path[len(mount + "/data"):], [])
        number = int(query.get("version", 0)) or len(versions)
        if not 1 <= number <= len(versions) or versions[number - 1]["state"] == "gone":
            return errors(404)
        version = versions[number - 1]
        there = version["state"] == "there"
        return Answer(200 if there else 404, {"data": {
            "data": version["data"] if there else None,
            "metadata": {
                "created_time": "2026-11-01T00:00:00Z", "version": number,
                "deletion_time": "" if there else "2026-11-02T00:00:00Z",
                "destroyed": False}}})

    def transit(self, verb, name, body):
        key = self.keys.get(name)
        if verb == "encrypt":
            members(body, {"plaintext"})
            if key is None:
                raise Unfaithful("the tests have no key %s" % name)
            plain = base64.b64decode(body["plaintext"], validate=True)
            return Answer(200, {"data": {"ciphertext": seal(key, plain),
                                         "key_version": len(key)}})
        members(body, {"batch_input"})
        if key is None:
            return errors(400, "encryption key not found")
        results = [self.open_item(key, item) for item in body["batch_input"]]
        bad = any("error" in result for result in results)
        return Answer(400 if bad else 200,
                      {"data": {"batch_results": results}})

    @staticmethod
    def open_item(key, item):
        members(item, {"ciphertext", "context", "nonce", "associated_data",
                       "reference"})
        result = {"reference": item["reference"]}
        try:
            plain = unseal(key, item["ciphertext"])
            result["plaintext"] = base64.b64encode(plain).decode()
        except ValueError as why:
            result["error"] = str(why)
        return result


class Unfaithful(Exception):
    """Vault has no such thing, or its users should not ask for it."""


def members(tree, allowed):
    if not isinstance(tree, dict) or not set(tree) <= set(allowed):
        raise Unfaithful("members %s" % sorted(tree or ()))


# --- a cipher ----------------------------------------------------------------

# Not Vault's, and fit for tests alone; the form is that of transit.

def seal(key, plain):
    nonce = secrets.token_bytes(12)
    text = mix(key[-1], nonce, plain)
    tag = hmac.new(key[-1], nonce + text, "sha256").digest()[:16]
    return "vault:v%d:%s" % (
        len(key), base64.b64encode(nonce + text + tag).decode())


def unseal(key, ciphertext):
    match = re.fullmatch(r"vault:v([0-9]+):(.+)", ciphertext)
    if match is None or not 1 <= int(match[1]) <= len(key):
        raise ValueError("invalid ciphertext: no prefix or no such version")
    secret = key[int(match[1]) - 1]
    try:
        data = base64.b64decode(match[2], validate=True)
    except binascii.Error:
        raise ValueError("invalid ciphertext: no base64") from None
    nonce, text, tag = data[:12], data[12:-16], data[-16:]
    if len(data) < 28 or not hmac.compare_digest(
            tag, hmac.new(secret, nonce + text, "sha256").digest()[:16]):
        raise ValueError("cipher: message authentication failed")
    return mix(secret, nonce, text)


def mix(secret, nonce, data):
    stream = hashlib.shake_256(secret + nonce).digest(len(data))
    return (int.from_bytes(data, "big") ^
            int.from_bytes(stream, "big")).to_bytes(len(data), "big")


# --- HTTP --------------------------------------------------------------------

class Request(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16		# an answer is one packet, or as few as can be
    disable_nagle_algorithm = True
    timeout = 60
    state = None

    def log_message(self, *args):
        pass

    def do_GET(self):
        self.answer("GET")

    def do_POST(self):
        self.answer("POST")

    def send_error(self, code, *args, **more):
        # Another method, or what is no HTTP.
        with self.state.lock:
            self.state.unfaithful.append("%s %s" % (code, self.requestline))
        super().send_error(code, *args, **more)

    def answer(self, method):
        url = urllib.parse.urlsplit(self.path)
        size = int(self.headers.get("Content-Length") or 0)
        data = self.rfile.read(min(size, LIMIT + 1))
        if url.path == "/control":
            self.control(method, data)
            return
        with self.state.lock:
            try:
                answer = self.judge(method, url, data)
            except Answer as raised:
                answer = raised
            except (Unfaithful, KeyError, ValueError) as why:
                self.state.unfaithful.append("%s %s: %r" % (
                    method, self.path, why))
                answer = errors(400, "unfaithful")
            fault = self.fault(url.path[4:])
            if fault is not None and FAULTS[fault] != 0:
                answer = errors(FAULTS[fault], fault)
                if self.state.fault_value is not None:
                    answer.headers["Retry-After"] = self.state.fault_value
            self.state.requests.append("%s %s %s" % (
                method, self.path[4:], fault or answer.status))
        self.reply(answer, fault)

    def fault(self, path):
        state = self.state
        if state.fault is None or not path.startswith(state.fault_path) or \
                state.fault_times == 0:
            return None
        state.fault_times -= 1
        return state.fault

    def control(self, method, data):
        if method == "POST":
            self.state.control(**json.loads(data))
        self.reply(Answer(200, self.state.told()), None)

    def judge(self, method, url, data):
        for name in self.headers:
            if name.lower() not in HEADERS:
                raise Unfaithful("header %s" % name)
        if self.headers.get("X-Vault-Request") != "true":
            raise Unfaithful("no X-Vault-Request")
        if not url.path.startswith("/v1/"):
            raise Unfaithful("no path of Vault's")
        if len(data) > LIMIT:
            return errors(413, "request body too large")
        if self.headers.get("X-Vault-Namespace") != self.state.namespace:
            return errors(403, "permission denied")
        query = dict(urllib.parse.parse_qsl(url.query, strict_parsing=True)) \
            if url.query else {}
        path = urllib.parse.unquote(url.path[4:])
        body = json.loads(data) if data else None
        if (method == "POST") != (body is not None) or (
                body is not None and
                self.headers.get("Content-Type") != "application/json"):
            raise Unfaithful("a body, or none")
        if not path.startswith("legion") and query:
            raise Unfaithful("query %s" % url.query)
        return self.state.handle(self, method, path, query, body)

    def reply(self, answer, fault):
        value = self.state.fault_value
        status = answer.status
        data = json.dumps(answer.tree).encode() + b"\n"
        headers = {"Content-Type": "application/json", **answer.headers}
        if fault == "slow":
            time.sleep(value or 30)
        elif fault == "away":
            self.close_connection = True
            return
        elif fault == "junk":
            status, data = 200, b"<html>It works!</html>"
        elif fault == "empty":
            status, data = 200, b"{\"data\":{}}"
        elif fault == "redirect":
            status = 307
            headers["Location"] = value + self.path
        elif fault == "huge":
            status, data = 200, b"{\"data\":\"" + b"x" * (80 << 20) + b"\"}"
        try:
            self.send_response(status)
            for name, text in headers.items():
                self.send_header(name, str(text))
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if fault == "cut":
                data = data[:len(data) // 2]
                self.close_connection = True
            self.wfile.write(data)
            self.wfile.flush()
        except OSError:
            self.close_connection = True	# it hung up


def certificate(folder):
    """A certificate for 127.0.0.1 that is its own authority, and its key."""
    paths = os.path.join(folder, "ca.pem"), os.path.join(folder, "key.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
         "/CN=vault", "-addext", "subjectAltName=IP:127.0.0.1", "-out",
         paths[0], "-keyout", paths[1]],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return paths


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tls", metavar="FOLDER")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--control", metavar="JSON", default="{}")
    words = parser.parse_args()
    vault = Vault(words.port, words.tls).start()
    vault.control(**json.loads(words.control))
    print(vault.port, flush=True)
    sys.stdin.read()
    os._exit(0)		# threads that play a slow Vault are not waited for


if __name__ == "__main__":
    main()
