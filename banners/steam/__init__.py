"""Steam: what it knows of games, and their banners."""

import re

from banners.errors import BadInput

STORE = "https://store.steampowered.com/app/"
STEAMDB = "https://steamdb.info/app/"
CDN = "https://shared.akamai.steamstatic.com/store_item_assets/steam/apps"
# A banner's path on the CDN, below its appid; it cannot lead elsewhere. The number changes with the art.
IMAGE_PATH = re.compile(r"[A-Za-z0-9_-]+(?:[./][A-Za-z0-9_-]+)*\.(?:jpg|png|webp)(?:\?t=[0-9]{1,12})?", re.ASCII)
UPRIGHT_IMAGE = "library_600x900.jpg"  # its name for most games; it has 300x450 pixels
HEADER_IMAGE = "header.jpg"


def art_name(path: str) -> str:
    """A banner's path without the number that says which art it is."""
    return path.partition("?")[0]


def base_url(text: str, name: str) -> str:
    """An address that stands in for one of Steam's, without a slash at its end. Raises `BadInput`."""
    if not re.fullmatch(r"https?://[!-Z^-~]+", text, re.ASCII):
        raise BadInput(f"{name} is {text[:60]!r}, which is not an http or https URL")
    return text.rstrip("/")
