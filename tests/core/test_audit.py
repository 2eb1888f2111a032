import csv
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from audit_banners import main
from banners import audit, images
from banners.audit import Examination, Finding, near_pairs
from banners.catalogue.reader import open_catalogue
from banners.games_csv import Banner, BannersFolder, Game, read_banners_folder
from banners.images import decode
from embed_banners import main as embed
from tests.conftest import picture


def save(folder: Path, appid: int, image: Image.Image | None = None, suffix: str = "jpg", **options: object) -> Path:
    path = folder / f"{appid}.{suffix}"
    (image or picture(appid, (300, 450))).save(path, **options)
    return path


def found_in(folder: Path, **expected: object) -> list[Finding]:
    listed = read_banners_folder(folder)
    return audit.find(listed, [audit.examine(banner) for banner in listed.banners], **expected)


def kinds(found: list[Finding], *but: str) -> dict[str, list[int | None]]:
    by_kind: dict[str, list[int | None]] = {}
    for finding in found:
        if finding.kind not in but:
            by_kind.setdefault(finding.kind, []).append(finding.appid)
    return by_kind


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three ordinary banners with names."""
    for appid in (10, 20, 30):
        save(tmp_path, appid)
    (tmp_path / "games.csv").write_text("appid,name\n" + "".join(f"{appid},x\n" for appid in range(10, 300, 10)))
    return tmp_path


def test_ordinary_banners_have_no_findings(folder):
    assert kinds(found_in(folder), "missing_banner") == {}


def test_every_kind_of_trouble_is_found_and_told_apart(folder):
    (folder / "40.jpg").write_bytes(b"")
    (folder / "50.jpg").write_bytes(b"<html>busy</html>")
    for appid, suffix in ((60, "jpg"), (70, "png"), (80, "webp")):
        path = save(folder, appid, suffix=suffix)
        path.write_bytes(path.read_bytes()[:-500])
    save(folder, 90, picture(90, (600, 900)))
    save(folder, 100, picture(100, (460, 215)))
    save(folder, 110, picture(110, (300, 450)).convert("L"))
    save(folder, 120, picture(120, (300, 450)).convert("CMYK"))
    save(folder, 130, picture(130, (300, 450)).convert("P"), "png")
    save(folder, 140, picture(140, (300, 450)).convert("RGBA"), "png")
    save(folder, 150, Image.fromarray(np.arange(300 * 450, dtype=np.uint16).reshape(450, 300)), "png")
    save(folder, 160, Image.new("RGB", (300, 450)))
    save(folder, 170, Image.new("RGB", (300, 450), "white"))
    faint = Image.new("RGB", (300, 450), (40, 40, 40))
    faint.paste((42, 42, 42), (0, 0, 300, 200))
    save(folder, 180, faint)
    exif = Image.Exif()
    exif[0x0112] = 6
    save(folder, 190, exif=exif)
    save(folder, 200, suffix="webp", save_all=True, append_images=[picture(1, (300, 450))])
    (folder / "210.jpg").write_bytes((folder / "10.jpg").read_bytes())
    save(folder, 220, picture(20, (300, 450)), quality=60)
    save(folder, 300)
    (folder / "cover.jpg").touch()
    found = found_in(folder)
    assert kinds(found, "missing_banner") == {
        "misnamed": [None],
        "unreadable": [40, 50],
        "truncated": [60, 70, 80],
        "size": [90, 100],
        "aspect": [100],
        "channels": [110, 120, 130, 140, 150],
        "blank": [160, 170],
        "near_blank": [180],
        "exif_rotation": [190],
        "animated": [200],
        "duplicate": [10, 210],
        "near_duplicate": [20, 220],
        "missing_name": [300],
    }
    details = {(finding.kind, finding.appid): finding.detail for finding in found}
    assert details["size", 90] == "600x900 instead of 300x450"
    assert [details["channels", appid] for appid in (110, 120, 130, 140, 150)] == ["L", "CMYK", "P", "RGBA", "I;16"]
    assert details["blank", 170] == "all pixels are 255 of 255"
    assert details["duplicate", 210] == "group 10 of 2"


def test_a_jpeg_with_damaged_pixel_data_is_flawed(folder):
    path = save(folder, 40)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 200] = np.random.default_rng(1).integers(0, 256, 200, np.uint8).tobytes()
    path.write_bytes(data)
    with Image.open(path) as image:
        image.load()  # Pillow draws what is left of it, and that is embedded
    (finding,) = [one for one in found_in(folder) if one.appid == 40]
    assert finding.kind == "flawed"
    assert "Corrupt JPEG data" in finding.detail


def with_chunk(data: bytes, kind: bytes, content: bytes, checksum: int | None = None) -> bytes:
    """A PNG with another chunk before its pixels."""
    checksum = zlib.crc32(kind + content) if checksum is None else checksum
    return data[:33] + struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum) + data[33:]


def test_whole_pixels_with_something_wrong_beside_them_are_mentioned_measured_and_not_excluded(folder):
    jpeg, png = (folder / "10.jpg").read_bytes(), save(folder, 40, suffix="png").read_bytes()
    (folder / "50.jpg").write_bytes(jpeg[:-2])
    (folder / "60.jpg").write_bytes(jpeg[:-2] + b"phone" + jpeg[-2:])
    (folder / "70.png").write_bytes(with_chunk(png, b"zTXt", b"x\0\0" + zlib.compress(bytes(3_000_000))))
    (folder / "80.png").write_bytes(with_chunk(png, b"tEXt", b"a\0b", checksum=1))
    (folder / "90.png").write_bytes(with_chunk(png, b"pHYs", b"\1"))
    found = kinds(found_in(folder), "missing_banner", "missing_name", "duplicate", "near_duplicate")
    assert found == {"flawed": [50, 60, 70, 80, 90]}
    whole = audit.examine(Banner(1, folder / "10.jpg")).perceptual_hash
    for banner in read_banners_folder(folder).banners:
        assert decode(banner.path).size == (300, 450)
        assert banner.appid not in (50, 60) or audit.examine(banner).perceptual_hash == whole


def test_rows_that_cannot_be_read_are_findings(folder):
    (folder / "games.csv").write_text("appid,name,year\n10,Ten,soon\nx,X,\n20,Twenty\n30,Thirty\n")
    assert [(one.kind, one.file, one.detail.partition(":")[0]) for one in found_in(folder)] == [
        ("table", "games.csv", "line 3"),
        ("table", "games.csv", "line 2"),
    ]


def test_without_a_readable_table_the_pictures_are_examined_all_the_same(folder, capsys):
    (folder / "games.csv").write_text("id;title\n10;Ten\n")
    save(folder, 40, picture(40, (600, 900)))
    assert main([str(folder)]) == 1
    assert "4 banners; 1 table, 1 size, 4 missing_name" in capsys.readouterr().out
    (folder / "games.csv").unlink()
    assert main([str(folder), "--report", str(folder.parent / "r.csv")]) == 1
    assert 'table,,games.csv,"there is no games.csv, so no game has a name"' in (folder.parent / "r.csv").read_text()


def test_rows_without_a_banner_or_a_name_are_found():
    listed = BannersFolder((Banner(10, Path("10.jpg")),), {10: Game(10, ""), 20: Game(20, "Twenty")})
    image = Examination(10, "10.jpg", b"1", size=(3, 4), mode="RGB", contrast=9.0)
    assert audit.find(listed, [image]) == [
        Finding("missing_name", 10, "10.jpg", ""),
        Finding("missing_banner", 20, "", "Twenty"),
    ]


def test_the_expected_size_is_the_most_frequent_unless_it_is_given(folder):
    save(folder, 40, picture(40, (150, 225)))
    assert kinds(found_in(folder), "missing_banner") == {"size": [40]}
    assert kinds(found_in(folder, size=(150, 225)), "missing_banner") == {"size": [10, 20, 30]}
    assert kinds(found_in(folder, size=(225, 150)), "missing_banner")["aspect"] == [10, 20, 30, 40]


def test_near_duplicates_are_as_near_as_asked_for_and_can_be_left_out(folder):
    save(folder, 40, picture(10, (300, 450)), quality=20)
    assert kinds(found_in(folder), "missing_banner") == {"near_duplicate": [10, 40]}
    assert kinds(found_in(folder, near_duplicate=-1), "missing_banner") == {}


def test_blank_images_are_nobodys_near_duplicate(folder):
    for appid, level in ((40, 0), (50, 128), (60, 255)):
        save(folder, appid, Image.new("RGB", (300, 450), (level,) * 3))
    assert kinds(found_in(folder), "missing_banner") == {"blank": [40, 50, 60]}


@pytest.mark.parametrize("distance", [0, 1, 4, 16])
def test_near_pairs_are_those_of_comparing_all_with_all(distance):
    random = np.random.default_rng(0)
    hashes = random.integers(0, 2**63, 300, np.uint64)
    for row in range(100):  # neighbours at every distance
        bits = random.choice(64, row % 20, replace=False).astype(np.uint64)
        hashes[200 + row] = hashes[row] ^ np.bitwise_or.reduce(np.uint64(1) << bits, initial=np.uint64(0))
    hashes = np.unique(hashes)
    apart = np.bitwise_count(hashes[:, None] ^ hashes[None, :])
    expected = {(int(a), int(b)) for a, b in np.argwhere(apart <= distance) if a < b}
    assert {tuple(sorted(pair)) for pair in near_pairs(hashes, distance)} == expected


def test_the_program_reports_and_changes_nothing(folder, tmp_path_factory, capsys):
    out = tmp_path_factory.mktemp("out")
    save(folder, 40, Image.new("RGB", (300, 450)))
    save(folder, 50, picture(50, (300, 450)).convert("L"))
    save(folder, 60, picture(60, (600, 900)))
    (folder / "70.jpg").write_bytes(b"")
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}
    arguments = ["--report", str(out / "r.csv"), "--logs", str(out / "logs"), "--exclude-to", str(out / "x.txt")]
    assert main([str(folder), "--workers", "2", *arguments]) == 1
    printed = capsys.readouterr()
    assert "7 banners; 1 unreadable, 1 size, 1 channels, 1 blank" in printed.out
    assert printed.out.count("\n") == 1
    assert "img/s" in printed.err
    with (out / "r.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] != "missing_banner"]
    assert [(row["kind"], row["appid"]) for row in rows] == [
        ("unreadable", "70"),
        ("size", "60"),
        ("channels", "50"),
        ("blank", "40"),
    ]
    assert {path.name: path.read_text() for path in (out / "logs").iterdir()} == {
        "blank_image.txt": "40\n",
        "wrong_size.txt": "60\n",
        "wrong_channels.txt": "50\n",
    }
    assert (out / "x.txt").read_text() == "40\n70\n"
    assert {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()} == before


def test_what_the_audit_excludes_is_not_embedded(banners_folder, tmp_path, tiny_clip, capsys):
    (banners_folder / "30.png").write_bytes(b"")
    Image.new("RGB", (60, 90)).save(banners_folder / "40.png")
    assert main([str(banners_folder), "--exclude-to", str(tmp_path / "x.txt")]) == 1
    arguments = [str(banners_folder), "--out", str(tmp_path / "c"), "--encoder", str(tiny_clip())]
    assert embed([*arguments, "--exclude", str(tmp_path / "x.txt")]) == 0
    assert open_catalogue(tmp_path / "c", check_hashes=True).appids.tolist() == [10, 20, 50, 60]
    (tmp_path / "x.txt").write_text("10\nten\n")
    assert embed([*arguments, "--exclude", str(tmp_path / "x.txt")]) == 2
    assert "line 2: 'ten' is not an appid" in capsys.readouterr().err


def test_nothing_found_exits_with_0(tmp_path, capsys):
    save(tmp_path, 10)
    (tmp_path / "games.csv").write_text("appid,name\n10,Ten\n")
    assert main([str(tmp_path)]) == 0
    assert "1 banners; nothing found" in capsys.readouterr().out


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--size", "300"],
        ["--near-blank", "x"],
        ["--near-duplicate", "99"],
        ["--exclude-kinds", "ugly"],
        ["--workers", "0"],
    ],
)
def test_a_mistake_is_one_line_and_exit_status_2(tmp_path, capsys, options):
    with pytest.raises(SystemExit) as caught:
        main([*options, *([str(tmp_path)] if options else [])])
    assert caught.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_folder_without_banners_and_an_unwritable_report_are_mistakes_too(tmp_path, capsys):
    assert main([str(tmp_path / "none")]) == 2
    assert main([str(tmp_path)]) == 2
    save(tmp_path, 10)
    assert main([str(tmp_path), "--report", "/proc/r.csv"]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_an_image_of_one_grey_level_but_two_colours_is_not_blank(folder):
    image = Image.new("RGB", (300, 450), (255, 0, 0))
    image.paste((0, 130, 0), (0, 225, 300, 450))
    assert image.convert("L").getextrema() == (76, 76)
    save(folder, 40, image, "png")
    assert "blank" not in kinds(found_in(folder))


def test_what_embedding_refuses_for_its_shape_the_audit_finds(folder):
    save(folder, 40, picture(40, (2, 400)), "png")
    assert kinds(found_in(folder))["unreadable"] == [40]


def test_a_file_that_embedding_refuses_for_its_size_is_found(folder, monkeypatch):
    save(folder, 40)
    monkeypatch.setattr(images, "MAX_BYTES", (folder / "40.jpg").stat().st_size - 1)
    assert 40 in kinds(found_in(folder))["unreadable"]


def test_broken_metadata_of_a_whole_image_are_no_finding(folder):
    save(folder, 40, suffix="webp", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x99" * 40)
    assert kinds(found_in(folder), "missing_banner") == {}


def test_a_pipe_in_the_place_of_a_banner_is_named_and_not_waited_for(folder):
    os.mkfifo(folder / "40.jpg")
    assert [finding.file for finding in found_in(folder) if finding.kind == "misnamed"] == ["40.jpg"]


@pytest.mark.parametrize("option", ["--report", "--exclude-to"])
def test_an_output_in_the_banners_folder_is_refused(folder, capsys, option):
    before = (folder / "games.csv").read_bytes()
    assert main([str(folder), option, str(folder / "games.csv")]) == 2
    assert "is the banners folder" in capsys.readouterr().err
    assert (folder / "games.csv").read_bytes() == before


def test_logs_in_the_banners_folder_are_refused(folder, capsys):
    before = sorted(folder.rglob("*"))
    assert main([str(folder), "--logs", str(folder / "x" / "..")]) == 2
    assert "is the banners folder" in capsys.readouterr().err
    assert sorted(folder.rglob("*")) == before


def test_an_output_that_cannot_be_written_is_known_before_the_work(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(audit, "examine", None)
    assert main([str(folder), "--report", str(tmp_path / "none" / "r.csv")]) == 2
    assert "none/r.csv: No such file or directory" in capsys.readouterr().err


def test_real_covers_are_sound(covers):
    listed = read_banners_folder(covers)
    found = audit.find(listed, [audit.examine(banner) for banner in listed.banners[:100]], near_duplicate=-1)
    assert kinds(found, "missing_banner") == {}
