"""Steam: what it knows of games, and their banners."""

STORE = "https://store.steampowered.com/app/"
STEAMDB = "https://steamdb.info/app/"
CDN_HOST = "https://shared.akamai.steamstatic.com"
CDN = f"{CDN_HOST}/store_item_assets/steam/apps"
UPRIGHT_IMAGE = "library_600x900.jpg"  # its name for most games; it has 300x450 pixels
