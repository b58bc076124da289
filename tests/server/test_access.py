"""Keys and their limits, web pages of other origins, TLS, sockets in the file system, deadlines."""
import json
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

import httpx
import openai
import pytest
from serving import BINARY, SLOW, read_all, request, start_real, status_of, GOLDEN

CHAT = "/v1/chat/completions"
KEY, OTHER = "test-key-0123456789abcdef", "other-key-0123456789abcdef"
BEARER = {"authorization": f"Bearer {KEY}"}


def chat_body(text, **fields):
    return {"model": "fake", "messages": [{"role": "user", "content": text}], **fields}


def content(reply):
    return reply.json()["choices"][0]["message"]["content"]


@pytest.fixture
def locked(start):
    def open_server(**options):
        server = start(**{"ready": False, "keys": f"{KEY},{OTHER}", **options})
        server.model = "fake"
        return server
    return open_server


ROUTES = [("GET", "/v1/models", 200), ("GET", "/v1/models/fake", 200), ("POST", CHAT, 200), ("POST", "/tokenize", 200),
          ("POST", "/v1/images/generations", 200), ("GET", "/metrics", 200), ("GET", "/nowhere", 404), ("DELETE", "/v1/models", 405),
          ("GET", CHAT, 405)]


@pytest.mark.parametrize("method, path, status", ROUTES)
def test_keyed_routes(locked, method, path, status):
    server = locked()
    def ask(headers):
        body = {"prompt": "x", **chat_body("x")} if method == "POST" else None
        return server.http.request(method, path, json=body, headers=headers)
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": KEY}, {"authorization": f"Basic {KEY}"},
                    {"authorization": f"Bearer {KEY}x"}, {"authorization": f"Bearer {KEY[:-1]}"}, {"authorization": f"Bearer {KEY.upper()}"}):
        r = ask(headers)
        assert r.status_code == 401, (headers, r.text)
        assert r.json()["error"]["code"] == "invalid_api_key" and KEY not in r.text
        assert r.headers["www-authenticate"].startswith("Bearer")
    for word in ("Bearer", "bearer", "BEARER", "Bearer  "):
        assert ask({"authorization": f"{word} {KEY}"}).status_code == status
    assert ask({"authorization": f"Bearer {OTHER}"}).status_code == status


OPEN = {"/", "/health", "/health/live", "/health/ready", "/images/{name}"}


def test_every_described_path_needs_a_key(locked):
    server = locked()
    paths = server.http.get("/openapi.json", headers=BEARER).json()["paths"]
    assert len(paths) > 8
    for path, operations in paths.items():
        for method in set(operations) & {"get", "post", "delete", "put"}:
            status = server.http.request(method.upper(), path, json={} if method == "post" else None).status_code
            assert (status != 401) == (path in OPEN), (method, path, status)


def test_open_routes(locked):
    server = locked()
    for path in ("/health", "/health/live", "/health/ready", "/"):
        assert server.http.get(path).status_code == 200
        assert server.http.head(path).status_code == 200
        assert server.http.get(path, headers={"authorization": "Bearer wrong"}).status_code == 200
    assert server.http.options(CHAT).status_code == 204
    assert server.http.post("/health").status_code in (401, 415)
    assert server.http.post("/health", json={}).status_code == 401
    assert locked(metrics=1).http.get("/metrics").status_code == 200


def test_two_authorizations_are_refused(locked):
    reply = locked().raw(request("GET", "/v1/models", b"", [f"Authorization: Bearer {KEY}", "Authorization: Bearer x"]))
    assert status_of(reply) == 400


def test_any_key_will_do_without_keys(fake):
    assert fake.http.get("/v1/models", headers={"authorization": "Bearer EMPTY"}).status_code == 200


def test_with_keys_the_name_is_free(locked):
    server = locked()
    for headers in ({"host": "my.example"}, {"origin": "https://my.example"}):
        assert server.http.get("/v1/models", headers={**BEARER, **headers}).status_code == 200


def test_a_refused_body_is_not_waited_for(locked):
    server = locked()
    with server.connect() as s:
        s.sendall(request("POST", CHAT, b"", ["Content-Length: 10000000", "Content-Type: application/json"]))
        assert status_of(read_all(s)) == 401
    with server.connect() as s:
        s.sendall(request("POST", CHAT, b"", ["Expect: 100-continue", "Content-Length: 100", "Content-Type: application/json"]))
        assert status_of(read_all(s)) == 401
    with server.connect() as s:  # a small one is read, and the connection stays
        for _ in range(3):
            s.sendall(request("POST", CHAT, chat_body("x"), close=False))
            data = s.recv(65536)
            assert status_of(data) == 401
    r = server.http.post(CHAT, content=b" " * 900000, headers={"content-type": "application/json"})
    assert r.status_code == 401


def test_sdk_sees_authentication_errors(locked):
    server = locked()
    client = server.client()
    with pytest.raises(openai.AuthenticationError) as caught:
        client.models.list()
    assert caught.value.code == "invalid_api_key"
    good = client.with_options(api_key=KEY)
    assert good.models.list().data[0].id == "fake"


def test_request_limit(locked):
    server = locked(requests=3)
    for left in (2, 1, 0):
        r = server.post(CHAT, chat_body("x"), headers=BEARER)
        assert r.status_code == 200
        assert r.headers["x-ratelimit-limit-requests"] == "3" and r.headers["x-ratelimit-remaining-requests"] == str(left)
        assert r.headers["x-ratelimit-reset-requests"].endswith("s")
        assert "x-ratelimit-limit-tokens" not in r.headers
    r = server.post(CHAT, chat_body("x"), headers=BEARER)
    assert r.status_code == 429 and 1 <= int(r.headers["retry-after"]) <= 20
    assert r.json()["error"]["code"] == "rate_limit_exceeded" and r.json()["error"]["type"] == "rate_limit_error"
    assert server.http.get("/v1/models", headers=BEARER).status_code == 200  # costs nothing
    assert server.post(CHAT, chat_body("x"), headers={"authorization": f"Bearer {OTHER}"}).status_code == 200
    with pytest.raises(openai.RateLimitError):
        server.client().with_options(api_key=KEY).chat.completions.create(model="fake", messages=[{"role": "user", "content": "x"}])


def test_token_limit(locked):
    server = locked(tokens=1000)
    r = server.post(CHAT, chat_body("x" * 600), headers=BEARER)
    usage = r.json()["usage"]["total_tokens"]
    assert usage > 1200 and r.headers["x-ratelimit-limit-tokens"] == "1000"
    assert r.headers["x-ratelimit-remaining-tokens"] == "0"
    assert 10 < float(r.headers["x-ratelimit-reset-tokens"].replace("m", "").replace("s", "")) < 1000
    r = server.post(CHAT, chat_body("x"), headers=BEARER)
    assert r.status_code == 429 and "tokens" in r.json()["error"]["message"] and int(r.headers["retry-after"]) >= 10


def tokens_left(server):
    return int(server.http.get("/v1/models", headers=BEARER).headers["x-ratelimit-remaining-tokens"])


def test_a_stream_gives_back_what_it_did_not_use(locked):
    server = locked(tokens=6000)
    r = server.post(CHAT, chat_body("/slow " + "a" * 200, stream=True, max_tokens=3000, modalities=["text"]), headers=BEARER)
    assert "[DONE]" in r.text and int(r.headers["x-ratelimit-remaining-tokens"]) < 3000  # without the most it could take
    time.sleep(0.1 * SLOW)
    assert 5300 <= tokens_left(server) <= 6000


def test_calls_side_by_side_cannot_overdraw(locked):
    """What a call may take at most is reserved; a minute's worth is all that calls together get, however they end."""
    server = locked(tokens=10000)
    body = chat_body("/wait", stream=True, max_tokens=3000, modalities=["text"])
    sockets = [server.connect() for _ in range(5)]
    answers = []
    for s in sockets:
        s.sendall(request("POST", CHAT, body, [f"Authorization: Bearer {KEY}"], close=False))
        answers.append(status_of(s.recv(65536)))
    assert answers == [200] * 3 + [429] * 2
    server.wait_running(3)
    assert tokens_left(server) < 1000
    r = server.post(CHAT, body, headers=BEARER)
    error = r.json()["error"]
    assert r.status_code == 429 and error["code"] == "rate_limit_exceeded" and "max_tokens" in error["message"]
    assert 5 <= int(r.headers["retry-after"]) <= 20
    assert server.post(CHAT, chat_body("x", max_tokens=20, modalities=["text"]), headers=BEARER).status_code == 200  # a small one still fits
    for s in sockets:
        s.close()
    server.wait_running(0)
    time.sleep(0.1 * SLOW)
    assert tokens_left(server) > 9500  # those who left used their prompts only


@pytest.mark.parametrize("path, body, most", [
    (CHAT, chat_body("/wait", max_tokens=1000, n=3, modalities=["text"]), 3000),
    (CHAT, chat_body("/wait", max_tokens=1000, max_images=2), 1000 + 2 * 680),
    ("/v1/completions", {"prompt": ["/wait", "/wait"], "max_tokens": 1000, "n": 2}, 4000),
    ("/v1/images/generations", {"prompt": "/slow", "n": 2}, 2 * 680),
])
def test_what_is_reserved(locked, path, body, most):
    server = locked(tokens=10000)
    with server.connect() as s:
        s.sendall(request("POST", path, {**body, "stream": True}, [f"Authorization: Bearer {KEY}"], close=False))
        head = s.recv(65536).split(b"\r\n\r\n")[0].decode().lower()
    left = int(head.split("x-ratelimit-remaining-tokens: ")[1].split("\r\n")[0])
    assert abs(10000 - left - most) < 300  # the prompt, and what the allowance fills up by meanwhile
    server.wait_running(0)


def test_a_call_that_is_not_begun_costs_nothing(locked):
    server = locked(tokens=10000, running=1)
    with server.connect() as s:
        s.sendall(request("POST", CHAT, chat_body("/wait", max_tokens=100, modalities=["text"]), [f"Authorization: Bearer {KEY}"], close=False))
        server.wait_running(1)
        before = tokens_left(server)
        assert server.post(CHAT, chat_body("x", max_tokens=5000, modalities=["text"]), headers=BEARER).status_code == 429  # the queue is full
        assert tokens_left(server) >= before


def test_key_file_and_hangup(start, tmp_path):
    file = tmp_path / "keys"
    file.write_text(f"# ours\n{KEY} alice requests=2\n")
    file.chmod(0o600)
    server = start(ready=False, keyfile=str(file))
    def status(key):
        return server.http.get("/v1/models", headers={"authorization": f"Bearer {key}"}).status_code
    assert status(KEY) == 200 and status(OTHER) == 401
    file.write_text(f"{OTHER}\n")
    server.process.send_signal(signal.SIGHUP)
    for _ in range(100 * SLOW):
        if status(OTHER) == 200:
            break
        time.sleep(0.05)
    assert status(OTHER) == 200 and status(KEY) == 401
    file.write_text("no keys here = wrong\x01\n")
    server.process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert status(OTHER) == 200  # the old ones stay


def test_keys_have_caches_of_their_own(locked):
    server = locked()
    def salt(key, **fields):
        return content(server.post(CHAT, chat_body("/salt", **fields), headers={"authorization": f"Bearer {key}"}))
    assert len({salt(KEY), salt(OTHER), salt(KEY, cache_salt="a"), salt(OTHER, cache_salt="a")}) == 4
    assert salt(KEY) == salt(KEY) and salt(KEY, cache_salt="a") == salt(KEY, cache_salt="a")


def test_salt_without_keys(fake):
    assert content(fake.chat("/salt")) == "0" * 32


# ---- CORS ----

PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "authorization, content-type, x-stainless-os, cookie"}


def test_cors(start):
    server = start(cors="https://app.example,http://localhost:5173")
    for origin in ("https://app.example", "http://localhost:5173"):
        r = server.chat("x") and server.post(CHAT, chat_body("x"), headers={"origin": origin})
        assert r.status_code == 200 and r.headers["access-control-allow-origin"] == origin
        assert "x-request-id" in r.headers["access-control-expose-headers"] and "Origin" in r.headers["vary"]
        assert "access-control-allow-credentials" not in r.headers
        r = server.http.options(CHAT, headers={"origin": origin, **PREFLIGHT})
        assert r.status_code == 204 and "POST" in r.headers["access-control-allow-methods"]
        assert r.headers["access-control-allow-headers"] == "authorization, content-type, x-stainless-os"
        assert int(r.headers["access-control-max-age"]) > 0
    r = server.post(CHAT, chat_body("x", stream=True), headers={"origin": "https://app.example"})
    assert r.headers["access-control-allow-origin"] == "https://app.example"
    r = server.http.options(CHAT, headers={"origin": "https://evil.example", **PREFLIGHT})
    assert r.status_code == 403 and "access-control-allow-origin" not in r.headers


def test_cors_errors_can_be_read(locked):
    r = locked(cors="https://app.example").post(CHAT, chat_body("x"), headers={"origin": "https://app.example"})
    assert r.status_code == 401 and r.headers["access-control-allow-origin"] == "https://app.example"


def test_cors_for_all(locked):
    server = locked(cors="*")
    r = server.http.options(CHAT, headers={"origin": "https://any.example", **PREFLIGHT})
    assert r.status_code == 204 and r.headers["access-control-allow-origin"] == "*"
    r = server.post(CHAT, chat_body("x"), headers={"origin": "https://any.example", **BEARER})
    assert r.status_code == 200 and r.headers["access-control-allow-origin"] == "*"


def test_no_cors_by_default(locked):
    r = locked().http.options(CHAT, headers={"origin": "https://any.example", **PREFLIGHT})
    assert not [h for h in r.headers if h.startswith("access-control")]


# ---- gzip ----

def test_gzip(fake):
    long = {"prompt": "hello " * 1000}
    r = fake.post("/tokenize", long, headers={"accept-encoding": "gzip"})
    assert r.headers["content-encoding"] == "gzip" and r.json()["count"] == 6001
    assert int(r.headers["content-length"]) < 2000 and "Accept-Encoding" in r.headers["vary"]
    for coding in ("identity", "deflate", "gzip;q=0", ""):
        r = fake.post("/tokenize", long, headers={"accept-encoding": coding})
        assert "content-encoding" not in r.headers and r.json()["count"] == 6001
    assert fake.http.get("/metrics", headers={"accept-encoding": "gzip"}).headers["content-encoding"] == "gzip"
    r = fake.chat("x" * 3000, stream=True)
    assert "content-encoding" not in r.headers and "[DONE]" in r.text
    r = fake.post("/v1/images/generations", {"prompt": "x"})
    assert "content-encoding" not in r.headers and r.json()["data"][0]["b64_json"]
    assert "content-encoding" not in fake.chat("/draw").headers
    assert "content-encoding" not in fake.http.get("/health").headers  # too small


# ---- TLS and sockets in the file system ----

def make_certificate(folder):
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", cert],
                   check=True, capture_output=True)
    return cert, key


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tls(start, certificate):
    server = start(ready=False, cert=certificate[0], tls_key=certificate[1])
    context = ssl.create_default_context(cafile=str(certificate[0]))
    with httpx.Client(base_url=f"https://127.0.0.1:{server.port}", verify=context, timeout=30 * SLOW) as http:
        for _ in range(100 * SLOW):
            if http.get("/health").status_code == 200:
                break
            time.sleep(0.05)
        assert content(http.post(CHAT, json=chat_body("over tls"))) == "over tls"
        assert "[DONE]" in http.post(CHAT, json=chat_body("x" * 3000, stream=True)).text
    old = ssl.create_default_context(cafile=str(certificate[0]))
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with pytest.raises(httpx.ConnectError), httpx.Client(verify=old) as http:
        http.get(f"https://127.0.0.1:{server.port}/health")
    reply = server.raw(request("GET", "/health"))
    assert b"200 OK" not in reply
    # a client that leaves is seen through TLS too
    raw = context.wrap_socket(server.connect(), server_hostname="localhost")
    raw.sendall(request("POST", CHAT, chat_body("/wait"), close=False))
    with httpx.Client(base_url=f"https://127.0.0.1:{server.port}", verify=context) as http:
        def wait(n):
            for _ in range(100 * SLOW):
                if http.get("/health").json()["running"] == n:
                    return True
                time.sleep(0.02)
        assert wait(1)
        raw.close()
        assert wait(0)


def shown_certificate(port):
    """What a new connection is shown."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), timeout=20 * SLOW) as s, context.wrap_socket(s) as tls:
        return tls.getpeercert(binary_form=True)


def der(path):
    return ssl.PEM_cert_to_DER_cert(path.read_text())


def wait_until(true):
    for _ in range(200 * SLOW):
        if true():
            return
        time.sleep(0.05)
    assert true()


def test_a_certificate_is_renewed_under_load(start, certificate, tmp_path):
    """New connections get the new one; those under way, with streams or between requests, notice nothing."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    shutil.copy(certificate[0], cert), shutil.copy(certificate[1], key)
    server = start(ready=False, cert=cert, tls_key=key)
    url = f"https://127.0.0.1:{server.port}"
    kept = httpx.Client(base_url=url, verify=False, timeout=60 * SLOW)
    wait_until(lambda: kept.get("/health").status_code == 200)
    assert shown_certificate(server.port) == der(certificate[0])
    stop, answers, problems, streamed = threading.Event(), [], [], []
    def call(keep):
        while not stop.is_set():
            try:
                client = kept if keep else httpx.Client(base_url=url, verify=False, timeout=60 * SLOW)
                answers.append(content(client.post(CHAT, json=chat_body("/slow hello"))))
                if not keep:
                    client.close()
            except Exception as e:
                problems.append(e)
    threads = [threading.Thread(target=call, args=(i % 2 == 0,)) for i in range(6)]
    threads.append(threading.Thread(target=lambda: streamed.append(kept.post(CHAT, json=chat_body("/slow " + "x" * 200, stream=True)).text)))
    for t in threads:
        t.start()
    for _ in range(3):
        renewed = make_certificate(tmp_path)
        assert shown_certificate(server.port) != der(renewed[0])
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: shown_certificate(server.port) == der(renewed[0]))
    newest = der(cert)
    for wrong in (certificate[1].read_text(), "", "-----BEGIN PRIVATE KEY-----\n"):  # another's key, none, half of one
        key.write_text(wrong)
        server.process.send_signal(signal.SIGHUP)
        time.sleep(0.2 * SLOW)
        assert shown_certificate(server.port) == newest
    stop.set()
    for t in threads:
        t.join()
    kept.close()
    assert not problems and len(answers) > 10 and set(answers) == {"hello"}
    assert "[DONE]" in streamed[0] and server.process.poll() is None


def test_the_program_reads_its_certificate_again(certificate, tmp_path):
    """The paths too are read again, from the settings file."""
    other = make_certificate(tmp_path)
    settings = tmp_path / "settings.json"
    def write(pair, **more):
        settings.write_text(json.dumps({"tls_cert": str(pair[0]), "tls_key": str(pair[1]), **more}))
    write(certificate)
    with open(tmp_path / "log", "w+") as log:
        program = subprocess.Popen([BINARY, "serve", "--config", settings, "-m", GOLDEN / "tiny-a" / "checkpoint", "--port", "0"],
                                   stdout=subprocess.PIPE, stderr=log, text=True)
        port = int(program.stdout.readline().strip().rsplit(":", 1)[1])
        assert shown_certificate(port) == der(certificate[0])
        write(other, log_level="debug")
        program.send_signal(signal.SIGHUP)
        wait_until(lambda: shown_certificate(port) == der(other[0]))
        settings.write_text("{}")
        program.send_signal(signal.SIGHUP)
        wait_until(lambda: "the old TLS certificate stays" in (tmp_path / "log").read_text())
        assert shown_certificate(port) == der(other[0])
        program.send_signal(signal.SIGTERM)
        assert program.wait(60 * SLOW) == 0
        program.stdout.close()


def test_wrong_tls_files(certificate, tmp_path):
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    for cert, key in ((certificate[0], empty), (empty, certificate[1]), ("/nowhere", certificate[1]), (certificate[0], certificate[0])):
        done = subprocess.run([BINARY, "serve", "-m", "/nowhere", "--port", "0", "--tls-cert", cert, "--tls-key", key],
                              capture_output=True, text=True, timeout=60 * SLOW)
        assert done.returncode == 1 and "cannot be opened" not in done.stderr
    done = subprocess.run([BINARY, "serve", "-m", "/nowhere", "--port", "0", "--tls-cert", certificate[0]],
                          capture_output=True, text=True, timeout=60 * SLOW)
    assert done.returncode == 1 and "both" in done.stderr


def unix_client(path):
    return httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://localhost", timeout=30 * SLOW)


def test_unix_socket(start, tmp_path):
    path = tmp_path / "server.sock"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()  # left behind by a server that crashed
    server = start(ready=False, host=f"unix:{path}")
    with unix_client(path) as http:
        for _ in range(100 * SLOW):
            if http.get("/health").status_code == 200:
                break
            time.sleep(0.05)
        assert content(http.post(CHAT, json=chat_body("over a file"))) == "over a file"
        assert "[DONE]" in http.post(CHAT, json=chat_body("x", stream=True)).text
        assert http.get("/health", headers={"host": "anything.example"}).status_code == 200
    assert path.stat().st_mode & 0o777 == 0o660
    done = subprocess.run([BINARY, "health", "--host", f"unix:{path}"], capture_output=True, text=True, timeout=60 * SLOW)
    assert done.returncode == 0, done.stderr
    done = subprocess.run([BINARY, "serve", "-m", "/nowhere", "--host", f"unix:{path}"], capture_output=True, text=True, timeout=60 * SLOW)
    assert done.returncode == 1 and "in use" in done.stderr  # somebody answers there
    server.stop()
    assert not path.exists()


def test_a_client_that_leaves_a_socket_file_is_seen(start, tmp_path):
    path = tmp_path / "s"
    server = start(ready=False, host=f"unix:{path}")
    with unix_client(path) as http:
        def wait(n):
            for _ in range(100 * SLOW):
                r = http.get("/health")
                if r.status_code == 200 and r.json()["running"] == n:
                    return True
                time.sleep(0.02)
        assert wait(0)
        raw = socket.socket(socket.AF_UNIX)
        raw.connect(str(path))
        raw.sendall(request("POST", CHAT, chat_body("/wait"), close=False))
        assert wait(1)
        raw.close()
        assert wait(0)


def test_unix_socket_leaves_other_files_alone(tmp_path):
    path = tmp_path / "letter.txt"
    path.write_text("dear")
    done = subprocess.run([BINARY, "serve", "-m", "/nowhere", "--host", f"unix:{path}"], capture_output=True, text=True, timeout=60 * SLOW)
    assert done.returncode == 1 and path.read_text() == "dear"


# ---- deadlines ----

@pytest.mark.parametrize("stream", [False, True])
def test_deadline(start, stream):
    server = start(timeout=1)
    begin = time.time()
    r = server.chat("/forever", stream=stream)
    assert 0.8 < time.time() - begin < 5 * SLOW
    if stream:
        assert r.status_code == 200 and '"code":"timeout"' in r.text and "[DONE]" not in r.text
    else:
        assert r.status_code == 504 and r.json()["error"]["code"] == "timeout"
    server.wait_running(0)


def test_own_deadline(fake):
    begin = time.time()
    r = fake.post(CHAT, chat_body("/wait"), headers={"x-request-timeout": "0.3"})
    assert r.status_code == 504 and time.time() - begin < 5 * SLOW
    assert fake.post(CHAT, chat_body("x"), headers={"x-request-timeout": "30"}).status_code == 200
    for wrong in ("0", "-1", "x", "1e5", "nan", "inf", "", "1.2.3", "0x10", "86401"):
        r = fake.post(CHAT, chat_body("x"), headers={"x-request-timeout": wrong})
        assert r.status_code == 400 and r.json()["error"]["param"] == "x-request-timeout", wrong


def test_the_shorter_deadline_counts(start):
    server = start(timeout=1)
    begin = time.time()
    assert server.post(CHAT, chat_body("/wait"), headers={"x-request-timeout": "60"}).status_code == 504
    assert time.time() - begin < 5 * SLOW


# ---- the program itself ----

@pytest.fixture(scope="module")
def program(tmp_path_factory):
    file = tmp_path_factory.mktemp("keys") / "keys"
    file.write_text(f"{KEY} alice\n")
    log = open(file.parent / "log", "w+")
    server = start_real(GOLDEN / "tiny-a" / "checkpoint", "--api-key-file", str(file), "--metrics-open", "--log-format", "json",
                        key=KEY, log=log)
    yield server, file, log
    server.stop()


def test_program_reads_its_log_level_again(tmp_path):
    settings, path = tmp_path / "settings.json", tmp_path / "log"
    settings.write_text('{"log_level": "info"}')
    with open(path, "w") as log:
        server = start_real(GOLDEN / "tiny-a" / "checkpoint", "--config", str(settings), log=log)
        def lines(n):
            server.http.get(f"/nowhere/{n}")
            time.sleep(0.1 * SLOW)
            return f"/nowhere/{n}" in path.read_text()
        assert lines(1)
        settings.write_text('{"log_level": "error", "key_requests": "many"}')
        server.process.send_signal(signal.SIGHUP)
        time.sleep(0.5 * SLOW)
        assert lines(2) and "the settings are wrong, nothing is changed" in path.read_text()
        settings.write_text('{"log_level": "error"}')
        server.process.send_signal(signal.SIGHUP)
        time.sleep(0.5 * SLOW)
        assert not lines(3)
        server.stop()


def test_program_reads_keys_again(program):
    server, file, log = program
    def status(key):
        return server.http.get("/v1/models", headers={"authorization": f"Bearer {key}"}).status_code
    assert status(KEY) == 200 and status(OTHER) == 401
    file.write_text(f"{KEY} alice\n{OTHER} bob\n")
    server.process.send_signal(signal.SIGHUP)
    for _ in range(100 * SLOW):
        if status(OTHER) == 200:
            break
        time.sleep(0.05)
    assert status(KEY) == 200 and status(OTHER) == 200
    file.write_text("")
    server.process.send_signal(signal.SIGHUP)
    time.sleep(0.5 * SLOW)
    assert status(OTHER) == 200
    r = server.http.post(CHAT, json={"messages": [{"role": "user", "content": "hello"}], "max_tokens": 3}, headers=BEARER)
    assert r.status_code == 200
    log.seek(0)
    text = log.read()
    assert '"key":"alice"' in text and KEY not in text and "the old API keys stay" in text
