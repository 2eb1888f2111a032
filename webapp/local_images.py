"""Local banners: their files as they are now, and copies in the sizes that pages need."""

import threading
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import NamedTuple, Self
from zlib import crc32

from PIL import Image

from banners.errors import UnusableImage
from banners.images import MAX_BYTES, decode, is_image_file

WIDTHS = (200, 400)  # of thumbnails: for a card, and for one on a phone or a dense screen
_SIDE = 800  # pixels, at least, of what thumbnails and share pictures are made of
_MAX_WEBP = 16_383  # pixels of a side
_KEPT = 2048  # thumbnails, some 16 MB

one_at_a_time = threading.Lock()  # one decoded banner at a time bounds the memory


class LocalImage(NamedTuple):
    """A file, and what changes with its content: the time of its last change in nanoseconds, and its size in bytes."""

    path: Path
    changed: int
    size: int

    @classmethod
    def of(cls, path: Path) -> Self:
        """The file as it is now. One that is gone has no size."""
        try:
            status = path.stat()
        except OSError:
            return cls(path, 0, 0)
        return cls(path, status.st_mtime_ns, status.st_size)

    @property
    def version(self) -> str:
        """Part of the addresses of the image, so that browsers may keep it."""
        return f"{crc32(f'{self.changed} {self.size}'.encode()):08x}"

    @property
    def is_shown(self) -> bool:
        """Whether this is a file that could have been embedded."""
        return self.size <= MAX_BYTES and is_image_file(self.path)

    def decode(self) -> Image.Image:
        """An RGB image of whatever can be embedded; a large JPEG is shrunk while it is decoded. Raises
        `UnusableImage`."""
        if not self.is_shown:
            raise UnusableImage("not a JPEG, PNG or WebP picture of at most 200 MB")
        return decode(self.path, shrink_to=_SIDE)


@lru_cache(maxsize=_KEPT)
def thumbnail(image: LocalImage, width: int) -> bytes:
    """A WebP of `image`, `width` pixels wide, less where the original is less wide or very long. Raises
    `UnusableImage`."""
    with one_at_a_time:
        picture = image.decode()
    picture.thumbnail((width, min(picture.height, _MAX_WEBP)), Image.Resampling.LANCZOS)
    file = BytesIO()
    picture.save(file, "WEBP", quality=75, method=2)  # 10 ms; 4, the default, takes twice that for 4 % less
    return file.getvalue()
