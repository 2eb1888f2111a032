"""Options, progress, parts and summary of a build."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy.typing as npt

from banners.catalogue.places import Places
from banners.encoders import Choice
from banners.vectors.labels import Labels, Term
from banners.views import View


@dataclass(frozen=True)
class Options:
    """How a catalogue is made. `fallback` names the encoder to use where the weights of the chosen one cannot be had.
    With `is_approximate`, neighbours of many games are looked for where they are likely. `batch_size` is None for the
    default of the device. `cluster` is the address of a Ray cluster, "" for the one that RAY_ADDRESS names or one on
    this machine's cores, None to do without Ray. `arguments` is the command line without folders, which an update
    repeats."""

    choice: Choice
    fallback: str | None = None
    views: tuple[View, ...] = ("plain",)
    neighbours: int = 100
    vocabulary: Sequence[Term] = ()
    has_queries: bool = True
    has_artwork: bool = True
    has_parts: bool = True
    has_map: bool = True
    is_approximate: bool = False
    batch_size: int | None = None
    workers: int = 1
    cluster: str | None = None
    arguments: Sequence[str] = ()


@dataclass(frozen=True)
class Progress:
    """How a build reports. `say` gets a line for the user. `bar(task, total, unit)` gives a progress bar, a context
    manager with `update`."""

    say: Callable[[str], None]
    bar: Callable[[str, int, str], AbstractContextManager[Any]]


@dataclass(frozen=True)
class Part:
    """A part of a catalogue. `arrays` are written as `<name>.npy`, `files` are copied under their names, `about` are
    fields of the manifest. `labels` and `places` go into `games.db`."""

    arrays: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)
    labels: Labels | None = None
    places: Places | None = None


@dataclass(frozen=True)
class Summary:
    """Counts of what was made: `games`, those `reused` from an earlier run, `neighbours` of each game, `views`, and
    `skipped` banners. If `games` is 0, nothing was written."""

    games: int = 0
    reused: int = 0
    neighbours: int = 0
    views: int = 0
    skipped: int = 0
