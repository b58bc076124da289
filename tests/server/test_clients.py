"""Clients that people use, unmodified, against the stand-in engine: openai-python here; litellm, langchain-openai,
schemathesis, openai-node and the Vercel AI SDK in environments that this test makes under the build folder, from pinned
versions. Without a registry those are skipped."""
import asyncio
import base64
import io
import json
import os
import shutil
import subprocess
import sys

import openai
import pytest
from PIL import Image
from serving import BUILD, ROOT, SLOW

HERE = ROOT / "tests" / "server" / "clients"
PLACE = ROOT / "build" / "clients"  # the sanitizers' builds use the same


def png():
    out = io.BytesIO()
    Image.new("RGB", (20, 10), (200, 10, 10)).save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


def install(folder, pinned, *commands):
    """Runs the commands unless they were run for what is pinned now."""
    stamp, wanted = folder / pinned.name.replace(".", "-installed."), pinned.read_text()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for command in commands:
        done = subprocess.run(list(map(str, command)), cwd=folder, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"{command[0]} could not install the clients: {(done.stderr or done.stdout).strip()[-300:]}")
    stamp.write_text(wanted)


@pytest.fixture(scope="module")
def python_clients():
    folder = PLACE / "python"
    install(folder, HERE / "requirements.txt", (sys.executable, "-m", "venv", "venv"),
            ("venv/bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", HERE / "requirements.txt"))
    return folder / "venv" / "bin"


@pytest.fixture(scope="module")
def node_clients():
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("no node or npm here")
    folder = PLACE / "node"
    install(folder, HERE / "package.json", ("cp", HERE / "package.json", "."), ("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"))
    shutil.copy(HERE / "client.mjs", folder)
    return folder


def run(*command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=150 * SLOW, **options)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def test_litellm_and_langchain(fake, python_clients):
    out = json.loads(run(python_clients / "python", HERE / "client.py", fake.url, fake.model, png()).splitlines()[-1])
    assert out == {
        "chat": "hello", "stream": "one two", "async": "later", "seen": 16, "drawn": ["before after", 1, "data:image/png;base64,"],
        "again": ["thanks", True], "streamed_images": 1, "image": 2, "text": "abc", "error": ["NotFoundError", 404],
        "lc_chat": ["hello", True, "stop"], "lc_stream": "one two", "lc_seen": "look" + out["lc_seen"][4:], "lc_drawn": "before after",
        "lc_logprobs": 3, "lc_error": "OpenAIInvalidRequestError"}


def test_openai_node_and_ai_sdk(fake, node_clients):
    out = json.loads(run("node", node_clients / "client.mjs", fake.url, fake.model, png(), cwd=node_clients).splitlines()[-1])
    assert out == {
        "chat": "hello", "request_id": True, "stream": "one two", "usage": True, "seen": 16, "drawn": ["before after", 1], "again": ["thanks", True],
        "image": [True, True], "completion": "abc", "models": [fake.model], "error": ["NotFoundError", 404, "model_not_found"], "failed": "APIError",
        "ai_text": ["hello", "stop", True], "ai_stream": "one two", "ai_seen": "look" + out["ai_seen"][4:], "ai_image": ["image/png"] * 2,
        "ai_error": ["AI_APICallError", 404, True], "ai_completion": "user:\nabc\n\nassis"}


def test_openai_python_async(fake):
    async def talk():
        async with openai.AsyncOpenAI(base_url=fake.url + "/v1", api_key="none", max_retries=0) as client:
            async def one(i):
                text = ""
                stream = await client.chat.completions.create(model=fake.model, messages=[{"role": "user", "content": f"number {i}"}], stream=True)
                async for chunk in stream:
                    text += chunk.choices[0].delta.content or ""
                return text
            return await asyncio.gather(*map(one, range(20)))
    assert asyncio.run(talk()) == [f"number {i}" for i in range(20)]


def test_openai_python_history(fake):
    """A message with its picture goes back as it came."""
    client = fake.client()
    first = [{"role": "user", "content": "/draw after"}]
    message = client.chat.completions.create(model=fake.model, messages=first).choices[0].message
    reply = client.chat.completions.create(model=fake.model, messages=[*first, message.model_dump(), {"role": "user", "content": "thanks"}])
    assert reply.choices[0].message.content == "thanks" and reply.usage.prompt_tokens > 680
    with client.chat.completions.stream(model=fake.model, messages=first) as stream:
        final = stream.get_final_completion().choices[0].message
    assert final.content == "before after" and len(final.images) == 1


@pytest.mark.parametrize("call, error, status", [
    (lambda c: c.chat.completions.create(model="x", messages=[{"role": "user", "content": "a"}]), openai.NotFoundError, 404),
    (lambda c: c.chat.completions.create(model="fake", messages=[]), openai.BadRequestError, 400),
    (lambda c: c.chat.completions.create(model="fake", messages=[{"role": "user", "content": "/fail"}]), openai.InternalServerError, 500),
    (lambda c: c.images.edit(image=io.BytesIO(b"x"), prompt="a"), openai.BadRequestError, 400),
    (lambda c: c.responses.create(model="fake", input="a"), openai.BadRequestError, 400),
    (lambda c: c.embeddings.create(model="fake", input="a"), openai.NotFoundError, 404),
    (lambda c: c.models.retrieve("x"), openai.NotFoundError, 404),
])
def test_openai_python_errors(fake, call, error, status):
    with pytest.raises(error) as raised:
        call(fake.client())
    assert raised.value.status_code == status and raised.value.request_id
    assert status != 400 or raised.value.code in (None, "unsupported_operation")


def test_curl(fake):
    if not shutil.which("curl"):
        pytest.skip("no curl here")
    def curl(*args, **options):
        return run("curl", "-sS", "--max-time", "60", *args, **options)
    chat, kind = fake.url + "/v1/chat/completions", "Content-Type: application/json"
    body = json.dumps({"model": fake.model, "messages": [{"role": "user", "content": "hello"}]})
    assert json.loads(curl(chat, "-H", kind, "-d", body))["choices"][0]["message"]["content"] == "hello"
    streamed = curl("-N", chat, "-H", kind, "-d", body.replace('"model"', '"stream":true,"model"'))
    assert streamed.endswith("data: [DONE]\n\n")
    large = json.dumps({"model": fake.model, "messages": [{"role": "user", "content": "x"}], "unknown": "y" * (2 << 20)})
    assert "100 Continue" in curl("-i", "-H", "Expect: 100-continue", chat, "-H", kind, "-d", "@-", input=large)
    refused = curl(fake.url + "/v1/images/edits", "-F", "prompt=a", "-F", "image=@" + str(HERE / "client.py"))
    assert json.loads(refused)["error"]["code"] == "unsupported_operation"
    assert "405" in curl("-i", "-X", "DELETE", chat).splitlines()[0]


def test_schemathesis(fake, python_clients, tmp_path):
    """No 5xx, what is said of replies is true, and what the description rules out is refused."""
    examples = os.environ.get("VARGPT_EXAMPLES", "10")
    checks = ("not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,negative_data_rejection,"
              "unsupported_method")
    assert fake.http.get("/openapi.json").headers["content-type"] == "application/json"
    if SLOW > 1:
        pytest.skip("runs against the release build")
    run(python_clients / "schemathesis", "run", fake.url + "/openapi.json", "--phases", "coverage,fuzzing", "-n", examples, "--checks", checks,
        "--request-timeout", "30", "--generation-deterministic", "--no-color", cwd=tmp_path)
