"""Embedding on many machines, or on all the GPUs of one, by Ray Data: it schedules, restarts what dies, and retries.

Each worker holds one model, on a GPU or on one core, and takes whole batches: it reads, decodes and encodes. What it
gives back is keyed and kept as it is without a cluster, by the program that asked.
"""

import logging
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from banners.embedding import Encoded
from banners.embedding.decoding import Decoded, decode_bytes
from banners.encoders import Device, Encoder, Precision, open_encoder
from banners.encoders.views import View
from banners.errors import BadInput, SteamClipError, Unavailable, UnusableImage, one_line
from banners.games_csv import Banner, is_url
from banners.images import Fit, Preprocessing, read
from banners.processes import keep_freed_memory

Columns = dict[str, npt.NDArray[Any]]

_SECONDS_TO_DIE = 10


@dataclass(frozen=True)
class Choice:
    """The arguments of `open_encoder`, for whoever opens it where."""

    name: str
    fit: Fit
    device: Device
    precision: Precision
    is_compiled: bool
    is_wide: bool

    def open(self) -> Encoder:
        return open_encoder(self.name, self.fit, self.device, self.precision, self.is_compiled, self.is_wide)


@dataclass(frozen=True)
class Cluster:
    """A cluster that is connected to. `workers` is how many models it holds at a time; `on_gpu` says where."""

    workers: int
    on_gpu: bool
    threads: int
    choice: Choice

    @property
    def _resources(self) -> dict[str, float]:
        return {"num_gpus": 1, "num_cpus": self.threads} if self.on_gpu else {"num_cpus": 1}

    def describe(self) -> tuple[Encoder, Callable[[int], dict[str, Any]]]:
        """The encoder as a worker opens it, without what computes, and its identity by size of batch.

        Raises whatever `open_encoder` raises there.
        """
        import ray

        describe = ray.remote(_describe).options(**self._resources)
        with _one_line():
            answer = ray.get(describe.remote(self.choice))
        if isinstance(answer, SteamClipError):
            raise answer
        encoder, identity = answer
        return encoder, lambda batch_size: {**identity, "batch_size": batch_size}

    def encode(self, batch_size: int) -> Callable[[Sequence[Banner], Sequence[View]], Iterator[Encoded]]:
        """The `encode` of `banners.embedding.embed_by` on the cluster. Batches come back in any order."""
        import ray.data
        from ray.data import ActorPoolStrategy

        def encode(banners: Sequence[Banner], views: Sequence[View]) -> Iterator[Encoded]:
            if not banners:
                return
            by_appid = {banner.appid: banner for banner in banners}
            folder = banners[0].path.parent
            items = [{"appid": banner.appid, "name": banner.path.name} for banner in banners]
            blocks = -(-len(items) // batch_size)
            results = ray.data.from_items(items, override_num_blocks=blocks).map_batches(
                _Worker,
                fn_constructor_kwargs={
                    "choice": self.choice,
                    "folder": folder if is_url(folder) else folder.absolute(),
                    "views": tuple(views),
                    "batch_size": batch_size,
                    "threads": self.threads,
                },
                batch_size=batch_size,
                batch_format="numpy",
                compute=ActorPoolStrategy(size=min(self.workers, blocks)),
                **self._resources,
            )
            with _one_line():
                for columns in results.iter_batches(batch_size=None, batch_format="numpy"):
                    yield _encoded(columns, by_appid, views)

        return encode


@contextmanager
def connected(address: str, choice: Choice) -> Iterator[Cluster]:
    """Connect to the Ray cluster at `address`; where it is "", to the one that RAY_ADDRESS names, or to one that is
    started on the cores of this machine and ends with this.

    Raises `BadInput` when it cannot be reached, `Unavailable` without Ray.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_worker_niceness", "0")  # as without a cluster; with its 15 they starve beside others
    os.environ.setdefault("RAY_DATA_LOG_LEVEL", "CRITICAL")  # what fails is told in one line
    _check_answers(address or os.environ.get("RAY_ADDRESS", ""))
    try:
        import ray
        from ray.data import DataContext
    except ImportError as error:
        raise Unavailable(f"{error}; install requirements-cluster.txt") from None
    package = Path(__file__).resolve().parents[1]
    is_local = not address and not os.environ.get("RAY_ADDRESS")
    with _session(is_local) as folder:
        try:
            ray.init(
                address=address or None,
                _temp_dir=folder,
                include_dashboard=False if not address else None,
                logging_level=logging.ERROR,
                log_to_driver=False,
                runtime_env={"py_modules": [str(package)]},  # the workers' own copy, wherever they are
            )
        except Exception as error:  # it has no common base class for what can fail here
            raise BadInput(f"cannot connect to the Ray cluster: {one_line(error)}") from None
        context = DataContext.get_current()
        context.enable_progress_bars = False
        has = ray.cluster_resources()
        gpus, cores = int(has.get("GPU", 0)), max(1, int(has.get("CPU", 1)))
        if choice.device == "cuda" and not gpus:
            raise BadInput("--device cuda: the cluster has no GPU")
        on_gpu = bool(gpus) and choice.device != "cpu"
        yield Cluster(
            workers=gpus if on_gpu else cores,
            on_gpu=on_gpu,
            threads=max(1, cores // gpus) if on_gpu else 1,
            choice=replace(
                choice,
                device="cuda" if on_gpu else "cpu",
                # As it is understood wherever a worker stands.
                name=str(Path(choice.name).absolute()) if Path(choice.name).is_dir() else choice.name,
            ),
        )


@contextmanager
def _session(is_local: bool) -> Iterator[str | None]:
    """Shut Ray down at the end. Gives a folder to a cluster of this machine's own, of which then nothing is left,
    neither process nor file."""
    import psutil
    import ray

    program = psutil.Process()
    others = program.children(recursive=True)
    # Where Ray itself would write, since its sockets need a short path.
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp") if is_local else None
    try:
        yield folder
    finally:
        ours = [child for child in program.children(recursive=True) if child not in others]
        ray.shutdown()
        if folder:
            # Its agents outlive the shutdown, and one that is only starting would make the folder anew.
            for process in ours:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            deadline = time.monotonic() + _SECONDS_TO_DIE
            while any(map(_is_alive, ours)) and time.monotonic() < deadline:
                time.sleep(0.02)
            shutil.rmtree(folder, ignore_errors=True)


def _is_alive(process: Any) -> bool:
    import psutil

    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)  # where its new parent buries nobody
    except psutil.NoSuchProcess:
        return False


@contextmanager
def _one_line() -> Iterator[None]:
    """`BadInput` for what a worker or Ray itself raises, which carries the traceback of another machine."""
    from ray.exceptions import RayError

    try:
        yield
    except (RayError, ConnectionError) as error:
        last = [line.strip() for line in str(error).splitlines() if line.strip()][-1:]
        raise BadInput(f"the cluster failed: {type(error).__name__}: {' '.join(last)[:300]}") from None


def _check_answers(address: str) -> None:
    """Raise `BadInput` where nobody listens at "host:port"; Ray itself would try for minutes."""
    if "://" in address:
        raise BadInput(f"{address}: Ray Data runs on the cluster's own machines; there, name the head as host:6379")
    host, _, port = address.rpartition(":")
    if host and port.isdecimal():
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except (OSError, OverflowError) as error:
            raise BadInput(f"cannot connect to the Ray cluster at {address}: {error}") from None


# -- on the workers -------------------------------------------------------------------------------------------------


def _describe(choice: Choice) -> tuple[Encoder, dict[str, Any]] | SteamClipError:
    try:
        encoder = choice.open()
    except SteamClipError as error:  # given back: what a task raises arrives wrapped and with its traceback
        return error
    except Exception as error:
        return BadInput(f"a worker cannot open {choice.name}: {one_line(error)}")
    return replace(encoder, forward=_not_here, module=None), encoder.identity(0)


def _not_here(_: Any) -> Any:
    raise RuntimeError("this encoder is only described; the cluster's workers have it opened")


class _Worker:
    """One model. Ray makes it once and calls it for each batch."""

    def __init__(self, choice: Choice, folder: Path, views: tuple[View, ...], batch_size: int, threads: int) -> None:
        keep_freed_memory()
        import torch

        torch.set_num_threads(threads)
        self._encoder = choice.open()
        self._folder = folder
        self._views = views
        self._batch_size = batch_size
        self._threads = threads

    def __call__(self, batch: Columns) -> Columns:
        preprocessing = self._encoder.preprocessing
        shape = (self._batch_size, preprocessing.height, preprocessing.width, 3)
        pixels = np.zeros(shape, np.uint8)
        with ThreadPoolExecutor(self._threads) as pool:
            decoded = list(pool.map(lambda name: _decoded(self._folder / name, preprocessing), batch["name"]))
        reasons = [result if isinstance(result, str) else "" for result in decoded]
        for row, result in enumerate(decoded):
            if not isinstance(result, str):
                pixels[row] = result[1]
        known = [asdict(_NOTHING if isinstance(result, str) else result[0]) for result in decoded]
        vectors = self._encoder.begin(pixels, self._views)()
        return {
            "appid": batch["appid"],
            "reason": np.array(reasons, object),
            "content": np.array([entry["content"].hex() for entry in known], object),
            "digest": np.array([entry["digest"].hex() for entry in known], object),
            "width": np.array([entry["size"][0] for entry in known]),
            "height": np.array([entry["size"][1] for entry in known]),
            **{view: matrix[: len(decoded)] for view, matrix in vectors.items()},
        }


_NOTHING = Decoded(b"", b"", (0, 0))


def _decoded(path: Path, preprocessing: Preprocessing) -> tuple[Decoded, npt.NDArray[np.uint8]] | str:
    try:
        return decode_bytes(read(path), preprocessing)
    except UnusableImage as error:
        return str(error)


def _encoded(columns: Columns, by_appid: Mapping[int, Banner], views: Sequence[View]) -> Encoded:
    """A worker's columns as `banners.embedding` has them."""
    results: list[Decoded | str] = [
        reason or Decoded(bytes.fromhex(content), bytes.fromhex(digest), (int(width), int(height)))
        for reason, content, digest, width, height in zip(
            columns["reason"],
            columns["content"],
            columns["digest"],
            columns["width"],
            columns["height"],
            strict=True,
        )
    ]
    banners = [by_appid[int(appid)] for appid in columns["appid"]]
    return Encoded(banners, results, {view: np.asarray(columns[view], np.float32) for view in views})
