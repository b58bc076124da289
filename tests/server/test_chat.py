"""/v1/chat/completions over the stand-in engine: shapes, fields, stop strings, pictures in and out."""
import asyncio
import base64
import io
import json

import openai
import pytest
from PIL import Image

FIELDS = {"id", "object", "created", "model", "system_fingerprint", "choices", "usage", "seed"}


def user(text):
    return [{"role": "user", "content": text}]


def png(width=8, height=8, color=(200, 30, 30), form="PNG"):
    out = io.BytesIO()
    Image.new("RGB", (width, height), color).save(out, form)
    return out.getvalue()


def data_url(data, label="image/png"):
    return f"data:{label};base64," + base64.b64encode(data).decode()


def events_of(response):
    """The data of each event, comments skipped."""
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-cache" and response.headers["x-accel-buffering"] == "no"
    blocks = [b for b in response.text.split("\n\n") if b and not b.startswith(":")]
    assert all(b.startswith("data: ") and "\n" not in b for b in blocks)
    return [b[6:] for b in blocks]


def message_of(response):
    assert response.status_code == 200, response.text
    return response.json()["choices"][0]["message"]


def error_of(response, status=400):
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


def test_reply(fake):
    body = fake.chat("Hello é 😀").json()
    assert set(body) == FIELDS and body["object"] == "chat.completion" and body["id"].startswith("chatcmpl-")
    choice = body["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": "Hello é 😀", "refusal": None}
    assert choice["finish_reason"] == "stop" and choice["logprobs"] is None and choice["index"] == 0
    usage = body["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["completion_tokens"] == len("Hello é 😀".encode())
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 0
    assert usage["prompt_tokens_details"]["cached_tokens"] == 0


def test_stream(fake):
    events = events_of(fake.chat("Hé😀", stream=True))
    assert events[-1] == "[DONE]"
    chunks = [json.loads(e) for e in events[:-1]]
    assert len({(c["id"], c["created"], c["model"], c["system_fingerprint"], c["object"]) for c in chunks}) == 1
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [c["choices"][0]["delta"].get("content") for c in chunks[1:-1]] == ["H", "é", "😀"]
    assert chunks[-1]["choices"][0]["delta"] == {} and chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert all(c["choices"][0]["finish_reason"] is None for c in chunks[:-1])
    assert not any("usage" in c for c in chunks)


def test_stream_usage(fake):
    chunks = [json.loads(e) for e in events_of(fake.chat("abc", stream=True, stream_options={"include_usage": True}))[:-1]]
    assert all(c["usage"] is None and c["choices"] for c in chunks[:-1])
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["completion_tokens"] == 3


def test_openai_client(fake):
    client = fake.client()
    reply = client.chat.completions.create(model="fake", messages=user("Hello"), n=2)
    assert [c.message.content for c in reply.choices] == ["Hello", "Hello"] and reply.usage.completion_tokens == 10
    assert reply._request_id.startswith("req_")
    with client.chat.completions.stream(model="fake", messages=user("Hello")) as stream:
        for _ in stream:
            pass
        assert stream.get_final_completion().choices[0].message.content == "Hello"
    assert client.models.list().data[0].id == "fake" and client.models.retrieve("fake").id == "fake"
    with pytest.raises(openai.NotFoundError) as e:
        client.chat.completions.create(model="gpt-4", messages=user("x"))
    assert e.value.code == "model_not_found" and e.value.param == "model"
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="fake", messages=[])
    with pytest.raises(openai.APIError):
        for _ in client.chat.completions.create(model="fake", messages=user("/fail abc"), stream=True):
            pass


def test_openai_async_client(fake):
    async def run():
        async with openai.AsyncOpenAI(base_url=fake.url + "/v1", api_key="x", max_retries=0) as client:
            async def one(i):
                text = ""
                async for c in await client.chat.completions.create(model="fake", messages=user(f"/slow {i} and more"), stream=True):
                    text += c.choices[0].delta.content or ""
                return text
            return await asyncio.gather(*(one(i) for i in range(20)))
    assert asyncio.run(run()) == [f"{i} and more" for i in range(20)]


def test_n_streams_by_index(fake):
    text = ["", "", ""]
    ends = []
    for e in events_of(fake.chat("/slow abc", stream=True, n=3))[:-1]:
        (choice,) = json.loads(e)["choices"]
        text[choice["index"]] += choice["delta"].get("content", "")
        if choice["finish_reason"]:
            ends.append(choice["index"])
    assert text == ["abc"] * 3 and sorted(ends) == [0, 1, 2]


@pytest.mark.parametrize("text, stop, shown", [
    ("one two three", "two", "one "), ("one two three", ["three", "two"], "one "), ("aaab", "aab", "a"),
    ("ababac", "abac", "ab"), ("no stop here", "xyz", "no stop here"), ("ends with st", "stop", "ends with st"),
    ("stop", "stop", ""), ("é😀 end", "😀", "é"), ("é😀 end", "é😀 ", ""), ("line\n\nnext", "\n\n", "line"),
    ("abcabcabd", "abcabd", "abc"), ("x</s", ["</s>", "x</t"], "x</s"), ("abcd", ["bcd", "ab"], ""),
])
@pytest.mark.parametrize("command", ["", "/slow "])
def test_stop_strings(fake, text, stop, shown, command):
    r = fake.chat(command + text, stop=stop)
    assert message_of(r)["content"] == shown and r.json()["choices"][0]["finish_reason"] == "stop"
    chunks = [json.loads(e)["choices"][0] for e in events_of(fake.chat(command + text, stop=stop, stream=True))[:-1]]
    assert "".join(c["delta"].get("content", "") for c in chunks) == shown
    assert chunks[-1]["finish_reason"] == "stop"
    fake.wait_running(0)


def test_a_stop_string_ends_the_work(fake):
    assert message_of(fake.chat("/forever", stop="xxxx"))["content"] == ""
    fake.wait_running(0)
    events = events_of(fake.chat("/forever", stop="xxxx", stream=True, n=2, stream_options={"include_usage": True}))
    assert json.loads(events[-2])["usage"]["completion_tokens"] >= 8
    fake.wait_running(0)


def test_length(fake):
    for name in ("max_tokens", "max_completion_tokens"):
        r = fake.chat("abcdef", **{name: 3})
        assert message_of(r)["content"] == "abc" and r.json()["choices"][0]["finish_reason"] == "length"
    assert message_of(fake.chat("abcdef", max_tokens=5, max_completion_tokens=2))["content"] == "ab"
    assert message_of(fake.chat("é", max_tokens=1))["content"] == "\ufffd"
    events = events_of(fake.chat("é", max_tokens=1, stream=True))
    assert json.loads(events[-3])["choices"][0]["delta"]["content"] == "\ufffd"


def test_logprobs(fake):
    content = fake.chat("é!", logprobs=True, top_logprobs=3).json()["choices"][0]["logprobs"]["content"]
    assert [e["bytes"] for e in content] == [[0xC3], [0xA9], [0x21]] and content[2]["token"] == "!"
    assert all(len(e["top_logprobs"]) == 3 and e["logprob"] == -0.5 for e in content)
    content = fake.chat("a", logprobs=True, top_logprobs=20).json()["choices"][0]["logprobs"]["content"]
    assert content[0]["top_logprobs"][19]["logprob"] == -9999.0
    content = fake.chat("a", logprobs=True).json()["choices"][0]["logprobs"]["content"]
    assert content[0]["top_logprobs"] == []
    streamed = []
    for e in events_of(fake.chat("é! and stop now", logprobs=True, stop="stop", stream=True))[:-1]:
        streamed += (json.loads(e)["choices"][0]["logprobs"] or {"content": []})["content"]
    whole = fake.chat("é! and stop now", logprobs=True, stop="stop").json()["choices"][0]["logprobs"]["content"]
    assert streamed == whole and bytes(sum((e["bytes"] for e in whole), [])).decode() == "é! and "


def picture_of(entry):
    assert entry["type"] == "image_url"
    head, data = entry["image_url"]["url"].split(",")
    return head, Image.open(io.BytesIO(base64.b64decode(data, validate=True)))


def test_mixed_reply(fake):
    r = fake.chat("/draw äfter", image_config={"seed": 7})
    message = message_of(r)
    assert message["content"] == "before äfter"
    assert message["content_parts"] == [{"type": "text", "start": 0, "end": 7}, {"type": "image_url", "image": 0},
                                        {"type": "text", "start": 7, "end": 12}]
    (entry,) = message["images"]
    head, picture = picture_of(entry)
    assert head == "data:image/png;base64" and picture.size == (64, 64) and picture.format == "PNG"
    assert entry["index"] == 0 and entry["seed"] == 7 and entry["ordinal"] == 0
    usage = r.json()["usage"]
    assert usage["completion_tokens_details"]["image_tokens"] == 680 and usage["completion_tokens"] == 680 + len("before äfter".encode())
    message = message_of(fake.chat("/draw after", modalities=["image"]))
    assert message["content"] == "" and len(message["images"]) == 1
    message = message_of(fake.chat("/draw after", modalities=["text"]))
    assert "images" not in message
    entries = [c["message"]["images"][0] for c in fake.chat("/draw x", n=2, seed=5).json()["choices"]]
    assert [(e["seed"], e["ordinal"]) for e in entries] == [(5, 0), (5, 65536)]


def test_mixed_stream(fake):
    deltas = [json.loads(e)["choices"][0]["delta"] for e in events_of(
        fake.chat("/draw after", stream=True, image_config={"partial_images": 3}))[:-1]]
    images = [i for d in deltas for i in d.get("images", [])]
    assert [(i.get("partial"), i.get("scale")) for i in images] == [(True, 1), (True, 4), (True, 6), (None, None)]
    order = ["image" if "images" in d else d.get("content") for d in deltas]
    assert "".join(o for o in order if o and o != "image") == "before after"
    assert order.index("image") == 8 and order[12] == "a"
    for n in (1, 9):
        deltas = [json.loads(e)["choices"][0]["delta"] for e in events_of(
            fake.chat("/draw after", stream=True, image_config={"partial_images": n}))[:-1]]
        assert sum("images" in d for d in deltas) == n + 1


@pytest.mark.parametrize("stream", [False, True])
def test_mixed_formats(fake, stream):
    def content(form):
        r = fake.chat("/draw after", mixed_format=form, stream=stream)
        if not stream:
            return message_of(r)["content"]
        pieces = [json.loads(e)["choices"][0]["delta"].get("content") or "" for e in events_of(r)[1:-1]]
        return sum((p for p in pieces if p), []) if form == "parts" else "".join(pieces)
    parts = content("parts")
    assert "".join(p.get("text", "|") for p in parts) == "before |after"
    text = content("markdown")
    assert text.startswith("before ![image](data:image/png;base64,") and text.endswith(")after")


def test_own_pictures_come_back(fake):
    message = message_of(fake.chat("/draw after"))
    parts = message_of(fake.chat("/draw after", mixed_format="parts"))
    markdown = message_of(fake.chat("/draw after", mixed_format="markdown"))
    plain = {"role": "assistant", "content": message["content"], "images": message["images"]}
    urls = {"role": "assistant", "content": "x", "images": [message["images"][0]["image_url"]["url"]]}
    counts = []
    for m in (message, parts, markdown, plain, urls):
        r = fake.post("/tokenize", {"messages": [*user("hi"), m, *user("again")]})
        assert r.status_code == 200, r.text
        tokens = r.json()["tokens"]
        assert tokens.count(258) == 680  # by its codes
        counts.append(tokens)
    assert counts[0] == counts[1] == counts[2]
    text = bytes(t for t in counts[0] if t < 256)
    assert b"before after" in text and counts[0].index(258) > counts[0].index(ord("b"))
    foreign = {"role": "assistant", "content": "", "images": [data_url(png())]}
    r = fake.post("/tokenize", {"messages": [*user("hi"), foreign]})
    assert r.json()["tokens"].count(257) == 680  # by its pixels


def test_pictures_in(fake):
    def count(content, role="user"):
        r = fake.post("/tokenize", {"messages": [{"role": role, "content": content}]})
        assert r.status_code == 200, r.text
        return r.json()["tokens"].count(257)
    good = data_url(png())
    assert count([{"type": "image_url", "image_url": {"url": good, "detail": "low"}}, {"type": "text", "text": "?"}]) == 16
    assert count([{"type": "image_url", "image_url": good}]) == 16
    assert count([{"type": "input_image", "image_url": good}, {"type": "input_text", "text": "?"}]) == 16
    assert count([{"type": "image_url", "image_url": {"url": good}}] * 16) == 256
    assert count([{"type": "image_url", "image_url": {"url": good}}], "tool") == 16
    for form, label in (("JPEG", "image/png"), ("GIF", ""), ("BMP", "IMAGE/BMP"), ("WEBP", "text/plain;charset=x")):
        assert count([{"type": "image_url", "image_url": {"url": data_url(png(form=form), label)}}]) == 16
    assert count([{"type": "image_url", "image_url": {"url": "DATA:;BASE64," + good.split(",")[1]}}]) == 16
    usage = fake.post("/v1/chat/completions", {"model": "fake", "messages": [{"role": "user", "content": [
        {"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": good}}]}]}).json()["usage"]
    assert usage["prompt_tokens_details"]["image_tokens"] == 16


@pytest.mark.parametrize("url, word", [
    ("https://example.com/a.png", "send it as a data: URL"), ("http://127.0.0.1/", "send it as a data: URL"), ("file:///etc/passwd", "expected a URL"),
    ("", "expected a URL"), ("data:", "comma"), ("data:image/png,abc", "not base64"), ("data:image/png;base64,", "empty"),
    ("data:image/png;base64,abc", "groups of 4"), ("data:image/png;base64,ab c", "not base64"),
    ("data:image/png;base64,a=bc", "not base64"), ("data:image/png;base64,ab==ab==", "not base64"),
    ("data:image/png;base64,====", "not base64"), ("data:image/png;base64,AB==", "stray"), ("data:image/png;base64,aGFsbG8=", ""),
    ("data:image/png;base64,_-__", "not base64"), ("data:image/png;base64,aGFs\nbG8=", ""),
    ("data:" + "a" * 300 + ";base64,aGFsbG8=", "comma"),
])
def test_bad_pictures(fake, url, word):
    error = error_of(fake.post("/tokenize", {"messages": [{"role": "user", "content": [
        {"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": url}}]}]}))
    assert error["code"] == "invalid_image" and error["param"] == "messages[0].content[1].image_url.url"
    assert word in error["message"] and len(error["message"]) < 500


def test_picture_limits(fake):
    part = {"type": "image_url", "image_url": {"url": data_url(png())}}
    error = error_of(fake.post("/tokenize", {"messages": [{"role": "user", "content": [part] * 17}]}))
    assert "16 pictures" in error["message"]
    bomb = {"type": "image_url", "image_url": {"url": data_url(png(8000, 8000))}}
    assert error_of(fake.post("/tokenize", {"messages": [{"role": "user", "content": [bomb]}]}))["code"] == "invalid_image"
    large = {"type": "image_url", "image_url": {"url": data_url(png(7000, 7000))}}
    assert fake.post("/tokenize", {"messages": [{"role": "user", "content": [large] * 2}]}).status_code == 200
    assert error_of(fake.post("/tokenize", {"messages": [{"role": "user", "content": [large] * 3}]}))["code"] == "invalid_image"
    assert error_of(fake.post("/tokenize", {"messages": [{"role": "system", "content": [part]}]}))["param"].startswith("messages[0]")


BAD = [
    ("model", 3), ("model", "other"), ("messages", None), ("messages", []), ("messages", "x"), ("messages", {}),
    ("messages", [3]), ("messages", [{}]), ("messages", [{"role": "user"}]), ("messages", [{"role": "boss", "content": "x"}]),
    ("messages", [{"role": 3, "content": "x"}]), ("messages", [{"role": "user", "content": 3}]),
    ("messages", [{"role": "user", "content": None}]), ("messages", [{"role": "user", "content": [3]}]),
    ("messages", [{"role": "user", "content": [{}]}]), ("messages", [{"role": "user", "content": [{"type": "text"}]}]),
    ("messages", [{"role": "user", "content": [{"type": "text", "text": 3}]}]),
    ("messages", [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]),
    ("messages", [{"role": "user", "content": [{"type": "image_url"}]}]),
    ("messages", [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]),
    ("messages", [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": 3}}]}]),
    ("messages", [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x", "detail": "none"}}]}]),
    ("messages", [{"role": "assistant", "content": "x", "images": 3}]), ("messages", [{"role": "assistant", "images": [3]}]),
    ("messages", [{"role": "assistant", "content": "x", "content_parts": [3]}]),
    ("messages", [{"role": "assistant", "content": "x", "content_parts": [{"type": "image_url", "image": 0}]}]),
    ("messages", [{"role": "assistant", "content": "x", "content_parts": [{"type": "text", "start": 5, "end": 2}]}]),
    ("messages", [{"role": "assistant", "content": "x", "tool_calls": [{}]}]),
    ("temperature", -0.1), ("temperature", 2.1), ("temperature", "1"), ("temperature", True), ("temperature", []),
    ("top_p", 1.1), ("top_p", -1), ("top_k", -2), ("top_k", 1.5), ("top_k", 2 ** 40), ("min_p", 2), ("min_p", -1),
    ("repetition_penalty", 0), ("repetition_penalty", -1), ("repetition_penalty", 1e-60), ("frequency_penalty", 2.5), ("presence_penalty", -2.5),
    ("max_tokens", 0), ("max_tokens", -5), ("max_tokens", 1.5), ("max_tokens", "5"), ("max_completion_tokens", 0), ("min_tokens", -1),
    ("n", 0), ("n", 11), ("n", "1"), ("n", 2 ** 62), ("seed", 1.5), ("seed", "1"), ("seed", 1e300), ("stop", 3), ("stop", ""),
    ("stop", [""]), ("stop", [3]), ("stop", ["a"] * 5), ("stop", {}), ("stop", "a" * 5000), ("logprobs", 1), ("logprobs", "true"),
    ("top_logprobs", 5), ("top_logprobs", 21), ("top_logprobs", -1), ("logit_bias", []), ("logit_bias", {"a": 1}),
    ("logit_bias", {"1": 101}), ("logit_bias", {"1": "1"}), ("logit_bias", {"-1": 1}), ("logit_bias", {"300": 1}), ("logit_bias", {"1 ": 1}),
    ("logit_bias", {"99999999999999999999": 1}), ("stream", "yes"), ("stream_options", {"include_usage": True}), ("stream_options", 3),
    ("response_format", {"type": "json_object"}), ("response_format", {"type": "json_schema", "json_schema": {}}),
    ("response_format", {"type": "x"}), ("response_format", {}), ("response_format", "text"),
    ("tools", [{"type": "function"}]), ("tools", 3), ("tool_choice", "required"), ("tool_choice", {"type": "function"}),
    ("modalities", ["audio"]), ("modalities", []), ("modalities", "text"), ("modalities", [3]), ("audio", {}), ("functions", [{}]),
    ("image_config", 3), ("image_config", {"guidance_scale": -1}), ("image_config", {"guidance_scale": 21}), ("image_config", {"size": "10x10"}),
    ("image_config", {"size": "5000x5000"}), ("image_config", {"size": "100x400"}), ("image_config", {"size": "x"}), ("image_config", {"size": 3}),
    ("image_config", {"size": "100x"}), ("image_config", {"size": "100x100x"}), ("image_config", {"size": "-1x100"}), ("image_config", {"size": "99999999999x1"}),
    ("image_config", {"output_format": "svg"}), ("image_config", {"output_format": "tiff"}), ("image_config", {"partial_images": 10}),
    ("image_config", {"top_p": 0}), ("image_config", {"top_k": -1}), ("image_config", {"seed": "a"}), ("image_config", {"output_compression": 101}),
    ("mixed_format", "html"), ("max_images", 0), ("max_images", 17), ("ignore_eos", 1),
    ("priority", "high"), ("priority", 2 ** 40), ("cache_salt", 3),
]


@pytest.mark.parametrize("field, value", BAD, ids=lambda v: json.dumps(v)[:60])
def test_wrong_fields_are_named(fake, field, value):
    body = {"model": "fake", "messages": user("x"), field: value}
    error = error_of(fake.post("/v1/chat/completions", body), 404 if value == "other" else 400)
    assert error["param"].split(".")[0].split("[")[0] == field, error
    assert error["message"] and "0x" not in error["message"]


@pytest.mark.parametrize("fields", [
    {"unknown": [1, {"a": None}]}, {"temperature": None, "stop": None, "n": None, "seed": None, "stream": None, "tools": None},
    {"temperature": 2, "top_p": 1, "top_k": 0, "min_p": 0.5, "n": 1.0, "max_tokens": 5.0}, {"seed": -2 ** 63}, {"seed": 2 ** 63 - 1},
    {"tools": [], "tool_choice": "auto"}, {"tool_choice": "none"}, {"response_format": {"type": "text"}}, {"modalities": ["text", "image"]},
    {"stop": []}, {"stop": ["zz", "yy", "qq", "ww"]}, {"logit_bias": {"1": -100, "299": 100}}, {"logit_bias": {}},
    {"user": "u", "metadata": {"a": "b"}, "store": True, "service_tier": "auto", "safety_identifier": "x", "reasoning_effort": "low"},
    {"priority": 3, "cache_salt": "x", "return_progress": True, "ignore_eos": True, "min_tokens": 3}, {"stream_options": None},
    {"image_config": {"size": "auto", "output_format": "webp", "output_compression": 50}}, {"image_config": {"guidance_scale": 0, "top_k": 1}},
    {"top_p": 0}, {"top_p": 0.0, "top_k": -1}, {"repetition_penalty": 1.1, "frequency_penalty": -2, "presence_penalty": 2},
])
def test_right_fields(fake, fields):
    assert message_of(fake.chat("hello", **fields))["content"] == "hello"[:fields.get("max_tokens") and 5]


def test_roles_and_contents(fake):
    r = fake.post("/v1/chat/completions", {"model": "fake", "messages": [
        {"role": "system", "content": "a"}, {"role": "developer", "content": [{"type": "text", "text": "b"}]},
        {"role": "user", "content": "c", "name": "n"}, {"role": "assistant", "content": None, "tool_calls": None},
        {"role": "assistant", "content": "d", "refusal": None, "tool_calls": []}, {"role": "tool", "content": "e", "tool_call_id": "1"},
        {"role": "function", "content": "f", "name": "g"}, {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        {"role": "user", "content": [{"type": "text", "text": "last "}, {"type": "text", "text": "words"}]}]})
    assert message_of(r)["content"] == "last words"


def test_markdown_that_is_none(fake):
    for text in ("![", "![](", "![a](data:image/png;base64", "![x](http://a/b)", "![[[](data:", "![" * 100000):
        r = fake.post("/tokenize", {"messages": [{"role": "assistant", "content": text}]})
        assert r.status_code == 200 and text.encode() in bytes(t for t in r.json()["tokens"] if t < 256)
    error = error_of(fake.post("/tokenize", {"messages": [{"role": "assistant", "content": "a ![x](data:image/png;base64,AAAA) b"}]}))
    assert error["code"] == "invalid_image" and error["param"] == "messages[0].content"


def test_context_length(fake):
    error = error_of(fake.chat("a" * 400001))
    assert error["code"] == "context_length_exceeded"


def test_any_model_name(start):
    server = start(model="*")
    assert server.model == "fake"
    r = server.post("/v1/chat/completions", {"model": "gpt-4o", "messages": user("x")})
    assert r.status_code == 200 and server.http.get("/v1/models/whatever").status_code == 200
    named = start(model="org/name")
    assert named.http.get("/v1/models/org/name").json()["id"] == "org/name"
    assert named.http.get("/v1/models/org%2Fname").json()["id"] == "org/name"


def test_models_say_whether_company_matters(fake):
    assert fake.http.get("/v1/models").json()["data"][0]["batch_invariant"] is True


def test_the_model_may_be_left_out(fake):
    assert fake.post("/v1/chat/completions", {"messages": user("x")}).status_code == 200


def test_tokenize(fake):
    r = fake.post("/tokenize", {"prompt": "añ"}).json()
    assert r == {"tokens": [256, 97, 195, 177], "count": 4, "max_model_len": 400000}
    assert fake.post("/tokenize", {"prompt": "", "add_special_tokens": False}).json()["tokens"] == []
    assert fake.post("/detokenize", {"tokens": [97, 195, 177]}).json() == {"prompt": "añ"}
    assert fake.post("/detokenize", {"tokens": [195]}).json() == {"prompt": "\ufffd"}
    assert fake.post("/detokenize", {"tokens": []}).json() == {"prompt": ""}
    r = fake.post("/tokenize", {"messages": user("x"), "add_generation_prompt": False}).json()
    assert bytes(r["tokens"]) == b"USER: x "
    for body in ({}, {"prompt": 3}, {"messages": 3}, {"messages": []}, {"prompt": "a", "add_special_tokens": 1}):
        error_of(fake.post("/tokenize", body))
    for body in ({}, {"tokens": 3}, {"tokens": ["a"]}, {"tokens": [-1]}, {"tokens": [300]}, {"tokens": [1.5]}):
        assert error_of(fake.post("/detokenize", body))["param"] == "tokens"
    assert error_of(fake.post("/tokenize", {"prompt": "a" * 5000000}))["param"] == "prompt"
