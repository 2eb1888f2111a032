"""A made-up store to try everything on: games with names, franchises and popularity, and a banner for each.

The games are planned first, as plain data that depends only on their number. A larger set begins with the games of a
smaller one. The appids lie far above those of real games.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count, cycle, islice
from textwrap import wrap

import numpy as np
from PIL import Image

from banners.demo.canvas import HEIGHT, PALETTES, WIDTH, Palette, mix
from banners.demo.lettering import LETTERINGS, Lettering, set_title
from banners.demo.scenes import ROOM_ABOVE, SCENES
from banners.games_csv import Game

FIRST_APPID = 9_000_010
SOURCE = "demo"  # the `source` column of games.csv
MOST = 15_000  # more would need more words

_FIRST = """Amber Ancient Arcane Ashen Astral Azure Bitter Blazing Broken Bronze Clockwork Cobalt Copper Crimson Crooked
    Crystal Dire Distant Drifting Eastern Ebon Echoing Elder Emerald Endless Fallen Feral Final Forgotten Frozen Gentle
    Ghostly Gilded Glass Golden Hidden Hollow Howling Iron Ivory Jade Last Little Lonely Lost Lunar Midnight Molten
    Neon Northern Obsidian Pale Paper Phantom Quiet Radiant Restless Rogue Royal Rusty Sacred Savage Scarlet Secret
    Shattered Silent Silver Sleeping Solar Stolen Sunken Tangled Thunder Tiny Twilight Velvet Violet Wandering Wicked
    Wild Winter Wooden""".split()
_SECOND = """Abyss Alchemist Arena Atlas Bastion Beacon Blade Bloom Bridge Brigade Caravan Castle Circuit Citadel Comet
    Compass Country Court Covenant Crown Depths Divide Dominion Dragon Drifter Dynasty Echo Edge Empire Engine Express
    Factory Falcon Festival Fleet Forge Fortress Frontier Garden Gate Giants Harbour Harvest Haven Heart Heir Hollow
    Horizon Hunter Inn Isle Journey Keeper Kingdom Labyrinth Lantern League Legacy Legion Lighthouse Machine Marsh
    Meadow Monarch Moon Mountain Oath Odyssey Orbit Order Outpost Parade Path Pilot Planet Protocol Raiders Realm Reef
    Requiem River Road Rune Sanctum Serpent Shore Signal Sky Star Station Storm Summit Syndicate Tactics Temple Throne
    Tide Tower Trail Valley Vault Village Voyage Warden Waters Wolves Workshop""".split()
_SUBTITLES = """Aftermath|Ashes of Dawn|Beyond the Wall|Black Harvest|Blood and Salt|City of Masks|Deep Winter|Exile|
    First Light|Homecoming|Into the Mist|Iron Will|Long Night|No Return|Origins|Red Tide|Rising|Second Sun|
    Shadows Fall|The Crossing|The Last Vow|The Long Road|Under Siege|Wildfire""".replace("\n    ", "").split("|")
_TAGS = """an Odyssey|Online|Simulator|Tycoon|Tactics|Quest|Racing|Stories|Zero|VR|Battlegrounds|Chronicles|Party|Puzzle
    """.strip().split("|")

_STUDIOS = ("Games", "Interactive", "Studio", "Works")
_GENRES = """Action|Adventure|Casual|Horror|Indie|Multiplayer|Pixel Graphics|Platformer|Puzzle|Racing|RPG|Sci-fi|
    Simulation|Singleplayer|Sports|Strategy""".replace("\n    ", "").split("|")

# Names as a real store has them: every script, signs that must be escaped, very long, very short; and what the banner
# itself says, since the typefaces are Latin.
_SPECIAL = (
    ("Étoile Noire", "Étoile Noire"),
    ("星降る谷", "Hoshi Valley"),
    ("Salt & Iron", "Salt & Iron"),
    ("Señor Müller's Café", "Café Müller"),
    ("달빛 정원", "Dalbit Garden"),
    ("Ночной Экспресс", "Night Express"),
    ("I <3 Robots", "I <3 Robots"),
    ("Ø", "Ø"),
    ("The Extremely Long, Almost Entirely True Chronicle of a Cartographer's Apprentice and Her Maps", "Seven Maps"),
    ("جزيرة النجوم", "Star Island"),
)


@dataclass(frozen=True)
class DemoGame:
    """One game of the demo store and all that its banner is drawn from. Twins share the whole drawing.

    `title` is set line by line, in the upper part with `title_on_top` where the scene leaves room there.
    """

    game: Game
    scene: str
    palette: Palette
    lettering: Lettering
    title: tuple[str, ...]
    title_on_top: bool
    seed: int


def plan(number: int) -> list[DemoGame]:
    """The first `number` games of the demo store (at most `MOST`)."""
    if not 1 <= number <= MOST:
        raise ValueError(f"the demo store has 1 to {MOST} games, not {number}")
    return list(islice(_games(), number))


def draw(game: DemoGame) -> Image.Image:
    """The banner of `game`: RGB 300x450, always the same pixels."""
    random = np.random.default_rng(game.seed)
    image = SCENES[game.scene](random, game.palette)
    image = set_title(image, game.title, game.lettering, game.palette, game.title_on_top and game.scene in ROOM_ABOVE)
    small = image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    grain = random.normal(0, 4, (HEIGHT, WIDTH, 1))  # flat colours look drawn by a machine; a little grain helps
    return Image.fromarray(np.clip(np.asarray(small) + grain, 0, 255).astype(np.uint8))


def _games() -> Iterator[DemoGame]:
    random = np.random.default_rng(2021)
    pairs = [f"{first} {second}" for first in _FIRST for second in _SECOND]
    names = iter(random.permutation(pairs).tolist())
    appids, scenes, special = count(FIRST_APPID, 10), cycle(SCENES), iter(_SPECIAL)

    def game(name: str, title: str, series: str = "") -> DemoGame:
        columns: dict[str, str | int] = {
            # Few games have most of the players: a heavy tail as on the real store.
            "popularity": int(2_000_000 / (1 + random.pareto(0.6)) ** 2 * random.random()) + 20,
            "year": int(random.integers(2003, 2027)),
        }
        # All games of a series have the same studio and tags.
        studio = np.random.default_rng(sum(map(ord, series or name)))
        columns["developer"] = f"{studio.choice(_SECOND[:12])} {studio.choice(_STUDIOS)}"
        columns["tags"] = ";".join(studio.choice(_GENRES, 3, replace=False).tolist())
        if series:
            columns["series"] = columns["franchise"] = series
        return DemoGame(
            Game(next(appids), name, columns | {"source": SOURCE}),
            next(scenes),
            PALETTES[random.integers(len(PALETTES))],
            LETTERINGS[random.integers(len(LETTERINGS))],
            tuple(wrap(title, 10, break_long_words=False)),
            bool(random.random() < 0.3),
            int(random.integers(2**32)),
        )

    for number in count(1):
        # A franchise: one look, titles of the same words; each entry is another drawing in slightly other light.
        root = next(names)
        first = game(root, root, series=root)
        yield first
        subtitles = random.permutation(_SUBTITLES).tolist()
        for part in range(1, int(random.integers(3, 6))):
            suffix, line = _sequel(random, part, subtitles[part])
            palette = replace(
                first.palette,
                far=mix(first.palette.far, first.palette.accent, random.uniform(0, 0.16)),
                near=mix(first.palette.near, first.palette.light, random.uniform(0, 0.2)),
            )
            sequel = game(root + suffix, root, series=root)
            yield replace(first, game=sequel.game, palette=palette, title=(*first.title, line), seed=sequel.seed)
        for _ in range(3):  # games that stand alone
            name = _alone(random, next(names))
            yield game(name, name)
        if number % 2 == 0:
            for name, on_banner in islice(special, 2):
                yield game(name, on_banner)
        if number % 5 == 0:  # the same banner sold twice
            name = next(names)
            original = game(name, name)
            yield original
            yield replace(original, game=game(f"{name} {random.choice(['Demo', 'Soundtrack Edition'])}", name).game)


def _sequel(random: np.random.Generator, part: int, subtitle: str) -> tuple[str, str]:
    """What the name of a franchise's entry adds, and the line that its banner adds."""
    if random.random() < 0.6:
        numeral = ["II", "III", "IV", "V"][part - 1]
        return f" {numeral}", numeral
    return f": {subtitle}", subtitle


def _alone(random: np.random.Generator, name: str) -> str:
    second = name.split()[1]
    names = f"The {name}", f"{second} of the {random.choice(_SECOND)}", f"{name} {random.choice(_TAGS)}", second
    return str(random.choice([*names, name, name]))
