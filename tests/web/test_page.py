"""The page in a real browser: over a model where the model matters, over the stand-in engine (tests/server/fake_engine.c) where its words do."""
import base64
import io
import json

import pytest
from PIL import Image
from serving import start_fake

TEXT_MODEL = {"object": "list", "data": [{"id": "fake", "object": "model", "max_model_len": 100,
                                          "architecture": {"input_modalities": ["text"], "output_modalities": ["text"]}}]}


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    paths = []
    for name, colour in (("red.png", "red"), ("blue.png", "blue")):
        paths.append(folder / name)
        Image.new("RGB", (80, 60), colour).save(paths[-1])
    return paths


def decoded(url):
    return base64.b64decode(url.split(",", 1)[1])


# ---- over the demo model, as a newcomer does


def test_the_examples_are_answered(demo, visit):
    v = visit(demo)
    for k in range(v["#examples button"].count()):
        example = v["#examples button"].nth(k)
        text = example.inner_text()
        if "Show a picture" in text:
            continue
        example.click()
        v["#message"].press("Enter")
        v.wait_settled()
        assert v[".failure:visible"].count() == 0
        v.wait(f"() => document.querySelectorAll('.frame img').length === {int('draw' in text)}")  # the last scale has faded in
        v["#new"].click()


# ---- over random weights


def test_chat_streams_over_turns(real, visit):
    v = visit(real, permissions=["clipboard-read", "clipboard-write"])
    assert v["#model"].inner_text() == "tiny"
    v.settle(temperature=0, longest=40)
    v.ask("Hello there")
    expected = real.chat("Hello there", temperature=0, max_tokens=40).json()["choices"][0]["message"]["content"]
    assert v.reply().inner_text().strip()
    v[".actions button"].first.click()
    assert v.page.evaluate("navigator.clipboard.readText()") == expected
    assert "token" in v[".actions .meta"].inner_text()
    v.ask("And again")
    assert v.sent[-1]["messages"] == [{"role": "user", "content": "Hello there"}, {"role": "assistant", "content": expected},
                                      {"role": "user", "content": "And again"}]
    assert v.sent[-1]["stream"] and v.sent[-1]["max_completion_tokens"] == 40
    assert v[".turn"].count() == 2 and v[".retry"].count() == 1
    v["#new"].click()
    assert v[".turn"].count() == 0 and v["#welcome"].is_visible()


def test_pictures_are_added_and_looked_at(real, visit, photos):
    v = visit(real)
    v.settle(longest=5)
    v["#files"].set_input_files(photos)
    v["#attached li"].nth(1).wait_for()
    v["#attached button"].first.click()
    assert v["#attached img"].count() == 1
    v.page.evaluate("""url => fetch(url).then(r => r.blob()).then(blob => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([blob], "pasted.svg", {type: "image/svg+xml"}));
        document.getElementById("message").dispatchEvent(new ClipboardEvent("paste", {clipboardData: transfer, bubbles: true, cancelable: true}));
    })""", "/web/icon.svg")  # an SVG, which the server does not read: the page redraws it
    v["#attached li"].nth(1).wait_for()
    drop = """([kind, text]) => {
        const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
        const transfer = new DataTransfer();
        transfer.items.add(new File([bytes], "dropped.png", {type: "image/png"}));
        document.body.dispatchEvent(new DragEvent(kind, {dataTransfer: transfer, bubbles: true, cancelable: true}));
    }"""
    red = base64.b64encode(photos[0].read_bytes()).decode()
    v.page.evaluate(drop, ["dragover", red])
    assert v["#drop"].is_visible()
    v.page.evaluate(drop, ["drop", red])
    v["#attached li"].nth(2).wait_for()
    assert v["#drop"].is_hidden()
    v["#files"].set_input_files({"name": "not.png", "mimeType": "image/png", "buffer": b"no picture"})
    v["#complaint"].wait_for()
    assert "“not.png” is not a picture" in v["#complaint"].inner_text()
    v.ask("What are these?")
    content = v.sent[-1]["messages"][0]["content"]
    assert [part["type"] for part in content] == ["image_url"] * 3 + ["text"]
    urls = [part["image_url"]["url"] for part in content[:3]]
    assert decoded(urls[0]) == photos[1].read_bytes() and decoded(urls[2]) == photos[0].read_bytes()
    assert Image.open(io.BytesIO(decoded(urls[1]))).format == "JPEG"
    assert v[".failure:visible"].count() == 0 and v.reply().inner_text().strip()
    assert v[".question .thumb img"].count() == 3 and v["#attached"].is_hidden()
    v[".thumb"].first.click()
    assert v["#enlarged"].is_visible()


def test_chat_draws_scale_by_scale(real, visit):
    v = visit(real, accept_downloads=True)
    v.settle(longest=5)
    v["#modalities"].select_option("image")
    v.page.evaluate("""() => {
        window.scales = [];
        new MutationObserver(() => {
            const scale = document.querySelector(".picture")?.dataset.scale;
            if (scale && scales.at(-1) !== +scale) scales.push(+scale);
        }).observe(document.getElementById("turns"), {subtree: true, childList: true, attributes: true});
    }""")
    v.ask("a butterfly", settled=False)
    v[".picture.drawing .frame img"].first.wait_for()
    v.wait_settled()
    assert v.page.evaluate("scales") == list(range(1, 10))
    assert v[".picture"].count() == 1 and v[".picture.drawing"].count() == 0
    v.wait("() => document.querySelectorAll('.frame img').length === 1")
    url = v[".frame img"].get_attribute("src")
    with v.page.expect_download() as download:
        v[".save"].click()
    assert download.value.suggested_filename == "a-butterfly.png"
    with open(download.value.path(), "rb") as file:
        assert file.read() == decoded(url)
    v[".frame"].click()
    assert v["#enlarged-picture"].get_attribute("src") == url
    v.page.keyboard.press("Escape")
    assert v["#enlarged"].is_hidden()
    # it goes back in the shape in which it came, and the server takes it
    v["#modalities"].select_option("text")
    v.ask("What did you draw?")
    reply = v.sent[-1]["messages"][1]
    assert reply["content"] == "" and reply["content_parts"] == [{"type": "image_url", "image": 0}]
    assert reply["images"][0]["image_url"]["url"] == url and "partial" not in reply["images"][0]
    assert v[".failure:visible"].count() == 0


def test_draw_form(real, visit):
    v = visit(real, "/#draw")
    v["#draw-start"].click()
    assert "Say what to draw" in v["#draw-complaint"].inner_text()
    v["#prompt"].fill("a house")
    v["#seed"].fill("seven")
    v["#draw-start"].click()
    assert "whole number" in v["#draw-complaint"].inner_text()
    v["#seed"].fill("7")
    v["#guidance"].fill("2.5")
    v["#draw-start"].click()
    v["#wall .drawing .frame img"].first.wait_for()
    v["#draw-start"].wait_for()
    assert v.sent[-1]["n"] == 1 and v.sent[-1]["guidance_scale"] == 2.5 and v.sent[-1]["seed"] == 7
    v.wait("() => document.querySelectorAll('.frame img').length === 1")
    same = real.post("/v1/images/generations", {"prompt": "a house", "seed": 7, "guidance_scale": 2.5}).json()["data"][0]["b64_json"]
    assert v["#wall .frame img"].get_attribute("src") == "data:image/png;base64," + same
    assert "seed 7 · guidance 2.5" in v[".placard"].inner_text()


def test_stop_frees_the_slot(real, visit):
    v = visit(real, "/#draw")
    v["#prompt"].fill("a house")
    v["input[value='4']"].check(force=True)
    v["#draw-start"].click()
    v["#wall .frame img"].first.wait_for()
    assert real.running() > 0
    v["#draw-stop"].click()
    real.wait_running(0, seconds=5)
    assert v["#draw-start"].is_visible()
    assert "stopped" in v["#wall .unfinished"].first.inner_text()
    v["#tab-chat"].click()
    v["#modalities"].select_option("image")
    v.ask("a house", settled=False)
    v["#turns .frame img"].first.wait_for()
    v.page.keyboard.press("Escape")
    real.wait_running(0, seconds=5)
    v.wait_settled()
    assert "stopped" in v[".actions .meta"].inner_text()
    assert "not finished" in v["#turns .picture"].inner_text()


# ---- over the stand-in


def test_text_grows_and_stops(fake, visit):
    v = visit(fake)
    v.ask("/slow " + "word " * 60, settled=False)
    lengths = [v.wait("n => { const t = document.querySelector('.reply').innerText; return t.length > n && t.length }", n) for n in (0, 20, 40)]
    assert lengths[0] < 200 and lengths == sorted(lengths)
    assert v.page.evaluate("document.querySelector('.reply').ariaBusy") == "true"
    v.wait_settled()
    v.ask("/forever", settled=False)
    v.wait("() => document.querySelectorAll('.reply')[1].innerText.length > 5")
    v["#stop"].click()
    fake.wait_running(0, seconds=3)
    v.wait_settled()
    assert "stopped" in v[".actions .meta"].last.inner_text()
    assert v.page.evaluate("document.activeElement.id") == "message"
    # what was said so far is kept
    v.ask("next")
    assert v.sent[-1]["messages"][3]["content"].startswith("xxxxx")
    # a conversation that is thrown away while a reply comes
    v.ask("/forever", settled=False)
    v.wait("() => document.querySelectorAll('.reply')[3].innerText.length > 5")
    v["#new"].click()
    fake.wait_running(0, seconds=3)
    v.ask("hello")
    assert v.reply().inner_text() == "hello"
    assert v.sent[-1]["messages"] == [{"role": "user", "content": "hello"}]


def test_order_of_text_and_pictures(fake, visit):
    v = visit(fake)
    v.ask("/draw äfter 😀 it")
    assert v.page.evaluate("[...document.querySelector('.reply').children].map(c => c.className)") == ["text", "picture", "text"]
    v.ask("next")
    reply = v.sent[-1]["messages"][1]
    assert reply["content"] == "before äfter 😀 it"
    assert reply["content_parts"] == [{"type": "text", "start": 0, "end": 7}, {"type": "image_url", "image": 0},
                                      {"type": "text", "start": 7, "end": 17}]
    assert v.reply().inner_text() == "next"


def test_model_text_is_only_text(fake, visit):
    v = visit(fake)
    attack = "<img src=x onerror=alert(1)> <script>alert(2)</script> [link](javascript:alert(3)) ![i](http://example.com/i.png) <b>b</b>"
    v.ask(attack)
    assert v.reply().inner_text() == attack
    assert v.page.evaluate("document.querySelectorAll('.reply :is(img, script, a, b)').length") == 0


def test_markdown(fake, visit):
    v = visit(fake)
    v.ask("# Title\n\nA **bold** and *slanted* word, `x < 1`; 2 * 3 * 4, snake_case_name.\n"
          "\n- one\n- two\n  1. deep\n  2. deeper\n- three\n\n> said **so**\n\n---\n\n```c\nint x = 1;\n\n  **y**\n```\nend")
    shape = v.page.evaluate("""() => {
        const shape = node => [node.tagName.toLowerCase(), ...[...node.children].map(shape)];
        return [...document.querySelector(".reply .text").children].filter(n => n.className !== "code").map(shape);
    }""")
    assert shape == [["h3"], ["p", ["strong"], ["em"], ["code"]],
                     ["ul", ["li"], ["li", ["ol", ["li"], ["li"]]], ["li"]],
                     ["blockquote", ["p", ["strong"]]], ["hr"], ["p"]]
    assert v[".reply .code pre"].inner_text() == "int x = 1;\n\n  **y**"
    assert v[".reply .code .row span"].inner_text() == "c"
    assert v[".reply p em"].inner_text() == "slanted"


def test_failures_in_words(visit, browser):
    server = start_fake(running=1)
    v = visit(server)
    v.expected = ["status of 429", "ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED", "ERR_CONNECTION_RESET", "status of 503"]
    v.ask("/fail half of it")
    assert v.reply().inner_text() == "half of it"
    assert v[".failure"].inner_text() == "The model failed while working on this request."
    with server.http.stream("POST", "/v1/chat/completions", json={
            "messages": [{"role": "user", "content": "/wait"}], "stream": True}) as other:
        lines = other.iter_lines()
        next(lines)
        v.ask("hello")
        assert "Too many requests" in v[".failure"].last.inner_text()
    server.wait_running(0)
    v[".retry"].click()
    v.wait_settled()
    assert v.reply().inner_text() == "hello" and v[".failure"].last.is_hidden()
    v.ask("/forever", settled=False)
    v.wait("() => document.querySelectorAll('.reply')[2].innerText.length > 5")
    server.process.kill()
    server.process.wait()
    v.wait_settled()
    assert "connection was lost" in v[".failure"].last.inner_text()
    v[".retry"].click()
    v["#stop"].wait_for(state="hidden")
    assert "cannot be reached" in v[".failure"].last.inner_text()
    v["#notice"].wait_for()
    assert "cannot be reached" in v["#notice"].inner_text()
    again = start_fake(port=server.port)
    v["#notice"].wait_for(state="hidden")
    v[".retry"].click()
    again.wait_running(1)
    v["#stop"].click()
    again.wait_running(0)
    server.http.close()
    again.stop()


def test_loading_is_waited_for(visit, browser):
    server = start_fake(loading=2)
    v = visit(server, ready=False)
    v.expected = ["status of 503"]
    v["#notice"].wait_for()
    assert "The model is loading: " in v["#notice"].inner_text()
    assert v["#send"].is_disabled() and v["#welcome"].is_hidden()
    v["#welcome"].wait_for()
    assert v["#notice"].is_hidden()
    # and a message that finds the model loading goes out by itself
    answers = [0]

    def refuse_first(route):
        answers[0] += 1
        if answers[0] > 1:
            return route.continue_()
        body = {"error": {"message": "the model is loading", "type": "service_unavailable", "param": None, "code": "loading"}, "progress": 0.42}
        return route.fulfill(status=503, headers={"retry-after": "1"}, json=body)

    v.page.route("**/v1/chat/completions", refuse_first)
    v.ask("hello", settled=False)
    v[".aside"].wait_for()
    assert "still loading (42 %)" in v[".aside"].inner_text()
    v.wait_settled()
    assert v.reply().inner_text() == "hello" and answers[0] == 2 and v[".aside"].is_hidden()
    server.stop()


def test_key_is_asked_for_and_kept(visit, browser):
    server = start_fake(keys="a-secret-key", ready=False)
    v = visit(server, ready=False)
    v.expected = ["status of 401"]
    for key in ("wrong", "a-secret-key"):
        v["#key"].wait_for()
        v["#key-value"].fill(key)
        v["#key-value"].press("Enter")
        v.wait("wrong => document.getElementById('key').open === wrong", key == "wrong")
        assert v["#key-reason"].is_visible() == (key == "wrong")
    v["#welcome"].wait_for()
    v.ask("hello")
    assert v.reply().inner_text() == "hello"
    assert v.page.evaluate("[sessionStorage.length, localStorage.length]") == [1, 0]
    v.page.reload()
    v["#welcome"].wait_for()
    assert v["#key"].is_hidden()
    # a key that is withdrawn in between
    refusal = {"error": {"message": "this key is no longer valid", "type": "invalid_request_error", "param": None, "code": "invalid_api_key"}}
    v.page.route("**/v1/chat/completions", lambda route: route.fulfill(status=401, json=refusal))
    v.ask("again", settled=False)
    v["#key"].wait_for()
    v["#key-cancel"].click()
    v.wait_settled()
    assert v[".failure"].last.inner_text() == "This key is no longer valid."
    server.stop()


def test_keyboard(fake, visit):
    v = visit(fake)
    assert v.page.evaluate("document.activeElement.id") == "message"
    v.page.keyboard.type("one")
    v.page.keyboard.press("Shift+Enter")
    v.page.keyboard.type("two")
    assert v["#message"].input_value() == "one\ntwo" and v.sent == []
    v.page.evaluate("""() => document.getElementById("message").dispatchEvent(
        new KeyboardEvent("keydown", {key: "Enter", isComposing: true, bubbles: true, cancelable: true}))""")
    assert v.sent == []
    v.page.keyboard.press("Enter")
    v.wait_settled()
    assert v.sent[-1]["messages"][0]["content"] == "one\ntwo"
    v.ask("/forever", settled=False)
    v["#stop"].wait_for()
    fake.wait_running(1)
    v["#open-settings"].click()
    v.page.keyboard.press("Escape")  # closes what is on top and stops nothing
    assert v["#settings"].is_hidden() and v["#stop"].is_visible()
    v.page.keyboard.press("Escape")
    fake.wait_running(0, seconds=3)
    v.wait_settled()
    seen = set()
    for _ in range(20):
        v.page.keyboard.press("Tab")
        where, outline = v.page.evaluate("(a => [a.id || a.className, getComputedStyle(a).outlineStyle])(document.activeElement)")
        seen.add(where)
        assert where in ("message", "") or outline != "none", f"no focus seen on {where}"  # "": the body, between rounds
    assert {"add", "modalities", "open-settings", "tab-draw", "theme", "new", "retry"} <= seen


def test_everything_has_a_name(fake, visit):
    v = visit(fake)
    v.ask("```\ncode\n```")
    nameless = """() => [...document.querySelectorAll("button, a, input, select, textarea, img, [role=log], dialog")]
        .filter(n => !(n.textContent.trim() || n.ariaLabel || n.alt || n.labels?.length || n.getAttribute("aria-labelledby") || n.id === "enlarged-picture"))
        .map(n => n.outerHTML)"""
    assert v.page.evaluate(nameless) == []
    assert v["#live"].text_content() == "Reply: ```\ncode\n```"
    assert v.page.evaluate("document.documentElement.lang") == "en"


def brightness(v):
    colour = v.page.evaluate("""() => {
        const context = document.createElement("canvas").getContext("2d");
        context.fillStyle = getComputedStyle(document.body).backgroundColor;
        context.fillRect(0, 0, 1, 1);
        return [...context.getImageData(0, 0, 1, 1).data];
    }""")
    return sum(colour[:3]) / 765


def test_dark_and_light(fake, visit):
    v = visit(fake, color_scheme="dark")
    assert brightness(v) < 0.2
    v["#theme"].click()
    assert brightness(v) > 0.9 and v["#theme"].get_attribute("aria-label") == "Colours: light"
    v.page.reload()
    assert brightness(v) > 0.9
    v["#theme"].click()
    v.page.emulate_media(color_scheme="light")
    assert brightness(v) < 0.2
    v["#theme"].click()
    assert brightness(v) > 0.9 and v["#theme"].inner_text() == "Auto"


@pytest.mark.parametrize("width", [320, 390, 768])
def test_narrow_screens(fake, visit, width):
    v = visit(fake, viewport={"width": width, "height": 720})
    fits = "() => document.documentElement.scrollWidth <= innerWidth && document.getElementById('scroll').scrollWidth <= innerWidth"
    assert v.page.evaluate(fits)
    v.ask("W" * 400 + "\n\n```\n" + "c" * 300 + "\n```\n\n/draw " + "x" * 300)
    v.ask("/draw " + "y" * 100)
    assert v.page.evaluate(fits)
    for button in ("#send", "#new", "#theme", "#tab-draw", "#open-settings", "#add"):
        box = v[button].bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width, button
    v["#tab-draw"].click()
    v["#prompt"].fill("z" * 100)
    v["input[value='4']"].check(force=True)
    v["#prompt"].press("Enter")
    v["#draw-start"].wait_for()
    v[".grid .save"].last.wait_for()
    assert v[".grid .picture"].count() == 4
    assert v.page.evaluate("() => document.documentElement.scrollWidth <= innerWidth && document.getElementById('draw').scrollWidth <= innerWidth")


def test_what_the_model_cannot_do_is_not_offered(fake, visit):
    def text_only(v):
        v.page.route("**/v1/models", lambda route: route.fulfill(body=json.dumps(TEXT_MODEL), content_type="application/json"))

    v = visit(fake, before=text_only)
    assert v["#tabs"].is_hidden() and v["#add"].is_hidden() and v["#pick-reply"].is_hidden()
    assert v["#greeting"].inner_text() == "Ask something."
    assert "picture" not in v["#examples"].inner_text() and "raw" not in v["#examples"].inner_text()
    v["#examples button"].first.click()
    assert v["#message"].input_value() and v["#send"].is_enabled()
    v.page.keyboard.press("Enter")
    v.wait_settled()
    assert "modalities" not in v.sent[-1] and "image_config" not in v.sent[-1]


def test_follows_the_text_unless_one_reads_above(fake, visit):
    v = visit(fake)
    at_end = "(s => s.scrollHeight - s.scrollTop - s.clientHeight < 5)(document.getElementById('scroll'))"
    v.ask("\n\n".join(["line"] * 60))
    v.wait("() => " + at_end)
    v.page.evaluate("document.getElementById('scroll').scrollTop = 0")
    v["#down"].wait_for()
    v["#down"].click()
    v.wait("() => " + at_end)
    v["#message"].fill("a\nb\nc\nd\ne\nf")  # the composer grows
    v.wait("() => " + at_end)
