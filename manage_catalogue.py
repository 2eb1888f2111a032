"""Check, describe and import catalogues."""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from console import Parser, importing, run, tell

PROGRAM = "manage_catalogue.py"

with importing(PROGRAM, "requirements.txt"):
    from banners.catalogue import import_2021, measures, writer
    from banners.catalogue.reader import open_catalogue
    from banners.errors import BadCatalogue, BadInput


def main(arguments: list[str] | None = None) -> int:
    return run(PROGRAM, lambda: _manage(arguments), "nothing was written", damaged=BadCatalogue)


def _manage(arguments: list[str] | None) -> int:
    parser = Parser(
        prog=PROGRAM,
        description=__doc__,
        epilog="Exit status: 0 done, 1 the catalogue is damaged, 2 a mistake in what was asked for.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    exported = "app_ids.npy, app_names.json, matches*.npy"
    for name, action, folders, text in (
        ("verify", _verify, ["catalogue"], "check every file, hash and number; exit 1 when something is wrong"),
        ("info", _info, ["catalogue"], "say what the catalogue holds and how it was made"),
        ("import-matches", _import_matches, ["source", "catalogue"], f"make one of the earlier system's {exported}"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        for folder in folders:
            command.add_argument(folder, type=Path, metavar=f"{folder.upper()}_DIR")
        command.set_defaults(action=action)
    options = parser.parse_args(arguments)
    options.action(options)
    return 0


def _verify(options: argparse.Namespace) -> None:
    _check_folder(options.catalogue)
    found = open_catalogue(options.catalogue, check_hashes=True)
    tell(
        PROGRAM,
        f"{options.catalogue}: sound; {len(found)} games, {found.k} neighbours each, {len(found.views)} view(s)",
    )


def _info(options: argparse.Namespace) -> None:
    _check_folder(options.catalogue)
    found = open_catalogue(options.catalogue)
    manifest = found.manifest
    groups = [] if found.duplicates is None else measures.members(found.duplicates)
    rows: list[tuple[str, object]] = [
        ("games", len(found)),
        ("without a name", sum(not game.name for game in found.games)),
        ("neighbours each", found.k),
        ("views", ", ".join(found.views)),
        ("encoder", manifest.encoder),
        ("revision", manifest.revision),
        ("fit", manifest.fit),
        ("embeddings", f"float32 ({manifest.n}, {manifest.d})" if manifest.d else "none"),
        ("similarities", "yes" if found.views["plain"].similarities is not None else "none"),
        ("identical banners", f"{sum(map(len, groups))} in {len(groups)} groups"),
        ("images", manifest.source or "a local folder"),
        ("created", manifest.created),
        ("size", f"{sum(size for size, _ in manifest.files.values()) / 1e6:.1f} MB"),
    ]
    for label, value in rows:
        tell(PROGRAM, f"{label:<18} {value}")


def _import_matches(options: argparse.Namespace) -> None:
    _check_folder(options.source)
    writer.check_target(options.catalogue)
    export = import_2021.read_export(options.source)
    writer.save(
        options.catalogue,
        games=export.games,
        neighbours=export.neighbours,
        duplicates=export.duplicates,
        about={
            "encoder": {"id": "openai/clip-vit-base-patch32", "revision": "unknown (imported matches)"},
            "fit": "squash",
            "images": {"source": "steam", "width": 300, "height": 450},
            "imported": datetime.now(UTC).date().isoformat(),
        },
    )
    plain = export.neighbours["plain"].rows
    tell(PROGRAM, f"{options.catalogue}: imported {len(plain)} games, up to {plain.shape[1]} neighbours each")


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise BadInput(f"{folder} is not a folder")


if __name__ == "__main__":
    sys.exit(main())
