"""From banners to a finished catalogue, against its own ceilings and the one-at-a-time loop, in one run.

`model`: the encoder alone, on pixels that lie ready. `decode`: the decoding threads alone. `loop`: one image at a time
through Hugging Face's processor and model, as the first system did it. `end_to_end`: all of it, neighbours and files
included, after the encoder is loaded. Prints one JSON line, the ratios last. It needs torch, transformers, numpy,
Pillow, tqdm and msgspec only. Examples:

    bench_embed.py --banners ../shared/data/covers --images 1000
    bench_embed.py --generate 29982 --batch-size 512            (on a machine with a GPU)
"""

import argparse
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
import transformers
from PIL import Image
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from banners.embedding import embed, encode_with
from banners.embedding.decoding import decode_batches
from banners.embedding.store import EmbeddingStore
from banners.encoders import Choice
from banners.encoders.encoder import Encoder
from banners.games_csv import Banner, Game, list_banners
from banners.groups import group_identical
from banners.processes import available_cores, keep_freed_memory
from banners.vectors.neighbours import nearest
from benchmarks.random_clip import save_random_clip
from tests.catalogues import save_catalogue


def draw(folder: Path, appid: int) -> None:
    """A banner of 300x450 with some detail, different for each appid: about 40 KB of JPEG."""
    random = np.random.default_rng(appid)
    coarse = Image.fromarray(random.integers(0, 256, (9, 6, 3), np.uint8)).resize((300, 450), Image.Resampling.BICUBIC)
    grain = random.normal(0, 6, (450, 300, 1))
    Image.fromarray(np.clip(np.asarray(coarse) + grain, 0, 255).astype(np.uint8)).save(
        folder / f"{appid}.jpg", quality=88
    )


def banners_of(options: argparse.Namespace, scratch: Path) -> list[Banner]:
    """The banners to embed; where fewer are there than asked for, copies of them in turn."""
    if options.generate:
        folder = scratch / "banners"
        folder.mkdir()
        with ProcessPoolExecutor(available_cores()) as pool:
            appids = range(1, options.generate + 1)
            drawn = pool.map(partial(draw, folder), appids, chunksize=64)
            list(tqdm(drawn, total=options.generate, desc="drawing", unit="img", mininterval=2))
        return list_banners(folder)
    banners = list_banners(options.banners)
    count = options.images or len(banners)
    return [Banner(number + 1, banners[number % len(banners)].path) for number in range(count)]


def model_rate(encoder: Encoder, batch_size: int, images: int) -> float:
    shape = (batch_size, encoder.preprocessing.height, encoder.preprocessing.width, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    encoder.embed(pixels)
    batches = max(1, images // batch_size)
    started = time.perf_counter()
    for _ in range(batches):
        encoder.embed(pixels)
    return batches * batch_size / (time.perf_counter() - started)


def decode_rate(banners: list[Banner], encoder: Encoder, batch_size: int, workers: int) -> float:
    started = time.perf_counter()
    count = sum(len(results) for results, _ in decode_batches(banners, encoder.preprocessing, batch_size, workers))
    return count / (time.perf_counter() - started)


def loop_rate(banners: list[Banner], folder: Path, device: str) -> float:
    processor = transformers.CLIPImageProcessorPil.from_pretrained(folder)
    model = transformers.CLIPVisionModelWithProjection.from_pretrained(folder).eval().to(device)
    started = time.perf_counter()
    with torch.inference_mode():
        for banner in banners:
            with Image.open(banner.path) as image:
                inputs = processor(images=image.convert("RGB"), return_tensors="pt").to(device)
            model(**inputs).image_embeds.cpu().numpy()
    return len(banners) / (time.perf_counter() - started)


def end_to_end(banners: list[Banner], encoder: Encoder, options: argparse.Namespace, out: Path) -> dict[str, float]:
    """Seconds of each part, and of all."""
    started = time.perf_counter()
    store = EmbeddingStore(out.with_suffix(".rows"), encoder.identity(options.batch_size), encoder.dim)
    embedded = embed(encode_with(encoder, options.batch_size, options.workers), banners, store)
    after_embedding = time.perf_counter()
    neighbours = nearest(embedded.embeddings["plain"], 100, device=encoder.device)
    after_neighbours = time.perf_counter()
    save_catalogue(
        out,
        [Game(appid, "") for appid in embedded.appids.tolist()],
        {"plain": neighbours},
        embedded.embeddings["plain"],
        group_identical(embedded.digests),
    )
    done = time.perf_counter()
    return {
        "embedding_s": after_embedding - started,
        "neighbours_s": after_neighbours - after_embedding,
        "writing_s": done - after_neighbours,
        "catalogue_s": done - started,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--banners", type=Path, metavar="DIR")
    source.add_argument("--generate", type=int, metavar="N", help="draw N banners of 300x450 first")
    parser.add_argument("--images", type=int, metavar="N", help="of --banners; more than there are repeat")
    parser.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--workers", type=int, default=available_cores())
    parser.add_argument("--loop-images", type=int, default=100)
    options = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as scratch_name:
        scratch = Path(scratch_name)
        save_random_clip(scratch / "model")
        banners = banners_of(options, scratch)
        # First, and in a process whose memory is not tuned yet, as the one-at-a-time loop was.
        loop = loop_rate(
            banners[: options.loop_images], scratch / "model", "cuda" if torch.cuda.is_available() else "cpu"
        )
        keep_freed_memory()
        encoder = Choice(str(scratch / "model"), device=options.device).open()
        half = max(len(banners) // 2, options.batch_size)
        decode = decode_rate(banners, encoder, options.batch_size, options.workers)
        # Before and after what it is compared with: a machine may slow down meanwhile.
        before = model_rate(encoder, options.batch_size, half)
        parts = end_to_end(banners, encoder, options, scratch / "catalogue")
        after = model_rate(encoder, options.batch_size, half)
        model = 2 / (1 / before + 1 / after)
        report: dict[str, object] = {
            "device": torch.cuda.get_device_name() if encoder.device == "cuda" else "cpu",
            "precision": encoder.precision,
            "images": len(banners),
            "batch_size": options.batch_size,
            "workers": options.workers,
            "threads": torch.get_num_threads(),
            **{name: round(seconds, 2) for name, seconds in parts.items()},
            "decode_images_per_s": round(decode, 1),
            "model_images_per_s": round(model, 1),
            "loop_images_per_s": round(loop, 1),
            "embedding_images_per_s": round(len(banners) / parts["embedding_s"], 1),
        }
        if encoder.device == "cuda":
            single = Choice(str(scratch / "model"), device="cuda", precision="float32").open()
            results, decoded = next(decode_batches(banners[:256], encoder.preprocessing, 256, options.workers))
            pixels = decoded[: len(results)].copy()
            report["half_precision_cosine_min"] = float((encoder.embed(pixels) * single.embed(pixels)).sum(1).min())
        rate = len(banners) / parts["catalogue_s"]
        report["end_to_end_images_per_s"] = round(rate, 1)
        report["embedding_to_model"] = round(len(banners) / parts["embedding_s"] / model, 3)
        report["end_to_end_to_slower_ceiling"] = round(rate / min(decode, model), 3)
        report["end_to_end_to_model"] = round(rate / model, 3)
        report["end_to_end_to_loop"] = round(rate / loop, 3)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
