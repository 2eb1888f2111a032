"""Shared fixtures: tiny banners, tiny models with random weights, and the real sample data where it is at hand."""

import csv
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from banners.processes import available_cores

ROOT = Path(__file__).resolve().parent.parent
MadeOnce = Callable[[str, Callable[[Path], None]], Path]
SAMPLE_DATA = Path(os.environ.get("SAMPLE_DATA", ROOT.parent / "shared" / "data"))

os.environ["HF_HUB_OFFLINE"] = "1"  # no test may wait for a network
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # more threads than cores would wait for each other


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: tests wait for servers and browsers now and then."""
    return available_cores() + 1


def skip_or_fail(reason: str) -> None:
    """Skip for want of something on this machine; in CI, where it must be there, fail."""
    if os.environ.get("REQUIRE_ALL_TESTS"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """A function that puts a figure into the table of `make soak`."""
    return partial(record_property, "measured")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The table of `make soak`: what was tried, what was measured, and a verdict."""
    if config.option.markexpr != "soak":
        return
    terminalreporter.write_line("| soak test | measured | verdict | s |\n|---|---|---|---|")
    for outcome, verdict in (("passed", "passed"), ("failed", "FAILED"), ("error", "FAILED"), ("skipped", "not run")):
        for report in terminalreporter.stats.get(outcome, []):
            name = report.nodeid.partition("::test_")[2].replace("_", " ")
            figures = ", ".join(str(figure) for key, figure in report.user_properties if key == "measured")
            terminalreporter.write_line(f"| {name} | {figures} | {verdict} | {report.duration:.0f} |")


def sample(name: str) -> Path:
    """A folder of the real sample data, or a skip."""
    if not (SAMPLE_DATA / name).is_dir():
        skip_or_fail(f"no sample data at {SAMPLE_DATA / name}; set SAMPLE_DATA to its folder")
    return SAMPLE_DATA / name


@pytest.fixture
def covers() -> Path:
    return sample("covers")


@pytest.fixture
def steam_2021() -> Path:
    return sample("steam-2021")


def picture(seed: int, size: tuple[int, int] = (60, 90)) -> Image.Image:
    """A smooth random RGB picture, the same for the same seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 4, 3), np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture
def banners_folder(tmp_path: Path) -> Path:
    """Six banners: 10..50, and 60 which is identical to 20."""
    folder = tmp_path / "banners"
    folder.mkdir()
    for appid in (10, 20, 30, 40, 50):
        picture(appid).save(folder / f"{appid}.png")
    picture(20).save(folder / "60.png")
    (folder / "games.csv").write_text(
        "appid,name,popularity\n10,Ten,5\n20,Twenty,50\n30,Thirty & <b>more</b>,\n40,,1\n50,五十,2\n60,Twenty,3\n",
        encoding="utf-8",
    )
    return folder


def _save_tiny_clip(folder: Path, architecture: str) -> Path:
    import torch
    import transformers

    torch.manual_seed(0)
    vision = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 8,
        "projection_dim": 24,
    }
    if architecture == "CLIPModel":
        text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
        config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)
        model = transformers.CLIPModel(config)
    else:
        model = getattr(transformers, architecture)(transformers.CLIPVisionConfig(**vision))
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(
        json.dumps(
            {
                "crop_size": {"height": 32, "width": 32},
                "do_center_crop": True,
                "do_convert_rgb": True,
                "do_normalize": True,
                "do_rescale": True,
                "do_resize": True,
                "image_mean": [0.48145466, 0.4578275, 0.40821073],
                "image_std": [0.26862954, 0.26130258, 0.27577711],
                "resample": 3,
                "rescale_factor": 1 / 255,
                "size": {"shortest_edge": 32},
            }
        )
    )
    return folder


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function from an architecture's name to the folder of a tiny model of it, with random weights."""
    made: dict[str, Path] = {}

    def get(architecture: str = "CLIPModel") -> Path:
        if architecture not in made:
            made[architecture] = _save_tiny_clip(tmp_path_factory.mktemp(architecture), architecture)
        return made[architecture]

    return get


def save_clip_tokenizer(folder: Path, words: list[str]) -> Path:
    """Give a CLIP model in `folder` a tokenizer of the real kind, which knows `words` whole and all else by its bytes.

    The last two of its tokens begin and end every text.
    """
    from tokenizers import pre_tokenizers
    from transformers import CLIPTokenizer

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*letters, *(f"{letter}</w>" for letter in letters)]
    merges = []
    for word in words:
        parts = [*word[:-1], f"{word[-1]}</w>"]
        while len(parts) > 1:
            merged = parts[0] + parts[1]
            if (parts[0], parts[1]) not in merges:
                merges.append((parts[0], parts[1]))
                tokens.append(merged)
            parts = [merged, *parts[2:]]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    CLIPTokenizer(vocab=vocabulary, merges=merges).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def colour_site(made_once: MadeOnce) -> Path:
    """A folder with `banners` and their catalogue `c`, made with the small CLIP that knows colours."""
    from tests.colour_clip import make_colour_site

    return made_once("colours", make_colour_site)


@pytest.fixture(scope="session")
def made_once(
    tmp_path_factory: pytest.TempPathFactory, worker_id: str
) -> Callable[[str, Callable[[Path], None]], Path]:
    """A function that has a folder filled by the first of pytest's workers that needs it; the others wait for it."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent

    def get(name: str, fill: Callable[[Path], None]) -> Path:
        folder, done = shared / name, shared / f"{name}.done"
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                fill(folder)
                done.touch()
        return folder

    return get


@pytest.fixture(scope="session")
def shelf(made_once: MadeOnce) -> Path:
    """A third of the real covers in `b`, with years, developers and tags that were made up; their catalogue `c`, made
    with the packaged encoder."""
    sample("covers")
    return made_once("shelf", _make_shelf)


def _make_shelf(folder: Path) -> None:
    from embed_banners import main as embed

    (folder / "b").mkdir()
    with (sample("covers") / "games.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[::3]
    table = ["appid,name,series,popularity,year,developer,tags"]
    for number, row in enumerate(rows):
        shutil.copy(sample("covers") / f"{row['appid']}.jpg", folder / "b")
        named = ",".join('"' + row[column].replace('"', '""') + '"' for column in ("name", "series"))
        table.append(
            f"{row['appid']},{named},{number + 1},{1985 + number % 12},,{'Action;Sports' if number % 2 else 'Action'}"
        )
    (folder / "b" / "games.csv").write_text("\n".join(table) + "\n", encoding="utf-8")
    assert embed([str(folder / "b"), "--out", str(folder / "c"), "--encoder", "packaged"]) == 0


@pytest.fixture(scope="session")
def gallery(made_once: MadeOnce) -> Path:
    """72 banners in `b`, three of each series, with developers and tags; their catalogue `c`, made with the packaged
    encoder."""
    return made_once("gallery", _make_gallery)


def _make_gallery(folder: Path) -> None:
    from embed_banners import main as embed

    (folder / "b").mkdir()
    rows = ["appid,name,popularity,year,developer,publisher,franchise,tags"]
    for number in range(72):
        appid, series = 9_000_010 + 10 * number, number // 3
        image = Image.blend(picture(series, (120, 180)), picture(1000 + number, (120, 180)), 0.3)
        image.save(folder / "b" / f"{appid}.jpg", quality=90)
        words = f"{'Amber Bronze Crimson'.split()[series % 3]} {chr(65 + series)}lpha {number % 3 + 1}"
        tags = ";".join(["Puzzle", "Racing", "Horror", "Indie"][series % 3 : series % 3 + 2])
        companies = f"Studio {series % 5},House {series % 4}"
        rows.append(f"{appid},{words},{number + 1},{2000 + number % 20},{companies},Saga {series},{tags}")
    (folder / "b" / "games.csv").write_text("\n".join(rows) + "\n")
    assert embed([str(folder / "b"), "--out", str(folder / "c"), "--encoder", "packaged", "--neighbours", "20"]) == 0


def with_file(catalogue: Path, folder: Path, name: str, data: bytes) -> Path:
    """A copy of the catalogue with other contents of a file, about which its manifest does not lie."""
    shutil.copytree(catalogue, folder)
    (folder / name).write_bytes(data)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder
