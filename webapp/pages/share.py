"""The picture that other sites show beside a link to a game: its banner, and those that come closest."""

from functools import lru_cache
from io import BytesIO

from PIL import Image, ImageOps

from banners.errors import NotInCatalogue, UnusableImage
from banners.images import is_image_file
from webapp.local_images import LocalImage, one_at_a_time
from webapp.served import ServedCatalogue

SIZE = (1200, 630)  # as the Open Graph protocol's readers want it
_GROUND = (18, 20, 22)
_EDGE, _GAP = 40, 20
_NEIGHBOURS = 6


def share_card(served: ServedCatalogue, appid: int) -> bytes:
    """A JPEG of `SIZE`: the query on the left, six neighbours in two rows beside it.

    Only images of this server are used; it never fetches any. Raises `UnknownGame`, and `NotInCatalogue` where the game
    has no such image.
    """
    row = served.catalogue.row_of(appid)
    near = served.catalogue.view("plain").rows[row].tolist()
    appids = served.catalogue.appids
    chosen = [int(appids[other]) for other in near if not served.is_adult[other]]
    paths = [served.local_images[one] for one in chosen if one in served.local_images][:_NEIGHBOURS]
    query = served.local_images.get(appid)
    if query is None or served.is_adult[row] or not is_image_file(query):
        raise NotInCatalogue("There is no picture to share of this game.")
    with one_at_a_time:
        return _drawn(LocalImage.of(query), tuple(map(LocalImage.of, paths)), served.image_size)


@lru_cache(maxsize=64)
def _drawn(query: LocalImage, neighbours: tuple[LocalImage, ...], banner: tuple[int, int]) -> bytes:
    picture = Image.new("RGB", SIZE, _GROUND)
    height = SIZE[1] - 2 * _EDGE
    width = min(round(height * banner[0] / banner[1]), SIZE[0] // 2 - _EDGE)
    if not _paste(picture, query, (_EDGE, _EDGE), (width, height)):
        raise NotInCatalogue("There is no picture to share of this game.")
    left, columns = _EDGE + width + 2 * _GAP, _NEIGHBOURS // 2
    cell = ((SIZE[0] - left - _EDGE - (columns - 1) * _GAP) // columns, (height - _GAP) // 2)
    for place, neighbour in enumerate(neighbours):
        column, line = place % columns, place // columns
        at = (left + column * (cell[0] + _GAP), _EDGE + line * (cell[1] + _GAP))
        _paste(picture, neighbour, at, cell)
    file = BytesIO()
    picture.save(file, "JPEG", quality=85, optimize=True)
    return file.getvalue()


def _paste(picture: Image.Image, banner: LocalImage, at: tuple[int, int], size: tuple[int, int]) -> bool:
    """A banner as large as it fits; one that cannot be read leaves its place empty, and gives False."""
    try:
        image = ImageOps.contain(banner.decode(), size, Image.Resampling.LANCZOS)
    except UnusableImage:
        return False
    picture.paste(image, (at[0] + (size[0] - image.width) // 2, at[1] + (size[1] - image.height) // 2))
    return True
