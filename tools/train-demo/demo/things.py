"""What the demo model knows: things (with their Twemoji code and a joke), backgrounds, relations."""

import hashlib

# name: (article, Twemoji code, one-line joke told when asked to explain the picture)
THINGS = {
    "cat": ("a", "1f431", "it is thinking about the thing you left near the edge of the table"),
    "dog": ("a", "1f436", "it heard the word walk and can think of nothing else"),
    "horse": ("a", "1f40e", "it is late because it stopped to say hay to everyone"),
    "cow": ("a", "1f404", "it came for the moo-sic and stayed for the grass"),
    "pig": ("a", "1f437", "it promised to clean up and then found the mud"),
    "rabbit": ("a", "1f430", "it only wanted one carrot, and then another forty"),
    "elephant": ("an", "1f418", "it remembers what you said on Monday"),
    "monkey": ("a", "1f435", "it has opinions about your bananas"),
    "lion": ("a", "1f981", "being king is mostly napping with good hair"),
    "panda": ("a", "1f43c", "black and white is a style, and lunch is bamboo again"),
    "fox": ("a", "1f98a", "it says it has never even seen a hen"),
    "bird": ("a", "1f426", "it sings at five so that you need no alarm"),
    "penguin": ("a", "1f427", "it is dressed for a party that is always on ice"),
    "owl": ("an", "1f989", "it asks who, all night, and never waits for an answer"),
    "duck": ("a", "1f986", "calm above the water, paddling like mad below"),
    "fish": ("a", "1f420", "it forgot the joke, and then forgot that it forgot"),
    "whale": ("a", "1f433", "it makes a splash wherever it goes"),
    "octopus": ("an", "1f419", "eight arms and still no free hand for the phone"),
    "crab": ("a", "1f980", "it approaches every problem sideways"),
    "turtle": ("a", "1f422", "it works from home because it brought the home"),
    "frog": ("a", "1f438", "time is fun when you are having flies"),
    "snail": ("a", "1f40c", "it answered your message, and the answer is on its way"),
    "butterfly": ("a", "1f98b", "it was a caterpillar before the holidays"),
    "bee": ("a", "1f41d", "it would stop for a chat but it is busy"),
    "ladybug": ("a", "1f41e", "it was told to be spotless and took it badly"),
    "dinosaur": ("a", "1f995", "it is still waiting for news about the weather"),
    "flower": ("a", "1f33b", "it follows the sun like everyone on holiday"),
    "rose": ("a", "1f339", "it is lovely as long as you do not hug it"),
    "tree": ("a", "1f333", "it leaves every autumn and always comes back"),
    "cactus": ("a", "1f335", "free hugs, nobody has asked twice"),
    "mushroom": ("a", "1f344", "it gets invited to every party, being a fun guy"),
    "apple": ("an", "1f34e", "it keeps the doctor away if you throw it well"),
    "grapes": ("some", "1f347", "they will be fine, they only need time to become wine"),
    "strawberry": ("a", "1f353", "it is in a bit of a jam"),
    "cherries": ("some", "1f352", "two friends who do everything together"),
    "watermelon": ("a", "1f349", "half of it is on your shirt already"),
    "carrot": ("a", "1f955", "it helps you see in the dark who ate the last carrot"),
    "pizza": ("a", "1f355", "one slice is a snack, which is why nobody has one"),
    "burger": ("a", "1f354", "the salad inside makes it a healthy choice"),
    "cake": ("a", "1f370", "the diet starts tomorrow, as it did yesterday"),
    "donut": ("a", "1f369", "there is a hole in this plan, and it is delicious"),
    "car": ("a", "1f697", "it is stuck in the traffic that it is"),
    "bus": ("a", "1f68c", "you wait an hour and then three come at once"),
    "train": ("a", "1f682", "it lost its train of thought at the last station"),
    "boat": ("a", "26f5", "it has a sail on, so everything must go"),
    "rocket": ("a", "1f680", "it needs some space"),
    "plane": ("a", "2708", "the snacks are small because the sky is so big"),
    "house": ("a", "1f3e0", "it is always home"),
    "castle": ("a", "1f3f0", "plenty of room, terrible heating"),
    "star": ("a", "2b50", "it is small only because it is so far away"),
    "sun": ("a", "2600", "it rises early and never says sorry"),
    "moon": ("a", "1f319", "it works nights"),
    "cloud": ("a", "2601", "someone keeps all their photos in it"),
    "rainbow": ("a", "1f308", "the sky could not decide what to wear"),
    "snowman": ("a", "26c4", "it is cool now and nervous about spring"),
    "umbrella": ("an", "2614", "it is brilliant until you leave it on the bus"),
    "heart": ("a", "2764", "it skipped a beat and blames the coffee"),
    "robot": ("a", "1f916", "it passed the test by saying it was not a robot"),
    "ghost": ("a", "1f47b", "you can see right through its excuses"),
    "smiley": ("a", "1f600", "it has just read this joke and is being polite"),
    "guitar": ("a", "1f3b8", "it knows three chords and four hundred songs"),
    "balloon": ("a", "1f388", "it is letting nobody bring it down"),
    "crown": ("a", "1f451", "heavy is the head, but look at it shine"),
    "ball": ("a", "26bd", "twenty two people run after it, and it never asked for it"),
}
NAMES = list(THINGS)

# Pastel backgrounds: name to RGB.
BACKGROUNDS = {
    "white": (250, 250, 250),
    "red": (240, 150, 150),
    "yellow": (250, 238, 150),
    "green": (170, 225, 170),
    "blue": (165, 205, 245),
    "purple": (205, 175, 235),
    "pink": (250, 195, 215),
    "gray": (190, 190, 195),
}
BACKGROUND_NAMES = list(BACKGROUNDS)

# "below" is "above" told from the other side. A frame holds one thing.
RELATIONS = ["on", "above", "left", "right"]
FRAME = "frame"

# Label maps: 0 is background, 1 + index a thing, the last the frame.
LABELS = len(NAMES) + 2
FRAME_LABEL = len(NAMES) + 1


def held_out(spec):
    """Whether a scene's combination (background, thing, relation, other) is kept from training."""
    background, thing, relation, other = spec
    if relation in RELATIONS:
        key, share = f"{thing} {relation} {other}", 26
    else:
        key, share = f"{thing} {relation} {background}", 20
    return hashlib.sha256(key.encode()).digest()[0] < share
