"""/v1/images/generations over the stand-in engine."""
import base64
import io
import json

import openai
import pytest
from PIL import Image
from test_chat import error_of

PATH = "/v1/images/generations"


def open_picture(entry):
    return Image.open(io.BytesIO(base64.b64decode(entry["b64_json"], validate=True)))


def test_reply(fake):
    r = fake.post(PATH, {"prompt": "a cat", "n": 3, "seed": 42})
    body = r.json()
    assert r.status_code == 200 and set(body) >= {"created", "data", "background", "output_format", "quality", "size", "usage", "seed"}
    assert (body["background"], body["output_format"], body["size"], body["seed"]) == ("opaque", "png", "64x64", 42)
    assert [(d["seed"], d["ordinal"]) for d in body["data"]] == [(42, 0), (42, 65536), (42, 131072)]
    assert all(open_picture(d).size == (64, 64) for d in body["data"])
    assert len({d["b64_json"] for d in body["data"]}) == 3
    usage = body["usage"]
    assert usage["output_tokens"] == 3 * 680 and usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert usage["input_tokens_details"] == {"text_tokens": usage["input_tokens"], "image_tokens": 0, "cached_tokens": 0}


def test_seed(fake):
    one, two = (fake.post(PATH, {"prompt": "a", "seed": -5}).json() for _ in range(2))
    assert one["data"] == two["data"] and one["seed"] == -5
    chosen = fake.post(PATH, {"prompt": "a"}).json()
    again = fake.post(PATH, {"prompt": "a", "seed": chosen["seed"]}).json()
    assert again["data"] == chosen["data"] and 0 <= chosen["seed"] < 2 ** 53


@pytest.mark.parametrize("form, pillow", [("png", "PNG"), ("jpeg", "JPEG"), ("webp", "WEBP")])
@pytest.mark.parametrize("size", ["auto", "64x64", "96x48", "1024x1024"])
def test_formats_and_sizes(fake, form, pillow, size):
    body = fake.post(PATH, {"prompt": "a", "output_format": form, "size": size}).json()
    picture = open_picture(body["data"][0])
    want = "64x64" if size == "auto" else size
    assert picture.format == pillow and "x".join(map(str, picture.size)) == want
    assert body["size"] == want and body["native_size"] == "64x64" and body["output_format"] == form


def test_compression(fake):
    sizes = [len(fake.post(PATH, {"prompt": "a", "output_format": "jpeg", "output_compression": q, "seed": 1}).json()["data"][0]["b64_json"])
             for q in (1, 100)]
    assert sizes[0] < sizes[1]


def test_stream(fake):
    r = fake.post(PATH, {"prompt": "a", "stream": True, "partial_images": 3})
    assert r.headers["content-type"].startswith("text/event-stream")
    events = []
    for block in r.text.strip().split("\n\n"):
        name, data = block.split("\n")
        events.append(json.loads(data[6:]))
        assert name == "event: " + events[-1]["type"]
    assert [e["type"] for e in events] == ["image_generation.partial_image"] * 3 + ["image_generation.completed"]
    assert [e.get("partial_image_index") for e in events] == [0, 1, 2, None]
    for e in events:
        assert {"b64_json", "created_at", "size", "quality", "background", "output_format"} <= set(e)
        assert open_picture(e).size == (64, 64)
    assert events[-1]["usage"]["output_tokens"] == 680
    r = fake.post(PATH, {"prompt": "a", "stream": True, "n": 2})
    events = [json.loads(b.split("\n")[1][6:]) for b in r.text.strip().split("\n\n")]
    assert sorted(e["index"] for e in events) == [0, 1]


def test_openai_client(fake):
    client = fake.client()
    reply = client.images.generate(model="fake", prompt="a cat", n=2, size="1024x1024", response_format="b64_json")
    assert len(reply.data) == 2 and reply.data[0].b64_json and reply.usage.output_tokens == 1360
    events = list(client.images.generate(prompt="a cat", stream=True, partial_images=2))
    assert [e.type for e in events] == ["image_generation.partial_image"] * 2 + ["image_generation.completed"]
    assert events[-1].usage.input_tokens > 0
    with pytest.raises(openai.BadRequestError):
        client.images.generate(prompt="")


@pytest.mark.parametrize("field, value", [
    ("prompt", None), ("prompt", ""), ("prompt", 3), ("prompt", "a" * 32001), ("n", 0), ("n", 11), ("size", "1x1"), ("size", "300x1000"),
    ("response_format", "url"), ("response_format", "x"), ("background", "transparent"), ("quality", "best"), ("moderation", "none"),
    ("output_format", "gif"), ("output_compression", 50), ("output_compression", -1), ("partial_images", 10), ("stream", 1), ("seed", "x"),
    ("guidance_scale", 20.5), ("guidance_scale", "1"), ("temperature", -1), ("top_k", -1), ("top_p", 0), ("top_p", 1.5), ("model", "dall-e-3"),
])
def test_wrong_fields_are_named(fake, field, value):
    error = error_of(fake.post(PATH, {"prompt": "a", field: value}), 404 if field == "model" else 400)
    assert error["param"] == field


@pytest.mark.parametrize("fields", [
    {"quality": "hd", "style": "vivid", "user": "u", "moderation": "low", "background": "auto", "unknown": 1},
    {"response_format": "b64_json", "n": None, "size": None, "seed": 0, "guidance_scale": 0, "top_k": 0, "top_p": 1},
    {"prompt": "é" * 32000},
])
def test_right_fields(fake, fields):
    assert fake.post(PATH, {"prompt": "a", **fields}).status_code == 200


def test_pictures_draw_themselves_again(fake):
    """A picture that was resampled on its way out still carries its codes."""
    drawn = fake.post(PATH, {"prompt": "a", "size": "128x128"}).json()["data"][0]["b64_json"]
    r = fake.post("/tokenize", {"messages": [{"role": "assistant", "content": "", "images": ["data:image/png;base64," + drawn]}]})
    assert r.json()["tokens"].count(258) == 680
