"""Reading JSON that a remote server sends: any part of it may be missing or have another type."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from banners.games_csv import MAX_APPID, valid_unicode
from banners.steam.http import Client, Unanswered

_MAX_TEXT = 500


def get_json(client: Client, url: str, check: Callable[[Any], str] = lambda _: "") -> dict[str, Any]:
    """The JSON object at `url`. `check` gives the reason why it is unusable. Raises `Unanswered`."""

    def reason(body: bytes) -> str:
        try:
            data = json.loads(body)
        except (ValueError, RecursionError):  # APIs sometimes answer 200 with an error page
            return "the answer is no JSON"
        return check(data) if isinstance(data, dict) else "the answer is no JSON object"

    answer = client.get(url, check=reason)
    if answer.status != 200:
        raise Unanswered(f"{url.partition('?')[0]}: status {answer.status}")
    data: dict[str, Any] = json.loads(answer.body)
    return data


def at(data: Any, *keys: str) -> Any:
    """The value under nested keys, None if it is not there."""
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data


def listed(data: Any, *keys: str) -> list[Any]:
    """The list under nested keys, empty if it is not there."""
    value = at(data, *keys)
    return value if isinstance(value, list) else []


def records(data: Any, *keys: str) -> list[dict[str, Any]]:
    """The objects of the list under nested keys."""
    return [one for one in listed(data, *keys) if isinstance(one, dict)]


def appid_in(value: Any) -> int | None:
    return value if type(value) is int and 0 < value <= MAX_APPID else None


def appid_of(record: Mapping[str, Any]) -> int | None:
    return appid_in(record.get("appid") or record.get("id"))


def count(value: Any) -> int:
    return value if type(value) is int and 0 < value < 10**12 else 0


def year(moment: Any) -> int:
    return datetime.fromtimestamp(moment, UTC).year if type(moment) is int and 0 < moment < 2**33 else 0


def text(value: Any) -> str:
    return valid_unicode(" ".join(value[:1000].split()))[:_MAX_TEXT] if isinstance(value, str) else ""
