"""Steam: what it knows of games, and their banners."""

import re

STORE = "https://store.steampowered.com/app/"
STEAMDB = "https://steamdb.info/app/"
CDN_HOST = "https://shared.akamai.steamstatic.com"
CDN = f"{CDN_HOST}/store_item_assets/steam/apps"
# Of a banner on the CDN, below its appid: nothing that leads elsewhere.
IMAGE_PATH = re.compile(r"[A-Za-z0-9_-]+(?:[./][A-Za-z0-9_-]+)*\.(?:jpg|png|webp)", re.ASCII)
UPRIGHT_IMAGE = "library_600x900.jpg"  # its name for most games; it has 300x450 pixels
