"""The map as one picture."""

from io import BytesIO
from pathlib import Path

from PIL import Image

from banners.catalogue.reader import Catalogue
from banners.catalogue.tiles import TILE
from banners.errors import BadInput

WIDEST = 20_000  # pixels; some 800 MB of memory
_BAND = 256  # rows of the poster at a time


def draw_poster(catalogue: Catalogue, width: int) -> Image.Image:
    """The map, `width` pixels wide, from its tiles. Raises `BadInput` if the catalogue has none."""
    about, tiles = catalogue.manifest.map, catalogue.tiles
    if about is None or tiles is None:
        raise BadInput(f"{catalogue.folder} has no map; embed_banners.py makes one unless --no-map is given")
    across, down = about.columns * about.cell[0], about.rows * about.cell[1]  # pixels at the largest zoom
    zoom = about.zoom
    while zoom and across / 2 ** (about.zoom - zoom + 1) >= width:
        zoom -= 1
    scale = across / 2 ** (about.zoom - zoom) / width  # pixels of that zoom to one of the poster
    height = max(1, round(down * width / across))
    if height > WIDEST:
        raise BadInput(f"it would be {height} pixels high; --width {width * WIDEST // height} is possible")
    poster = Image.new("RGB", (width, height))
    columns = -(-across // (TILE << (about.zoom - zoom)))
    for top in range(0, poster.height, _BAND):
        bottom = min(top + _BAND, poster.height)
        first, last = int(top * scale) // TILE, int(bottom * scale) // TILE
        strip = Image.new("RGB", (TILE * columns, TILE * (last - first + 1)))
        for y in range(first, last + 1):
            for x in range(columns):
                data = tiles.tile(zoom, x, y)
                if data is not None:
                    strip.paste(Image.open(BytesIO(data)).convert("RGB"), (TILE * x, TILE * (y - first)))
        box = (0, top * scale - TILE * first, width * scale, bottom * scale - TILE * first)
        poster.paste(strip.resize((width, bottom - top), Image.Resampling.LANCZOS, box), (0, top))
    return poster


def write_poster(catalogue: Catalogue, width: int, path: Path) -> tuple[int, int]:
    """Write a PNG. Returns its width and height. Raises `BadInput`."""
    path = path.resolve()
    if path.exists() and not path.is_file():
        raise BadInput(f"{path} is not a file that can be replaced")
    poster = draw_poster(catalogue, width)
    beside = path.with_name(f".{path.name}.part")
    try:
        poster.save(beside, "PNG")
        beside.replace(path)
    except OSError as error:
        raise BadInput(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        beside.unlink(missing_ok=True)
    return poster.size
