import numpy as np
import pytest

from banners.errors import BadInput
from banners.vectors.labels import VOCABULARY, Term, embed_terms, label, probabilities, read_vocabulary


def test_the_vocabulary_has_terms_of_every_kind_and_each_once():
    terms = read_vocabulary(VOCABULARY)
    assert 300 <= len(terms) <= 400
    assert {term.kind for term in terms} == {"genre", "theme", "setting", "subject", "style", "mood", "colour"}
    assert len({term.name for term in terms}) == len(terms)
    assert all("{" not in prompt and term.name in prompt for term in terms for prompt in term.prompts)


def test_a_vocabulary_may_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / "labels.toml").write_bytes(b"\xef\xbb\xbf" + b'[mood]\nprompts = ["a {}"]\nterms = ["calm", "grim"]\n')
    assert [term.name for term in read_vocabulary(tmp_path / "labels.toml")] == ["calm", "grim"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "[a]\nterms=['x','y']",
        "[a]\nprompts=['{}']\nterms='x'",
        "[a]\nprompts=['{}']\nterms=[]",
        "[a]\nprompts=['none']\nterms=['x','y']",
        "[a]\nprompts=['{} and {}']\nterms=['x','y']",
        "[a]\nprompts=['{}']\nterms=['x','x']",
        "[a]\nprompts=['{}']\nterms=['x','']",
        "[a]\nprompt=['{}']\nterms=['x','y']",
        "[a]\nprompts=['{}']\nterms=['x',' ']",
        "[a]\nprompts=['{}']\nterms=['x',\"y\\nz\"]",
        "a = 1",
    ],
)
def test_a_malformed_vocabulary_is_refused_with_one_line(tmp_path, text):
    path = tmp_path / "v.toml"
    path.write_text(text)
    with pytest.raises(BadInput, match=r"cannot read the vocabulary|must have 2 to") as caught:
        read_vocabulary(path)
    assert "\n" not in str(caught.value)


def test_a_term_that_is_named_twice_is_one_whatever_its_case_and_kind(tmp_path):
    kinds = "[a]\nprompts=['{}']\nterms=['x',' y ','X']\n[b]\nprompts=[\"a\\n{}\"]\nterms=['Y','z']"
    (tmp_path / "v.toml").write_text(kinds)
    assert [(term.name, term.prompts[0]) for term in read_vocabulary(tmp_path / "v.toml")] == [
        ("x", "x"),
        ("y", "y"),
        ("z", "a\nz"),
    ]


def test_a_term_is_the_mean_of_its_sentences():
    axes = {"a": [1, 0], "b": [0, 1], "c": [0, 1]}
    embedded = embed_terms(
        [Term("x", "k", ("a", "b")), Term("y", "k", ("c",))],
        lambda texts: np.array([axes[text] for text in texts], np.float32),
    )
    np.testing.assert_allclose(embedded, [[0.5**0.5, 0.5**0.5], [0, 1]], atol=1e-6)


def test_a_banner_has_the_likeliest_terms_and_a_term_the_nearest_banners():
    terms = np.eye(3, dtype=np.float32)
    banners = np.array([[0.8, 0.6, 0], [0, 0.6, 0.8], [0, 1, 0]], np.float32)
    found = label(banners, [Term(name, "k", ()) for name in "xyz"], terms, 10.0)
    assert [terms[p > 0].tolist() for terms, p in zip(found.terms, found.probabilities, strict=True)] == [[0], [2], [1]]
    assert found.banners.tolist() == [[0, 1, 2], [2, 0, 1], [1, 0, 2]]
    expected = np.exp([8.0, 6.0, 0.0]) / np.exp([8.0, 6.0, 0.0]).sum()
    np.testing.assert_allclose(probabilities(banners[:1], terms, 10.0)[0], expected, rtol=1e-5)
    np.testing.assert_allclose(found.probabilities[0, 0], expected[0], rtol=1e-5)


def test_a_label_that_fits_every_banner_is_shown_only_for_those_that_it_fits_better_than_the_average():
    terms = np.eye(3, dtype=np.float32)
    banners = np.array([[0.96, 0.28, 0], [0.8, 0, 0.6], [0.9, 0, 0.43589]], np.float32)
    found = label(banners, [Term(name, "k", ()) for name in "xyz"], terms, 10.0)
    assert found.terms[0, 0] == found.terms[2, 0] == 0  # x, above its base rate
    assert found.terms[1, 0] == 2  # x is the likeliest there too, but less likely than for the average banner
    assert probabilities(banners[1:2], terms, 10.0)[0].argmax() == 0
