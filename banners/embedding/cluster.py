"""Embedding on many machines, or on all the GPUs of one, by Ray's actors: it restarts what dies, and retries.

Each worker holds one model, on a GPU or on one core, and takes whole batches: it reads, decodes and encodes. What it
gives back is keyed and kept as it is without a cluster, by the program that asked.
"""

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from banners.arrays import Matrix
from banners.embedding import Encode, Encoded
from banners.embedding.decoding import Draw, decode_batches
from banners.encoders import Choice
from banners.encoders.encoder import Encoder
from banners.errors import BadInput, SteamClipError, Unavailable, one_line
from banners.games_csv import Banner, is_url
from banners.processes import keep_freed_memory
from banners.vectors import neighbours
from banners.views import EmbeddedView

_TRIES = 3  # to restart a worker, and to encode a batch again


@dataclass(frozen=True)
class Cluster:
    """The workers of a cluster that is connected to, as Ray's actors, and what they compute on, "cuda" or "cpu"."""

    workers: Sequence[Any]
    device: str

    def describe(self) -> Encoder:
        """The encoder as a worker opens it, without what computes. Raises whatever `Choice.open` raises there."""
        import ray

        with _one_line():
            encoder: Encoder = ray.get(self.workers[0].describe.remote())
        return encoder

    def encode_with(self, batch_size: int, draw: Draw | None = None) -> Encode:
        """The `encode` of `banners.embedding.embed` on the cluster; `draw` changes each image first. Batches come back
        in any order."""
        from ray.util import ActorPool

        def encode(banners: Sequence[Banner], views: Sequence[EmbeddedView]) -> Iterator[Encoded]:
            there = [
                banner if is_url(banner.path) else replace(banner, path=banner.path.absolute()) for banner in banners
            ]
            batches = [there[start : start + batch_size] for start in range(0, len(there), batch_size)]
            with _one_line():
                yield from ActorPool(self.workers).map_unordered(
                    lambda worker, batch: worker.encode.remote(batch, views, batch_size, draw), batches
                )

        return encode

    def nearest_blocks(self, embeddings: Matrix, queries: Matrix, k: int) -> Iterator[neighbours.Block]:
        """The `spread` of `neighbours.nearest` on the cluster: a block whose worker dies is computed again."""
        import ray
        from ray.util import ActorPool

        # Each machine gets one copy, which its workers read.
        matrix = ray.put(embeddings)
        asked = matrix if queries is embeddings else ray.put(queries)
        with _one_line():
            yield from ActorPool(self.workers).map_unordered(
                lambda worker, start: worker.nearest.remote(matrix.hex(), matrix, asked, k, start),
                range(0, len(queries), neighbours.block_size(len(queries), self.device)),
            )


@contextmanager
def connected(address: str, choice: Choice) -> Iterator[Cluster]:
    """Connect to the Ray cluster at `address`. If it is "", connect to that of RAY_ADDRESS or else start one on this
    machine's cores, which ends with the block.

    Raises `BadInput` when it cannot be reached, `Unavailable` without Ray.
    """
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_worker_niceness", "0")  # as without a cluster; with its 15 they starve beside others
    _check_answers(address or os.environ.get("RAY_ADDRESS", ""))
    try:
        import ray
    except ImportError as error:
        raise Unavailable(f"{error}; install requirements-cluster.txt") from None
    package = Path(__file__).resolve().parents[1]
    try:
        ray.init(
            address=address or None,
            include_dashboard=False if not address else None,
            logging_level=logging.ERROR,
            log_to_driver=False,
            runtime_env={"py_modules": [str(package)]},  # the workers' own copy, wherever they are
        )
    except Exception as error:  # it has no common base class for what can fail here
        raise BadInput(f"cannot connect to the Ray cluster: {one_line(error)}") from None
    try:
        has = ray.cluster_resources()
        gpus, cores = int(has.get("GPU", 0)), max(1, int(has.get("CPU", 1)))
        if choice.device == "cuda" and not gpus:
            raise BadInput("--device cuda: the cluster has no GPU")
        on_gpu = bool(gpus) and choice.device != "cpu"
        threads = max(1, cores // gpus) if on_gpu else 1
        is_folder = Path(choice.name).is_dir()  # to be understood wherever a worker stands
        name = str(Path(choice.name).absolute()) if is_folder else choice.name
        choice = replace(choice, name=name, device="cuda" if on_gpu else "cpu")
        worker = ray.remote(_Worker).options(
            num_gpus=int(on_gpu), num_cpus=threads, max_restarts=_TRIES, max_task_retries=_TRIES
        )
        yield Cluster([worker.remote(choice, threads) for _ in range(gpus if on_gpu else cores)], choice.device)
    finally:
        ray.shutdown()


@contextmanager
def _one_line() -> Iterator[None]:
    """Raise a worker's own `SteamClipError`, and `BadInput` for other errors, whose text is a remote traceback."""
    from ray.exceptions import RayError

    try:
        yield
    except (RayError, ConnectionError) as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, SteamClipError):
            raise cause from None
        last = [line.strip() for line in str(error).splitlines() if line.strip()][-1:]
        raise BadInput(f"the cluster failed: {type(error).__name__}: {' '.join(last)[:300]}") from None


def _check_answers(address: str) -> None:
    """Raise `BadInput` where nobody listens at "host:port"; Ray itself would try for minutes."""
    if "://" in address:
        raise BadInput(f"{address}: run this on one of the cluster's own machines; there, name the head as host:6379")
    host, _, port = address.rpartition(":")
    if host and port.isdecimal():
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except (OSError, OverflowError) as error:
            raise BadInput(f"cannot connect to the Ray cluster at {address}: {error}") from None


class _Worker:
    """One model, on one of the cluster's machines. Ray makes it once and calls `encode` for each batch."""

    def __init__(self, choice: Choice, threads: int) -> None:
        self._choice, self._threads = choice, threads
        self._search: tuple[str, neighbours.Search] | None = None  # and the name of the matrix that it searches

    @cached_property
    def _encoder(self) -> Encoder:
        keep_freed_memory()
        encoder = self._choice.open_for_many(self._threads)
        import torch

        torch.set_num_threads(self._threads)
        return encoder

    def describe(self) -> Encoder:
        return replace(self._encoder, forward=_not_here, module=None)

    def encode(
        self, banners: Sequence[Banner], views: Sequence[EmbeddedView], batch_size: int, draw: Draw | None
    ) -> Encoded:
        ((results, pixels),) = decode_batches(banners, self._encoder.preprocessing, batch_size, self._threads, draw)
        return results, self._encoder.embed_views(pixels, views)

    def nearest(self, name: str, embeddings: Matrix, queries: Matrix, k: int, start: int) -> neighbours.Block:
        device = self._choice.device
        if self._search is None or self._search[0] != name:  # a GPU gets the matrix once
            self._search = name, neighbours.search_by(embeddings, device)
        if device == "cpu":
            import faiss

            faiss.omp_set_num_threads(self._threads)
        return neighbours.block(self._search[1], queries, k, start, device)


def _not_here(_: Any) -> Any:
    raise RuntimeError("this encoder is only described; the cluster's workers have it opened")
