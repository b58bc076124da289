"""tokenize and inspect on the golden checkpoint."""
import json

import pytest


def strings(vargpt):
    lines = (vargpt.golden / "tokenizer.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_ids(vargpt):
    for case in strings(vargpt)[::9]:
        ids = vargpt("tokenize", "-m", vargpt.model, "--ids", text=case["text"].encode()).stdout
        assert [int(i) for i in ids.split()] == case["ids"], case["text"]


def test_decode(vargpt):
    for case in strings(vargpt)[::9]:
        ids = ",".join(map(str, case["ids"]))
        args = ["tokenize", "-m", vargpt.model, "--decode"]
        assert vargpt(*args, ids).stdout.decode() == case["decoded_with_special"] + "\n"
        assert vargpt(*args, "--skip-special", text=ids.encode()).stdout.decode() == case["decoded"] + "\n"


def test_pieces(vargpt):
    lines = vargpt("tokenize", "-m", vargpt.model, "Hello</s>\n").stdout.decode().splitlines()
    assert lines[0].split() == ["1", '"<s>"', "special"]
    assert ['"</s>"', "special"] in [line.split()[1:] for line in lines]
    assert lines[-1].endswith('"\\n"')
    plain = vargpt("tokenize", "-m", vargpt.model, "--plain", "Hello</s>").stdout.decode()
    assert plain.count("special") == 1


def test_decode_refuses_words(vargpt):
    message = vargpt("tokenize", "-m", vargpt.model, "--decode", "1 x", code=1).stderr.decode()
    assert message.startswith("vargpt: 'x' is not a token id")


def test_inspect(vargpt):
    text = vargpt("inspect", vargpt.model).stdout.decode()
    for word in ("vargpt, safetensors", "vision", "projector", "image decoder", "vae decoder", "total", "F16",
                 "<|image_gen_start|>", "cache a token"):
        assert word in text
    facts = json.loads(vargpt("inspect", vargpt.model, "--json").stdout)
    config = json.loads((vargpt.golden / "checkpoint" / "config.json").read_text())
    assert facts["kind"] == "vargpt" and facts["drawing"]["positions"] == 680 and facts["drawing"]["side"] == 256
    assert facts["llm"]["hidden"] == config["hidden_size"]
    ids = {token["name"]: token for token in facts["special_tokens"]}
    assert ids["image"] == {"name": "image", "id": config["image_token_index"], "text": "<image>"}
    assert ids["end"]["text"] == "</s>"
    total = facts["parts"][-1]
    assert total["part"] == "total"
    for key in ("tensors", "parameters", "bytes"):
        assert total[key] == sum(part[key] for part in facts["parts"][:-1])
    size = (vargpt.golden / "checkpoint" / "model.safetensors").stat().st_size
    assert 0 < size - facts["memory"]["weights"] < 200000


@pytest.mark.parametrize("options, divergence, same", [
    ([], 0, 100), (["--cache-type", "bf16"], 3e-4, 98), (["--cache-type", "int8"], 2e-3, 95), (["--weights", "int8"], 2e-3, 95)])
def test_what_fewer_bits_cost(vargpt, options, divergence, same):
    """On the trained demo model, as docs/scheduling.md has it."""
    figures = json.loads(vargpt("compare", "--json", *options).stdout)
    assert [f["name"] for f in figures] == ["text", "looking", *(f"drawing, scale {s}" for s in range(1, 7))]
    assert sum(f["rows"] for f in figures[2:]) == 4 * 130
    assert all(f["mean_divergence"] <= divergence for f in figures)
    assert sum(f["top1_percent"] * f["rows"] for f in figures) / sum(f["rows"] for f in figures) >= same
    assert (max(f["largest_divergence"] for f in figures) == 0) == (options == [])
