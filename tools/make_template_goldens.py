#!/usr/bin/env python3
"""Renders every template of tests/golden/templates as transformers does, and writes renderings.json beside them.

Needs transformers and jinja2 (no torch): python3 -m venv V && V/bin/pip install transformers tokenizers jinja2
Then: V/bin/python tools/make_template_goldens.py

  *.jinja        chat templates of model families, written in the manner of the published ones
  snippets.txt   one small template a line (\\n and \\r outside of {{ }} and {% %} stand for line ends)
  renderings.json what this script makes: template, conversation, options; the text and which of its bytes came from
                 messages (white space aside), or that there is an error: "open" or "render", with raise_exception's words

A conversation is a list of [role, [part, ...]]; a part is a string or null for an image. `form` says how the template
takes content: "string" (images first, each as "<image>\\n", then the texts), "parts", or "mixed": parts, but a message of
one text as a string.
"""
import datetime
import json
import pathlib
import re

import jinja2
from transformers.utils.chat_template_utils import _compile_jinja_template

HERE = pathlib.Path(__file__).resolve().parent.parent / "tests/golden/templates"
NOW = 1700000000  # 14 November 2023, 22:13:20 UTC

CONVERSATIONS = {
    "one": [["user", ["Hello there"]]],
    "turns": [["user", ["Hi"]], ["assistant", ["Hello! How can I help?"]], ["user", ["  What is 2+2?\n"]]],
    "system": [["system", ["Be brief."]], ["user", ["Who are you?"]]],
    "long": [["system", ["You are a pirate.\n"]], ["user", ["<s>[INST] é 😀 </s>"]], ["assistant", [" <|im_end|> Arr\n\n"]],
             ["user", ["a\nb"]], ["assistant", ["<think>\nhm\n</think>\n\nfine"]], ["user", ["bye"]]],
    "answered": [["user", ["q"]], ["assistant", ["a"]]],
    "image": [["user", [None, "What is this?"]], ["assistant", ["A cat."]], ["user", ["before", None, "after", None]]],
    "texts": [["user", ["one", "two"]]],
    "odd": [["assistant", ["I start"]], ["user", [""]]],
    "bad": [["user", ["a"]], ["user", ["b"]]],
    "empty": [["user", []]],
}
OPTIONS = [{"generation": True, "bos": "<s>", "eos": "</s>"}, {"generation": False, "bos": "<s>", "eos": "</s>"}]
SNIPPET_TURNS = [["user", ["hello <b>\"World\"</b>"]], ["assistant", ["é\n😀 ok"]]]


def content(parts, form):
    text_only = all(p is not None for p in parts)
    if form == "string" or (form == "mixed" and text_only and len(parts) < 2):
        return "<image>\n" * sum(p is None for p in parts) + "".join(p for p in parts if p is not None)
    return [{"type": "image"} if p is None else {"type": "text", "text": p} for p in parts]


def render(template, turns, form, options):
    messages = [{"role": role, "content": content(parts, form)} for role, parts in turns]
    now = datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc).replace(tzinfo=None)
    compiled = _compile_jinja_template(template)
    return compiled.render(
        messages=messages, tools=None, documents=None, add_generation_prompt=options["generation"],
        bos_token=options["bos"], eos_token=options["eos"], strftime_now=lambda f: now.strftime(f))


def plain_ranges(template, turns, form, options, text):
    """Where message content went, white space aside: rendered again with twins from a private plane for its characters.
    None when the template looks at the content or changes it, so that the twins would tell something else."""
    turns = [[role, [p if p is None else re.sub(r"\S", lambda m: chr(0xF0000 + ord(m[0])), p) for p in parts]]
             for role, parts in turns]
    try:
        twin = render(template, turns, form, options)
    except Exception:  # noqa: BLE001
        return None
    if "".join(chr(ord(c) - 0xF0000) if ord(c) >= 0xF0000 else c for c in twin) != text:
        return None
    ranges, at = [], 0
    for c, original in zip(twin, text):
        end = at + len(original.encode())
        if ord(c) >= 0xF0000:
            if ranges and ranges[-1][1] == at:
                ranges[-1][1] = end
            else:
                ranges.append([at, end])
        at = end
    return ranges


def case(name, template, turns, form, options):
    out = {"name": name, "template": template, "form": form, "turns": turns, **options}
    try:
        out["text"] = render(template, turns, form, options)
        plain = plain_ranges(template, turns, form, options, out["text"])
        if plain is not None:
            out["plain"] = plain
    except (jinja2.exceptions.TemplateSyntaxError, SyntaxError):
        out["fails"] = "open"
    except Exception as e:  # noqa: BLE001 - any mistake of the template's is an error to the engine too
        own_words = type(e) is jinja2.exceptions.TemplateError  # raise_exception
        out["fails"], out["words"] = "render", str(e) if own_words else None
    return out


def unescape(line):
    """\\n and \\r in a snippet's text, but not within its tags."""
    pieces = re.split(r"(\{\{.*?\}\}|\{%.*?%\})", line)
    return "".join(p if i % 2 else p.replace("\\n", "\n").replace("\\r", "\r") for i, p in enumerate(pieces))


def main():
    cases = []
    for path in sorted(HERE.glob("*.jinja")):
        template = path.read_text()
        form = re.match(r"\{#-? form: (\w+) ", template)[1]
        for name, turns in CONVERSATIONS.items():
            for options in OPTIONS:
                which = f"{path.stem}/{name}/{'prompt' if options['generation'] else 'plain'}"
                made = case(which, template, turns, form, options)
                made["template"] = path.name
                cases.append(made)
    for number, line in enumerate((HERE / "snippets.txt").read_text().split("\n"), 1):
        if line:
            cases.append(case(f"snippets.txt:{number}", unescape(line), SNIPPET_TURNS, "string", OPTIONS[0]))
    text = ",\n".join(json.dumps(c, ensure_ascii=False) for c in cases)
    (HERE / "renderings.json").write_text("[\n" + text + "\n]\n")
    print(len(cases), "cases,", sum("fails" in c for c in cases), "of them errors")


if __name__ == "__main__":
    main()
