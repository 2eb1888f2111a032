"""What the command line programs share: mistakes are one line and exit status 2, messages are safe to print."""

import argparse
import sys
from collections.abc import Callable
from typing import NoReturn

from tqdm import tqdm


class Parser(argparse.ArgumentParser):
    """An argument parser that answers a mistake with one line instead of the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {printable(message)} (see {self.prog} --help)\n")


def whole_number(most: int) -> Callable[[str], int]:
    """The type of an argument that is a whole number from 1 to `most`."""

    def parse(text: str) -> int:
        if text.isascii() and text.isdigit() and len(text) <= 12 and 1 <= int(text) <= most:
            return int(text)
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a whole number from 1 to {most}")

    return parse


def printable(text: str) -> str:
    """`text` without what would break the line or steer the terminal; file names and names of games may hold both."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def say(program: str, text: str) -> None:
    """Print one line to stderr, above a progress bar if there is one."""
    tqdm.write(f"{program}: {printable(text)}", file=sys.stderr)


def tell(text: str) -> None:
    """Print the summary, one line, to stdout."""
    sys.stdout.write(printable(text) + "\n")


def use_any_encoding() -> None:
    """Let a terminal that cannot show a character show its number, instead of failing after the work is done."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:
            reconfigure(errors="backslashreplace")
