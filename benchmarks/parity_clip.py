"""Ours against a straightforward use of Hugging Face: a full-size CLIP ViT-B/32 with random weights, real images.

For each image the cosine between our embedding (fit `crop`, float32) and that of `CLIPImageProcessorPil` followed by
`CLIPVisionModelWithProjection`. Prints one JSON line. Example: parity_clip.py ../shared/data/covers --images 50
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import transformers
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from banners.embedding import embed, encode_with
from banners.embedding.store import Rows
from banners.encoders import Choice
from banners.games_csv import list_banners
from benchmarks.random_clip import save_random_clip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("banners", type=Path)
    parser.add_argument("--images", type=int, default=50)
    parser.add_argument("--batch-size", type=int, default=16)
    options = parser.parse_args()
    banners = list_banners(options.banners)[: options.images]
    transformers.utils.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as folder:
        save_random_clip(Path(folder))
        encoder = Choice(folder, fit="crop", device="cpu").open()
        started = time.perf_counter()
        rows = Rows(Path(folder) / "rows", encoder.identity(options.batch_size), encoder.dim)
        ours = embed(encode_with(encoder, options.batch_size), banners, rows).embeddings["plain"]
        ours_s = time.perf_counter() - started
        processor = transformers.CLIPImageProcessorPil.from_pretrained(folder)
        model = transformers.CLIPVisionModelWithProjection.from_pretrained(folder).eval()
        theirs = []
        started = time.perf_counter()
        with torch.inference_mode():
            for banner in banners:
                with Image.open(banner.path) as image:
                    inputs = processor(images=image.convert("RGB"), return_tensors="pt")
                theirs.append(torch.nn.functional.normalize(model(**inputs).image_embeds, dim=1).numpy()[0])
        theirs_s = time.perf_counter() - started
    cosines = (ours * np.stack(theirs)).sum(axis=1)
    print(
        json.dumps(
            {
                "images": len(banners),
                "cosine_min": round(float(cosines.min()), 7),
                "cosine_mean": round(float(cosines.mean()), 7),
                "ours_images_per_s": round(len(banners) / ours_s, 2),
                "one_at_a_time_images_per_s": round(len(banners) / theirs_s, 2),
                "speed_ratio": round(theirs_s / ours_s, 3),
            }
        )
    )


if __name__ == "__main__":
    main()
