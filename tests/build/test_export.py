"""Encoders as the web has them: what ONNX Runtime gives is what torch gives."""

import json
import shutil

import numpy as np
import pytest

from banners.build import export
from banners.build.export import recall_at
from banners.catalogue.manifest import MANIFEST
from banners.catalogue.query_encoder import IMAGE_MODEL, QueryEncoder
from banners.catalogue.reader import open_catalogue
from banners.encoders import Choice
from banners.images import decode
from embed_banners import main
from tests.conftest import picture, save_clip_tokenizer


@pytest.fixture
def speaking_clip(tiny_clip, tmp_path):
    """A tiny CLIP with random weights that has a tokenizer too."""
    return save_clip_tokenizer(shutil.copytree(tiny_clip(), tmp_path / "speaking"), ["red", "blue", "a", "forest"])


def embed(banners, out, encoder, *options):
    return main([str(banners), "--out", str(out), "--encoder", str(encoder), "--no-parts", "--no-map", *options])


def test_words_and_pictures_are_embedded_as_by_torch(banners_folder, tmp_path, speaking_clip):
    import torch
    import transformers

    assert embed(banners_folder, tmp_path / "c", speaking_clip) == 0
    made = open_catalogue(tmp_path / "c", check_hashes=True)
    encoder = QueryEncoder.of(made)
    for row, appid in enumerate((10, 20, 30, 40, 50, 60)):
        found = encoder.picture(decode(banners_folder / f"{appid}.png"))
        assert found @ made.embeddings[row] > 0.999
    model = transformers.CLIPModel.from_pretrained(speaking_clip).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(speaking_clip)
    for text in ("a red forest", "BLUE", "something unknown", "", "red " * 200):
        tokens = tokenizer(text, truncation=True, max_length=77, return_tensors="pt")
        with torch.inference_mode():
            theirs = model.get_text_features(**tokens).pooler_output[0]
        theirs = (theirs / theirs.norm()).numpy()
        assert encoder.words(text) @ theirs > 0.999, text
    models = made.manifest.queries
    assert models.image.cosine >= 0.999
    assert models.image.recall_at_10 >= 0.95
    assert models.text.length == 77
    assert len(made.games.terms) == len(made.term_embeddings) > 300
    assert all(1 <= len(made.games.labels_of(row)) <= 5 for row in range(6))
    assert set(made.indexes) == {"plain"}


def test_the_packaged_encoder_answers_pictures_and_no_words(banners_folder, tmp_path, capsys):
    assert embed(banners_folder, tmp_path / "c", "packaged") == 0
    assert "no search by words and no labels" in capsys.readouterr().err
    made = open_catalogue(tmp_path / "c", check_hashes=True)
    encoder = QueryEncoder.of(made)
    assert not encoder.has_text
    assert made.games.terms == ()
    assert encoder.picture(decode(banners_folder / "30.png")) @ made.embeddings[2] > 0.999


def test_a_model_with_words_but_without_a_tokenizer_answers_pictures_only(banners_folder, tmp_path, tiny_clip, capsys):
    assert embed(banners_folder, tmp_path / "c", tiny_clip()) == 0
    assert "it has no tokenizer" in capsys.readouterr().err
    made = open_catalogue(tmp_path / "c", check_hashes=True)
    assert not QueryEncoder.of(made).has_text


def test_without_queries_nothing_is_exported(banners_folder, tmp_path, tiny_clip):
    assert embed(banners_folder, tmp_path / "c", tiny_clip(), "--no-queries") == 0
    assert QueryEncoder.of(open_catalogue(tmp_path / "c", check_hashes=True)) is None


def test_an_export_that_gives_other_embeddings_is_refused(banners_folder, tmp_path, monkeypatch, capsys, tiny_clip):
    session = export.Session

    class Drifting(session):
        def __call__(self, array):
            found = super().__call__(array)
            return np.roll(found, 1, axis=1)

    monkeypatch.setattr(export, "Session", Drifting)
    assert embed(banners_folder, tmp_path / "c", tiny_clip()) == 0
    assert "the exported model gives other embeddings" in capsys.readouterr().err
    assert IMAGE_MODEL not in json.loads((tmp_path / "c" / MANIFEST).read_text())["files"]


def test_the_smallest_precision_that_finds_the_neighbours_is_taken(tmp_path, tiny_clip, monkeypatch):
    encoder = Choice(str(tiny_clip()), device="cpu").open()
    pixels = np.stack([encoder.preprocessing.pixels(picture(seed)) for seed in range(40)])
    embeddings = encoder.embed(pixels)
    monkeypatch.setattr(export, "WORTH_QUANTISING", 2.0)  # of so small a model nothing is saved
    taken = []
    sessions = []
    session = export.Session

    def noted(path, precision):
        sessions.append(precision)
        return session(path, precision)

    monkeypatch.setattr(export, "Session", noted)
    for least in (0.0, 1.01):
        monkeypatch.setattr(export, "LEAST_RECALL", least)
        taken.append(export.export_images(encoder, pixels, embeddings, range(40), tmp_path).precision)
    assert taken == ["int8", "float32"]
    assert sessions == ["float32", "int8", "float32", "int8", "int8 weights"]


def test_recall_counts_any_of_equal_neighbours_and_not_the_row_itself():
    embeddings = np.eye(12, dtype=np.float32)
    assert recall_at(embeddings[:2], embeddings[:2], embeddings, np.array([0, 1])) == 1
    assert recall_at(embeddings[:1], embeddings[1:2], embeddings, None) == pytest.approx(1.0, abs=0.11)
    assert (
        recall_at(np.ones((1, 1), np.float32), np.ones((1, 1), np.float32), np.ones((1, 1), np.float32), np.array([0]))
        == 1
    )


def test_a_text_side_that_cannot_be_loaded_costs_words_only(banners_folder, tmp_path, speaking_clip, capsys):
    (speaking_clip / "tokenizer.json").write_text("{}")
    assert embed(banners_folder, tmp_path / "c", speaking_clip) == 0
    assert "no search by words and no labels" in capsys.readouterr().err
    assert not QueryEncoder.of(open_catalogue(tmp_path / "c", check_hashes=True)).has_text


def test_siglip_reads_texts_that_are_filled_up(banners_folder, tmp_path):
    import torch
    import transformers

    torch.manual_seed(0)
    one = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = one | {"vocab_size": 600, "max_position_embeddings": 12, "projection_size": 32}
    config = transformers.SiglipConfig(text_config=text, vision_config=one | {"image_size": 32, "patch_size": 8})
    model = transformers.SiglipModel(config).eval()
    folder = save_clip_tokenizer(tmp_path / "siglip", ["red", "forest"])
    model.save_pretrained(folder)
    sizes = {"size": {"height": 32, "width": 32}, "resample": 3}
    transformers.SiglipImageProcessorPil(**sizes).save_pretrained(folder)
    assert embed(banners_folder, tmp_path / "c", folder) == 0
    made = open_catalogue(tmp_path / "c", check_hashes=True)
    encoder = QueryEncoder.of(made)
    assert encoder.has_text
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokens = tokenizer("red forest", padding="max_length", max_length=12, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        theirs = model.get_text_features(input_ids=tokens.input_ids).pooler_output[0]
    assert encoder.words("red forest") @ (theirs / theirs.norm()).numpy() > 0.999
