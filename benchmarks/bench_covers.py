"""What the pages about parts of covers tell, measured on covers: regions, parts, the same art, verdicts, and times.

bench_covers.py CATALOGUE BANNERS [--held FOLDER] [--trials N]

CATALOGUE is made of BANNERS, HELD are other covers. Everything is asked of the web app, as readers ask it, but for
pasted crops, which are no games: those are compared by their local features.
"""

import argparse
import csv
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from banners.build.export import recall_at
from banners.build.titles import draw_title
from banners.embedding import encode_with
from banners.encoders import Choice
from banners.games_csv import Banner, list_banners
from banners.vectors import regions
from banners.vectors.regions import Box, CodesInFile
from webapp import create_app
from webapp.queries.cover_parts import parts_of_image
from webapp.queries.parts import decode_vector, encode_vector
from webapp.site import Site

SIZE = (300, 450)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("catalogue", type=Path)
    parser.add_argument("banners", type=Path)
    parser.add_argument("--held", type=Path, help="a folder of covers that the catalogue does not have")
    parser.add_argument("--trials", type=int, default=120)
    options = parser.parse_args()
    app = create_app({"CATALOGUE": str(options.catalogue), "BANNERS": str(options.banners), "QUERIES_PER_MINUTE": "0"})
    site: Site = app.extensions["catalogue"].site
    client = app.test_client()
    covers = {one.appid: one.path for one in list_banners(options.banners)}
    if not options.held:
        _pasted(site, covers, options.trials)
        _links(site)
        _occluded(client, site, covers, options.trials)
        _verdicts(client, covers, options.banners)
    else:
        _held(client, site, list_banners(options.held))
    _times(client, site, covers)


def _open(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB").resize(SIZE)


# -- a crop of one cover pasted into another --------------------------------------------------------------------------


def _pasted(site: Site, covers: dict[int, Path], trials: int) -> None:
    features, encoder = site.local_features, site.part_encoder
    assert encoder is not None
    random = np.random.default_rng(7)
    for scale in (0.6, 1.0, 1.6):
        pointed = found_first = found = placed = 0
        for _ in range(trials):
            a, b = random.choice(sorted(covers), 2, replace=False).tolist()
            image, box, where = _paste(_open(covers[a]), _open(covers[b]), scale, random)
            row, other = site.catalogue.row_of(a), site.catalogue.row_of(b)
            cells = regions.to_codes(encoder.grid(image).reshape(regions.CELLS, -1))
            shared = regions.shared_regions(features, features.cells(row), regions.to_cells(cells), 5)
            pointed += bool(shared) and _has_middle(box, shared[0].a) and _has_middle(where, shared[0].b)
            parts = parts_of_image(site, _open(covers[a]), box)
            codes = features.codes.read(np.arange(len(site)))
            codes[other] = cells
            scores = regions.part_scores(codes, parts).max(axis=1)
            scores[row] = -1
            rank = int(np.count_nonzero(scores > scores[other]))
            found_first, found = found_first + (rank == 0), found + (rank < 10)
            placed += _has_middle(
                where, regions.find_part(replace(features, codes=CodesInFile(codes)), other, parts, box)
            )
        shares = (count / trials for count in (pointed, found_first, found, placed))
        print("pasted at {} times its size: best region in both {:.3f}, part first {:.3f}, among ten {:.3f}, in its"
              " place {:.3f}".format(scale, *shares))  # fmt: skip


def _paste(
    source: Image.Image, target: Image.Image, scale: float, random: np.random.Generator
) -> tuple[Image.Image, Box, Box]:
    """A crop of 18 % of the area, pasted: the image, and the boxes on both."""
    (width, height), share = SIZE, 0.18**0.5
    w, h = int(width * share), int(height * share)
    x, y = int(random.integers(0, width - w)), int(random.integers(0, height - h))
    w_b, h_b = min(int(scale * w), width - 1), min(int(scale * h), height - 1)
    x_b, y_b = int(random.integers(0, width - w_b)), int(random.integers(0, height - h_b))
    image = target.copy()
    image.paste(source.crop((x, y, x + w, y + h)).resize((w_b, h_b), Image.Resampling.BICUBIC), (x_b, y_b))
    return (
        image,
        (x / width, y / height, w / width, h / height),
        (
            x_b / width,
            y_b / height,
            w_b / width,
            h_b / height,
        ),
    )


def _has_middle(box: Box, other: Box) -> bool:
    """Whether the middle of `other` is in `box`."""
    x, y = other[0] + other[2] / 2, other[1] + other[3] / 2
    return box[0] <= x <= box[0] + box[2] and box[1] <= y <= box[1] + box[3]


def _links(site: Site) -> None:
    """How much of an embedding an address holds."""
    chosen = np.random.default_rng(2).permutation(len(site))[:200]
    exact = site.catalogue.embeddings[chosen]
    texts = [encode_vector(site, vector) for vector in exact]
    held = np.stack([decode_vector(site, text) for text in texts])
    recall = recall_at(held, exact, site.catalogue.embeddings, chosen)
    print(f"an embedding in an address: {len(texts[0])} characters, recall@10 {recall:.3f}")


def _occluded(client: Any, site: Site, covers: dict[int, Path], trials: int) -> None:
    """Whether the similarity of real look-alikes falls more where the marked regions are covered with the mean colour
    than where as much is covered elsewhere."""
    encoder = site.query_encoder
    random, more = np.random.default_rng(11), 0
    for appid in random.choice(sorted(covers), trials, replace=False).tolist():
        row = site.catalogue.row_of(appid)
        other = int(site.catalogue.appids[site.catalogue.view("plain").of(row)[0]])
        boxes = [one["b"] for one in client.get(f"/api/v1/compare?a={appid}&b={other}").get_json()["regions"]]
        image, vector = _open(covers[other]), site.catalogue.embeddings[row]
        elsewhere = [_elsewhere(boxes, random) for _ in range(4)]
        marked, *others = (vector @ encoder.picture(_covered(image, chosen)) for chosen in (boxes, *elsewhere))
        more += bool(marked < np.mean(others))
    print(f"marked regions covered: the similarity falls more than elsewhere in {more / trials:.2f} of {trials}")


def _covered(image: Image.Image, boxes: list[Box]) -> Image.Image:
    covered, colour = image.copy(), tuple(np.asarray(image).mean(axis=(0, 1)).round().astype(int).tolist())
    for x, y, width, height in boxes:
        corner = round(x * SIZE[0]), round(y * SIZE[1])
        covered.paste(colour, (*corner, corner[0] + round(width * SIZE[0]), corner[1] + round(height * SIZE[1])))
    return covered


def _elsewhere(boxes: list[Box], random: np.random.Generator) -> list[Box]:
    """As many boxes of the same sizes, anywhere but over those."""
    chosen: list[Box] = []
    for _, _, width, height in boxes:
        tried = [(random.uniform(0, 1 - width), random.uniform(0, 1 - height), width, height) for _ in range(200)]
        chosen.append(min(tried, key=lambda box: sum(_shared_area(box, one) for one in (*boxes, *chosen))))
    return chosen


def _shared_area(one: Box, other: Box) -> float:
    sides = (min(one[k] + one[k + 2], other[k] + other[k + 2]) - max(one[k], other[k]) for k in (0, 1))
    return float(np.prod([max(0.0, side) for side in sides]))


# -- verdicts ---------------------------------------------------------------------------------------------------------


def _post(client: Any, image: Image.Image, quality: int = 90, query: str = "") -> dict[str, Any]:
    file = BytesIO()
    image.save(file, "JPEG", quality=quality)
    answer = client.post(f"/api/v1/pictures?{query}", data=file.getvalue(), content_type="image/jpeg")
    assert answer.status_code == 200, answer.get_data(as_text=True)
    told: dict[str, Any] = answer.get_json()
    return told


def _report(name: str, answers: list[tuple[dict[str, Any], int | None]]) -> None:
    """Counts of verdicts; those that name another game than the own one are counted apart."""
    kinds: Counter[str] = Counter()
    for answer, own in answers:
        verdict = answer["verdict"]
        game = verdict["game"]
        kinds[verdict["kind"] + (" of another game" if game and own is not None and game["appid"] != own else "")] += 1
    right = sum(
        answer["verdict"]["kind"] in ("same", "taken_for") and (answer["verdict"]["game"] or {}).get("appid") == own
        for answer, own in answers
    )
    print(f"{name}: {len(answers)} pictures, own game named {right / len(answers):.3f}; {dict(kinds.most_common())}")


def _verdicts(client: Any, covers: dict[int, Path], banners: Path) -> None:
    with (banners / "games.csv").open(encoding="utf-8-sig", newline="") as file:
        names = [row["name"] for row in csv.DictReader(file)]
    random = np.random.default_rng(9)
    chosen = random.permutation(sorted(covers))[:417].tolist()
    encoded = [(_post(client, _open(covers[appid]).resize((600, 900)), 60), appid) for appid in chosen[:100]]
    _report("own cover, encoded again", encoded)
    titled = [
        (_post(client, draw_title(_open(covers[one]), str(random.choice(names)), random, is_large=True)), one)
        for one in chosen
    ]
    _report("large foreign title drawn twice", titled)
    recut = [
        _post(client, _recut(_open(covers[one]), size)) for one in chosen[:20] for size in ((920, 430), (462, 174))
    ]
    _report("recut to 920x430 and 462x174", [(one, None) for one in recut])
    _report("blank, noise, gradients", [(_post(client, image), None) for image in _nothing()])


def _recut(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The cover in the middle of a wide picture of its own blurred ground."""
    wide = image.resize(size).filter(ImageFilter.GaussianBlur(20))
    upright = image.resize((round(size[1] * SIZE[0] / SIZE[1]), size[1]))
    wide.paste(upright, ((size[0] - upright.width) // 2, 0))
    return wide


def _nothing() -> Iterator[Image.Image]:
    random, (width, height) = np.random.default_rng(3), SIZE
    y, x = np.mgrid[0:height, 0:width]
    for colour in ((128, 128, 128), (255, 255, 255), (0, 0, 0), (200, 30, 40), (20, 40, 90)):
        yield Image.new("RGB", SIZE, colour)
    noise = [random.integers(0, 256, (height, width, 3)), random.normal(128, 40, (height, width, 3))]
    gray = random.integers(0, 256, (height, width, 1)).repeat(3, axis=2)
    ramps = [y / height, x / width, (x / width + y / height) / 2, 1 - np.hypot(x - 150, y - 225) / 300]
    ramped = [np.repeat(255 * ramp[..., None], 3, axis=2) for ramp in ramps]
    coloured = np.stack([255 * ramps[0], 255 * ramps[1], 255 - 255 * ramps[0]], axis=2)
    for pixels in (*noise, gray, *ramped, coloured, ramped[0] + random.normal(0, 10, (height, width, 3))):
        yield Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    for radius in (2, 8, 32):
        yield Image.fromarray(noise[0].astype(np.uint8)).filter(ImageFilter.GaussianBlur(radius))


def _held(client: Any, site: Site, banners: list[Banner]) -> None:
    answers = [_post(client, _open(banner.path)) for banner in banners]
    _report("covers that the catalogue does not have", [(answer, None) for answer in answers])
    for banner, answer in zip(banners, answers, strict=True):
        if answer["verdict"]["kind"] == "same":
            print(f"  {banner.path.name} is called the cover of {answer['verdict']['game']}")
    _percentiles(client, site, banners[:100])


def _percentiles(client: Any, site: Site, banners: list[Banner]) -> None:
    """How far the percentile of an uploaded file is from that of the vector which embed_banners.py makes of it with
    `--encoder packaged`."""
    encode = encode_with(Choice("packaged", device="cpu").open())
    vectors = np.concatenate([vectors["plain"][: len(results)] for results, vectors in encode(banners, ("plain",))])
    stored = site.catalogue.embeddings.astype(np.float64)
    cosines = stored @ stored.T
    np.fill_diagonal(cosines, -1)
    first = cosines.max(axis=1)
    exact = [100 * float(np.mean(first > (stored @ vector).max())) for vector in vectors]
    told = [
        client.post("/api/v1/pictures", data=banner.path.read_bytes(), content_type="image/jpeg").get_json()
        for banner in banners
    ]
    off = [abs(answer["stands_out_percent"] - one) for answer, one in zip(told, exact, strict=True)]
    within = sum(one <= 2 for one in off)
    print(f"percentile against exact vectors: within two points {within} of {len(off)}, at most {max(off):.1f} off")


# -- times ------------------------------------------------------------------------------------------------------------


def _times(client: Any, site: Site, covers: dict[int, Path]) -> None:
    random = np.random.default_rng(5)
    pairs = [random.choice(sorted(covers), 2, replace=False).tolist() for _ in range(60)]
    picture = BytesIO()
    _open(covers[pairs[0][0]]).save(picture, "JPEG")

    def get(address: str) -> Callable[[], object]:
        return lambda: client.get(address)

    def post(address: str) -> Callable[[], object]:
        return lambda: client.post(address, data=picture.getvalue(), content_type="image/jpeg")

    print(f"times at {len(site)} games, median and p95 in ms:")
    for name, calls in (
        ("comparison", [get(f"/api/v1/compare?a={a}&b={b}") for a, b in pairs]),
        ("part of a game", [get(f"/api/v1/games/{a}/parts?box=0.3,0.3,0.42,0.42") for a, _ in pairs]),
        ("part of a picture", [post("/api/v1/pictures/parts?box=0.3,0.3,0.42,0.42")] * 30),
        ("verdict", [post("/api/v1/pictures")] * 30),
    ):
        calls[0]()
        times = []
        for call in calls:
            start = time.perf_counter()
            call()
            times.append(1000 * (time.perf_counter() - start))
        print(f"  {name}: {statistics.median(times):.0f}, {np.quantile(times, 0.95):.0f}")


if __name__ == "__main__":
    main()
