"""Check, describe, import, pack, push, fetch and update catalogues, and draw posters of their maps."""

import argparse
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from console import Parser, importing, run, say, several, tell, whole_number

PROGRAM = "manage_catalogue.py"
NAMED_AT_MOST = 20  # games of an update
SAME_LOOK = 0.9999  # cosine of a banner that was only saved anew

with importing(PROGRAM, "requirements.txt"):
    import numpy as np

    from banners import groups
    from banners.catalogue import archive, import_2021, remote, writer
    from banners.catalogue.manifest import ORIGIN, EncoderInfo, Images, Manifest
    from banners.catalogue.poster import WIDEST, write_poster
    from banners.catalogue.reader import Catalogue, neighbour_arrays, open_catalogue
    from banners.errors import BadCatalogue, BadInput


def main(arguments: list[str] | None = None) -> int:
    return run(PROGRAM, lambda: _manage(arguments), "nothing was written", damaged=BadCatalogue)


def _manage(arguments: list[str] | None) -> int:
    parser = Parser(
        prog=PROGRAM,
        description=__doc__,
        epilog="Exit status: 0 done, 1 the catalogue is damaged (update: some banners failed), 2 it could not be done.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, action: Callable[[argparse.Namespace], int | None], text: str, *folders: str) -> Parser:
        command = commands.add_parser(name, help=text, description=text)
        for folder in folders:
            command.add_argument(folder, type=Path, metavar=f"{folder.upper()}_DIR")
        command.set_defaults(action=action)
        return command

    add("verify", _verify, "check the size and hash of every file; exit 1 when something is wrong", "catalogue")
    add("info", _info, "say what the catalogue holds and how it was made", "catalogue")
    pack = add("pack", _pack, "write it as one file, for CATALOGUE_URL; print its size and SHA-256", "catalogue")
    pack.add_argument("--out", type=Path, required=True, metavar="FILE.tar.gz")
    parts = tuple(archive.OPTIONAL)
    pack.add_argument("--without", type=several(parts), default=(), metavar=",".join(parts), help="what to leave out")
    fetch = add("fetch", _fetch, "fetch a packed one and put it in place, as CATALOGUE_URL does")
    fetch.add_argument("url", metavar="URL", help="https://.../FILE.tar.gz, and #sha256=... to insist on it")
    fetch.add_argument("catalogue", type=Path, metavar="CATALOGUE_DIR")
    push = add("push", _push, "put its vectors into PostgreSQL, for DATABASE_URL", "catalogue")
    push.add_argument("url", metavar="DATABASE_URL", help="postgresql://user:password@host/name, with pgvector there")
    add("update", _update, "fetch and embed what is new, with the options used before", "banners", "catalogue")
    poster = add("poster", _poster, "draw the map as one picture", "catalogue")
    poster.add_argument("--out", type=Path, required=True, metavar="FILE.png")
    poster.add_argument("--width", type=whole_number(WIDEST), default=12_000, help="in pixels (default: %(default)s)")
    exported = "app_ids.npy, app_names.json, matches*.npy"
    add("import-matches", _import_matches, f"make one of the earlier system's {exported}", "source", "catalogue")
    options = parser.parse_args(arguments)
    return options.action(options) or 0


def _verify(options: argparse.Namespace) -> None:
    _check_folder(options.catalogue)
    opened = open_catalogue(options.catalogue, check_hashes=True)
    tell(
        f"{options.catalogue}: sound; {len(opened)} games, {opened.k} neighbours each, {len(opened.views)} view(s)",
    )


def _info(options: argparse.Namespace) -> None:
    _check_folder(options.catalogue)
    opened = open_catalogue(options.catalogue)
    manifest = opened.manifest
    identical = [] if opened.duplicates is None else groups.members(opened.duplicates)
    rows: list[tuple[str, object]] = [
        ("games", len(opened)),
        ("without a name", sum(not game.name for game in opened.games)),
        ("neighbours each", opened.k),
        ("views", ", ".join(opened.views)),
        ("encoder", manifest.encoder.id),
        ("revision", manifest.encoder.revision),
        ("fit", manifest.fit),
        ("embeddings", f"float32 ({manifest.n}, {manifest.d})" if manifest.d else "none"),
        ("similarities", "yes" if opened.views["plain"].similarities is not None else "none"),
        ("identical banners", f"{sum(map(len, identical))} in {len(identical)} groups"),
        ("map", f"{manifest.map.columns} x {manifest.map.rows}" if manifest.map else "none"),
        ("images", manifest.images.source or "a local folder"),
        ("created", manifest.created),
        ("size", f"{sum(file.size for file in manifest.files.values()) / 1e6:.1f} MB"),
    ]
    for label, value in rows:
        tell(f"{label:<18} {value}")


def _pack(options: argparse.Namespace) -> None:
    _check_folder(options.catalogue)
    packed = archive.pack(options.catalogue, options.out, options.without)
    tell(
        f"{options.out}: {packed.size / 1e6:.1f} MB, SHA-256 {packed.sha256}\n"
        f"CATALOGUE_URL=https://.../{options.out.name}#sha256={packed.sha256}"
    )


def _push(options: argparse.Namespace) -> None:
    _check_folder(options.catalogue)
    with importing(PROGRAM, "requirements-postgres.txt"):
        from tqdm import tqdm

        from banners.catalogue.push import push
    games = len(open_catalogue(options.catalogue))
    with tqdm(total=games, unit="game", desc="rows", mininterval=1) as bar:
        version, rows = push(options.catalogue, options.url, lambda text: say(PROGRAM, text), bar.update)
    tell(f"{options.catalogue}: {rows} games are in the database as version {version}")


def _fetch(options: argparse.Namespace) -> None:
    source = remote.Source.parse(options.url, "URL")
    is_new = remote.fetch(source, options.catalogue, lambda text: say(PROGRAM, text))
    games = len(open_catalogue(options.catalogue))
    tell(f"{options.catalogue}: {games} games, {'fetched' if is_new else 'up to date'}")


def _poster(options: argparse.Namespace) -> None:
    _check_folder(options.catalogue)
    width, height = write_poster(open_catalogue(options.catalogue), options.width, options.out)
    tell(f"{options.out}: {width}x{height}, {options.out.stat().st_size / 1e6:.1f} MB")


def _update(options: argparse.Namespace) -> int:
    with importing(PROGRAM):
        import embed_banners
        import fetch_banners
    try:
        old = open_catalogue(options.catalogue)
    except BadCatalogue as error:
        raise BadInput(str(error)) from None  # status 1 says that banners failed
    if old.manifest.options is None:
        raise BadInput(f"{options.catalogue} does not say how it was made; run embed_banners.py once")
    if (options.catalogue / ORIGIN).exists():
        raise BadInput(f"{options.catalogue} was fetched; update it where it was made")
    fetching, status = fetch_banners.options_of(options.banners), 0
    if fetching is None:
        say(PROGRAM, f"{options.banners} was not made by fetch_banners.py: nothing is fetched")
    else:
        status = fetch_banners.main([*fetching, "--out", str(options.banners)])
    if status < 2:
        making = [str(options.banners), *old.manifest.options, "--out", str(options.catalogue)]
        status = max(status, embed_banners.main(making))
    if status < 2:
        _tell_changes(options.catalogue, old, open_catalogue(options.catalogue))
    return status


def _tell_changes(folder: Path, old: Catalogue, new: Catalogue) -> None:
    were, are = set(old.appids.tolist()), set(new.appids.tolist())
    changes = {"new": are - were, "gone": were - are}
    one, other = old.manifest.encoder, new.manifest.encoder
    if (one.id, one.revision, one.output) != (other.id, other.revision, other.output):
        say(PROGRAM, f"the encoder was {one.id} {one.revision} and is {other.id} {other.revision}")
    elif old.matrix is not None and new.matrix is not None:
        common = np.array(sorted(were & are), np.uint32)
        before, after = old.matrix[old.appids.searchsorted(common)], new.matrix[new.appids.searchsorted(common)]
        changes["changed"] = set(common[(before * after).sum(axis=1) < SAME_LOOK].tolist())
    for what, appids in changes.items():
        opened = old if what == "gone" else new
        for appid in sorted(appids)[:NAMED_AT_MOST]:
            tell(f"{what:<8} {appid} {opened.games[opened.row_of(appid)].name}")
        if len(appids) > NAMED_AT_MOST:
            tell(f"{what:<8} and {len(appids) - NAMED_AT_MOST} more")
    tell(f"{folder}: {', '.join(f'{len(appids)} {what}' for what, appids in changes.items())} of {len(new)} games")


def _import_matches(options: argparse.Namespace) -> None:
    _check_folder(options.source)
    writer.check_target(options.catalogue)
    export = import_2021.read_export(options.source)
    about = Manifest(
        k=export.neighbours["plain"].rows.shape[1],
        views=tuple(export.neighbours),
        encoder=EncoderInfo("openai/clip-vit-base-patch32", "unknown (imported matches)"),
        fit="squash",
        images=Images("steam", 300, 450),
        imported=datetime.now(UTC).date().isoformat(),
    )
    arrays = neighbour_arrays(export.neighbours) | {"duplicates": export.duplicates}
    writer.save(options.catalogue, export.games, arrays, {}, None, about)
    tell(f"{options.catalogue}: imported {len(export.games)} games, up to {about.k} neighbours each")


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise BadInput(f"{folder} is not a folder")


if __name__ == "__main__":
    sys.exit(main())
