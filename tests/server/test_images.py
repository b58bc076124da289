"""/v1/images/generations over the stand-in engine."""
import base64
import io
import json
import re
import time

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
    ("response_format", "x"), ("background", "transparent"), ("quality", "best"), ("moderation", "none"),
    ("output_format", "svg"), ("frame_duration_ms", 5), ("output_compression", 50), ("output_compression", -1), ("partial_images", 10), ("stream", 1), ("seed", "x"),
    ("guidance_scale", 20.5), ("guidance_scale", "1"), ("temperature", -1), ("top_k", -1), ("top_p", 0), ("top_p", 1.5), ("model", "dall-e-3"),
])
def test_wrong_fields_are_named(fake, field, value):
    error = error_of(fake.post(PATH, {"prompt": "a", field: value}), 404 if field == "model" else 400)
    assert error["param"] == field


@pytest.mark.parametrize("fields", [
    {"quality": "hd", "style": "vivid", "user": "u", "moderation": "low", "background": "auto", "unknown": 1},
    {"response_format": "b64_json", "n": None, "size": None, "seed": 0, "guidance_scale": 0, "top_k": 0, "top_p": 1},
    {"prompt": "é" * 32000}, {"output_format": "gif", "frame_duration_ms": 50}, {"response_format": "url"},
])
def test_right_fields(fake, fields):
    assert fake.post(PATH, {"prompt": "a", **fields}).status_code == 200


def test_pictures_draw_themselves_again(fake):
    """A picture that was resampled on its way out still carries its codes."""
    drawn = fake.post(PATH, {"prompt": "a", "size": "128x128"}).json()["data"][0]["b64_json"]
    r = fake.post("/tokenize", {"messages": [{"role": "assistant", "content": "", "images": ["data:image/png;base64," + drawn]}]})
    assert r.json()["tokens"].count(258) == 680


@pytest.mark.parametrize("fields, field", [
    ({"response_format": "url", "stream": True}, "response_format"), ({"output_format": "gif", "partial_images": 1, "stream": True}, "partial_images"),
    ({"output_format": "gif", "size": "1600x1600"}, "size"), ({"output_format": "gif", "output_compression": 50}, "output_compression"),
])
def test_what_does_not_go_together(fake, fields, field):
    assert error_of(fake.post(PATH, {"prompt": "a", **fields}))["param"] == field


@pytest.mark.parametrize("size", ["auto", "96x48"])
def test_animation(fake, size):
    """Ten scales, the last one for longest; the last frame is the picture, but for its colours."""
    body = fake.post(PATH, {"prompt": "a", "seed": 3, "output_format": "gif", "frame_duration_ms": 120, "size": size}).json()
    gif, png = open_picture(body["data"][0]), open_picture(fake.post(PATH, {"prompt": "a", "seed": 3, "size": size}).json()["data"][0])
    assert gif.format == "GIF" and gif.n_frames == 10 and gif.size == png.size and body["output_format"] == "gif"
    durations = []
    for i in range(10):
        gif.seek(i)
        durations.append(gif.info["duration"])
    assert durations == [120] * 9 + [2000] and "loop" not in gif.info
    pairs = zip(gif.convert("RGB").tobytes(), png.convert("RGB").tobytes(), strict=True)
    assert max(abs(a - b) for a, b in pairs) <= 16


def test_animation_in_streams_and_chats(fake):
    r = fake.post(PATH, {"prompt": "a", "stream": True, "output_format": "gif"})
    (event,) = [json.loads(b.split("\n")[1][6:]) for b in r.text.strip().split("\n\n")]
    assert event["type"] == "image_generation.completed" and open_picture(event).n_frames == 10
    (image,) = fake.chat("/draw x", image_config={"output_format": "gif"}).json()["choices"][0]["message"]["images"]
    head, data = image["image_url"]["url"].split(",")
    assert head == "data:image/gif;base64" and open_picture({"b64_json": data}).n_frames == 10


def drawn_with(entry):
    """guidance, top_k, top_p and temperature that the engine was asked to draw with."""
    picture = entry if isinstance(entry, Image.Image) else open_picture(entry)
    digits, codes = re.search(r"codes=680x(\d):(\S+)", picture.text["vargpt"]).groups()
    n = int(digits)
    first = [int(codes[i * n:i * n + n], 16) for i in range(4)]
    return first[0] / 100, first[1], first[2] / 1000, first[3] / 1000


@pytest.mark.parametrize("quality, echoed, guidance, top_k", [
    ("low", "low", 0, 900), ("medium", "medium", 1.5, 900), ("standard", "medium", 1.5, 900), ("auto", "auto", 1.5, 900),
    (None, "auto", 1.5, 900), ("high", "high", 3, 600), ("hd", "high", 3, 600),
])
def test_quality_chooses_sampling(fake, quality, echoed, guidance, top_k):
    def draw(**fields):
        body = fake.post(PATH, {"prompt": "/sampling", "quality": quality, **fields}).json()
        assert body["quality"] == echoed
        return drawn_with(body["data"][0])
    assert draw() == (guidance, top_k, 0.96, 1)
    assert draw(n=1, guidance_scale=None, top_k=None) == (guidance, top_k, 0.96, 1)
    assert draw(guidance_scale=7) == (7, top_k, 0.96, 1)  # what the request says itself wins
    assert draw(top_k=5, top_p=0.5, temperature=2) == (guidance, 5, 0.5, 2)


def test_sampling_in_chat(fake):
    def draw(**fields):
        (image,) = fake.chat("/draw /sampling", **fields).json()["choices"][0]["message"]["images"]
        return drawn_with({"b64_json": image["image_url"]["url"].split(",")[1]})
    assert draw() == (1.5, 900, 0.96, 1)
    assert draw(image_config={"guidance_scale": 0.25, "top_k": 1, "top_p": 0.125, "temperature": 0.5}) == (0.25, 1, 0.125, 0.5)
    assert draw(temperature=0, top_k=3, top_p=0.1) == (1.5, 900, 0.96, 1)  # those are for text


def link_of(server, **fields):
    (entry,) = server.post(PATH, {"prompt": "a", "response_format": "url", **fields}).json()["data"]
    assert "b64_json" not in entry
    return entry["url"]


@pytest.mark.parametrize("form", ["png", "jpeg", "webp", "gif"])
def test_links(fake, form):
    url = link_of(fake, output_format=form, seed=9)
    assert url.startswith(fake.url + "/images/") and url.endswith("." + form)
    r = fake.http.get(url)
    same = fake.post(PATH, {"prompt": "a", "output_format": form, "seed": 9}).json()["data"][0]["b64_json"]
    assert r.status_code == 200 and r.headers["content-type"] == "image/" + form and base64.b64encode(r.content).decode() == same
    assert r.headers["cache-control"].startswith("private, max-age=") and "x-request-id" in r.headers
    name = url.rsplit("/", 1)[1].split(".")[0]
    assert len(name) == 32 and int(name, 16) >= 0
    for path in (f"/v1/files/{name}/content", f"/v1/files/file-{name}/content", f"/images/{name}"):
        assert fake.http.get(path).content == r.content
    head = fake.http.head(url)
    assert head.status_code == 200 and head.content == b"" and int(head.headers["content-length"]) == len(r.content)


@pytest.mark.parametrize("path", ["/images/" + "0" * 32, "/images/" + "0" * 32 + ".png", "/images/x", "/images/..%2f..%2fetc%2fpasswd",
                                  "/v1/files/file-" + "0" * 32 + "/content", "/v1/files/x", "/v1/files/x/y", "/images/" + "a" * 5000])
def test_no_such_picture(fake, path):
    error_of(fake.http.get(path), 404)


def test_links_are_for_one_type(fake):
    error_of(fake.http.get(link_of(fake).replace(".png", ".jpeg")), 404)


def test_links_end(start):
    server = start(kept_pictures=2, kept_seconds=2, public_url="https://pictures.example/base/")
    urls = [link_of(server) for _ in range(3)]
    assert all(u.startswith("https://pictures.example/base/images/") for u in urls)
    paths = [u.split("/base")[1] for u in urls]
    assert [server.http.get(p).status_code for p in paths] == [404, 200, 200]
    time.sleep(2.2)
    assert [server.http.get(p).status_code for p in paths] == [404, 404, 404]


def test_links_take_bounded_memory(start):
    size = len(base64.b64decode(start().post(PATH, {"prompt": "a", "size": "128x128"}).json()["data"][0]["b64_json"]))
    server = start(kept_bytes=size * 10)
    paths = [link_of(server, size="128x128", seed=i).split(str(server.port))[1] for i in range(30)]
    kept = [r for r in map(server.http.get, paths) if r.status_code == 200]
    assert 0 < len(kept) < 30 and sum(len(r.content) for r in kept) <= size * 10
    tiny = start(kept_bytes=1024, kept_pictures=1)
    error_of(tiny.post(PATH, {"prompt": "a", "response_format": "url", "size": "1024x1024"}), 400)


def test_links_come_back(fake):
    """In history a link to a kept picture is the picture, with its codes; nothing is fetched for it."""
    url = link_of(fake)
    for message in ({"role": "assistant", "content": "", "images": [{"type": "image_url", "image_url": {"url": url}}]},
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}):
        tokens = fake.post("/tokenize", {"messages": [message]}).json()["tokens"]
        assert tokens.count(258) == 680 if message["role"] == "assistant" else tokens.count(257) == 16
    wrong = url.replace(url[-36:-34], "zz")
    assert "fetch_hosts" in error_of(fake.chat([{"type": "image_url", "image_url": {"url": wrong}}]))["message"]
