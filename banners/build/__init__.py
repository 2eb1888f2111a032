"""A banners folder becomes a catalogue."""

import platform
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import structs

from banners import embedding
from banners.build import parts, titles
from banners.build.engine import Engine, open_engine
from banners.build.local_features import local_features
from banners.build.map import map_of
from banners.build.plan import Options, Part, Progress, Summary
from banners.catalogue import writer
from banners.catalogue.manifest import EncoderInfo, Images, Manifest
from banners.embedding import Embedded
from banners.embedding.store import EmbeddingStore
from banners.encoders.encoder import library_versions
from banners.errors import BadInput, Unavailable
from banners.files import alone_in
from banners.games_csv import Banner, BannersFolder, Game
from banners.processes import available_memory
from banners.vectors.neighbours import Neighbours

_KNOWN = 1700  # bytes a banner: what games.csv says of it, its path, hashes
_LAID_OUT = 1500  # while the map is laid out


def build(folder: BannersFolder, out: Path, options: Options, progress: Progress) -> Summary:
    """Make a catalogue of a banners folder at `out`. Finished embeddings are kept in `<out>.rows`: a rerun embeds only
    what is new.

    Raises `BadInput` and `Unavailable`; then the catalogue that was there stays.
    """
    rows_folder = out.resolve().with_name(f"{out.resolve().name}.rows")
    with alone_in(rows_folder):
        with open_engine(options, folder.banners, progress.say) as engine:
            _check_memory(len(folder.banners), engine.encoder.dim, options, progress.say)
            store = EmbeddingStore(rows_folder, engine.encoder.identity(engine.batch_size), engine.encoder.dim)
            embedded = _embed(engine, folder.banners, store, options, progress)
            appids = set(embedded.appids.tolist())
            banners = [banner for banner in folder.banners if banner.appid in appids]  # of the rows, in their order
            titled = _embed_titled(engine, banners, store, progress) if options.has_artwork else None
            if not banners:
                return Summary(skipped=len(embedded.skipped))
            artwork = parts.fit_artwork(embedded, titled)
            near = parts.neighbours(embedded, artwork, options, engine, progress)
        games = [folder.games.get(banner.appid) or Game(banner.appid, "") for banner in banners]
        made = [parts.vectors(embedded), parts.links(embedded), parts.artwork(artwork, embedded), near]
        local_store = None
        with _scratch(rows_folder) as scratch:
            if options.has_queries:
                made.append(parts.queries(engine.choice, banners, embedded, options, scratch, progress.say))
            if options.has_parts:
                local, local_store = local_features(banners, embedded.digests, scratch, options, progress)
                made.append(local)
            if options.has_map:
                labels = next((part.labels for part in made if part.labels is not None), None)
                plain = Neighbours(near.arrays["neighbours"], near.arrays["similarities"])
                made.append(map_of(banners, games, embedded, plain, labels, out, scratch, options, progress))
            about = _save(out, games, made, _about(games, engine, embedded, options))
        _tidy([store, local_store], embedded, progress)
    return Summary(len(games), embedded.reused, about.k, len(about.views), len(embedded.skipped))


def _check_memory(count: int, dim: int, options: Options, say: Callable[[str], None]) -> None:
    """Warn beforehand where all vectors and neighbours will not fit into memory together."""
    views = len(options.views) + options.has_artwork
    matrices = views + options.is_approximate  # which searches a copy
    vectors = dim * (4 * matrices + 1) + 8 * options.neighbours * views
    needed = count * (vectors + _KNOWN + _LAID_OUT * options.has_map)
    free = available_memory()
    if free is not None and needed > free:
        say(
            f"warning: {count} banners need some {needed / 1e9:.3g} GB of memory for vectors and neighbours in {views}"
            f" view(s), and {free / 1e9:.3g} GB are free here; docs/growing.md has the ways out"
        )


def _embed(
    engine: Engine, banners: Sequence[Banner], store: EmbeddingStore, options: Options, progress: Progress
) -> Embedded:
    with progress.bar("embedding", len(banners), "img") as bar:
        embedded = embedding.embed(engine.encode_with(None), banners, store, options.views, bar.update)
    for skipped in embedded.skipped:
        progress.say(f"skipped {skipped.banner.path.name}: {skipped.reason}")
    return embedded


def _embed_titled(
    engine: Engine, banners: Sequence[Banner], store: EmbeddingStore, progress: Progress
) -> Embedded | None:
    """Embed a sample of the banners with a title drawn on each, by the encoder that embedded the others; None, with a
    warning, if nothing can draw them."""
    sample = titles.sample(banners)
    try:
        with progress.bar("titles", len(sample), "img") as bar:
            return embedding.embed(engine.encode_with(titles.with_title), sample, store, ("titled",), bar.update)
    except Unavailable as error:
        progress.say(f"warning: no view by artwork: {error}")
        return None


def _about(games: Sequence[Game], engine: Engine, embedded: Embedded, options: Options) -> Manifest:
    """The manifest's description of how the catalogue is made, without what its parts add."""
    encoder, (width, height) = engine.encoder, embedded.size or (0, 0)
    sources = {str(game.columns.get("source", "")) for game in games}
    return Manifest(
        encoder=EncoderInfo(encoder.id, encoder.revision, encoder.output, encoder.device, encoder.precision),
        preprocessing=encoder.preprocessing,
        fit=encoder.preprocessing.fit,
        images=Images(sources.pop() if len(sources) == 1 else "", width, height),
        options=tuple(options.arguments),
        libraries={"python": platform.python_version(), **library_versions()},
    )


def _save(out: Path, games: Sequence[Game], made: Sequence[Part], about: Manifest) -> Manifest:
    """Write the catalogue. Returns its manifest, without what the writer adds."""
    arrays = {name: array for part in made for name, array in part.arrays.items()}
    files = {name: file for part in made for name, file in part.files.items()}
    labels = next((part.labels for part in made if part.labels is not None), None)
    places = next((part.places for part in made if part.places is not None), None)
    about = structs.replace(about, **{name: value for part in made for name, value in part.about.items()})
    writer.save(out, games, arrays, files, labels, about, places)
    return about


@contextmanager
def _scratch(rows_folder: Path) -> Iterator[Path]:
    """A folder for exported encoders, removed at the end."""
    scratch = rows_folder / "export"
    shutil.rmtree(scratch, ignore_errors=True)  # of a run that was killed
    scratch.mkdir()
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _tidy(stores: Sequence[EmbeddingStore | None], embedded: Embedded, progress: Progress) -> None:
    """Remove the rows that the next run does not need."""
    store, *others = [store for store in stores if store is not None]
    try:
        store.tidy(embedded.appids.tolist(), *others)
    except BadInput as error:  # the catalogue is written; left-over rows only take space
        progress.say(f"warning: {error}")
