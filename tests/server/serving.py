"""Servers on free ports of this machine, and how tests talk to them. VARGPT_BINARY names the program (without:
build/vargpt), so that the same tests run on sanitizer builds; fake_server stands beside it. A sanitizer's report makes
the exit status non-zero, which fails the test."""
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

import httpx
import openai

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("VARGPT_BINARY", ROOT / "build" / "vargpt")).resolve()
BUILD = BINARY.parent
GOLDEN = ROOT / "tests" / "golden"
SLOW = 10 if "tsan" in BUILD.name or "asan" in BUILD.name else 1


class Server:
    """A running server; requests with httpx and openai, or bytes over a socket."""

    def __init__(self, command, port=None, ready=True, log=None, key=None):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT)
        self.port = port or int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = httpx.Client(base_url=self.url, timeout=60 * SLOW)
        self.key = key
        self.model = None
        if ready:
            self.wait_ready()

    def wait_ready(self):
        for _ in range(600 * SLOW):
            assert self.process.poll() is None, "the server ended"
            try:
                if self.http.get("/health").status_code == 200:
                    break
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        self.model = self.http.get("/v1/models", headers={"authorization": f"Bearer {self.key}"}).json()["data"][0]["id"]

    def client(self, **options):
        return openai.OpenAI(base_url=self.url + "/v1", api_key="none", max_retries=0, timeout=60 * SLOW, **options)

    def post(self, path, body, **options):
        return self.http.post(path, json=body, **options)

    def chat(self, text, **fields):
        return self.post("/v1/chat/completions",
                         {"model": self.model, "messages": [{"role": "user", "content": text}], **fields})

    def connect(self):
        s = socket.create_connection(("127.0.0.1", self.port))
        s.settimeout(20 * SLOW)
        return s

    def raw(self, data, half_close=False):
        """Sends bytes on a new connection and returns what comes back until the server closes or is silent for long."""
        with self.connect() as s:
            try:
                s.sendall(data)
                if half_close:
                    s.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            return read_all(s)

    def running(self):
        return self.http.get("/health").json()["running"]

    def wait_running(self, n, seconds=10):
        end = time.time() + seconds * SLOW
        while self.running() != n:
            assert time.time() < end, f"{self.running()} requests run, not {n}"
            time.sleep(0.01)

    def stop(self):
        self.http.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60 * SLOW)
        self.process.stdout.close()
        assert code == 0, f"the server ended with {code}"


def read_all(s):
    data = b""
    try:
        while piece := s.recv(65536):
            data += piece
    except OSError:
        pass
    return data


def request(method, path, body=b"", headers=(), version="HTTP/1.1", host="localhost", close=True):
    """The bytes of a request."""
    if isinstance(body, dict):
        body = json.dumps(body).encode()
    lines = [f"{method} {path} {version}", f"Host: {host}", *headers]
    if close:
        lines.append("Connection: close")
    if body:
        lines.append("Content-Type: application/json")
        if not any(re.match("(content-length|transfer-encoding):", h, re.I) for h in headers):
            lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def status_of(reply):
    return int(reply.split(b" ", 2)[1]) if reply.startswith(b"HTTP/1.") else None


def start_fake(ready=None, log=None, **options):
    ready = not options.get("loading") if ready is None else ready
    return Server([str(BUILD / "fake_server"), *(f"{k}={v}" for k, v in options.items())], ready=ready, log=log)


def start_real(checkpoint, *options, key=None, log=None, program=BINARY):
    """The program itself on a checkpoint; it prints where it listens once it is ready."""
    server = Server([str(program), "serve", "-m", str(checkpoint), "--port", "0", *options], port=1, ready=False, log=log, key=key)
    line = server.process.stdout.readline()
    server.port = int(re.search(r":(\d+)$", line.strip()).group(1))
    server.url = f"http://127.0.0.1:{server.port}"
    server.http.base_url = server.url
    server.wait_ready()
    return server
