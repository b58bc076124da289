"""What operators see: metrics, the log, the queue, loading, draining, a stuck engine."""
import json
import re
import shutil
import signal
import threading
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families
from serving import GOLDEN, ROOT, SLOW, request, start_fake, start_real

CHAT = "/v1/chat/completions"


def chat_body(text, **fields):
    return {"model": "fake", "messages": [{"role": "user", "content": text}], **fields}


class Metrics:
    """One scrape, checked as Prometheus would, and more strictly."""

    def __init__(self, server):
        r = server.http.get("/metrics")
        assert r.status_code == 200 and r.headers["content-type"].startswith("text/plain; version=0.0.4")
        self.text = r.text
        self.families = {f.name: f for f in text_string_to_metric_families(r.text)}
        self.values = {}
        for family in self.families.values():
            assert family.documentation and family.type in ("counter", "gauge", "histogram"), family.name
            for s in family.samples:
                at = (s.name, tuple(sorted(s.labels.items())))
                assert at not in self.values, f"{at} is there twice"
                self.values[at] = s.value
            if family.type == "histogram":
                self.check_histogram(family)

    @staticmethod
    def check_histogram(family):
        series = {}
        for s in family.samples:
            labels = tuple(sorted((k, v) for k, v in s.labels.items() if k != "le"))
            series.setdefault(labels, []).append(s)
        for samples in series.values():
            buckets = [(float(s.labels["le"]), s.value) for s in samples if s.name.endswith("_bucket")]
            assert buckets == sorted(buckets) and [v for _, v in buckets] == sorted(v for _, v in buckets)
            count = next(s.value for s in samples if s.name.endswith("_count"))
            assert buckets[-1] == (float("inf"), count)
            assert any(s.name.endswith("_sum") for s in samples)

    def get(self, name, **labels):
        return self.values[(name, tuple(sorted(labels.items())))]


def test_counts(start):
    server = start()
    server.chat("hello there")
    server.chat("/draw")
    server.post(CHAT, chat_body("x" * 50, stream=True, n=2))
    server.post("/v1/images/generations", {"prompt": "a", "n": 2})
    server.post(CHAT, {"messages": 5})
    server.http.get("/nowhere")
    server.http.get("/v1/models/other")
    server.chat("/fail")
    m = Metrics(server)
    assert m.get("vargpt_http_requests_total", path=CHAT, status="200") == 3
    assert m.get("vargpt_http_requests_total", path=CHAT, status="400") == 1
    assert m.get("vargpt_http_requests_total", path=CHAT, status="500") == 1
    assert m.get("vargpt_http_requests_total", path="/v1/models/...", status="404") == 1
    assert m.get("vargpt_http_requests_total", path="other", status="404") == 1
    assert m.get("vargpt_pictures_total") == 3 and m.get("vargpt_picture_tokens_total") == 3 * 680
    assert m.get("vargpt_text_tokens_total") == len("hello there") + len("before ") + 100
    assert m.get("vargpt_requests_ended_total", end="done") == 1 + 1 + 2 + 2
    assert m.get("vargpt_requests_ended_total", end="failed") == 1
    assert m.get("vargpt_time_to_first_token_seconds_count") == 4
    assert m.get("vargpt_inter_token_seconds_count") == 10 + 6 + 2 * 49
    assert m.get("vargpt_queue_seconds_count") == 7 and m.get("vargpt_request_seconds_count") == 5
    for scale in range(10):
        assert m.get("vargpt_scale_seconds_count", scale=str(scale)) == 3
    assert m.get("vargpt_connections") >= 1 and m.get("vargpt_ready") == 1
    assert m.get("vargpt_text_step_seconds") == 0.002 and m.get("vargpt_longest_unit_seconds") == 0.003
    assert m.get("vargpt_longest_token_wait_seconds") == 0.25
    assert m.get("process_resident_memory_bytes") > 1e6
    build = next(s for s in m.families["vargpt_build_info"].samples)
    assert build.value == 1 and build.labels["model"] == "fake" and re.match(r"\d+\.\d+\.\d+", build.labels["version"])


def test_cancellation_is_timed(start):
    server = start()
    s = server.connect()
    s.sendall(request("POST", CHAT, chat_body("/wait", stream=True), close=False))
    server.wait_running(1)
    s.close()
    server.wait_running(0)
    time.sleep(0.1)
    m = Metrics(server)
    assert m.get("vargpt_cancel_to_free_seconds_count") == 1 and m.get("vargpt_requests_ended_total", end="cancelled") == 1
    assert m.get("vargpt_http_requests_total", path=CHAT, status="499") == 1


def test_gateway_names(start):
    """The names of the Gateway API Inference Extension's model server protocol, as gauges."""
    server = start(slots=2)
    sockets = [server.connect() for _ in range(5)]
    for s in sockets:
        s.sendall(request("POST", CHAT, chat_body("/wait", stream=True), close=False))
    server.wait_running(2)
    for _ in range(100 * SLOW):
        m = Metrics(server)
        if m.get("vllm:num_requests_waiting", model_name="fake") == 3:
            break
        time.sleep(0.05)
    assert m.get("vllm:num_requests_waiting", model_name="fake") == 3
    assert m.get("vllm:num_requests_running", model_name="fake") == 2
    assert m.get("vllm:kv_cache_usage_perc", model_name="fake") == m.get("vllm:gpu_cache_usage_perc", model_name="fake") == 0.02
    assert m.get("vllm:cache_config_info", block_size="16", num_gpu_blocks="100") == 1
    assert all(f.type == "gauge" for name, f in m.families.items() if name.startswith("vllm:"))
    for s in sockets:
        s.close()


def test_metrics_of_a_name_that_needs_escaping():
    server = start_fake(model='a "b"\\c', ready=False)
    for _ in range(100 * SLOW):
        if server.http.get("/health").status_code == 200:
            break
        time.sleep(0.05)
    assert Metrics(server).get("vllm:num_requests_running", model_name='a "b"\\c') == 0
    server.stop()


def test_metrics_are_documented(start):
    server = start()
    server.post("/v1/images/generations", {"prompt": "a"})
    text = (ROOT / "docs" / "metrics.md").read_text()
    for name, family in Metrics(server).families.items():
        assert f"`{name}" in text, name


def test_metrics_while_loading(start):
    server = start(loading=2 if SLOW == 1 else 10)
    m = Metrics(server)
    assert m.get("vargpt_ready") == 0 and "vllm:num_requests_running" not in m.families
    server.wait_ready()
    assert Metrics(server).get("vargpt_ready") == 1


def test_the_real_engine_counts():
    server = start_real(GOLDEN / "tiny-a" / "checkpoint")
    body = {"messages": [{"role": "user", "content": "hello " * 30}], "max_tokens": 8, "temperature": 0, "modalities": ["text"]}
    first = server.post(CHAT, body).json()["usage"]
    second = server.post(CHAT, body).json()["usage"]
    time.sleep(0.2 * SLOW)  # the engine notes its state a moment after the last event
    m = Metrics(server)
    assert m.get("vargpt_prompt_tokens_total") == first["prompt_tokens"] + second["prompt_tokens"]
    assert m.get("vargpt_cached_tokens_total") == second["prompt_tokens_details"]["cached_tokens"] > 0
    assert m.get("vargpt_text_tokens_total") == first["completion_tokens"] + second["completion_tokens"]
    assert m.get("vargpt_prefix_hit_tokens_total") == m.get("vargpt_cached_tokens_total")
    assert m.get("vargpt_rows_total", kind="prefill") > 0 and m.get("vargpt_rows_total", kind="text") > 0
    assert m.get("vargpt_pages") > 0 and m.get("vargpt_pages_used") == 0 and m.get("vargpt_pages_cached") > 0
    for name in ("text_step", "longest_token_wait", "longest_unit"):
        assert 0 < m.get(f"vargpt_{name}_seconds") < 60
    assert m.get("vargpt_steps_total") > 8 and m.get("vargpt_queue_seconds_count") == 2
    config = next(s for s in m.families["vllm:cache_config_info"].samples)
    assert config.labels["block_size"] == "16" and int(config.labels["num_gpu_blocks"]) == m.get("vargpt_pages")
    server.stop()


def test_checkpoints_of_the_same_shapes_have_their_own_fingerprints(tmp_path):
    source = GOLDEN / "tiny-a" / "checkpoint"
    def fingerprint(folder):
        server = start_real(folder)
        body = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 1}
        names = {server.post(CHAT, body).json()["system_fingerprint"] for _ in range(2)}
        build = next(s for s in Metrics(server).families["vargpt_build_info"].samples)
        server.stop()
        assert names == {build.labels["fingerprint"]}
        return names.pop()
    shutil.copytree(source, tmp_path / "checkpoint")
    assert fingerprint(tmp_path / "checkpoint") == fingerprint(source)
    weights = tmp_path / "checkpoint" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    begin = 8 + int.from_bytes(data[:8], "little")
    data[begin + json.loads(data[8:begin])["image_gen_projector.ln_q.bias"]["data_offsets"][0]] ^= 1
    weights.write_bytes(data)
    assert fingerprint(tmp_path / "checkpoint") != fingerprint(source)


# ---- the log ----

@pytest.fixture
def logged(tmp_path):
    servers = []
    def open_server(**options):
        log = open(tmp_path / f"log-{len(servers)}", "w+")
        servers.append(start_fake(log=log, **options))
        def lines():
            time.sleep(0.1 * SLOW)
            log.seek(0)
            return log.read().splitlines()
        return servers[-1], lines
    yield open_server
    for server in servers:
        server.stop()


def test_a_line_of_json_a_request(logged):
    server, lines = logged(logformat="json")
    server.post(CHAT, chat_body("my secret é"), headers={"x-request-id": "mine-7"})
    server.post(CHAT, chat_body("/draw", stream=True))
    server.post("/tokenize", {"prompt": "my secret"})
    server.http.get("/no/%22such%0a%01path")
    server.http.get("/health")
    server.http.get("/metrics")
    entries = [json.loads(line) for line in lines()]
    requests = [e for e in entries if e["message"] == "request"]
    assert [e["path"] for e in requests][1:] == [CHAT, CHAT, "/tokenize", "/no/\"such\n\x01path"]  # the first: /v1/models
    chat, drawn = requests[1], requests[2]
    assert chat["id"] == "mine-7" and chat["method"] == "POST" and chat["status"] == 200 and chat["level"] == "info"
    assert chat["text_tokens"] == 11 + 1 and chat["prompt_tokens"] > 11 and "key" not in chat
    assert all(chat[k] >= 0 for k in ("ms", "queue_ms", "ttft_ms", "cached_tokens"))
    assert drawn["pictures"] == 1 and drawn["picture_tokens"] == 680
    assert requests[4]["status"] == 404 and "text_tokens" not in requests[4]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", chat["time"])
    assert "secret" not in json.dumps(entries)


def test_a_line_of_text_a_request(logged):
    server, lines = logged()
    server.chat("my secret")
    line = [x for x in lines() if CHAT in x][0]
    assert re.search(r" info +request id=req_[0-9a-f]{32} method=POST path=/v1/chat/completions status=200 ms=\d+ ", line)
    assert "secret" not in line


def test_prompts_are_counted_each(logged):
    server, lines = logged(logformat="json")
    r = server.post("/v1/completions", {"model": "fake", "prompt": ["one", "three"], "n": 2, "max_tokens": 3})
    assert r.status_code == 200, r.text
    entry = [json.loads(x) for x in lines() if "/v1/completions" in x][0]
    assert entry["prompt_tokens"] == r.json()["usage"]["prompt_tokens"] == Metrics(server).get("vargpt_prompt_tokens_total")


def test_names_of_pictures_stay_out_of_the_log(logged):
    server, lines = logged()
    url = server.post("/v1/images/generations", {"prompt": "x", "response_format": "url"}).json()["data"][0]["url"]
    name = url.rsplit("/", 1)[1]
    assert server.http.get(url).status_code == 200
    assert not [x for x in lines() if name in x] and [x for x in lines() if "path=/images/..." in x]


def test_a_leaving_client_is_logged(logged):
    server, lines = logged(logformat="json")
    s = server.connect()
    s.sendall(request("POST", CHAT, chat_body("/forever", stream=True), close=False))
    time.sleep(0.1 * SLOW)
    s.close()
    server.wait_running(0)
    entry = [json.loads(x) for x in lines() if CHAT in x][0]
    assert entry["status"] == 499 and entry["text_tokens"] > 0


def test_prompts_only_when_asked(logged):
    server, lines = logged(logformat="json", prompts=1)
    server.chat("my secret")
    bodies = [e for e in map(json.loads, lines()) if e["message"] == "body"]
    assert len(bodies) == 1 and json.loads(bodies[0]["body"])["messages"][0]["content"] == "my secret"


# ---- queue, loading, draining, health ----

def test_queued_streams_hear_their_place(start):
    server = start(slots=1)
    first = server.connect()
    first.sendall(request("POST", CHAT, chat_body("/wait", stream=True), close=False))
    server.wait_running(1)
    replies = {}
    def ask(i):
        replies[i] = server.chat(f"hello {i}", stream=True).text
    threads = []
    for i in range(3):
        threads.append(threading.Thread(target=ask, args=(i,)))
        threads[-1].start()
        time.sleep(0.4 * SLOW)
    time.sleep(0.6 * SLOW)
    first.close()
    for t in threads:
        t.join()
    for i in range(3):
        comments = re.findall(r"^: queued, (\d+) ahead", replies[i], re.M)
        assert comments and comments[0] == str(i), replies[i]
        places = [int(c) for c in comments]  # a place is told again after a silence
        assert places == sorted(places, reverse=True)
        assert "[DONE]" in replies[i]
        for event in replies[i].split("\n\n"):
            assert not event or event.startswith("data: ") or event.startswith(": ")


def test_answers_that_waited_tell_their_place(start):
    server = start(slots=1)
    first = server.connect()
    first.sendall(request("POST", CHAT, chat_body("/wait"), close=False))
    server.wait_running(1)
    replies, threads = {}, []
    def ask(i, body):
        replies[i] = server.post(CHAT, body) if i < 2 else server.post("/v1/images/generations", body)
    for i, body in enumerate((chat_body("hello"), chat_body("hello"), {"prompt": "a"})):
        threads.append(threading.Thread(target=ask, args=(i, body)))
        threads[-1].start()
        time.sleep(0.4 * SLOW)
    time.sleep(0.6 * SLOW)
    first.close()
    for t in threads:
        t.join()
    assert [replies[i].headers["x-queue-position"] for i in range(3)] == ["1", "2", "3"]
    assert "x-queue-position" not in server.chat("/slow " + "x" * 50).headers


def test_running_streams_hear_nothing_of_queues(start):
    assert "queued" not in start(slots=1).chat("/slow " + "x" * 100, stream=True).text


def test_queued_pictures_hear_their_place(start):
    server = start(slots=1)
    first = server.connect()
    first.sendall(request("POST", CHAT, chat_body("/wait"), close=False))
    server.wait_running(1)
    done = []
    t = threading.Thread(target=lambda: done.append(server.post("/v1/images/generations", {"prompt": "a", "stream": True}).text))
    t.start()
    time.sleep(0.8 * SLOW)
    first.close()
    t.join()
    assert ": queued, 0 ahead" in done[0] and "image_generation.completed" in done[0]


def test_loading_tells_how_long(start):
    server = start(loading=3 if SLOW == 1 else 15)
    seen = []
    for _ in range(20 * SLOW):
        r = server.http.get("/health")
        if r.status_code == 200:
            break
        seen.append((r.json(), int(r.headers["retry-after"])))
        time.sleep(0.2)
    phases = {body["phase"] for body, _ in seen}
    assert "loading weights" in phases
    progress = [body["progress"] for body, _ in seen]
    assert progress == sorted(progress)
    for body, retry in seen:
        assert body["status"] == "loading" and body["percent"] == int(body["progress"] * 100)
        assert body["error"]["code"] == "loading" and 1 <= retry <= 60
    assert any(body["seconds_left"] is not None and body["seconds_left"] >= 1 for body, _ in seen)


def test_readiness_goes_first(start):
    server = start(delay=2 * SLOW, drain=5)
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    r = server.http.get("/health/ready")
    assert r.status_code == 503 and r.json()["status"] == "draining" and r.headers["retry-after"]
    assert server.http.get("/health/live").status_code == 200
    assert server.chat("still taken").status_code == 200
    server.process.wait(20 * SLOW)


def test_a_lost_device_is_told(start):
    server = start(ready=False, lost=1)
    for _ in range(100 * SLOW):
        r = server.http.get("/health")
        if r.json()["status"] != "loading":
            break
        time.sleep(0.05)
    for r in (r, server.http.get("/health/ready"), server.http.get("/health/live"), server.chat("x"), server.http.get("/v1/models")):
        assert r.status_code == 503 and r.headers["retry-after"], r.text
        assert r.json()["status"] == "device_lost" and r.json()["error"]["code"] == "device_lost"
    assert "started anew" in r.json()["error"]["message"]
    assert Metrics(server).get("vargpt_ready") == 0


def test_a_stuck_engine_is_told(start):
    server = start(ready=False, stuck=1)
    for _ in range(100 * SLOW):
        r = server.http.get("/health")
        if r.json()["status"] != "loading":
            break
        time.sleep(0.05)
    assert r.status_code == 503 and r.json()["status"] == "stuck" and r.json()["error"]["code"] == "engine_stuck"
    assert server.http.get("/health/ready").status_code == 503
    assert server.http.get("/health/live").status_code == 200
