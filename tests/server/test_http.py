"""The HTTP layer over raw sockets: framing, limits, hang-ups, loading, draining."""
import gzip
import json
import signal
import socket
import struct
import threading
import time

import pytest
from serving import SLOW, read_all, request, status_of

CHAT = "/v1/chat/completions"


def chat_body(text, **fields):
    return {"model": "fake", "messages": [{"role": "user", "content": text}], **fields}


def error_of(reply):
    error = json.loads(reply.split(b"\r\n\r\n", 1)[1])["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert isinstance(error["message"], str) and isinstance(error["type"], str)
    return error


@pytest.mark.parametrize("headers", [
    ["Content-Length: 2", "Content-Length: 3"],
    ["Content-Length: 2", "Content-Length: 2"],
    ["Content-Length: 2", "Transfer-Encoding: chunked"],
    ["Transfer-Encoding: xchunked"],
    ["Transfer-Encoding: identity"],
    ["Transfer-Encoding: gzip, chunked"],
    ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
    ["Transfer-Encoding : chunked"],
    ["Host: other"],
    ["X-Bad: a\x01b"],
    ["X-Bad: a\x7fb"],
    ["X(bad): 1"],
    ["Content-Length:\r\n 2"],
    ["Transfer-Encoding:\r\n chunked"],
    ["Transfer-Encoding: \r\n\tchunked"],
    ["Content-Type: text/plain"],
])
def test_ambiguous_framing_is_refused(fake, headers):
    reply = fake.raw(request("POST", CHAT, b"{}", headers) + b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n",
                     half_close=True)
    assert status_of(reply) == 400, reply
    assert b"smuggled" not in reply and reply.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("data", [
    b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
    b"GET /health HTTP/1.1\r\n\r\n",
    b"\r\n\r\n\x00\x01\x02",
    b"GET\r\n\r\n",
    b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 200000 + b"\r\n\r\n",
])
def test_broken_requests(fake, data):
    reply = fake.raw(data, half_close=True)
    assert status_of(reply) in (None, 400, 413, 414, 431, 505), reply[:200]
    assert fake.http.get("/health").status_code == 200


@pytest.mark.parametrize("body, code", [
    (b"{", "invalid_json"), (b"[]", "invalid_json"), (b"null", "invalid_json"), (b'{"a":1,"a":2}', "invalid_json"),
    (b'{"model":"fake"} x', "invalid_json"), (b"\xff\xfe", "invalid_json"), (b'{"a":"\xc3("}', "invalid_json"),
    (b'{"a":NaN}', "invalid_json"), (b'{"a":1e999}', "invalid_json"), (b'{"a":"\\u0000"}', "invalid_json"),
    (b"[" * 100000, "invalid_json"), (b'{"a":' * 5000, "invalid_json"), (b'{"a":[' + b"{}," * 300000 + b"{}]}", "invalid_json"),
    (b'{"seed":99999999999999999999}', "invalid_json"),
])
def test_bad_json(fake, body, code):
    reply = fake.raw(request("POST", CHAT, body))
    assert status_of(reply) == 400
    error = error_of(reply)
    assert error["code"] == code and error["type"] == "invalid_request_error"
    assert len(error["message"]) < 500


def test_json_errors_tell_the_position(fake):
    error = error_of(fake.raw(request("POST", CHAT, b'{"model": "fake",\n "messages": [}')))
    assert "line 2" in error["message"]


def test_empty_body(fake):
    reply = fake.raw(b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                     b"Content-Length: 0\r\nConnection: close\r\n\r\n")
    assert status_of(reply) == 400 and error_of(reply)["code"] == "invalid_json"


def test_paths_and_methods(fake):
    r = fake.http.get("/nowhere")
    assert r.status_code == 404 and r.json()["error"]["type"] == "invalid_request_error"
    r = fake.http.get(CHAT)
    assert r.status_code == 405 and "POST" in r.headers["allow"] and r.json()["error"]["message"]
    r = fake.http.delete("/v1/models")
    assert r.status_code == 405 and "GET" in r.headers["allow"]
    r = fake.http.options(CHAT)
    assert r.status_code == 204 and "POST" in r.headers["allow"]
    assert "access-control-allow-origin" not in r.headers
    r = fake.http.head("/health")
    assert r.status_code == 200 and r.content == b"" and int(r.headers["content-length"]) > 0
    assert fake.http.head("/nowhere").status_code == 404
    assert fake.http.get("/v1/models/").status_code == 200
    assert fake.http.get("/models").status_code == 200
    assert fake.http.get("/v1/models/fake").json()["id"] == "fake"
    assert fake.http.get("/v1/models/other").json()["error"]["code"] == "model_not_found"
    assert fake.http.get("/").headers["content-type"].startswith("text/html")
    assert fake.http.get("/health/live").status_code == 200
    assert fake.http.get("/health/ready").status_code == 200
    assert fake.http.get("/%00%ff%2e%2e/").status_code == 404


def test_every_reply_has_its_ids(fake):
    for r in (fake.http.get("/health"), fake.http.get("/nowhere"), fake.http.post(CHAT, content=b"{", headers={"content-type": "application/json"})):
        assert r.headers["x-request-id"].startswith("req_") and int(r.headers["openai-processing-ms"]) >= 0
    assert fake.http.get("/health", headers={"x-request-id": "mine-1"}).headers["x-request-id"] == "mine-1"
    assert fake.http.get("/health", headers={"x-request-id": "a" * 129}).headers["x-request-id"].startswith("req_")
    assert fake.http.get("/health", headers={"x-request-id": "a b"}).headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize("headers, status", [
    ({"host": "evil.example"}, 403), ({"host": "127.0.0.1.evil.example"}, 403), ({"host": "localhost:1"}, 200),
    ({"host": "[::1]:80"}, 200), ({"host": "127.9.9.9"}, 200), ({"host": "localhost:"}, 403), ({"host": ""}, 403),
    ({"origin": "https://evil.example"}, 403), ({"origin": "null"}, 403), ({"origin": "http://localhost:3000"}, 200),
    ({"origin": "http://127.0.0.1"}, 200), ({"origin": "http://localhost.evil.example"}, 403),
    ({"origin": "file://localhost"}, 403),
])
def test_loopback_is_not_for_web_pages(fake, headers, status):
    assert fake.http.get("/health", headers=headers).status_code == status


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""])
def test_post_needs_json(fake, kind):
    r = fake.http.post("/tokenize", content=b'{"prompt":"a"}', headers={"content-type": kind})
    assert r.status_code == 415
    r = fake.http.post("/tokenize", content=b'{"prompt":"a"}', headers={"content-type": "Application/JSON; charset=utf-8"})
    assert r.status_code == 200


def test_packed_bodies_are_refused(fake):
    body = b'{"prompt":"a"}'
    r = fake.http.post("/tokenize", content=gzip.compress(body), headers={"content-type": "application/json", "content-encoding": "gzip"})
    assert r.status_code == 415 and "Content-Encoding" in r.json()["error"]["message"]
    r = fake.http.post("/tokenize", content=body, headers={"content-type": "application/json", "content-encoding": "identity"})
    assert r.status_code == 200


def test_a_byte_order_mark_is_no_mistake(fake):
    def post(body):
        return fake.http.post("/tokenize", content=body, headers={"content-type": "application/json"})
    assert post(b'\xef\xbb\xbf{"prompt":"a"}').json()["count"] == 2
    for body in (b"\xef\xbb\xbf", b"\xef\xbb", b'{"prompt":\xef\xbb\xbf"a"}'):
        assert post(body).status_code == 400


def test_no_library_speaks_of_its_flags(fake):
    error = fake.http.post("/tokenize", content=b'{"prompt":"a\\u0000"}', headers={"content-type": "application/json"}).json()["error"]
    assert "\\u0000 is not allowed" in error["message"] and "JSON_" not in error["message"]


def test_keep_alive_and_pipelining(fake):
    one = request("GET", "/health/live", close=False)
    with fake.connect() as s:
        for _ in range(200):
            s.sendall(one)
            data = b""
            while b"live" not in data:
                data += s.recv(65536)
            assert status_of(data) == 200
        s.sendall(one * 5 + request("GET", "/health/live"))
        assert read_all(s).count(b"200 OK") == 6


def test_keep_alive_after_a_stream(fake):
    body = chat_body("hello", stream=True)
    with fake.connect() as s:
        for _ in range(3):
            s.sendall(request("POST", CHAT, body, close=False))
            data = b""
            while not data.endswith(b"0\r\n\r\n"):
                data += s.recv(65536)
            assert b"[DONE]" in data


def test_chunked_body(fake):
    body = json.dumps(chat_body("chunked hello")).encode()
    head = request("POST", CHAT, b"", ["Transfer-Encoding: chunked", "Content-Type: application/json"])
    pieces = b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + 7]), body[i:i + 7]) for i in range(0, len(body), 7))
    reply = fake.raw(head + pieces + b"0\r\n\r\n")
    assert status_of(reply) == 200 and b"chunked hello" in reply


def test_expect_100_continue(fake):
    body = json.dumps(chat_body("expected")).encode()
    with fake.connect() as s:
        head = request("POST", CHAT, b"", ["Expect: 100-continue", "Content-Type: application/json",
                                           f"Content-Length: {len(body)}"])
        s.sendall(head)
        assert s.recv(65536).startswith(b"HTTP/1.1 100")
        s.sendall(body)
        assert b"expected" in read_all(s)
    with fake.connect() as s:  # a final answer instead of 100
        s.sendall(request("POST", CHAT, b"", ["Expect: 100-continue", "Content-Type: application/json",
                                              "Content-Length: 1000000000"]))
        assert status_of(read_all(s)) == 413


def test_http_1_0(fake):
    reply = fake.raw(request("POST", CHAT, chat_body("old", stream=True), version="HTTP/1.0", close=False))
    assert status_of(reply) == 200 and b"[DONE]" in reply and b"chunked" not in reply


def test_body_limit(start):
    server = start(body=100000)
    with server.connect() as s:  # refused by its length, before the body is sent
        s.sendall(request("POST", CHAT, b"", ["Content-Length: 1000000000", "Content-Type: application/json"]))
        reply = read_all(s)
        assert status_of(reply) == 413 and error_of(reply)["code"] == "body_too_large"
    def sized(n):
        body = json.dumps(chat_body("")).encode()
        return body + b" " * (n - len(body))
    assert status_of(server.raw(request("POST", CHAT, sized(100000)))) == 200
    assert status_of(server.raw(request("POST", CHAT, sized(100001)))) == 413
    r = server.http.post(CHAT, content=sized(100001), headers={"content-type": "application/json"})
    assert r.status_code == 413
    r = server.http.post(CHAT, content=(b" " * 1000 for _ in range(200)), headers={"content-type": "application/json"})
    assert r.status_code == 413  # chunked: read on, and answered
    r = server.http.post(CHAT, content=sized(5000000), headers={"content-type": "application/json"})
    assert r.status_code == 413


def test_many_bodies_at_once_have_a_budget(start):
    server = start(body=1000000)
    head = request("POST", CHAT, b"", ["Content-Length: 1000000", "Content-Type: application/json"])
    sockets = [server.connect() for _ in range(12)]
    for s in sockets:
        s.sendall(head + b" " * 999999)
    time.sleep(0.5 * SLOW)
    for s in sockets:
        s.sendall(b" ")
    replies = [status_of(s.recv(65536)) for s in sockets]
    assert set(replies) == {400, 503}, replies
    for s in sockets:
        s.close()
    time.sleep(0.3)
    assert server.chat("x").status_code == 200


def hang_up(s, reset):
    if reset:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("text", ["/wait", "/forever"])
@pytest.mark.parametrize("n", [1, 3])
def test_a_client_that_leaves_frees_its_work(fake, text, stream, reset, n):
    before = int(fake.chat("/cancelled").json()["choices"][0]["message"]["content"])
    s = fake.connect()
    s.sendall(request("POST", CHAT, chat_body(text, stream=stream, n=n), close=False))
    fake.wait_running(n)
    if stream:
        s.recv(100)
    begin = time.time()
    hang_up(s, reset)
    fake.wait_running(0, 1)
    assert time.time() - begin < 0.25 * SLOW
    assert int(fake.chat("/cancelled").json()["choices"][0]["message"]["content"]) == before + n


def test_a_leaving_client_leaves_others_alone(fake):
    replies = []
    def stay():
        replies.append(fake.chat("/slow " + "abcdefghij" * 10).json()["choices"][0]["message"]["content"])
    threads = [threading.Thread(target=stay) for _ in range(5)]
    for t in threads:
        t.start()
    for _ in range(20):
        s = fake.connect()
        s.sendall(request("POST", CHAT, chat_body("/forever", stream=True), close=False))
        s.recv(10)
        hang_up(s, True)
    for t in threads:
        t.join()
    assert replies == ["abcdefghij" * 10] * 5
    fake.wait_running(0)


def test_a_reader_that_stops_holds_up_no_one(fake):
    s = fake.connect()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.sendall(request("POST", CHAT, chat_body("/flood", stream=True, logprobs=True, top_logprobs=20), close=False))
    begin = time.time()
    assert fake.chat("still there").json()["choices"][0]["message"]["content"] == "still there"
    assert time.time() - begin < 5 * SLOW
    hang_up(s, True)
    fake.wait_running(0, 30)


def test_a_flood_arrives_whole(fake):
    r = fake.chat("/flood")
    assert r.json()["choices"][0]["message"]["content"] == "0123456789" * 10000
    events = fake.chat("/flood", stream=True).text.split("\n\n")
    assert "".join(json.loads(e[6:])["choices"][0]["delta"].get("content", "") for e in events[:-2]) == "0123456789" * 10000


def test_requests_cut_anywhere(fake):
    data = request("POST", CHAT, chat_body("cut é", stream=True, stop=["x"]))
    for n in range(len(data)):
        with fake.connect() as s:
            s.sendall(data[:n])
    fake.wait_running(0)
    for n in range(0, len(data), 7):  # and in two pieces
        with fake.connect() as s:
            s.sendall(data[:n])
            time.sleep(0.001)
            s.sendall(data[n:])
            assert b"[DONE]" in read_all(s)


def test_damaged_bodies(fake):
    """Thousands of bodies with bytes changed, cut and doubled: an answer to each, never a 5xx."""
    from random import Random
    random = Random(7)
    picture = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
    good = json.dumps(chat_body("", messages=[
        {"role": "system", "content": "é"}, {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": picture}}]},
        {"role": "assistant", "content": "x ![i](" + picture + ") y"}, {"role": "assistant", "content": "ab", "images": [{"type": "image_url", "image_url": {"url": picture}}],
         "content_parts": [{"type": "text", "start": 0, "end": 1}, {"type": "image_url", "image": 0}, {"type": "text", "start": 1, "end": 2}]}, {"role": "user", "content": "echo"}],
        n=2, stop=["a", "bc"], seed=1, temperature=0.5, logit_bias={"3": 1.5}, image_config={"size": "64x64", "guidance_scale": 1.5}), ensure_ascii=False).encode()
    seen = set()
    for _ in range(3000 // SLOW):
        body = bytearray(good)
        for _ in range(random.randint(1, 4)):
            at = random.randrange(len(body))
            kind = random.randrange(4)
            if kind == 0:
                body[at] = random.randrange(256)
            elif kind == 1:
                del body[at:at + random.randint(1, 20)]
            elif kind == 2:
                body[at:at] = body[at:at + random.randint(1, 30)]
            else:
                body[at:at + 1] = random.choice([b"null", b"-1", b"1e99", b"[]", b"{}", b'"', b"\\", b"9" * 18, b"true"])
        r = fake.http.post(CHAT, content=bytes(body), headers={"content-type": "application/json"})
        seen.add(r.status_code)
        if r.status_code != 200:
            assert set(r.json()["error"]) == {"message", "type", "param", "code"}
    assert seen <= {200, 400, 404} and {200, 400} <= seen
    fake.wait_running(0)


def test_queue_full(start):
    server = start(running=2)
    sockets = [server.connect() for _ in range(2)]
    for s in sockets:
        s.sendall(request("POST", CHAT, chat_body("/wait"), close=False))
    server.wait_running(2)
    r = server.chat("x")
    assert r.status_code == 429 and int(r.headers["retry-after"]) >= 1
    assert r.json()["error"]["code"] == "rate_limit_exceeded"
    r = server.chat("x", stream=True)
    assert r.status_code == 429
    r = server.post("/v1/images/generations", {"prompt": "x"})
    assert r.status_code == 429
    for s in sockets:
        s.close()
    server.wait_running(0)
    r = server.chat("/wait", n=3)  # the first two choices are taken back
    assert r.status_code == 429
    server.wait_running(0)
    while server.http.get("/health").json()["waiting"]:  # cancelled before they began
        time.sleep(0.01)
    assert server.chat("x").status_code == 200


def test_loading(start):
    server = start(loading=2 if SLOW == 1 else 5)
    r = server.http.get("/health")
    assert r.status_code == 503 and r.json()["status"] == "loading" and 0 <= r.json()["progress"] < 1
    assert int(r.headers["retry-after"]) >= 1
    assert server.http.get("/health/ready").status_code == 503
    assert server.http.get("/health/live").status_code == 200
    assert server.http.get("/").status_code == 200  # the page tells how far it is
    for r in (server.http.get("/v1/models"), server.http.get("/nowhere"),
              server.post(CHAT, chat_body("x")), server.post("/tokenize", {"prompt": "a"})):
        assert r.status_code == 503 and r.json()["error"]["code"] == "loading"
    server.wait_ready()
    assert server.chat("x").status_code == 200


def test_draining(start):
    server = start(drain=20)
    replies = []
    def ask(stream):
        replies.append(server.chat("/slow " + "a" * 100, stream=stream).text)
    threads = [threading.Thread(target=ask, args=(i % 2 == 1,)) for i in range(4)]
    for t in threads:
        t.start()
    server.wait_running(4)
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    r = server.chat("late")
    assert r.status_code == 503 and r.json()["error"]["code"] == "draining" and r.headers["retry-after"]
    assert server.http.get("/health").json()["status"] == "draining"
    assert server.http.get("/health/live").status_code == 200
    for t in threads:
        t.join()
    assert len(replies) == 4 and sum("[DONE]" in r for r in replies) == 2
    assert sum("a" * 100 in r for r in replies) == 2


def test_drain_ends(start):
    server = start(drain=1)
    replies = {}
    def ask(stream):
        replies[stream] = server.chat("/forever", stream=stream)
    threads = [threading.Thread(target=ask, args=(s,)) for s in (False, True)]
    for t in threads:
        t.start()
    server.wait_running(2)
    begin = time.time()
    server.process.send_signal(signal.SIGTERM)
    for t in threads:
        t.join()
    assert time.time() - begin < 5 * SLOW
    assert replies[False].status_code == 503 and replies[False].json()["error"]["code"] == "draining"
    assert replies[True].status_code == 200 and '"code":"draining"' in replies[True].text
    assert "[DONE]" not in replies[True].text


def test_failure_tells_no_details(fake):
    r = fake.chat("/fail abc")
    assert r.status_code == 500 and r.json()["error"]["type"] == "server_error" and "0x" not in r.text
    r = fake.chat("/fail abc", stream=True)
    events = [e[6:] for e in r.text.split("\n\n") if e]
    assert r.status_code == 200 and json.loads(events[-1])["error"]["type"] == "server_error" and "[DONE]" not in events


def test_many_streams(start):
    n = 1000 if SLOW == 1 else 100
    server = start(connections=n + 20)
    sockets = [server.connect() for _ in range(n)]
    data = request("POST", CHAT, chat_body("/wait", stream=True), close=False)
    for s in sockets:
        s.sendall(data)
    server.wait_running(n, 30)
    assert server.chat("x").status_code == 200
    for s in sockets:
        s.close()
    server.wait_running(0, 10)


def test_not_offered(fake):
    """OpenAI's endpoints that are not here say so, to forms too."""
    form = {"files": {"image": ("a.png", b"x" * 100000, "image/png")}, "data": {"prompt": "a"}}
    for path, body in [("/v1/images/edits", form), ("/v1/images/variations", form), ("/v1/responses", {"json": {"input": "a"}})]:
        error = fake.http.post(path, **body).json()["error"]
        assert error["code"] == "unsupported_operation" and path in error["message"]
    assert fake.http.post("/v1/chat/completions", **form).status_code == 415
    assert fake.http.post("/v1/chat%2fcompletions/", content=b"{}", headers={"content-type": "text/plain"}).status_code == 415
    assert fake.http.post("/v1/models", content=b"x").status_code == 405 and fake.http.post("/nowhere", content=b"x").status_code == 404


def test_progress(fake):
    r = fake.chat("/draw x", stream=True, return_progress=True, stream_options={"include_usage": True})
    chunks = [json.loads(b[6:]) for b in r.text.split("\n\n") if b.startswith("data: {")]
    prompt = [c["prompt_progress"] for c in chunks if "prompt_progress" in c]
    total = chunks[-1]["usage"]["prompt_tokens"]
    assert [(p["processed"], p["total"]) for p in prompt] == [(0, total), (total, total)] and prompt[1]["time_ms"] >= 0
    assert [c["picture_progress"] for c in chunks if "picture_progress" in c] == [{"index": 0, "scale": s, "scales": 10} for s in range(10)]
    assert all(c["choices"][0]["delta"] == {} for c in chunks if "picture_progress" in c or "prompt_progress" in c)
    assert "progress" not in fake.chat("/draw x", return_progress=True).text
