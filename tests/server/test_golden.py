"""The whole server over a real model: what the reference computed must come out of the HTTP interface."""
import base64
import io
import json
import threading
import time

import pytest
from serving import GOLDEN, SLOW, request, start_real
from PIL import Image, ImageChops

SETS = [s for s in ("tiny-a", "tiny-b") if (GOLDEN / s / "cases.json").exists()]


@pytest.fixture(scope="module", params=SETS)
def served(request):
    folder = GOLDEN / request.param
    server = start_real(folder / "checkpoint")
    server.folder = folder
    server.cases = json.loads((folder / "cases.json").read_text())
    yield server
    server.stop()


def messages_of(case, folder):
    """A case's messages as a client sends them."""
    files = iter(case["images"])
    messages = []
    for m in case["messages"]:
        parts = []
        for part in m["content"]:
            if part["type"] == "image":
                data = base64.b64encode((folder / next(files)).read_bytes()).decode()
                part = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + data}}
            parts.append(part)
        messages.append({"role": m["role"], "content": parts})
    return messages


def chat(served, case, **fields):
    return {"model": served.model, "messages": messages_of(case, served.folder), "temperature": 0, "max_tokens": 32,
            "modalities": ["text"], **fields}


def streamed_text(response):
    events = [e[6:] for e in response.text.split("\n\n") if e.startswith("data: ")]
    assert events[-1] == "[DONE]", response.text[-300:]
    return "".join(json.loads(e)["choices"][0]["delta"].get("content", "") for e in events[:-1])


def test_a_checkpoint_says_how_it_draws_best(tmp_path):
    for file in (GOLDEN / "tiny-a" / "checkpoint").iterdir():
        (tmp_path / file.name).symlink_to(file)
    path = tmp_path / "generation_config.json"
    own = {"guidance_scale": 0.5, "temperature": 0.25, "top_k": 3, "top_p": 0.75}
    text = json.dumps({**json.loads(path.read_text()), "image_generation": own})
    path.unlink()
    path.write_text(text)
    server = start_real(tmp_path)
    assert server.http.get("/v1/models").json()["data"][0]["image_config"] == own

    def draw(**fields):
        return server.post("/v1/images/generations", {"prompt": "a", "seed": 1, **fields}).json()["data"][0]["b64_json"]
    assert draw() == draw(**own) != draw(temperature=1)
    assert draw(quality="high") == draw(guidance_scale=1, top_k=2)
    server.stop()


def test_greedy_text(served):
    for case in served.cases["llm"]:
        whole = served.post("/v1/chat/completions", chat(served, case)).json()
        assert whole["choices"][0]["message"]["content"] == case["greedy_text"], case["name"]
        whole = served.post("/v1/chat/completions", chat(served, case, temperature=1.5, top_p=0)).json()  # the likeliest is all that is left
        assert whole["choices"][0]["message"]["content"] == case["greedy_text"], case["name"]
        assert streamed_text(served.post("/v1/chat/completions", chat(served, case, stream=True))) == case["greedy_text"]


def test_greedy_text_all_at_once(served):
    """The same, with all cases in one batch, in choices, and with neighbours that leave."""
    texts = {}
    def one(case, i):
        r = served.post("/v1/chat/completions", chat(served, case, n=2))
        texts[case["name"], i] = [c["message"]["content"] for c in r.json()["choices"]]
    threads = [threading.Thread(target=one, args=(c, i)) for c in served.cases["llm"] for i in range(3)]
    for t in threads:
        t.start()
    body = {"model": served.model, "messages": [{"role": "user", "content": "draw"}], "modalities": ["image"], "n": 2}
    for _ in range(3):
        with served.connect() as s:
            s.sendall(request("POST", "/v1/chat/completions", body, close=False))
            time.sleep(0.05)
    for t in threads:
        t.join()
    for case in served.cases["llm"]:
        for i in range(3):
            assert texts[case["name"], i] == [case["greedy_text"]] * 2, case["name"]


def test_logprobs_and_stop(served):
    case = served.cases["llm"][0]
    r = served.post("/v1/chat/completions", chat(served, case, logprobs=True, top_logprobs=5)).json()
    content = r["choices"][0]["logprobs"]["content"]
    assert len(content) in (r["usage"]["completion_tokens"], r["usage"]["completion_tokens"] - 1)
    for entry in content:
        assert entry["top_logprobs"][0]["logprob"] == pytest.approx(entry["logprob"], abs=1e-5)
        assert entry["logprob"] <= 0 and len(entry["top_logprobs"]) == 5
    text = case["greedy_text"]
    for stop in (text[9:14], text[-6:-2], text[0]):
        want = text[:text.index(stop)]
        assert served.post("/v1/chat/completions", chat(served, case, stop=stop)).json()["choices"][0]["message"]["content"] == want
        assert streamed_text(served.post("/v1/chat/completions", chat(served, case, stop=[stop], stream=True))) == want


def test_logprobs_of_a_prompt(served):
    """The way of lm-eval: a text as ids, whose last ones are judged; the one that follows it is dropped, so there must be one."""
    def rate(**fields):
        body = {"model": served.model, "prompt": [ids], "echo": True, "logprobs": 1, "max_tokens": 1, "temperature": 0, **fields}
        (choice,) = served.post("/v1/completions", body).json()["choices"]
        return choice["logprobs"]
    text = served.cases["llm"][0]["greedy_text"]
    ids = served.post("/tokenize", {"prompt": "Say something. " + text}).json()["tokens"]
    lp = rate()
    assert [len(v) for v in lp.values()] == [len(ids) + 1] * 4
    assert lp["token_logprobs"][0] is None and lp["top_logprobs"][0] is None
    for token, logprob, top in list(zip(lp["tokens"], lp["token_logprobs"], lp["top_logprobs"]))[1:]:
        assert logprob <= top[token] <= max(top.values()) <= 0  # of tokens spelt the same, the likeliest is shown
    assert rate() == lp and rate(stream=False, n=1) == lp  # the prefix cache changes nothing
    ended = rate(logit_bias={str(end_id(served)): 100})
    assert [len(v) for v in ended.values()] == [len(ids) + 1] * 4 and ended["token_logprobs"][:-1] == lp["token_logprobs"][:-1]
    chosen = served.post("/v1/completions", {"prompt": [ids[:-8]], "logprobs": 1, "max_tokens": 8, "temperature": 0}).json()["choices"][0]["logprobs"]
    told = served.post("/v1/completions", {"prompt": [ids[:-8]], "logprobs": 1, "max_tokens": 8, "temperature": 0, "echo": True}).json()["choices"][0]["logprobs"]
    assert told["token_logprobs"][len(ids) - 8:][:len(chosen["tokens"])] == chosen["token_logprobs"]


def end_id(served):
    return json.loads((served.folder / "checkpoint" / "config.json").read_text()).get("eos_token_id", 2)


def test_prompt_ids(served):
    """Every rendered conversation of the goldens, pictures included (which they are does not matter here)."""
    picture = {"type": "image_url", "image_url": {"url": "data:;base64," + base64.b64encode(
        (served.folder / served.cases["llm"][1]["images"][0]).read_bytes()).decode()}}
    checked = 0
    for case in served.cases["chat"]:
        messages = []
        for m in case["messages"]:
            content = m["content"]
            if not isinstance(content, str):
                content = [picture if part["type"] == "image" else part for part in content]
            messages.append({**m, "content": content})
        if any(m["role"] in ("assistant", "system") and isinstance(m["content"], list) and picture in m["content"] for m in messages):
            continue
        r = served.post("/tokenize", {"messages": messages, "add_generation_prompt": case["add_generation_prompt"]})
        assert r.status_code == 200, r.text
        assert r.json()["tokens"] == case["ids_expanded"], case
        checked += 1
    assert checked > 10


def close_to(data, path):
    got = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
    want = Image.open(path).convert("RGB")
    assert got.size == want.size
    return max(high for _, high in ImageChops.difference(got, want).getextrema())


def draw_fields(case):
    fields = {"guidance_scale": case["cfg"], "seed": case.get("seed", 0)}
    if case["mode"] == "argmax":
        return {**fields, "top_k": 1}
    return {**fields, "top_k": case["top_k"], "top_p": case["top_p"] or 1}


def test_generations(served):
    drawn = 0
    for case in served.cases["generate"]:
        if case["images"] or case.get("image"):
            continue
        prompt = case["messages"][0]["content"][0]["text"]
        body = served.post("/v1/images/generations", {"prompt": prompt, **draw_fields(case)}).json()
        assert close_to(body["data"][0]["b64_json"], served.folder / case["png"]) <= 1, case["name"]
        drawn += 1
    assert drawn


def test_drawing_in_chat(served):
    for case in served.cases["generate"]:
        if case.get("image"):
            continue
        body = {"model": served.model, "messages": messages_of(case, served.folder), "modalities": ["image"], "image_config": draw_fields(case)}
        message = served.post("/v1/chat/completions", body).json()["choices"][0]["message"]
        assert message["content"] == ""
        assert close_to(message["images"][0]["image_url"]["url"].split(",")[1], served.folder / case["png"]) <= 1, case["name"]


def test_streamed_pictures_are_the_same(served):
    case = next(c for c in served.cases["generate"] if c["mode"] == "sample" and not c["images"] and not c.get("image"))
    prompt = case["messages"][0]["content"][0]["text"]
    body = {"prompt": prompt, "n": 2, **draw_fields(case)}
    whole = served.post("/v1/images/generations", body).json()
    r = served.post("/v1/images/generations", {**body, "stream": True, "partial_images": 9})
    blocks = [b for b in r.text.strip().split("\n\n") if not b.startswith(":")]  # a slow stream has comments
    events = [json.loads(b.split("\n")[1][6:]) for b in blocks]
    done = {e["index"]: e["b64_json"] for e in events if e["type"] == "image_generation.completed"}
    assert [done[0], done[1]] == [d["b64_json"] for d in whole["data"]]
    assert sum(e["type"] == "image_generation.partial_image" for e in events) == 18
    assert whole["data"][0]["b64_json"] != whole["data"][1]["b64_json"]
    tokens = whole["usage"]["output_tokens_details"]["image_tokens"]
    assert tokens == sum(e["usage"]["output_tokens_details"]["image_tokens"] for e in events if "usage" in e)


def test_a_drawn_picture_comes_back(served):
    body = {"model": served.model, "messages": [{"role": "user", "content": "Draw."}], "modalities": ["image"], "seed": 3}
    message = served.post("/v1/chat/completions", body).json()["choices"][0]["message"]
    history = [*body["messages"], message, {"role": "user", "content": "And now?"}]
    r = served.post("/v1/chat/completions", {**body, "messages": history, "modalities": ["text"], "max_tokens": 4})
    assert r.status_code == 200, r.text
    assert r.json()["usage"]["prompt_tokens_details"]["image_tokens"] > 0
    plain = [*body["messages"], {"role": "assistant", "content": "", "images": [strip_origin(message["images"][0])]}, history[2]]
    r2 = served.post("/v1/chat/completions", {**body, "messages": plain, "modalities": ["text"], "max_tokens": 4})
    assert r2.status_code == 200, r2.text
    assert r2.json()["usage"]["prompt_tokens"] == r.json()["usage"]["prompt_tokens"]


def strip_origin(entry):
    picture = Image.open(io.BytesIO(base64.b64decode(entry["image_url"]["url"].split(",")[1])))
    out = io.BytesIO()
    Image.frombytes("RGB", picture.size, picture.convert("RGB").tobytes()).save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


def test_openai_client(served):
    client = served.client()
    case = served.cases["llm"][0]
    text = ""
    for c in client.chat.completions.create(**{k: v for k, v in chat(served, case).items() if k != "modalities"},
                                            extra_body={"modalities": ["text"]}, stream=True):
        text += c.choices[0].delta.content or ""
    assert text == case["greedy_text"]
    reply = client.images.generate(prompt="a butterfly", n=2)
    assert len(reply.data) == 2 and reply.usage.output_tokens > 0


def test_too_long(served):
    r = served.chat("word " * 20000)
    assert r.status_code == 400 and r.json()["error"]["code"] == "context_length_exceeded"
    left = served.chat("hi", max_tokens=10 ** 9, temperature=0, modalities=["text"])
    assert left.status_code == 200, left.text


def test_a_client_that_leaves_frees_its_work(served):
    body = {"model": served.model, "messages": [{"role": "user", "content": "x"}], "modalities": ["text"], "ignore_eos": True}
    for stream in (False, True):
        with served.connect() as s:
            s.sendall(request("POST", "/v1/chat/completions", {**body, "stream": stream, "n": 3}, close=False))
            time.sleep(0.2 * SLOW)
        begin = time.time()
        served.wait_running(0, 2)
        assert time.time() - begin < 1 * SLOW
