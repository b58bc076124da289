"""Help, wrong usage, settings: nothing here loads a model."""
import json
import re
import subprocess

import pytest

COMMANDS = ["serve", "chat", "draw", "tokenize", "inspect", "verify", "compare", "bench", "health", "config", "man"]


def one_line(done):
    assert done.stdout == b""
    message = done.stderr.decode()
    assert message.startswith("vargpt: ") and message.count("\n") == 1, message
    return message


def test_overview_lists_the_commands(vargpt):
    text = vargpt("--help").stdout.decode()
    assert re.findall(r"^  (\w+) +\w", text.split("Commands:")[1].split("\n\n")[0], re.M) == COMMANDS
    assert vargpt("-h").stdout.decode() == text
    assert vargpt("help").stdout.decode() == text
    assert vargpt(code=2).stderr.decode() == text


def test_version(vargpt):
    assert re.fullmatch(rb"vargpt \d+\.\d+\.\d+\n", vargpt("--version").stdout)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command(vargpt, command):
    text = vargpt(command, "--help").stdout.decode()
    assert text.startswith(f"Usage: vargpt {command} ")
    assert "Examples:\n  " in text
    assert vargpt("help", command).stdout.decode() == text
    assert vargpt(command, "-h", "--nonsense").stdout.decode() == text


@pytest.mark.parametrize("args, message", [
    (["sing"], "no subcommand 'sing'"),
    (["chat", "--nope"], "no flag --nope"),
    (["chat", "--port", "1"], "chat does not take --port"),
    (["serve", "--port", "x"], "--port: must be a whole number from 0 to 65535"),
    (["serve", "extra"], "serve takes no argument 'extra'"),
    (["draw"], "say what to draw"),
    (["draw", "x", "-o", "x.gif"], "x.gif: pictures are saved as"),
    (["draw", "x", "-o", "png"], "png: pictures are saved as"),
    (["chat", "x", "-o", "x.tiff"], "x.tiff: pictures are saved as"),
    (["chat", "two", "words"], "put text in quotes"),
    (["chat", "--config", "/nowhere.json"], "/nowhere.json: cannot be read"),
    (["config"], "say --example"),
])
def test_wrong_usage(vargpt, args, message):
    assert message in one_line(vargpt(*args, code=2))


@pytest.mark.parametrize("args", [["chat", "hi"], ["draw", "x"], ["tokenize", "x"], ["inspect"]])
def test_missing_model(vargpt, args):
    assert "nowhere" in one_line(vargpt(*args, "-m", "/nowhere\n/at all", code=1))


def test_config_example(vargpt):
    settings = json.loads(vargpt("config", "--example").stdout)
    assert settings["port"] == 8000 and settings["cache"] == "0" and settings["temperature"] is None
    (vargpt.folder / "all.json").write_text(json.dumps(settings))
    assert b"nowhere" in vargpt("tokenize", "--config", "all.json", "-m", "/nowhere", "x", code=1).stderr


def test_environment_names_the_model(vargpt):
    assert b"/elsewhere" in vargpt("inspect", env={"VARGPT_MODEL": "/elsewhere"}, code=1).stderr
    assert b"/here" in vargpt("inspect", "-m", "/here", env={"VARGPT_MODEL": "/elsewhere"}, code=1).stderr
    bad = vargpt("chat", "x", env={"VARGPT_THREADS": "-1"}, code=2).stderr
    assert bad.startswith(b"vargpt: VARGPT_THREADS: must be")


def test_full_disk(vargpt):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([vargpt.binary, "man"], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert done.stderr == b"vargpt: not all could be written to standard output\n"


def test_health_without_a_server(vargpt):
    assert "is the server running there?" in one_line(vargpt("health", "--port", "1", code=1))


@pytest.mark.parametrize("device, message", [
    ("gpu", "'gpu' is none of auto, cpu, cuda, cuda:N"), ("cuda:", "'cuda:' is none of"), ("cuda:x", "'cuda:x' is none of"),
    ("cuda:-1", "'cuda:-1' is none of"), ("cuda:900", "CUDA"), ("cuda:0,1", "CUDA"), ("cuda:all", "CUDA"),
    ("cuda:0,", "'cuda:0,' is none of"), ("cuda:1,1", "cards that differ"), ("cuda:0,all", "'cuda:0,all' is none of"),
    ("cuda:0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16", "is none of"),
])
def test_device(vargpt, device, message):
    assert message in one_line(vargpt("chat", "-m", vargpt.model, "--device", device, "hello", code=1))


def test_precision(vargpt):
    assert "auto, exact" in one_line(vargpt("chat", "-m", vargpt.model, "--precision", "half", "hello", code=2))
