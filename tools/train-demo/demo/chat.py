"""A conversation as the checkpoint's chat template puts it, and its token ids."""

from tokenizers import Tokenizer

# One turn after another: images first, then text.
TEMPLATE = (
    "{# one turn after another: images first, then text #}"
    "{% for m in messages %}"
    "{% if m['role'] != 'system' %}{{ m['role'] | upper }}{{ ': ' }}{% endif %}"
    "{% if m['content'] is string %}{{ m['content'] ~ ' ' }}{% else %}"
    "{% for p in m['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\\n' }}{% endfor %}"
    "{% for p in m['content'] | selectattr('type', 'equalto', 'text') %}{{ p['text'] + ' ' }}{% endfor %}"
    "{% endif %}{% endfor %}"
    "{%- if add_generation_prompt -%}{{ 'ASSISTANT:' }}{%- endif -%}"
)

IMAGE = "<image>"
DRAW, DRAWN, PLACE = "<|image_gen_start|>", "<|image_gen_end|>", "<|image_gen_pad|>"


def turn(role, text, images=0):
    """One message as TEMPLATE renders it."""
    return f"{role.upper()}: " + f"{IMAGE}\n" * images + f"{text} "


def prompt(turns):
    """(role, text, images) turns, ending with the place for an answer."""
    return "".join(turn(*t) for t in turns) + "ASSISTANT:"


class Words:
    """The checkpoint's tokenizer, with its special ids."""

    def __init__(self, path):
        self.tokenizer = Tokenizer.from_file(str(path))
        self.image, self.pad, self.draw, self.drawn, self.place = (
            self.tokenizer.token_to_id(t) for t in (IMAGE, "<pad>", DRAW, DRAWN, PLACE))
        self.start, self.end = self.tokenizer.token_to_id("<s>"), self.tokenizer.token_to_id("</s>")

    def ids(self, text, patches):
        """A rendered conversation's ids, each <image> repeated for its patches."""
        out = []
        for i in self.tokenizer.encode(text).ids:
            out += [i] * (patches if i == self.image else 1)
        return out

    def text(self, ids):
        return self.tokenizer.decode(ids, skip_special_tokens=True)
