"""Numbers that a person wrote: in an option, an environment variable, or a table."""

import re

from banners.errors import BadInput


def whole(text: str, least: int, most: int, name: str = "") -> int:
    """A whole number. Raises `BadInput`, which says what `name` is."""
    if re.fullmatch(r"-?[0-9]{1,18}", text, re.ASCII) and least <= int(text) <= most:
        return int(text)
    raise BadInput(f"{name}{' is ' if name else ''}{text[:40]!r}, not a whole number from {least} to {most}")


def decimal(text: str, unit: str, name: str = "") -> float:
    """A number with at most four digits before the point, six behind it. Raises `BadInput`."""
    if re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,6})?", text, re.ASCII):
        return float(text)
    raise BadInput(f"{name}{' is ' if name else ''}{text[:40]!r}, not a number of {unit}")
