"""Image encoders: a table of named ones, and any of Hugging Face's by hub id or folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from banners.encoders.encoder import DEFAULT_ENCODER, Encoder, TextTower, import_torch
from banners.errors import BadInput
from banners.images import Fit

Device = Literal["auto", "cuda", "cpu"]
DEVICES: tuple[Device, ...] = get_args(Device)
Precision = Literal["auto", "float32", "float16", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

PACKAGED = "packaged"
LOCAL_FEATURES = "local-features"  # what stands where on a banner, for banners/vectors/regions.py; no encoder to choose

# Short names of models on the Hugging Face hub.
NAMED: Mapping[str, str] = {
    "clip-b32": DEFAULT_ENCODER,
    "clip-b16": "openai/clip-vit-base-patch16",
    "clip-l14": "openai/clip-vit-large-patch14",
    "clip-b32-laion": "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
    "siglip-b16-256": "google/siglip-base-patch16-256",
    "siglip2-b16": "google/siglip2-base-patch16-224",
    "dinov2-s": "facebook/dinov2-small",
    "dinov2-b": "facebook/dinov2-base",
    "mobilenet-v2": "google/mobilenet_v2_1.0_224",
}


@dataclass(frozen=True)
class Choice:
    """An encoder to be opened: a named one, a local folder, or a Hugging Face id, with "@" and a revision if wanted.
    `is_wide` says that banners are wider than tall, to an encoder that has a shape for either."""

    name: str
    fit: Fit = "squash"
    device: Device = "auto"
    precision: Precision = "auto"
    is_wide: bool = False

    def open(self) -> Encoder:
        """Raises `BadInput` for a name, model or device that cannot be used, `Unavailable` when the weights or a
        library cannot be had."""
        device = _choose_device(self.device)
        precision = _choose_precision(self.precision, device)
        if self.name == PACKAGED:
            from banners.encoders import packaged

            return packaged.open_packaged(self.fit, device, precision, self.is_wide)
        if self.name == LOCAL_FEATURES:
            from banners.encoders import packaged

            return packaged.open_local_features(device, self.is_wide)
        from banners.encoders import huggingface

        hub_id = NAMED.get(self.name, self.name)
        if not Path(self.name).is_dir() and not huggingface.HUB_ID.fullmatch(hub_id):
            raise BadInput(
                f"no encoder {self.name!r}: not a named one ({', '.join([*NAMED, PACKAGED])}), no folder here, and"
                f" not a hub id such as {DEFAULT_ENCODER}"
            )
        return huggingface.open_model(hub_id, self.fit, device, precision)

    def open_for_many(self, threads: int = 0) -> Encoder:
        """As `open`, for many images. On a CPU the packaged networks compute by ONNX Runtime, nearly twice as fast as
        by torch. `threads` 0 means one on each core."""
        encoder = self.open()
        if encoder.device == "cuda" or self.name not in (PACKAGED, LOCAL_FEATURES):
            return encoder
        from banners.encoders.exported import by_onnx

        return by_onnx(encoder, threads)


def open_text_tower(name: str) -> TextTower:
    """The text side of the encoder `name`. Raises `BadInput` if it has none, or `Unavailable`."""
    if name == PACKAGED:
        raise BadInput("the encoder knows no texts")
    from banners.encoders import huggingface

    return huggingface.open_text_tower(NAMED.get(name, name))


def why_no_cuda() -> str:
    """Why torch cannot use CUDA on a machine that seems to be meant for it; "" if nothing is wrong."""
    torch = import_torch()
    if torch.cuda.is_available():
        return ""
    if any(Path("/dev").glob("nvidia[0-9]*")):
        return "there is an NVIDIA device, but torch cannot use it (its driver, or a build of torch without CUDA)"
    return "this build of torch is for CUDA, but it sees no device" if torch.version.cuda else ""


def _choose_device(device: Device) -> str:
    torch = import_torch()
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
