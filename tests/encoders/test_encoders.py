import json
import shutil

import numpy as np
import pytest
from PIL import Image

from banners.encoders import NAMED, Choice
from banners.encoders.encoder import DEFAULT_ENCODER
from banners.errors import BadInput, Unavailable
from banners.images import decode
from tests.conftest import picture


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
    encoder = Choice(str(tiny_clip()), "crop").open()
    ours = encoder.embed(np.stack([encoder.preprocessing.pixels(image) for image in images]))
    theirs = reference_embeddings(tiny_clip(), images)
    assert ours.dtype == np.float32
    assert ours.shape == (4, encoder.dim) == (4, 24)
    assert (ours * theirs).sum(axis=1).min() > 0.99999
    assert not np.allclose(ours[0], ours[1], atol=0.01)


def test_real_covers_are_embedded_as_by_hugging_face(tiny_clip, covers):
    images = [Image.open(path).convert("RGB") for path in sorted(covers.glob("*.jpg"))[:20]]
    encoder = Choice(str(tiny_clip()), "crop").open()
    ours = encoder.embed(np.stack([encoder.preprocessing.pixels(image) for image in images]))
    assert (ours * reference_embeddings(tiny_clip(), images)).sum(axis=1).min() > 0.9999


def test_batch_size_and_order_change_nothing_beyond_float_noise(tiny_clip):
    encoder = Choice(str(tiny_clip())).open()
    pixels = np.stack([encoder.preprocessing.pixels(picture(seed)) for seed in range(7)])
    together = encoder.embed(pixels)
    alone = np.concatenate([encoder.embed(one[None]) for one in pixels])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    np.testing.assert_allclose(encoder.embed(pixels[::-1].copy())[::-1], together, atol=1e-6)


def test_a_bare_vision_model_gives_its_pooled_output(tiny_clip):
    encoder = Choice(str(tiny_clip("CLIPVisionModel"))).open()
    assert (encoder.output, encoder.dim) == ("pooler_output", 32)
    embedding = encoder.embed(encoder.preprocessing.pixels(picture(1))[None])
    assert embedding.shape == (1, 32)
    assert np.linalg.norm(embedding) == pytest.approx(1)


def test_the_revision_of_a_folder_changes_with_its_weights(tiny_clip, tmp_path):
    copy = shutil.copytree(tiny_clip(), tmp_path / "copy")
    assert Choice(str(copy)).open().revision == Choice(str(tiny_clip())).open().revision
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    assert Choice(str(copy)).open().revision != Choice(str(tiny_clip())).open().revision
    assert Choice(str(copy)).open().id == "copy"


def test_missing_weights_are_refused_instead_of_filled_with_random_numbers(tiny_clip, tmp_path):
    from safetensors.numpy import load_file, save_file

    copy = shutil.copytree(tiny_clip("CLIPVisionModelWithProjection"), tmp_path / "copy")
    weights = load_file(copy / "model.safetensors")
    del weights["visual_projection.weight"]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BadInput, match="lacks weights: visual_projection"):
        Choice(str(copy)).open()


def test_pickled_weights_are_not_loaded(tiny_clip, tmp_path):
    import torch

    copy = shutil.copytree(tiny_clip(), tmp_path / "copy")
    (copy / "model.safetensors").unlink()
    torch.save({}, copy / "pytorch_model.bin")
    with pytest.raises(BadInput, match="cannot load copy"):
        Choice(str(copy)).open()


def respell(folder, key, value):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda f: (f / "config.json").unlink(), "not a model folder"),
        (lambda f: (f / "config.json").write_text("{"), "cannot read"),
        (lambda f: (f / "config.json").write_text(json.dumps({"model_type": "bert"})), "lacks weights"),
        (lambda f: (f / "config.json").write_text("{}"), "without model_type"),
        (lambda f: (f / "preprocessor_config.json").unlink(), r"has no preprocessor_config\.json"),
        (lambda f: (f / "model.safetensors").write_bytes(b"x" * 100), "cannot load"),
        (lambda f: respell(f, "vision_config", "x"), "cannot load"),
        (lambda f: respell(f, "projection_dim", "x"), "cannot load"),
        (lambda f: respell(f, "model_type", "timm_wrapper"), "cannot load"),
        (lambda f: (f / "config.json").write_text("[" * 100_000), "cannot read"),
        (lambda f: (f / "preprocessor_config.json").write_text('{"a":' * 100_000), "cannot read"),
    ],
)
def test_an_unusable_folder_is_refused(tiny_clip, tmp_path, spoil, complaint):
    copy = shutil.copytree(tiny_clip(), tmp_path / "copy")
    spoil(copy)
    with pytest.raises(BadInput, match=complaint):
        Choice(str(copy)).open()


def test_a_preprocessor_of_another_size_than_the_model_is_refused(tiny_clip, tmp_path):
    copy = shutil.copytree(tiny_clip(), tmp_path / "copy")
    path = copy / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"crop_size": {"height": 16, "width": 16}}))
    with pytest.raises(BadInput, match="cannot embed images of 16x16 pixels"):
        Choice(str(copy)).open()


def test_an_unreachable_model_names_the_ways_out():
    with pytest.raises(Unavailable, match="local folder that holds it, or use --encoder packaged") as caught:
        Choice(DEFAULT_ENCODER).open()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "no/such/folder", "../nowhere", "clip", "a b/c"])
def test_a_name_that_is_nothing_is_refused(name):
    if name == "":  # the empty path is the current folder, which is no model
        with pytest.raises(BadInput):
            Choice(name).open()
    else:
        with pytest.raises(BadInput, match="no encoder"):
            Choice(name).open()


def test_cuda_is_an_error_where_there_is_none(tiny_clip):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(BadInput, match="no CUDA device"):
        Choice(str(tiny_clip()), device="cuda").open()
    with pytest.raises(BadInput, match="half precision is for CUDA"):
        Choice(str(tiny_clip()), precision="float16").open()


def test_half_precision_on_cuda_is_close_to_single(tiny_clip):
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    pixels = np.stack([Choice(str(tiny_clip())).open().preprocessing.pixels(picture(seed)) for seed in range(5)])
    single = Choice(str(tiny_clip()), device="cuda", precision="float32").open().embed(pixels)
    half = Choice(str(tiny_clip()), device="cuda").open().embed(pixels)
    assert (single * half).sum(axis=1).min() > 0.999


def test_the_packaged_encoder_tells_banners_apart_and_not_editions(covers):
    encoder = Choice("packaged").open()
    paths = [covers / "100010.jpg", covers / "100020.jpg"]
    pixels = np.stack([encoder.preprocessing.pixels(decode(path)) for path in paths])
    darker = (pixels[:1] * 0.9).astype(np.uint8)
    embeddings = encoder.embed(np.concatenate([pixels, darker]))
    assert embeddings.shape == (3, 1280)
    assert embeddings[0] @ embeddings[2] > 0.95 > embeddings[0] @ embeddings[1]


def test_the_packaged_encoder_for_many_is_that_of_torch_by_any_number_of_threads():
    choice = Choice("packaged", device="cpu")
    by_torch, one, three = choice.open(), choice.open_for_many(1), choice.open_for_many(3)
    pixels = np.stack([by_torch.preprocessing.pixels(picture(seed, (300, 450))) for seed in range(6)])
    found = one.embed_views(pixels, ["plain", "mirror"])
    for view, expected in by_torch.embed_views(pixels, ["plain", "mirror"]).items():
        np.testing.assert_allclose(found[view], expected, atol=2e-6)
    assert three.embed(pixels).tobytes() == found["plain"].tobytes()
    assert three.embed(pixels[4:]).tobytes() == found["plain"][4:].tobytes()
    assert by_torch.identity(32) != one.identity(32) == three.identity(32)


def save_model(folder, model, processor):
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def tiny(name, folder):
    """A tiny model of the class that the named encoder has, with its own kind of image processor, and how Hugging
    Face's own classes take an embedding from it."""
    import torch
    import transformers as hf

    torch.manual_seed(0)
    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision |= {"image_size": 32, "patch_size": 8}
    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
    text |= {"vocab_size": 99, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    sizes = {"size": {"height": 32, "width": 32}}
    cropped = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    if name.startswith("clip"):
        model = hf.CLIPModel(hf.CLIPConfig(text_config=text, vision_config=vision, projection_dim=24))
        processor = hf.CLIPImageProcessorPil(**cropped)

        def take(pixels):
            return model.get_image_features(pixel_values=pixels).pooler_output

    elif name.startswith("siglip"):
        model = hf.SiglipModel(hf.SiglipConfig(text_config=text, vision_config=vision))
        processor = hf.SiglipImageProcessorPil(**sizes)

        def take(pixels):
            return model.get_image_features(pixel_values=pixels).pooler_output

    elif name.startswith("dinov2"):
        # Made for another size than it is given, as the published ones are.
        model = hf.Dinov2Model(hf.Dinov2Config(**{**vision, "image_size": 56}))
        processor = hf.BitImageProcessorPil(**cropped)

        def take(pixels):
            return model(pixel_values=pixels).last_hidden_state[:, 0]

    else:
        model = hf.MobileNetV2Model(hf.MobileNetV2Config(image_size=32, depth_multiplier=0.35))
        for weights in model.parameters():
            if weights.ndim == 4:
                torch.nn.init.kaiming_normal_(weights)  # its own beginning leaves nothing after fifty layers
        processor = hf.MobileNetV2ImageProcessorPil(size={"shortest_edge": 40}, crop_size={"height": 32, "width": 32})

        def take(pixels):
            return model(pixel_values=pixels).pooler_output

    return save_model(folder, model.eval(), processor), take, processor


@pytest.mark.parametrize("name", NAMED)
def test_each_named_encoder_embeds_as_hugging_face_does(name, tmp_path):
    import torch

    folder, take, processor = tiny(name, tmp_path / "model")
    encoder = Choice(str(folder), "crop").open()
    # Squares: the crop of SigLIP's, which are not cropped, is then the same as the squash that they are made with.
    images = [picture(seed, (size, size)) for seed, size in enumerate([90, 57, 32])]
    ours = encoder.embed(np.stack([encoder.preprocessing.pixels(image) for image in images]))
    with torch.inference_mode():
        theirs = take(processor(images=images, return_tensors="pt").pixel_values)
        theirs = torch.nn.functional.normalize(theirs, dim=1).numpy()
    assert ours.shape == (3, encoder.dim) == theirs.shape
    assert (ours * theirs).sum(axis=1).min() > 0.99999
    assert not np.allclose(ours[0], ours[1], atol=1e-3)


def other_models():
    import transformers as hf

    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision |= {"image_size": 32, "patch_size": 8}
    sizes = {"size": {"height": 32, "width": 32}}
    return {
        "vit": lambda: (hf.ViTModel(hf.ViTConfig(**vision), add_pooling_layer=False), hf.ViTImageProcessorPil(**sizes)),
        "resnet": lambda: (
            hf.ResNetModel(hf.ResNetConfig(hidden_sizes=[16, 32], depths=[1, 1], embedding_size=16)),
            hf.ConvNextImageProcessorPil(size={"shortest_edge": 32}),
        ),
        "swin": lambda: (
            hf.SwinModel(hf.SwinConfig(image_size=32, embed_dim=12, depths=[1, 1], num_heads=[1, 1], window_size=4)),
            hf.ViTImageProcessorPil(**sizes),
        ),
    }


@pytest.mark.parametrize(("kind", "dim"), [("vit", 32), ("resnet", 32), ("swin", 24)])
def test_any_image_model_can_be_an_encoder(kind, dim, tmp_path):
    model, processor = other_models()[kind]()
    encoder = Choice(str(save_model(tmp_path / "model", model, processor))).open()
    embeddings = encoder.embed(np.stack([encoder.preprocessing.pixels(picture(seed)) for seed in range(2)]))
    assert embeddings.shape == (2, dim)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)


def test_a_preprocessor_that_leaves_things_out_has_the_defaults_of_its_class(tmp_path):
    folder, _, _ = tiny("mobilenet-v2", tmp_path / "model")
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps({"feature_extractor_type": "MobileNetV2FeatureExtractor", "crop_size": 32}))
    preprocessing = Choice(str(folder)).open().preprocessing
    assert (preprocessing.mean, preprocessing.resample) == ((0.5,) * 3, Image.Resampling.BILINEAR)
    assert (preprocessing.height, preprocessing.shortest_edge) == (32, 256)


def test_a_row_has_the_same_bits_wherever_it_stands_in_a_batch(tiny_clip):
    encoder = Choice(str(tiny_clip())).open()
    pixels = np.stack([encoder.preprocessing.pixels(picture(seed)) for seed in range(32)])
    together = encoder.embed(pixels)
    assert encoder.embed(np.roll(pixels, 5, axis=0)).tobytes() == np.roll(together, 5, axis=0).tobytes()
    alone = np.zeros_like(pixels)
    alone[9] = pixels[3]
    assert encoder.embed(alone)[9].tobytes() == together[3].tobytes()


def test_an_identity_names_all_that_the_numbers_depend_on(tiny_clip):
    def identity(size=32, **options):
        return json.dumps(Choice(str(tiny_clip()), **options).open().identity(size), sort_keys=True)

    assert identity() == identity()
    assert len({identity(), identity(16), identity(fit="crop"), identity(fit="pad")}) == 4


def test_the_code_of_a_model_is_never_run(tiny_clip, tmp_path):
    copy = shutil.copytree(tiny_clip(), tmp_path / "copy")
    (copy / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    (copy / "config.json").write_text(json.dumps({"model_type": "evil", "auto_map": {"AutoConfig": "evil.C"}}))
    with pytest.raises(BadInput):
        Choice(str(copy)).open()
    assert not (tmp_path / "ran").exists()
