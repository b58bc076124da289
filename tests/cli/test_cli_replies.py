"""chat, draw and serve: texts and pictures are those of the reference."""
import json
import re
import signal
import time
import urllib.request

import pixels
import pytest
from program import ROOT


def case(vargpt, kind, name):
    cases = json.loads((vargpt.golden / "cases.json").read_text())
    return next(c for c in cases[kind] if c["name"] == name)


def spoken(case):
    message = case["messages"][0]["content"]
    return "".join(part["text"] for part in message if part["type"] == "text")


GREEDY = ["--temperature", "0", "--max-tokens", "32", "--max-images", "0"]


def shown(vargpt, case):
    return [word for image in case["images"] for word in ("-i", vargpt.golden / image)]


@pytest.mark.parametrize("name", ["text", "image", "two-images"])
def test_greedy_text(vargpt, name):
    c = case(vargpt, "llm", name)
    args = ["chat", "-m", vargpt.model, *GREEDY, *shown(vargpt, c)]
    assert vargpt(*args, spoken(c)).stdout.decode() == c["greedy_text"] + "\n"
    assert vargpt(*args, "-", text=spoken(c).encode() + b"\n").stdout.decode() == c["greedy_text"] + "\n"


def test_lines_are_turns(vargpt):
    c = case(vargpt, "llm", "text")
    line = spoken(c).encode() + b"\n"
    done = vargpt("chat", "-m", vargpt.model, *GREEDY, text=line + b"/reset\n" + line + b"\n/nope\n/quit\nmore\n")
    assert done.stdout.decode() == (c["greedy_text"] + "\n") * 2
    assert done.stderr == b"vargpt: no command /nope: /help lists them\n"


def test_seeded_text_repeats(vargpt):
    args = ["chat", "-m", vargpt.model, "--max-images", "0", "--max-tokens", "24"]
    first = vargpt(*args, "--seed", "5", "Hello").stdout
    assert vargpt(*args, "--seed", "5", "Hello").stdout == first
    assert vargpt(*args, "--seed", "6", "Hello").stdout != first


def test_chat_refuses(vargpt):
    assert b"nothing.png" in vargpt("chat", "-m", vargpt.model, "-i", "nothing.png", "x", code=1).stderr
    done = vargpt("chat", "-m", vargpt.model, *GREEDY, "word " * 5000, code=1)
    assert done.stdout == b"" and done.stderr.startswith(b"vargpt: ")


@pytest.mark.parametrize("name", ["argmax-cfg0", "argmax-cfg1.5", "argmax-image", "sample", "sample-open"])
def test_draw(vargpt, name):
    c = case(vargpt, "generate", name)
    how = ["--temperature", "0"] if c["mode"] == "argmax" else \
        ["--top-k", c["top_k"], "--top-p", c["top_p"] or 1]
    vargpt("draw", "-m", vargpt.model, spoken(c), *shown(vargpt, c), "--cfg", c["cfg"], *how,
           "--seed", c.get("seed", 0), "-o", "out.png")
    assert pixels.largest_difference(vargpt.folder / "out.png", vargpt.golden / c["png"]) <= 1
    assert pixels.origin(vargpt.folder / "out.png").startswith(f"1 seed={c.get('seed', 0)} picture=0 codes=680x")


def test_draw_several(vargpt):
    done = vargpt("draw", "-m", vargpt.model, "a tree", "-n", "3", "--seed", "-5", "-o", "out.png")
    lines = sorted(done.stdout.decode().splitlines())
    assert lines == [f"out-{k + 1}.png seed -5 ordinal {65536 * k}" for k in range(3)]
    assert done.stderr == b""
    read = [pixels.read(vargpt.folder / f"out-{k + 1}.png")[2] for k in range(3)]
    assert len(set(read)) == 3
    vargpt("draw", "-m", vargpt.model, "a tree", "--seed", "-5", "-o", "again.png")
    assert (vargpt.folder / "again.png").read_bytes() == (vargpt.folder / "out-1.png").read_bytes()


def test_the_demo_model_is_found_from_anywhere(vargpt):
    vargpt("draw", "a butterfly on a flower", "--seed", "1", "-o", "first.png")
    vargpt("draw", "-m", ROOT / "models" / "demo", "a butterfly on a flower", "--seed", "1", "-o", "second.png")
    assert (vargpt.folder / "first.png").read_bytes() == (vargpt.folder / "second.png").read_bytes()
    assert b"draw" in vargpt("chat", "--temperature", "0", "What can you do?").stdout


def test_draw_previews(vargpt):
    args = ["draw", "-m", vargpt.model, "a tree", "--seed", "1"]
    vargpt(*args, "-o", "a.webp", "--previews", "scales")
    assert (vargpt.folder / "a.webp").read_bytes()[8:12] == b"WEBP"
    assert sorted(p.name for p in (vargpt.folder / "scales").iterdir()) == [f"a-scale-{s}.webp" for s in range(1, 10)]
    done = vargpt(*args, "-o", "nowhere/a.png", code=1)
    assert done.stderr.startswith(b"vargpt: nowhere/a.png: ")


def test_drawn_pictures_go_on_in_the_conversation(vargpt):
    lines = b"/draw a tree\n/save kept.png\n/save a.JPG\n/save a.gif\nWhat did you draw?\n/draw\n/image kept.png\nAnd this?\n"
    args = ["chat", "-m", vargpt.model, *GREEDY, "--seed", "3"]
    first = vargpt(*args, text=lines)
    assert first.stderr == b"vargpt: a.gif: pictures are saved as .png, .jpg, .jpeg or .webp\n"
    assert (vargpt.folder / "a.JPG").read_bytes()[:2] == b"\xff\xd8"
    text = first.stdout.decode()
    assert re.findall(r"\[picture: (.*)\]", text) == ["picture-1.png", "kept.png", "a.JPG", "picture-2.png"]
    drawn = (vargpt.folder / "picture-1.png").read_bytes()
    assert drawn == (vargpt.folder / "kept.png").read_bytes()
    assert (vargpt.folder / "picture-2.png").read_bytes() != drawn
    for name in ("picture-1.png", "picture-2.png"):
        (vargpt.folder / name).unlink()
    assert vargpt(*args, text=lines).stdout == first.stdout


def test_serve(vargpt):
    server = vargpt.start("serve", "-m", vargpt.model, "--port", "0", "--alias", "tiny")
    try:
        line = server.stdout.readline().decode()
        address = re.fullmatch(r"listening on (http://127\.0\.0\.1:(\d+))\n", line)
        assert address, line
        assert server.stdout.readline().startswith(b"try: curl " + address[1].encode())
        vargpt("health", "--port", address[2])
        vargpt("health", env={"VARGPT_HOST": "0.0.0.0", "VARGPT_PORT": address[2]})
        with urllib.request.urlopen(address[1] + "/v1/models") as reply:
            assert json.load(reply)["data"][0]["id"] == "tiny"
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0
        vargpt("health", "--port", address[2], code=1)
    finally:
        server.kill()
        server.communicate()


def test_serve_refuses_a_taken_port(vargpt):
    server = vargpt.start("serve", "-m", vargpt.model, "--port", "0")
    try:
        port = re.search(rb":(\d+)\n", server.stdout.readline())[1].decode()
        begun = time.monotonic()
        assert port.encode() in vargpt("serve", "-m", vargpt.model, "--port", port, code=1).stderr
        assert time.monotonic() - begun < 10
    finally:
        server.terminate()
        server.communicate()
