"""The demo model over HTTP: what a newcomer tries first must make sense. How good it is, bench/demo-quality measures."""
import base64
import io
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image
from serving import ROOT, start_real


@pytest.fixture(scope="module")
def demo():
    server = start_real(ROOT / "models" / "demo")
    yield server
    server.stop()


def url_of(b64):
    return {"type": "image_url", "image_url": {"url": "data:image/png;base64," + b64}}


def draw(demo, prompt, **fields):
    return demo.post("/v1/images/generations", {"prompt": prompt, "seed": 1, **fields}).json()["data"][0]["b64_json"]


def talk(demo, *contents, **fields):
    """Says one thing after another; returns the replies' messages."""
    history, replies = [], []
    for content in contents:
        history.append({"role": "user", "content": content})
        body = demo.post("/v1/chat/completions", {"messages": history, "temperature": 0, "seed": 1, **fields}).json()
        history.append(body["choices"][0]["message"])
        replies.append(history[-1])
    return replies


def test_says_what_it_can_do(demo):
    hello, able = talk(demo, "Hello!", "What can you do?")
    assert "Hello" in hello["content"] or "Hi" in hello["content"]
    assert "draw" in able["content"] and "picture" in able["content"]


@pytest.mark.parametrize("colour, thing", [("blue", "cat"), ("white", "pizza"), ("green", "car")])
def test_knows_what_it_has_drawn(demo, colour, thing):
    picture = draw(demo, f"Draw a {thing} on a {colour} background.")
    what, ground, there, other = talk(demo, [{"type": "text", "text": "What is in this picture?"}, url_of(picture)],
                                      "Which colour is the background?", f"Is there a {thing}?", "Is there a dinosaur?")
    assert what["content"].startswith(f"This is a {thing}")
    assert colour in ground["content"]
    assert there["content"] == f"Yes, I see a {thing}."
    assert other["content"] == f"No, I see a {thing}."


def test_draws_in_conversation_and_changes_what_it_drew(demo):
    first, second = talk(demo, "Please design a drawing of a cat on a blue background.", "Now on a red background.")
    assert len(first["images"]) == len(second["images"]) == 1
    picture = second["images"][0]["image_url"]["url"].split(",")[1]
    (ground,) = talk(demo, [{"type": "text", "text": "Which colour is the background?"}, url_of(picture)])
    assert "red" in ground["content"]


def test_the_articles_request_gets_a_picture(demo):
    (reply,) = talk(demo, "Design a drawing of a butterfly on a flower.")
    image = Image.open(io.BytesIO(base64.b64decode(reply["images"][0]["image_url"]["url"].split(",")[1])))
    assert image.size == (64, 64) and len(image.convert("RGB").getcolors(4096)) > 500


def test_draws_after_small_talk_and_answers_about_its_drawing(demo):
    replies = talk(demo, "Hello!", "What can you do?", "Draw a cat on a blue background.", "Is there a cat?",
                   "Is there a dog?", "Which colour is the background?")
    assert len(replies[2]["images"]) == 1
    assert [r["content"] for r in replies[3:]] == ["Yes, I see a cat.", "No, I see a cat.", "The background is blue."]


def test_refuses_what_it_does_not_know(demo):
    (reply,) = talk(demo, "Draw a volcano.")
    assert not reply.get("images") and ("sorry" in reply["content"] or "not among" in reply["content"])


def test_company_changes_nothing(demo):
    alone = draw(demo, "a rocket")
    with ThreadPoolExecutor(16) as pool:
        crowd = [pool.submit(draw, demo, "a rocket" if k == 7 else f"a {w}", seed=1 if k == 7 else k)
                 for k, w in enumerate(("cat", "tree", "fish", "house") * 4)]
        assert crowd[7].result() == alone
        assert len({f.result() for f in crowd}) == len(crowd)
