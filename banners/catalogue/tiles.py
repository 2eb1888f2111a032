"""The tiles of the map: `map.mbtiles`."""

from pathlib import Path

from banners.catalogue.database import Database

TILE = 512  # pixels a side


class Tiles:
    """Raises `BadCatalogue` where the file cannot be read."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path, is_copied=False)

    def tile(self, zoom: int, x: int, y: int) -> bytes | None:
        """The WebP picture at column x and row y, counted from the top left. None if that place is empty."""
        record = self._database.connection.execute(
            "SELECT tile_data FROM map JOIN images USING (tile_id)"
            " WHERE zoom_level = ? AND tile_column = ? AND tile_row = ?",
            (zoom, x, 2**zoom - 1 - y),
        ).fetchone()
        return None if record is None else record[0]
