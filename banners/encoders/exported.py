"""Networks as ONNX files: for the web app, which has no torch, and for CPUs, where ONNX Runtime may be faster."""

import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from banners.catalogue.query_encoder import Session
from banners.encoders.encoder import Encoder
from banners.errors import SteamClipError, Unavailable, one_line

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

_OPSET = 17


class ExportFailed(SteamClipError):
    """A model cannot be exported, or its export gives other numbers; the message says which."""


def by_onnx(encoder: Encoder, threads: int = 0) -> Encoder:
    """Let ONNX Runtime compute an encoder that is on the CPU. `threads` 0 means one on each core. Each image is
    computed by itself, so that no output depends on the others of its batch. Raises as `export` does."""
    import torch

    with tempfile.TemporaryDirectory() as scratch:
        export_network(encoder, Path(scratch) / "network.onnx")
        import onnxruntime  # is there, or the export would have said so

        session = Session(Path(scratch) / "network.onnx", "float32", threads)

    def forward(pixels: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(np.concatenate([session(one[None]) for one in pixels.numpy()]))

    return replace(encoder, forward=forward, module=None, onnxruntime=onnxruntime.__version__)


def export_network(encoder: Encoder, path: Path) -> None:
    """Export the network of an encoder, which is on the CPU in float32, to `path`. It takes normalised pixels of any
    size, float32 (B, 3, H, W). Raises as `export` does."""
    import torch

    height, width = encoder.preprocessing.height, encoder.preprocessing.width
    noise = np.random.default_rng(0).uniform(-1, 1, (1, 3, height, width)).astype(np.float32)
    with torch.inference_mode():
        expected = encoder.forward(torch.from_numpy(noise)).numpy()
    export(encoder.forward, encoder.module, noise, path, "pixels", {0: "batch", 2: "height", 3: "width"})
    difference = float(np.abs(Session(path, "float32")(noise) - expected).max() / np.abs(expected).max())
    if not difference <= 1e-3:
        raise ExportFailed(f"the exported network of {encoder.id} is off by {difference:.4f}")


def export(
    forward: "Callable[[Tensor], Tensor]",
    module: "Module | None",
    example: npt.NDArray[Any],
    path: Path,
    name: str,
    free_axes: Mapping[int, str] | None = None,
) -> None:
    """Export the function `forward`, with the weights of `module`, to `path`. Its input is called `name` there and has
    the shape of `example`, but `free_axes` may have any length. Raises `Unavailable` without a library, `ExportFailed`.
    """
    import torch

    try:
        import onnx  # noqa: F401 - torch and ONNX Runtime need these, and say so less clearly
        import onnx_ir  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise Unavailable.library(error) from None

    class Side(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = module  # or its weights would be constants, which are not folded

        def forward(self, tensor: "Tensor") -> "Tensor":
            return forward(tensor)

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of tracing; the checks below find what it misses
        try:
            torch.onnx.export(
                Side().eval(),  # or the export would leave its parts in training mode
                (torch.from_numpy(example),),
                path,
                dynamo=False,  # the newer exporter names two nodes alike where a model ends in a division
                opset_version=_OPSET,
                input_names=[name],
                output_names=["embedding"],
                dynamic_axes={name: dict(free_axes)} if free_axes else None,
            )
        except OSError:  # such as a full disk
            raise
        except Exception as error:  # whatever of the model has no counterpart there
            raise ExportFailed(f"cannot be exported: {one_line(error)}") from None
