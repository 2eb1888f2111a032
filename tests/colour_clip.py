"""A small CLIP that knows colours: its weights are constructed, not trained, so that the words for colours and pictures
of them have the same embedding."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from banners.catalogue.reader import open_catalogue
from embed_banners import main
from tests.conftest import save_clip_tokenizer

# Each as it is in red, green and blue, from -1 to 1.
COLOURS = {
    "red": (1, -1, -1),
    "green": (-1, 1, -1),
    "blue": (-1, -1, 1),
    "yellow": (1, 1, -1),
    "violet": (1, -1, 1),
    "turquoise": (-1, 1, 1),
}
_PATCH, _SIDE, _HIDDEN = 8, 32, 8


def save_colour_clip(folder: Path) -> Path:
    """Save the model with its tokenizer and preprocessor.

    A colour is held as (r, g, b, -r, -g, -b, 0, 0): its mean is 0, so that layer normalisation keeps its direction.
    All queries and keys are zero, so each token takes the mean of the values of all that it may see: the class token
    that of the patches, the end of a text that of its words.
    """
    import torch
    import transformers

    save_clip_tokenizer(folder, [*COLOURS, "a", "picture", "banner"])
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    one = {"hidden_size": _HIDDEN, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    text = one | {"vocab_size": len(tokenizer), "max_position_embeddings": 16, "projection_dim": 4}
    text |= {"bos_token_id": len(tokenizer) - 2, "eos_token_id": len(tokenizer) - 1, "pad_token_id": 1}
    vision = one | {"image_size": _SIDE, "patch_size": _PATCH, "projection_dim": 4}
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=4)
    model = transformers.CLIPModel(config)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            weights.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
        model.logit_scale.fill_(3.0)
        for tower in (model.vision_model, model.text_model):
            attention = tower.encoder.layers[0].self_attn
            attention.v_proj.weight.copy_(torch.eye(_HIDDEN))
            attention.out_proj.weight.copy_(torch.eye(_HIDDEN))
        patches = model.vision_model.embeddings.patch_embedding.weight  # (hidden, 3, patch, patch)
        for channel in range(3):
            patches[channel, channel] = 1 / _PATCH**2
            patches[channel + 3, channel] = -1 / _PATCH**2
        for projection in (model.visual_projection, model.text_projection):
            projection.weight[:3, :3] = torch.eye(3)
            projection.weight[3, 6] = 0.02
        # What knows no colour has a direction of its own, as in any real model.
        grey = torch.tensor([0, 0, 0, 0, 0, 0, 0.1, -0.1])
        model.vision_model.embeddings.class_embedding.copy_(grey)
        model.text_model.embeddings.token_embedding.weight[:] = grey
        for word, colour in COLOURS.items():
            token = tokenizer(word).input_ids[1]
            values = torch.tensor(colour, dtype=torch.float32)
            model.text_model.embeddings.token_embedding.weight[token, :6] = torch.cat([values, -values])
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(
        json.dumps(
            {
                "crop_size": {"height": _SIDE, "width": _SIDE},
                "do_center_crop": True,
                "do_normalize": True,
                "image_mean": [0.5, 0.5, 0.5],
                "image_std": [0.5, 0.5, 0.5],
                "resample": 3,
                "size": {"shortest_edge": _SIDE},
            }
        )
    )
    return folder


LABELS = """
[colour]
prompts = ["a {} banner", "a picture {}"]
terms = ["red", "green", "blue", "yellow", "violet", "turquoise"]
"""


def coloured(colour: str, seed: int = 0, size: tuple[int, int] = (60, 90)) -> Image.Image:
    noise = np.random.default_rng(seed).normal(0, 20, (size[1], size[0], 3))
    base = (np.array(COLOURS[colour]) + 1) * 110 + 15
    return Image.fromarray(np.clip(base + noise, 0, 255).astype(np.uint8))


def make_colour_site(folder: Path) -> None:
    """Two banners of each colour, 11 and 12 of red, 21 and 22 of green, ...: `banners` in `folder`, and their catalogue
    `c`."""
    model = save_colour_clip(folder / "model")
    (folder / "banners").mkdir()
    rows = ["appid,name"]
    for number, colour in enumerate(COLOURS, 1):
        for copy in (1, 2):
            appid = 10 * number + copy
            coloured(colour, appid).save(folder / "banners" / f"{appid}.png")
            rows.append(f"{appid},Game {appid}")
    rows[1] = "11,Green Hills"  # whose banner is red
    (folder / "banners" / "games.csv").write_text("\n".join(rows) + "\n")
    (folder / "labels.toml").write_text(LABELS)
    arguments = [str(folder / "banners"), "--out", str(folder / "c"), "--encoder", str(model)]
    assert main([*arguments, "--labels", str(folder / "labels.toml")]) == 0
    open_catalogue(folder / "c", check_hashes=True)
