"""Errors of the core. Each message is one line, written for the person who runs the program or opens the page."""

import re
from typing import Self


def one_line(error: BaseException) -> str:
    """The message of a library's error in one line of at most 300 characters, its type if it has none; of an error of
    the operating system without its number."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(re.sub(r"\[Errno -?[0-9]+\] ", "", text).split())[:300] or type(error).__name__


def printable(text: str) -> str:
    """`text` without what would break a line or steer a terminal; names of files and games may hold both."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


class SteamClipError(Exception):
    """Base of everything the core raises on purpose."""


class BadInput(SteamClipError):
    """The user named something that cannot be used: a wrong folder, a malformed file, an impossible option."""


class UnusableImage(SteamClipError):
    """A picture that cannot be embedded; the message is the reason, without the file's name."""


class Unavailable(SteamClipError):
    """A server, weights or a library that cannot be had here; the message names the ways out."""

    @classmethod
    def library(cls, error: ImportError) -> Self:
        """For a library of the batch programs that is not installed."""
        return cls(f"{error.name} is not installed; pip install -r requirements-embed.txt")


class BadCatalogue(SteamClipError):
    """A catalogue folder that is missing, damaged or not of this format."""


class UnknownGame(SteamClipError):
    """No game of the catalogue has this appid."""

    def __init__(self, appid: int) -> None:
        super().__init__(f"No game in this catalogue has the appid {appid}.")
        self.appid = appid


class CannotAnswer(SteamClipError):
    """The catalogue was made without what this kind of query needs, such as an encoder of words."""


class Away(SteamClipError):
    """A database that queries need cannot be reached at the moment, or does not have what they need."""


class NotInCatalogue(SteamClipError):
    """The catalogue lacks an optional part that the question needs, such as a view or the similarities."""
