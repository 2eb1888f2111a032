"""Say how good the matches of a catalogue are, in figures and, on request, in pictures."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from console import Parser, importing, run, say, tell, whole_number

PROGRAM = "evaluate_catalogue.py"

with importing(PROGRAM):
    import numpy as np
    from tqdm import tqdm

    from banners import audit, evaluation
    from banners.arrays import StoredIndices
    from banners.build import titles
    from banners.catalogue.query_encoder import QueryEncoder
    from banners.catalogue.reader import Catalogue, open_catalogue
    from banners.errors import BadInput
    from banners.evaluation import copies, report
    from banners.files import check_writable
    from banners.games_csv import Banner, list_banners
    from banners.processes import available_cores
    from banners.views import View

VIEWS: tuple[View, ...] = ("plain", "artwork")
_NAMES: dict[View, str] = {"plain": "everything", "artwork": "artwork"}
_FIGURES = {
    "hit_at_1": "an edition of the same game comes first",
    "recall_at_10": "editions among the first ten",
    "clean_first_under_large_foreign_title": "a cover under a large foreign title finds itself",
    "altered_copy_first": "an altered copy finds its cover",
}
_OVERLAPS = {
    "overlap_of_views": "neighbours that both views have in common",
    "overlap_with_other": "neighbours in common with the other catalogue",
}


def main(arguments: list[str] | None = None) -> int:
    return run(PROGRAM, lambda: _evaluate(_parse(arguments)), "nothing was written")


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog=PROGRAM,
        description=__doc__,
        epilog="Exit status: 0 done, 2 it could not start or go on, 130 interrupted. Example: evaluate_catalogue.py"
        " data/catalogue data/banners --report evaluation",
    )
    add = parser.add_argument
    add("catalogue", type=Path, metavar="CATALOGUE_DIR")
    add("banners", type=Path, metavar="BANNERS_DIR", help="the banners that it was made of")
    add("--report", type=Path, metavar="DIR", help="write evaluation.json and index.html, with pictures")
    add("--against", type=Path, metavar="CATALOGUE_DIR", help="another catalogue, to compare neighbours")
    add(
        "--sample",
        type=whole_number(100_000),
        default=300,
        metavar="N",
        help="number of banners to make altered copies of (default: %(default)s)",
    )
    add("--json", action="store_true", help="print all figures as JSON instead of a table")
    return parser.parse_args(arguments)


def _evaluate(options: argparse.Namespace) -> int:
    opened = open_catalogue(options.catalogue)
    by_appid = {banner.appid: banner for banner in list_banners(options.banners)}
    banners = {row: by_appid[appid] for row, appid in enumerate(opened.appids.tolist()) if appid in by_appid}
    if not banners:
        raise BadInput(f"{options.banners} has no banner of {options.catalogue}")
    if len(banners) < len(opened):
        say(PROGRAM, f"warning: {len(opened) - len(banners)} of {len(opened)} games have no banner here")
    if options.report:
        (options.report / "images").mkdir(parents=True, exist_ok=True)
        check_writable(options.report / "evaluation.json")
    images = _examine(len(opened), banners)
    groups = audit.near_duplicates(images)
    sample = _copies(opened, banners, options.sample)
    views = [view for view in VIEWS if view in opened.views]
    figures: dict[str, Any] = {
        "games": len(opened),
        "encoder": opened.manifest.encoder.id,
        "fit": opened.manifest.fit,
        "near_duplicates": int(len(groups) - len(np.unique(groups))),
        "views": {},
    }
    cases: dict[str, report.Cases] = {}
    for view in views:
        figures["views"][view], cases[view] = _of_view(opened, view, groups, sample)
        figures["views"][view] |= evaluation.identical_first(opened.view(view).rows, images)
    if len(views) == 2:
        figures["overlap_of_views"] = evaluation.overlap(opened.view("plain").rows, opened.view("artwork").rows)
    if options.against:
        figures["overlap_with_other"] = _overlap(opened, open_catalogue(options.against))
    if options.report:
        report.write(options.report, figures, cases, opened, banners)
    tell(json.dumps(figures) if options.json else _table(figures))
    return 0


def _examine(count: int, banners: dict[int, Banner]) -> list[audit.Examination]:
    images = [audit.Examination(0, "", b"", "no banner")] * count
    examined = audit.examine_all(list(banners.values()), available_cores())
    for row, image in zip(banners, tqdm(examined, "examining", len(banners), unit="img", mininterval=0.5), strict=True):
        images[row] = image
    return images


def _copies(opened: Catalogue, banners: dict[int, Banner], count: int) -> copies.Sample | None:
    """Altered copies of banners that the view by artwork was not made with; None, with a warning, if nothing can embed
    them."""
    encoder = QueryEncoder.of(opened, available_cores())
    if encoder is None:
        say(PROGRAM, "warning: no figures on altered copies: the catalogue has no encoder for queries")
        return None
    used = {banner.appid for banner in titles.sample(list(banners.values()))} if "artwork" in opened.views else set()
    rows = [row for row, banner in banners.items() if banner.appid not in used]
    chosen = np.random.default_rng(1).permutation(rows)[:count].tolist()
    progress = tqdm([(row, banners[row]) for row in chosen], "copies", unit="img", mininterval=0.5)
    return copies.embed_copies(encoder, progress, [game.name for game in opened.games])


def _of_view(
    opened: Catalogue, view: View, groups: StoredIndices, sample: copies.Sample | None
) -> tuple[dict[str, Any], report.Cases]:
    """The figures of a view, and their cases for the report."""
    neighbours = opened.view(view).rows
    games = list(opened.games)
    keys = [next(iter(game.listed("franchise") or game.listed("series")), None) for game in games]
    series = evaluation.series_scores(neighbours, keys, groups)
    figures: dict[str, Any] = {"hubness": evaluation.hubness(neighbours), **series.figures()}
    properties = {
        "title_word": [evaluation.title_words(game.name) for game in games],
        "developer": [frozenset(game.listed("developer")) for game in games],
        "tag": [frozenset(game.listed("tags")) for game in games],
    }
    for kind, values in properties.items():
        figures[f"common_{kind}"] = evaluation.lift(neighbours, values)
    ranked = {} if sample is None else _ranks(opened, view, sample, groups)
    for kind, name in (
        ("foreign_title", "clean_first_under_foreign_title"),
        ("large_foreign_title", "clean_first_under_large_foreign_title"),
        ("altered", "altered_copy_first"),
    ):
        figures |= evaluation.figure(name, ranked[kind].own == 1 if kind in ranked else np.empty(0))
    figures["intruded"] = ranked["foreign_title"].intruded if ranked else None
    return figures, report.Cases(series, ranked, neighbours)


def _ranks(opened: Catalogue, view: View, sample: copies.Sample, groups: StoredIndices) -> dict[str, evaluation.Copies]:
    artwork = opened.artwork if view == "artwork" else None
    embeddings = opened.embeddings if artwork is None else artwork.view(opened.embeddings)
    ranked = {}
    for kind, vectors in sample.vectors.items():
        queries = vectors if artwork is None else artwork.view(vectors)
        foreign = (-1,) * len(sample.rows) if kind == "altered" else sample.foreign
        ranked[kind] = evaluation.ranks(lambda vector: embeddings @ vector, queries, sample.rows, foreign, groups)
    return ranked


def _overlap(one: Catalogue, other: Catalogue) -> float:
    """overlap@10 for the same games."""
    if not np.array_equal(one.appids, other.appids):
        raise BadInput("--against: the two catalogues must have the same games")
    return evaluation.overlap(one.view("plain").rows, other.view("plain").rows)


def _table(figures: dict[str, Any]) -> str:
    """The main figures, in Markdown."""
    views = figures["views"].values()
    rows = [["", *(_NAMES[view] for view in figures["views"])], ["---"] * (1 + len(views))]
    for figure, text in _FIGURES.items():
        values = [view[figure] for view in views]
        rows.append([text, *("-" if value is None else f"{100 * value:.0f} %" for value in values)])
    lines = [f"| {' | '.join(row)} |" for row in rows]
    about = f"{figures['games']} games, {figures['encoder']}, {figures['near_duplicates']} near duplicates left out"
    overlaps = [f"{text}: {100 * figures[name]:.0f} %" for name, text in _OVERLAPS.items() if name in figures]
    return "\n".join([about, "", *lines, *overlaps])


if __name__ == "__main__":
    sys.exit(main())
