"""Trains the tokenizer: a LLaMA-style BPE with byte fallback, and the five VARGPT tokens after it."""

import json
import os
import random
import string
import sys

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from . import chat, paths, scenes, texts

PIECES = 1400
FILE = paths.WORK / "tokenizer" / "tokenizer.json"


def corpus(count):
    """Rendered conversations, and enough of other characters that plain English spells without bytes."""
    r = random.Random(7)
    pool = texts.Pool(scenes.load_specs("train"))
    for _ in range(count):
        for make in (texts.understanding, texts.generation, texts.mixed):
            for user, pictures, reply in make(r, pool):
                said = " ".join(p for p in reply if isinstance(p, str))
                yield chat.turn("user", texts.unmarked(user)[0], 0) + "ASSISTANT: " + said
    for text in texts.SYSTEM + texts.UNKNOWN * 3:
        yield text
    for _ in range(20):
        yield string.printable[:95]


def train():
    sketch = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    sketch.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    # Pieces stay within a word and apart from punctuation and digits; encoding later needs no such split.
    sketch.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split("▁", "merged_with_next"), pre_tokenizers.Split(
            Regex("[^A-Za-z▁]"), "isolated")])
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    sketch.train_from_iterator(corpus(30000), trainers.BpeTrainer(
        vocab_size=PIECES, special_tokens=special, min_frequency=3, show_progress=True))
    data = json.loads(sketch.to_str())
    vocab, merges = data["model"]["vocab"], data["model"]["merges"]

    def added(i, content):
        return {"id": i, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
                "normalized": False, "special": True}

    tokens = [added(i, c) for i, c in enumerate(special[:3])]
    tokens += [added(len(vocab) + i, c)
               for i, c in enumerate([chat.IMAGE, "<pad>", chat.DRAW, chat.DRAWN, chat.PLACE])]
    bos = {"SpecialToken": {"id": "<s>", "type_id": 0}}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": tokens,
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [bos, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [bos, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "<s>", "type_id": 1}},
                     {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
                  "vocab": vocab, "merges": merges},
    }


def main():
    if not FILE.exists():
        FILE.parent.mkdir(parents=True, exist_ok=True)
        partial = FILE.with_suffix(".partial")
        partial.write_text(json.dumps(train(), ensure_ascii=False, indent=1))
        os.replace(partial, FILE)
    words = chat.Words(FILE)
    sample = "USER: <image>\nDesign a drawing of a butterfly on a flower. ASSISTANT:"
    ids = words.ids(sample, 1)
    print(f"tokenizer: {words.tokenizer.get_vocab_size()} tokens; {len(ids)} for {sample!r}:",
          [words.tokenizer.id_to_token(i) for i in ids])
    return 0


if __name__ == "__main__":
    sys.exit(main())
