"""Say what is wrong with a folder of banners. Nothing is moved or changed."""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from console import Parser, importing, run, say, several, tell, whole_number

PROGRAM = "audit_banners.py"

with importing(PROGRAM):
    from tqdm import tqdm

    from banners import audit
    from banners.errors import BadInput
    from banners.files import check_writable, csv_text
    from banners.games_csv import read_banners_folder, why_no_banners
    from banners.processes import available_cores

UNUSABLE = ("unreadable", "truncated", "animated", "blank")
LOGS = {"blank_image.txt": "blank", "wrong_size.txt": "size", "wrong_channels.txt": "channels"}


def main(arguments: list[str] | None = None) -> int:
    return run(PROGRAM, lambda: _audit(_parse(arguments)), "nothing was written")


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog=PROGRAM,
        description=__doc__,
        epilog=f"Kinds of findings: {', '.join(audit.KINDS)}. Exit status: 0 nothing found, 1 something found, 2 it"
        " could not start. Example: audit_banners.py data/banners --report findings.csv --exclude-to exclude.txt",
    )
    add = parser.add_argument
    add("banners", type=Path, metavar="BANNERS_DIR", help="<appid>.jpg|jpeg|png|webp files and a games.csv")
    add("--report", type=Path, metavar="FILE.csv", help="write one line per finding")
    add("--logs", type=Path, metavar="DIR", help=f"write {', '.join(LOGS)}: sorted appids, one a line")
    add("--exclude-to", type=Path, metavar="FILE", help="write the appids that should not be embedded")
    add(
        "--exclude-kinds",
        type=several(audit.KINDS),
        default=UNUSABLE,
        metavar="KIND,...",
        help=f"which findings --exclude-to takes (default: {','.join(UNUSABLE)})",
    )
    add("--size", type=_size, metavar="WxH", help="the expected size (default: the most frequent one)")
    add("--near-blank", type=_contrast, default=2.0, metavar="C", help="contrast, 0 to 255 (default: %(default)s)")
    add(
        "--near-duplicate",
        type=_distance,
        default=4,
        metavar="BITS",
        help="bits of 64 by which hashes may differ, 0 to 16; 'off' (default: %(default)s)",
    )
    add(
        "--workers",
        type=whole_number(256),
        default=available_cores(),
        metavar="W",
        help="processes (default: all cores)",
    )
    return parser.parse_args(arguments)


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", text, re.ASCII)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 300x450")
    return int(match[1]), int(match[2])


def _contrast(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 255:
        raise argparse.ArgumentTypeError(f"{text!r} is not a contrast from 0 to 255")
    return value


def _distance(text: str) -> int:
    return -1 if text == "off" else whole_number(16, least=0)(text)


def _audit(options: argparse.Namespace) -> int:
    folder = read_banners_folder(options.banners, takes_any_table=True)
    if not folder.banners:
        raise BadInput(f"{options.banners} has no banners{why_no_banners(folder)}")
    if folder.subfolders:
        say(PROGRAM, f"{folder.subfolders} subfolders of {options.banners} are not looked into")
    _check_outputs(options)
    examined = audit.examine_all(folder.banners, options.workers)
    images = list(tqdm(examined, "examining", len(folder.banners), unit="img", mininterval=0.5))
    findings = audit.find(folder, images, options.size, options.near_blank, options.near_duplicate)
    if options.report:
        rows = ((finding.kind, finding.appid or "", finding.file, finding.detail) for finding in findings)
        _write(options.report, csv_text(("kind", "appid", "file", "detail"), rows))
    if options.logs:
        for name, kind in LOGS.items():
            _write(options.logs / name, _appids(findings, (kind,)))
    if options.exclude_to:
        _write(options.exclude_to, _appids(findings, options.exclude_kinds))
    counts = Counter(finding.kind for finding in findings)
    summary = ", ".join(f"{counts[kind]} {kind}" for kind in audit.KINDS if counts[kind]) or "nothing found"
    tell(f"{options.banners}: {len(images)} banners; {summary}")
    return 1 if findings else 0


def _check_outputs(options: argparse.Namespace) -> None:
    """Raise `BadInput` now for what could not be written after every banner was examined."""
    folders = [output.parent for output in (options.report, options.exclude_to) if output]
    for folder in [*folders, *([options.logs] if options.logs else [])]:
        if folder.resolve() == options.banners.resolve():
            raise BadInput(f"{folder} is the banners folder, where nothing is changed; name another place")
    for output in (options.report, options.exclude_to):
        if output:
            check_writable(output)
    if options.logs:
        options.logs.mkdir(parents=True, exist_ok=True)
        check_writable(options.logs / next(iter(LOGS)))


def _appids(findings: Sequence[audit.Finding], kinds: Sequence[str]) -> str:
    appids = sorted({finding.appid for finding in findings if finding.kind in kinds and finding.appid is not None})
    return "".join(f"{appid}\n" for appid in appids)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors="replace")


if __name__ == "__main__":
    sys.exit(main())
