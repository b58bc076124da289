"""The whole server on the emulated card, whose memory the host cannot touch: requests side by side give what they give on
the processor, alone. Skipped without build-emulated/vargpt-emulated (docs/cuda.md)."""
import threading

import httpx
import pytest
from serving import GOLDEN, ROOT, start_real

PROGRAM = ROOT / "build-emulated" / "vargpt-emulated"
PROMPTS = ["one", "two words here", "three is a longer question about things"]

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="there is no build-emulated/vargpt-emulated")


def start(device, monkeypatch, *flags):
    monkeypatch.setenv("VARGPT_EMULATOR_GUARD", "1")
    return start_real(GOLDEN / "tiny-a" / "checkpoint", "--device", device, "--precision", "exact", *flags, program=PROGRAM)


def text_of(server, prompt):
    reply = server.chat(prompt, temperature=0, max_tokens=24)
    assert reply.status_code == 200, reply.text
    return reply.json()["choices"][0]["message"]["content"]


def give_up_a_picture(server):
    with pytest.raises(httpx.TimeoutException):
        httpx.post(f"{server.url}/v1/images/generations", json={"prompt": "a bird", "seed": 5}, timeout=2)


def test_mixed_requests(monkeypatch):
    server = start("cpu", monkeypatch)
    expected = {prompt: text_of(server, prompt) for prompt in PROMPTS}
    server.stop()
    server = start("cuda", monkeypatch)
    got = {}
    threads = [threading.Thread(target=lambda p=p: got.update({p: text_of(server, p)})) for p in PROMPTS]
    picture = threading.Thread(target=give_up_a_picture, args=[server])
    for thread in [picture, *threads]:
        thread.start()
    for thread in [picture, *threads]:
        thread.join()
    assert got == expected
    server.wait_running(0, seconds=120)
    assert text_of(server, PROMPTS[0]) == expected[PROMPTS[0]]
    server.stop()


@pytest.mark.parametrize("libraries, invariant", [("libcublasLt.so.13 libcudnn.so.9", False), ("", True)])
def test_models_say_whether_company_matters(monkeypatch, libraries, invariant):
    monkeypatch.setenv("VARGPT_EMULATED_LIBRARIES", libraries)
    server = start_real(GOLDEN / "tiny-b" / "checkpoint", "--device", "cuda", "--precision", "fast", "--batch-invariant", "off",
                        program=PROGRAM)
    assert server.http.get("/v1/models").json()["data"][0]["batch_invariant"] is invariant
    server.stop()


@pytest.mark.parametrize("cache_type", ["bf16", "int8"])
def test_cache_types(monkeypatch, cache_type):
    texts = []
    for device in ["cpu", "cuda"]:
        server = start(device, monkeypatch, "--cache-type", cache_type)
        texts.append([text_of(server, prompt) for prompt in PROMPTS])
        server.stop()
    assert texts[0] == texts[1]


def test_lost_card_ends_the_program(monkeypatch):
    monkeypatch.setenv("VARGPT_EMULATOR_LOSE_AFTER", "100")  # waits: loading has a few, each token one
    server = start("cuda", monkeypatch)
    text_of(server, PROMPTS[0])
    with pytest.raises((httpx.TransportError, AssertionError)):
        for _ in range(100):
            text_of(server, PROMPTS[0])
    assert server.process.wait(60) == 1
