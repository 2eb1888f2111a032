import json
import shutil

import numpy as np
import pytest
from PIL import Image

from banners.encoders import DEFAULT_ENCODER, open_encoder
from banners.errors import BadInput, Unavailable
from banners.images import decode

from .conftest import picture


def reference_embeddings(folder, images):
    """A straightforward use of Hugging Face: its PIL processor, its model, an L2 norm."""
    import torch
    from transformers import CLIPImageProcessorPil, CLIPVisionModelWithProjection

    processor = CLIPImageProcessorPil.from_pretrained(folder)
    model = CLIPVisionModelWithProjection.from_pretrained(folder).eval()
    with torch.inference_mode():
        embeds = model(**processor(images=images, return_tensors="pt")).image_embeds
        return torch.nn.functional.normalize(embeds, dim=1).numpy()


def test_clip_embeddings_are_those_of_hugging_face(tiny_clip):
    images = [picture(seed, size) for seed, size in enumerate([(60, 90), (92, 43), (32, 32), (301, 450)])]
    encoder = open_encoder(str(tiny_clip()), "crop")
    ours = encoder.embed(np.stack([encoder.preprocessing.pixels(image) for image in images]))
    theirs = reference_embeddings(tiny_clip(), images)
    assert ours.dtype == np.float32
    assert ours.shape == (4, encoder.dim) == (4, 24)
    assert (ours * theirs).sum(axis=1).min() > 0.99999
    assert not np.allclose(ours[0], ours[1], atol=0.01)


def test_real_covers_are_embedded_as_by_hugging_face(tiny_clip, covers):
    images = [Image.open(path).convert("RGB") for path in sorted(covers.glob("*.jpg"))[:20]]
    encoder = open_encoder(str(tiny_clip()), "crop")
    ours = encoder.embed(np.stack([encoder.preprocessing.pixels(image) for image in images]))
    assert (ours * reference_embeddings(tiny_clip(), images)).sum(axis=1).min() > 0.9999


def test_batch_size_and_order_change_nothing_beyond_float_noise(tiny_clip):
    encoder = open_encoder(str(tiny_clip()))
    pixels = np.stack([encoder.preprocessing.pixels(picture(seed)) for seed in range(7)])
    together = encoder.embed(pixels)
    alone = np.concatenate([encoder.embed(one[None]) for one in pixels])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    np.testing.assert_allclose(encoder.embed(pixels[::-1].copy())[::-1], together, atol=1e-6)


def test_a_bare_vision_model_gives_its_pooled_output(tiny_clip):
    encoder = open_encoder(str(tiny_clip("CLIPVisionModel")))
    assert (encoder.output, encoder.dim) == ("pooler_output", 32)
    embedding = encoder.embed(encoder.preprocessing.pixels(picture(1))[None])
    assert embedding.shape == (1, 32)
    assert np.linalg.norm(embedding) == pytest.approx(1)


def test_the_revision_of_a_folder_changes_with_its_weights(tiny_clip, tmp_path):
    copy = shutil.copytree(tiny_clip(), tmp_path / "copy")
    assert open_encoder(str(copy)).revision == open_encoder(str(tiny_clip())).revision
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    assert open_encoder(str(copy)).revision != open_encoder(str(tiny_clip())).revision
    assert open_encoder(str(copy)).id == "copy"


def test_missing_weights_are_refused_instead_of_filled_with_random_numbers(tiny_clip, tmp_path):
    from safetensors.numpy import load_file, save_file

    copy = shutil.copytree(tiny_clip("CLIPVisionModelWithProjection"), tmp_path / "copy")
    weights = load_file(copy / "model.safetensors")
    del weights["visual_projection.weight"]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BadInput, match="lacks weights: visual_projection"):
        open_encoder(str(copy))


def test_pickled_weights_are_not_loaded(tiny_clip, tmp_path):
    import torch

    copy = shutil.copytree(tiny_clip(), tmp_path / "copy")
    (copy / "model.safetensors").unlink()
    torch.save({}, copy / "pytorch_model.bin")
    with pytest.raises(BadInput, match="cannot load copy"):
        open_encoder(str(copy))


def respell(folder, key, value):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda f: (f / "config.json").unlink(), "not a model folder"),
        (lambda f: (f / "config.json").write_text("{"), "cannot read"),
        (lambda f: (f / "config.json").write_text(json.dumps({"model_type": "bert"})), "only CLIP models"),
        (lambda f: (f / "preprocessor_config.json").unlink(), r"has no preprocessor_config\.json"),
        (lambda f: (f / "model.safetensors").write_bytes(b"x" * 100), "cannot load"),
        (lambda f: respell(f, "vision_config", "x"), "cannot load"),
        (lambda f: respell(f, "projection_dim", "x"), "cannot load"),
    ],
)
def test_an_unusable_folder_is_refused(tiny_clip, tmp_path, spoil, complaint):
    copy = shutil.copytree(tiny_clip(), tmp_path / "copy")
    spoil(copy)
    with pytest.raises(BadInput, match=complaint):
        open_encoder(str(copy))


def test_a_preprocessor_of_another_size_than_the_model_is_refused(tiny_clip, tmp_path):
    copy = shutil.copytree(tiny_clip(), tmp_path / "copy")
    path = copy / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"crop_size": {"height": 16, "width": 16}}))
    with pytest.raises(BadInput, match="gives 16x16 pixels, the model wants 32x32"):
        open_encoder(str(copy))


def test_an_unreachable_model_names_the_ways_out():
    with pytest.raises(Unavailable, match="local folder that holds it, or use --encoder packaged") as caught:
        open_encoder(DEFAULT_ENCODER)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "no/such/folder", "../nowhere", "clip", "a b/c"])
def test_a_name_that_is_nothing_is_refused(name):
    if name == "":  # the empty path is the current folder, which is no model
        with pytest.raises(BadInput):
            open_encoder(name)
    else:
        with pytest.raises(BadInput, match="no encoder"):
            open_encoder(name)


def test_cuda_is_an_error_where_there_is_none(tiny_clip):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(BadInput, match="no CUDA device"):
        open_encoder(str(tiny_clip()), device="cuda")
    with pytest.raises(BadInput, match="half precision is for CUDA"):
        open_encoder(str(tiny_clip()), precision="float16")


def test_half_precision_on_cuda_is_close_to_single(tiny_clip):
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    pixels = np.stack([open_encoder(str(tiny_clip())).preprocessing.pixels(picture(seed)) for seed in range(5)])
    single = open_encoder(str(tiny_clip()), device="cuda", precision="float32").embed(pixels)
    half = open_encoder(str(tiny_clip()), device="cuda").embed(pixels)
    assert (single * half).sum(axis=1).min() > 0.999


def test_the_packaged_encoder_tells_banners_apart_and_not_editions(covers):
    encoder = open_encoder("packaged")
    paths = [covers / "100010.jpg", covers / "100020.jpg"]
    pixels = np.stack([encoder.preprocessing.pixels(decode(path)) for path in paths])
    darker = (pixels[:1] * 0.9).astype(np.uint8)
    embeddings = encoder.embed(np.concatenate([pixels, darker]))
    assert embeddings.shape == (3, 1280)
    assert embeddings[0] @ embeddings[2] > 0.95 > embeddings[0] @ embeddings[1]
