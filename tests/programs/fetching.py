"""A stand-in for Steam, and what arrives of it."""

from pathlib import Path


def banners_in(folder: Path) -> dict[int, bytes]:
    return {int(path.stem): path.read_bytes() for path in folder.glob("*.jpg")}


def listed(tmp_path: Path, appids: list[int]) -> str:
    (tmp_path / "appids.txt").write_text("".join(f"{appid}\n" for appid in appids))
    return str(tmp_path / "appids.txt")
