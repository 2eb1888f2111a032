"""The report of an evaluation: its figures as JSON, and a page with the best, typical and worst cases in pictures."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader
from PIL import Image

from banners.arrays import StoredIndices
from banners.catalogue.reader import Catalogue
from banners.errors import UnusableImage
from banners.evaluation import Copies, SeriesScores
from banners.games_csv import Banner
from banners.images import decode

_SHOWN = 4  # cases of each sort
_WIDTH = 120  # pixels of a picture


@dataclass(frozen=True)
class Cases:
    """What the figures of a view were computed from. `neighbours` is int32 (n, k); `ranked` is by kind of copy."""

    series: SeriesScores
    ranked: Mapping[str, Copies]
    neighbours: StoredIndices


def write(
    folder: Path,
    figures: Mapping[str, Any],
    cases: Mapping[str, Cases],
    opened: Catalogue,
    banners: Mapping[int, Banner],
) -> None:
    """Write `evaluation.json`, `index.html` and small pictures into `folder`. Raises `OSError`."""
    (folder / "evaluation.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")

    def game(row: int) -> dict[str, str]:
        return {"name": opened.games[row].name, "image": _picture(folder, row, banners)}

    sections = []
    for view, one in cases.items():
        order = np.argsort(-one.series.recall, kind="stable")
        middle = len(order) // 2
        shown = [
            (f"Best: games of a series, {view}", one.series.rows[order[:_SHOWN]], 10),
            (f"Typical: games of a series, {view}", one.series.rows[order[middle : middle + _SHOWN]], 10),
            (f"Worst: games of a series, {view}", one.series.rows[order[::-1][:_SHOWN]], 10),
        ]
        missed = one.ranked.get("large_foreign_title")
        if missed is not None:
            worst = missed.rows[np.argsort(-missed.own, kind="stable")][:_SHOWN]
            shown.append((f"Found worst under a large foreign title, {view}", worst, 0))
        for title, rows, count in shown:
            matches = [
                {"query": game(row), "matches": [game(other) for other in one.neighbours[row, :count].tolist()]}
                for row in rows.tolist()
            ]
            sections.append({"title": title, "cases": matches})
    page = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True).get_template("report.html")
    (folder / "index.html").write_text(page.render(figures=figures, sections=sections), encoding="utf-8")


def _picture(folder: Path, row: int, banners: Mapping[int, Banner]) -> str:
    """The address of a small copy of a banner, "" if there is none."""
    banner = banners.get(row)
    if banner is None:
        return ""
    address = f"images/{banner.appid}.webp"
    if not (folder / address).exists():
        try:
            image = decode(banner.path)
        except UnusableImage:
            return ""
        small = image.resize((_WIDTH, max(1, round(image.height * _WIDTH / image.width))), Image.Resampling.LANCZOS)
        small.save(folder / address, "WEBP", quality=75)
    return address
