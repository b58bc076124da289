"""/v1/completions over the stand-in engine: a prompt is echoed, byte by byte."""
import json

import pytest
from test_chat import error_of, events_of

PATH = "/v1/completions"


def complete(fake, prompt, **fields):
    return fake.post(PATH, {"model": fake.model, "prompt": prompt, "max_tokens": 100, **fields})


def texts(r):
    assert r.status_code == 200, r.text
    choices = r.json()["choices"]
    assert [c["index"] for c in choices] == list(range(len(choices)))
    return [c["text"] for c in choices]


def test_reply(fake):
    r = complete(fake, "hello")
    body = r.json()
    assert body["object"] == "text_completion" and body["id"].startswith("cmpl-") and body["model"] == fake.model
    (choice,) = body["choices"]
    assert choice == {"index": 0, "text": "hello", "logprobs": None, "finish_reason": "stop"}
    assert body["usage"]["prompt_tokens"] == 6 and body["usage"]["completion_tokens"] == 5 and body["usage"]["total_tokens"] == 11


def test_default_limit(fake):
    r = fake.post(PATH, {"prompt": "0123456789abcdefghij"})
    assert texts(r) == ["0123456789abcdef"] and r.json()["choices"][0]["finish_reason"] == "length"
    assert texts(complete(fake, "abc", max_tokens=0)) == [""]


@pytest.mark.parametrize("prompt, want", [
    (["one", "two"], ["one", "two"]), ([104, 105], ["hi"]), ([[104, 105], [106]], ["hi", "j"]), (["a", [98]], ["a", "b"]), ("ä", ["ä"]),
])
def test_prompts(fake, prompt, want):
    r = complete(fake, prompt)
    assert texts(r) == want
    assert r.json()["usage"]["completion_tokens"] == sum(len(t.encode()) for t in want)
    both = complete(fake, prompt, n=2)
    assert texts(both) == [t for t in want for _ in range(2)]
    assert both.json()["usage"]["prompt_tokens"] == r.json()["usage"]["prompt_tokens"]


def test_echo_and_stop(fake):
    assert texts(complete(fake, "say this", echo=True)) == ["say thissay this"]
    assert texts(complete(fake, [[104, 105]], echo=True, max_tokens=0)) == ["hi"]
    r = complete(fake, "go on and stop here", stop=["stop"], n=2)
    assert texts(r) == ["go on and "] * 2 and {c["finish_reason"] for c in r.json()["choices"]} == {"stop"}


def test_logprobs(fake):
    lp = complete(fake, "aé!", logprobs=2).json()["choices"][0]["logprobs"]
    assert set(lp) == {"tokens", "token_logprobs", "top_logprobs", "text_offset"}
    assert lp["tokens"][0] == "a" and lp["tokens"][-1] == "!" and len(lp["tokens"]) == 4
    assert lp["token_logprobs"] == [-0.5] * 4 and lp["top_logprobs"][0] == {"a": -0.5, "b": -1.5}
    assert lp["text_offset"] == [0, 1, 1, 2]
    assert complete(fake, "a", logprobs=0).json()["choices"][0]["logprobs"]["top_logprobs"] == [{"a": -0.5}]


def test_logprobs_of_the_prompt(fake):
    """As evaluation harnesses ask: what the model thinks of a text, its first token left out."""
    (choice,) = complete(fake, [[104, 105, 33]], echo=True, logprobs=2, max_tokens=0).json()["choices"]
    assert choice["text"] == "hi!" and choice["finish_reason"] == "length"
    lp = choice["logprobs"]
    assert lp["tokens"] == ["h", "i", "!"] and lp["token_logprobs"] == [None, -1, -2] and lp["text_offset"] == [0, 1, 2]
    assert lp["top_logprobs"] == [None, {"i": -1, "j": -2}, {"!": -2, '"': -3}]
    (choice,) = complete(fake, "aé", echo=True, logprobs=0).json()["choices"]
    lp = choice["logprobs"]
    assert choice["text"] == "aéaé" and len(lp["tokens"]) == 1 + 3 + 3  # the stand-in's tokenizer begins every text with a token
    assert lp["token_logprobs"] == [None, -1, -2, -3, -0.5, -0.5, -0.5] and lp["text_offset"] == [0, 0, 1, 1, 2, 3, 3]
    assert complete(fake, "ab", echo=True).json()["choices"][0]["logprobs"] is None
    many = complete(fake, [[97, 98], [99, 100, 101]], echo=True, logprobs=0, max_tokens=1, n=2).json()["choices"]
    assert [c["logprobs"]["token_logprobs"] for c in many] == [[None, -1, -0.5]] * 2 + [[None, -1, -2, -0.5]] * 2
    assert [c["text"] for c in many] == ["aba"] * 2 + ["cdec"] * 2


def test_logprobs_of_the_prompt_in_a_stream(fake):
    fields = {"prompt": [[104, 105], [106, 107, 108]], "echo": True, "logprobs": 1}
    whole = complete(fake, **fields).json()["choices"]
    chunks = [json.loads(e)["choices"][0] for e in events_of(complete(fake, **fields, stream=True))[:-1]]
    for i in range(2):
        mine = [c for c in chunks if c["index"] == i]
        assert mine[0]["text"] == ["hi", "jkl"][i] and "".join(c["text"] for c in mine) == whole[i]["text"]
        for key in whole[i]["logprobs"]:
            assert sum((c["logprobs"][key] for c in mine if c["logprobs"]), []) == whole[i]["logprobs"][key]


def test_too_many_logprobs_of_prompts(fake):
    r = complete(fake, [[97] * 10000] * 6, echo=True, logprobs=20)
    assert error_of(r, 400)["param"] == "prompt" and "fewer prompts" in error_of(r, 400)["message"]
    assert texts(complete(fake, [[97] * 10000] * 3, echo=True, logprobs=1, max_tokens=0)) == ["a" * 10000] * 3


def test_stream(fake):
    r = complete(fake, ["one", "two"], stream=True, stream_options={"include_usage": True}, logprobs=1)
    events = events_of(r)
    assert events[-1] == "[DONE]"
    chunks = [json.loads(e) for e in events[:-1]]
    assert len({c["id"] for c in chunks}) == 1 and all(c["object"] == "text_completion" for c in chunks)
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["completion_tokens"] == 6
    assert all(c["usage"] is None for c in chunks[:-1])
    whole = complete(fake, ["one", "two"], logprobs=1).json()["choices"]
    for i in range(2):
        mine = [c["choices"][0] for c in chunks[:-1] if c["choices"][0]["index"] == i]
        assert "".join(c["text"] for c in mine) == whole[i]["text"] and [c["finish_reason"] for c in mine if c["finish_reason"]] == ["stop"]
        for key in whole[i]["logprobs"]:
            assert sum((c["logprobs"][key] for c in mine if c["logprobs"]), []) == whole[i]["logprobs"][key]
    echoed = [json.loads(e)["choices"][0]["text"] for e in events_of(complete(fake, "ab", stream=True, echo=True))[:-1]]
    assert echoed[0] == "ab" and "".join(echoed) == "abab"


def test_failure_in_a_stream(fake):
    last = json.loads(events_of(complete(fake, "/fail abc", stream=True))[-1])
    assert last["error"]["type"] == "server_error" and "0x1234" not in json.dumps(last)
    assert error_of(complete(fake, "/fail"), 500)["type"] == "server_error"


@pytest.mark.parametrize("field, value", [
    ("prompt", None), ("prompt", []), ("prompt", ""), ("prompt", 3), ("prompt", [1.5]), ("prompt", [-1]), ("prompt", [300]), ("prompt", [[]]),
    ("prompt", ["a", 3]), ("prompt", {"a": 1}), ("prompt", ["a"] * 129), ("suffix", "x"), ("best_of", 2), ("logprobs", 21), ("logprobs", True),
    ("n", 0), ("n", 11), ("max_tokens", -1), ("stop", [""]), ("stop", ["a"] * 5), ("temperature", 3), ("stream", 1), ("echo", "yes"),
    ("stream_options", {}), ("seed", 0.5), ("min_tokens", 101), ("model", "davinci"), ("logit_bias", {"999": 1}),
])
def test_wrong_fields_are_named(fake, field, value):
    prompt = {} if field == "prompt" else {"prompt": "a"}
    r = fake.post(PATH, {"max_tokens": 100, **prompt, field: value})
    if field == "prompt" and value == "":  # the stand-in's tokenizer begins every text with a token
        assert r.status_code == 200
        return
    assert error_of(r, 404 if field == "model" else 400)["param"] == field


def test_right_fields(fake):
    r = complete(fake, "a", suffix="", best_of=1, user="u", logit_bias={"97": 5}, presence_penalty=1, unknown=[], ignore_eos=True, min_tokens=1,
                 priority=3, cache_salt="s", stop=None, logprobs=None, echo=None)
    assert texts(r) == ["a"]
    assert error_of(complete(fake, "a" * 400000), 400)["code"] == "context_length_exceeded"


def test_openai_client(fake):
    client = fake.client()
    reply = client.completions.create(model=fake.model, prompt="hello", logprobs=1, max_tokens=50)
    assert reply.choices[0].text == "hello" and reply.choices[0].logprobs.tokens == list("hello")
    text = "".join(c.choices[0].text for c in client.completions.create(model=fake.model, prompt="hello", stream=True))
    assert text == "hello"
