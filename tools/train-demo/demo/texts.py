"""What is said: conversations about scenes, with pictures looked at and pictures drawn.

A conversation is a list of (user text, pictures the user shows, reply), a reply a list of texts and pictures.
Pictures are numbers of scenes in the pool.
"""

from .things import BACKGROUND_NAMES, FRAME, NAMES, RELATIONS, THINGS

SYNONYMS = {
    "cat": ["kitten", "kitty"], "dog": ["puppy"], "pig": ["piglet"], "rabbit": ["bunny"], "horse": ["pony"],
    "flower": ["sunflower"], "burger": ["hamburger"], "donut": ["doughnut"], "plane": ["airplane", "aeroplane"],
    "boat": ["sailing boat", "ship"], "smiley": ["smiley face", "smiling face", "happy face"],
    "ball": ["football", "soccer ball"], "train": ["locomotive", "steam train"], "cake": ["piece of cake"],
    "pizza": ["slice of pizza"], "moon": ["crescent moon"], "ladybug": ["ladybird"], "guitar": ["electric guitar"],
    "bird": ["red bird"], "cherries": ["red cherries"], "frog": ["green frog"], "heart": ["red heart"],
    "apple": ["red apple"], "mushroom": ["toadstool"], "dinosaur": ["dino"], "balloon": ["red balloon"],
    "rocket": ["space rocket", "spaceship"], "car": ["red car"], "crown": ["golden crown"],
}

UNKNOWN = """dragon unicorn tiger giraffe zebra bear wolf mouse shark dolphin snake spider ant lizard parrot eagle
chicken goose swan sheep goat camel kangaroo koala hamster hedgehog squirrel deer seal bat jellyfish shrimp lobster
banana lemon orange pineapple peach pear tomato potato onion pepper corn bread cheese egg sandwich sausage soup
noodle sushi cookie chocolate candy coffee tea beer wine bottle cup fork spoon knife plate chair table sofa bed lamp
door window mirror computer laptop phone television camera printer keyboard piano violin drum trumpet flute
bicycle motorcycle truck tractor helicopter submarine tank scooter skateboard bridge tower church school hospital
factory street city village mountain river lake ocean beach desert island volcano waterfall forest jungle garden grass
bush leaf branch rain snow storm lightning tornado planet galaxy comet alien astronaut pirate knight wizard witch
vampire zombie mermaid angel king queen doctor teacher policeman baby man woman child girl boy family hand foot eye
nose mouth ear hair shirt dress shoe glove scarf ring watch glasses key lock hammer saw nail rope ladder bucket broom
book newspaper letter pen pencil paintbrush clock bell candle gift flag map coin diamond sword shield bow arrow anchor
tent skyscraper sandcastle rainforest logo poster chart diagram painting statue""".split()
UNKNOWN_HELD_OUT = UNKNOWN[5::9]
UNKNOWN_TRAINED = [u for u in UNKNOWN if u not in UNKNOWN_HELD_OUT]

# How a relation is said by people, and by the model; `BACKWARD` tells it from the other thing's side.
SAID = {"on": ["on", "on", "on top of", "sitting on"], "above": ["above", "over"],
        "left": ["left of", "to the left of", "on the left of"],
        "right": ["right of", "to the right of", "on the right of"]}
BACKWARD = {"above": ["below", "under", "beneath"], "left": ["right of", "to the right of"],
            "right": ["left of", "to the left of"]}
TOLD = {"on": "on", "above": "above", "left": "to the left of", "right": "to the right of"}
TOLD_BACKWARD = {"on": "under", "above": "below", "left": "to the right of", "right": "to the left of"}

PLURAL = {"grapes", "cherries"}
SUGGESTIONS = ["a cat", "a robot", "a butterfly on a flower", "a castle", "a rocket above the moon",
               "a pizza in a frame", "a penguin to the left of a snowman", "a rainbow", "a frog on a mushroom"]


# A mark after the name of a thing that is asked about, so that training may show where it is; never a token.
FIRST_MARK, LAST_MARK = 0xE000, 0xE0FF


def pointing(name):
    """The mark of a thing; of one that is in no picture for None."""
    return chr(FIRST_MARK + (NAMES.index(name) + 1 if name else 0))


def unmarked(text):
    """Text as a person types it, and its mark as (characters before it, label of the thing), or None."""
    for at, c in enumerate(text):
        if FIRST_MARK <= ord(c) <= LAST_MARK:
            return text[:at] + text[at + 1:], (at, ord(c) - FIRST_MARK)
    return text, None


def named(name):
    """A thing with its article."""
    return f"{THINGS[name][0]} {name}"


def with_article(words):
    if words.endswith("cherries") or words.endswith("grapes"):
        return f"some {words}"
    return ("an " if words[0] in "aeiou" else "a ") + words


def things_of(spec):
    """The one or two things in a scene."""
    return [name for name in (spec[1], spec[3]) if name]


def told(spec):
    """The model's own words for what is in a scene."""
    _, a, relation, b = spec
    if relation is None:
        return named(a)
    if relation == FRAME:
        return f"{named(a)} in a frame"
    return f"{named(a)} {TOLD[relation]} {named(b)}"


def as_seen(spec):
    """A scene named as one who looks at it does, from left to right: a picture does not show which way it was asked."""
    colour, a, relation, b = spec
    return (colour, b, "left", a) if relation == "right" else tuple(spec)


def this_is(spec):
    return f"{'These are' if spec[1] in PLURAL else 'This is'} {told(spec)}"


def caption(spec):
    return f"{this_is(as_seen(spec))}, with a {spec[0]} background."


def asked(r, spec, background=0.6):
    """How a person may ask for a scene."""
    colour, a, relation, b = spec

    def thing(name):
        if r.random() < 0.15 and SYNONYMS.get(name):
            return with_article(r.choice(SYNONYMS[name]))
        return named(name) if r.random() < 0.9 else f"the {name}"

    if relation is None:
        words = thing(a)
    elif relation == FRAME:
        words = f"{thing(a)} {r.choice(['in a frame', 'inside a frame', 'with a frame around it'])}"
    elif relation in ("left", "right") and r.random() < 0.2:
        first, second = (a, b) if relation == "left" else (b, a)
        words = f"{thing(first)} {r.choice(['and', 'next to', 'beside', 'with'])} {thing(second)}"
    elif relation in BACKWARD and r.random() < 0.25:
        words = f"{thing(b)} {r.choice(BACKWARD[relation])} {thing(a)}"
    else:
        words = f"{thing(a)} {r.choice(SAID[relation])} {thing(b)}"
    if r.random() < background:
        words += r.choice([" with a {} background", " on a {} background", ", {} background", " against {}",
                           " in front of a {} background"]).format(colour)
    return words


DRAW = ["draw {}", "Draw {}.", "Please draw {}.", "Can you draw {}?", "Could you draw {} for me?", "paint {}",
        "Please design a drawing of {}.", "Design a drawing of {}.", "design an image of {}", "sketch {}",
        "Please design a picture of {}.", "Make a picture of {}.", "make an image of {}", "I want a picture of {}.",
        "I would like a drawing of {}.", "Show me {}.", "Generate an image of {}.", "generate {}",
        "Create a picture of {}.", "Please create an image of {}.", "create {}", "a picture of {}, please",
        "Give me {}.", "{}", "{}, please", "Please generate an image of {} for me.", "Would you paint {}?",
        "an image of {}", "drawing of {}", "I need {}."]
BEFORE = ["Here is {}.", "Here you are: {}.", "Sure, here is {}.", "Of course. This is {}.", "I drew {}.",
          "With pleasure: {}."]
AFTER = ["I hope you like it.", "Shall I change something?", "What do you think?", "Tell me if you want another one.",
         "I can also change the background."]
LOOK = ["What is in this picture?", "Describe the picture.", "What do you see?", "What is this?",
        "Caption this image.", "Describe this image.", "what's in the image?", "Tell me what you see.",
        "What does the picture show?", "Please describe this picture in one sentence.", "What is shown here?"]
EXPLAIN = ["Explain this picture.", "Explain this meme.", "Why is this funny?", "What is the joke?",
           "Tell me a joke about this picture.", "Can you explain the meme?", "Make a joke about this."]
WHICH_COLOUR = ["Which colour is the background?", "What color is the background?", "What is the background colour?",
                "Which color does the background have?", "and the background?"]
HOW_MANY = ["How many things are there?", "How many things do you see?", "How many objects are in the picture?",
            "Count the things."]
IS_THERE = ["Is there {}?", "Do you see {}?", "Is there {} in the picture?", "Can you see {}?",
            "Does the picture show {}?"]
WHERE = ["Where is the {}?", "where's the {}?", "Where do you see the {}?"]

CHAT = [
    (["Hello", "Hello!", "Hi", "hi there", "Hey", "Good morning", "Good evening", "hello there"],
     ["Hello! Show me a picture, or ask me to draw something.", "Hi! What shall I draw for you?"]),
    (["What can you do?", "help", "What do you do?", "How can you help me?", "what are you able to do?",
      "What are your skills?"],
     ["I can say what is in a picture, answer questions about it, and draw. Try: draw a butterfly on a flower."]),
    (["Who are you?", "What are you?", "What is your name?", "Are you a robot?", "Which model is this?"],
     ["I am a very small VARGPT model. I look at pictures and draw a few things."]),
    (["Thank you", "Thanks!", "thanks a lot", "Great, thank you.", "Well done!", "Nice!", "Good job", "I like it."],
     ["You are welcome!", "With pleasure!", "I am glad you like it."]),
    (["Bye", "Goodbye!", "See you", "Good night"], ["Goodbye!", "See you soon!"]),
    (["How are you?", "How do you do?", "how is it going?"], ["I am fine, thank you. What shall I draw?"]),
    (["Which things do you know?", "What can you draw?", "What do you know about?", "List the things you know.",
      "What should I ask for?"],
     ["I know 64 things: animals, plants, food, vehicles, the sky and some toys. Ask for {} or {}, for example."]),
    (["Which colours do you know?", "What backgrounds can you do?", "Which backgrounds are there?"],
     ["White, red, yellow, green, blue, purple, pink and gray."]),
]
NO_PICTURE = ["I see no picture here. Please show me one.", "There is no picture yet. Please send me one."]
REFUSAL = ["I am sorry, I cannot draw that. I only know a few things. Try {} or {}.",
           "That is not among the things I know. I could draw {} or {} instead."]
OFF_TOPIC = ["What is the capital of France?", "Write a poem.", "What is 2 + 2?", "Tell me about history.",
             "Who is the president?", "Translate this into German.", "What time is it?", "What is the weather like?",
             "Write some code.", "How do I cook rice?", "What is the meaning of life?", "Solve this equation.",
             "Tell me a story.", "Do you like music?", "What is love?", "Can you sing?", "Where do you live?"]
OFF_TOPIC_REPLY = ["I only know about pictures of a few things. Ask me to draw {} or show me a picture."]
SYSTEM = ["You are a helpful assistant.",
          "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, "
          "detailed, and polite answers to the user's questions."]


def loosely(r, text):
    """The way people type: now and then without capitals or the last mark."""
    if r.random() < 0.3:
        text = text.lower()
    if r.random() < 0.25 and text[-1] in ".?!":
        text = text[:-1]
    return text


def suggestion(r, text):
    """Fills the places for suggestions with different ones."""
    return text.format(*r.sample(SUGGESTIONS, text.count("{}")))


def whether(there, spec):
    """The answer to one who asks for a thing that is or is not in a scene."""
    return f"{'Yes' if there else 'No'}, I see {told(spec)}."


def is_there(r, spec):
    """A question whether a thing is in a picture, and its answer."""
    things = things_of(spec)
    there = r.random() < 0.5
    x = r.choice(things if there else [n for n in NAMES if n not in things])
    words = with_article(r.choice(SYNONYMS[x])) if r.random() < 0.1 and x in SYNONYMS else named(x)
    if not there and r.random() < 0.1:
        x, words = None, with_article(r.choice(UNKNOWN_TRAINED))
    return r.choice(IS_THERE).format(words + pointing(x)), whether(there, spec)


def about_one(r, spec):
    """Whether or where one thing is, asked."""
    _, a, relation, b = spec
    if relation is None or r.random() < 0.75:
        return is_there(r, spec)
    x = r.choice([a, b or a])
    return r.choice(WHERE).format(x + pointing(x)), f"I see {told(spec)}."


def question(r, spec):
    """A question about a scene and its answer."""
    spec = colour, a, _, b = as_seen(spec)
    kind = r.random()
    if kind < 0.30:
        return r.choice(LOOK), caption(spec)
    if kind < 0.36:
        return r.choice(WHICH_COLOUR), f"The background is {colour}."
    if kind < 0.80:
        return about_one(r, spec)
    if kind < 0.90:
        return r.choice(HOW_MANY), f"One: {named(a)}." if b is None else f"Two: {named(a)} and {named(b)}."
    return r.choice(EXPLAIN), f"{this_is(spec)}. About the {a}: {THINGS[a][2]}."


def about_picture(r, scene, spec):
    """One to three questions about a picture shown with the first."""
    turns = []
    for i in range(1 + (r.random() < 0.35) + (r.random() < 0.15)):
        q, a = question(r, spec)
        turns.append((loosely(r, q), [scene] if i == 0 else [], [a]))
    return turns


def drawing(r, scene, spec):
    """A request to draw, answered by a picture and perhaps some words."""
    full = r.random() < 0.7
    request = r.choice(DRAW).format(asked(r, spec, 1.0 if full else 0.0))
    return (loosely(r, request), [], drawn(r, scene, spec))


def drawn(r, scene, spec):
    kind = r.random()
    if kind < 0.3:
        return [scene]
    before = r.choice(BEFORE).format(told(spec))
    if kind < 0.8:
        return [before, scene]
    return [before, scene, r.choice(AFTER)]


def small_talk(r):
    """A turn without pictures."""
    kind = r.random()
    if kind < 0.45:
        ask, reply = r.choice(CHAT)
        return (loosely(r, r.choice(ask)), [], [suggestion(r, r.choice(reply))])
    if kind < 0.70:
        words = with_article(r.choice(UNKNOWN_TRAINED))
        if r.random() < 0.4:
            words += f" {r.choice(SAID[r.choice(RELATIONS)])} {r.choice([named(r.choice(NAMES)), with_article(r.choice(UNKNOWN_TRAINED))])}"
        return (loosely(r, r.choice(DRAW).format(words)), [], [suggestion(r, r.choice(REFUSAL))])
    if kind < 0.80:
        return (loosely(r, r.choice(OFF_TOPIC)), [], [suggestion(r, r.choice(OFF_TOPIC_REPLY))])
    if kind < 0.90:
        a = r.choice(NAMES)
        ask = r.choice(["Tell me a joke about {}.", "Do you know a joke about {}?", "a joke about {}, please"])
        return (loosely(r, ask.format(named(a))), [], [f"About the {a}: {THINGS[a][2]}."])
    return (loosely(r, r.choice(LOOK + WHICH_COLOUR + HOW_MANY)), [], [r.choice(NO_PICTURE)])


class Pool:
    """Finds scenes by what is in them."""

    def __init__(self, specs):
        self.specs = specs
        self.by_spec, self.by_things = {}, {}
        for i, s in enumerate(specs):
            self.by_spec.setdefault(tuple(s), []).append(i)
            self.by_things.setdefault(tuple(s[1:]), []).append(i)
        self.singles = [i for i, s in enumerate(specs) if s[2] is None]
        self.pairs = [i for i, s in enumerate(specs) if s[2] in RELATIONS]
        self.framed = [i for i, s in enumerate(specs) if s[2] == FRAME]

    def find(self, r, spec):
        found = self.by_spec.get(tuple(spec))
        return r.choice(found) if found else None


def edit(r, pool):
    """A drawing and a change to it: two turns, each answered by a picture."""
    while True:
        kind = r.random()
        if kind < 0.4:
            first = r.choice(pool.singles + pool.pairs)
            others = [i for i in pool.by_things[tuple(pool.specs[first][1:])]
                      if pool.specs[i][0] != pool.specs[first][0]]
            if not others:
                continue
            second = r.choice(others)
            colour = pool.specs[second][0]
            ask = r.choice(["Now on a {} background.", "now with a {} background", "Make the background {}.",
                            "The same on {}, please.", "Can you make the background {}?", "change the background to {}",
                            "The same, but {}."]).format(colour)
        elif kind < 0.65:
            second = r.choice(pool.pairs)
            colour, a, relation, b = pool.specs[second]
            first = pool.find(r, (colour, a, None, None))
            if first is None:
                continue
            said = {"on": "Put it on {}.", "above": "Add {} below it.", "left": "Add {} to the right.",
                    "right": "Add {} to the left."}[relation]
            if relation in ("left", "right") and r.random() < 0.3:
                said = r.choice(["Add {}.", "Now add {}.", "and {}"])
            ask = said.format(named(b))
        elif kind < 0.8:
            second = r.choice(pool.singles)
            colour, a, _, _ = pool.specs[second]
            first = pool.find(r, (colour, r.choice(NAMES), None, None))
            if first is None or pool.specs[first][1] == a:
                continue
            ask = r.choice(["Make it {}.", "Now {} instead.", "The same with {}, please.", "I meant {}.",
                            "and {}?", "Replace it by {}."]).format(named(a))
        elif kind < 0.9:
            second = r.choice(pool.framed)
            colour, a, _, _ = pool.specs[second]
            first = pool.find(r, (colour, a, None, None))
            if first is None:
                continue
            ask = r.choice(["Put it in a frame.", "Now in a frame.", "Add a frame."])
        else:
            first = r.choice(pool.pairs)
            colour, a, _, b = pool.specs[first]
            keep, drop = r.choice([(a, b), (b, a)])
            second = pool.find(r, (colour, keep, None, None))
            if second is None:
                continue
            ask = r.choice(["Without the {}, please.", "Remove the {}.", "Now without the {}."]).format(drop)
        turn = drawing(r, first, pool.specs[first])
        return [turn, (loosely(r, ask), [], drawn(r, second, pool.specs[second]))]


def understanding(r, pool):
    """Understanding instructions: mostly about pictures."""
    if r.random() < 0.8:
        i = r.randrange(len(pool.specs))
        return about_picture(r, i, pool.specs[i])
    return [small_talk(r) for _ in range(r.choice((1, 1, 1, 2, 3)))]


def questions(r, pool):
    """One question about a picture."""
    i = r.randrange(len(pool.specs))
    q, a = question(r, pool.specs[i])
    return [(loosely(r, q), [i], [a])]


def matching(r, pool):
    """One question whether a thing is in a picture."""
    i = r.randrange(len(pool.specs))
    q, a = is_there(r, as_seen(pool.specs[i]))
    return [(loosely(r, q), [i], [a])]


def generation(r, pool):
    """One drawing; two fifths of them of a single thing."""
    i = r.choice(pool.singles) if r.random() < 0.1 else r.randrange(len(pool.specs))
    return [drawing(r, i, pool.specs[i])]


def mixed(r, pool):
    """Longer conversations: edits, talk before or after a drawing, questions about what was drawn."""
    kind = r.random()
    if kind < 0.4:
        return edit(r, pool)
    i = r.randrange(len(pool.specs))
    if kind < 0.7:
        return [small_talk(r) for _ in range(r.choice((1, 1, 2, 3)))] + [drawing(r, i, pool.specs[i])]
    if kind < 0.85:
        q, a = question(r, pool.specs[i])
        return [drawing(r, i, pool.specs[i]), (loosely(r, q), [], [a])]
    j = r.randrange(len(pool.specs))
    return about_picture(r, i, pool.specs[i])[:1] + [drawing(r, j, pool.specs[j])]
