"""An encoder: an opened model that turns pixels into embeddings. Torch is imported late."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from banners.arrays import Matrix
from banners.errors import BadInput, Unavailable
from banners.images import Preprocessing
from banners.views import REVERSED, EmbeddedView

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

DEFAULT_ENCODER = "openai/clip-vit-base-patch32"

# Libraries whose version may change the last bits of an embedding, by their names on PyPI.
_LIBRARIES = ("torch", "transformers", "efficientnet-lite-pytorch", "numpy", "Pillow")


# Batches are padded to a multiple of this many images. In others, the last bits of an embedding depend on the image's
# place in the batch and on the number of threads.
_ROWS = 16


@dataclass(frozen=True)
class Encoder:
    """An opened image encoder.

    `revision` pins the weights: a hub commit, or "sha256:..." of the files. `output` says which of the model's outputs
    is the embedding. `forward` takes a normalised tensor (B, 3, H, W) of dtype `precision` on `device`, and gives
    (B, dim) there, by the weights of `module`. `is_normalised`: embeddings are L2-normalised. `onnxruntime` is
    the version of ONNX Runtime if it computes them, "" if torch does.
    """

    id: str
    revision: str
    output: str
    dim: int
    preprocessing: Preprocessing
    device: str
    precision: str
    forward: "Callable[[Tensor], Tensor]"
    module: "Module | None" = None
    is_normalised: bool = True
    onnxruntime: str = ""

    def identity(self, batch_size: int) -> dict[str, Any]:
        """All that the bits of an embedding depend on beside its image. The size of the batch is part of it: a
        product of other shapes may add up in another order."""
        return {
            "encoder": self.id,
            "revision": self.revision,
            "output": self.output,
            "preprocessing": self.preprocessing.to_json(),
            "device": self.device,
            "precision": self.precision,
            "is_compiled": False,  # rows that earlier versions embedded stay valid
            "batch_size": batch_size,
            "libraries": library_versions() | ({"onnxruntime": self.onnxruntime} if self.onnxruntime else {}),
        }

    def embed_views(self, pixels: npt.NDArray[np.uint8], views: Sequence[EmbeddedView]) -> dict[EmbeddedView, Matrix]:
        """Embed pixels (uint8 (B, H, W, 3)): float32 (B, dim) for each view, rows L2-normalised if `is_normalised`, NaN
        if they are not finite. Raises `BadInput` when the device cannot hold the batch."""
        import torch

        count = len(pixels)
        pixels = np.pad(pixels, ((0, -count % _ROWS), (0, 0), (0, 0), (0, 0)))
        embedded: dict[EmbeddedView, Matrix] = {}
        try:
            with torch.inference_mode():
                images = self.normalise(torch.from_numpy(pixels))
                for view in views:
                    axes = () if view == "titled" else REVERSED[view]
                    output = self.forward(images.flip(axes) if axes else images)
                    output = output.float()  # normalised in float32: half precision makes false ties
                    output = output / output.norm(dim=1, keepdim=True) if self.is_normalised else output
                    embedded[view] = output[:count].cpu().numpy()
        except RuntimeError as error:  # `torch.OutOfMemoryError` is one
            if not isinstance(error, torch.OutOfMemoryError) and "allocate memory" not in str(error):
                raise
            raise BadInput(
                f"{self.device} does not have enough memory for {count} images at once; use a smaller --batch-size"
            ) from None
        return embedded

    def embed(self, pixels: npt.NDArray[np.uint8], view: EmbeddedView = "plain") -> Matrix:
        """Embed one batch in one view; see `embed_views`."""
        return self.embed_views(pixels, [view])[view]

    def normalise(self, pixels: "Tensor") -> "Tensor":
        """Convert pixels, uint8 (B, H, W, 3) on the CPU, to the input of `forward`, on `device`."""
        import torch

        scale, shift = (
            torch.tensor(values, device=self.device).view(1, 3, 1, 1) for values in self.preprocessing.scale_and_shift
        )
        normalised = pixels.to(self.device).permute(0, 3, 1, 2).float() * scale - shift
        return normalised.to(getattr(torch, self.precision), memory_format=torch.contiguous_format)


@dataclass(frozen=True)
class TextTower:
    """The text side of an encoder, in the same space as its images.

    `forward` takes tokens, int64 (B, T), T at most `length`, and gives float32 (B, dim), not normalised. `tokenizer` is
    the JSON of the tokenizers library. `padding` is the token that every text is filled up to `length` with, None where
    it is left as it is. Cosines times `scale` are the logits that the model was trained on.
    """

    forward: "Callable[[Tensor], Tensor]"
    module: "Module"
    tokenizer: str
    length: int
    padding: int | None
    scale: float


def library_versions() -> dict[str, str]:
    """Versions of the installed libraries that the numbers depend on."""
    versions = {}
    for name in _LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def import_torch() -> Any:
    """The module, or `Unavailable`."""
    try:
        import torch
    except ImportError as error:
        raise Unavailable.library(error) from None
    return torch
