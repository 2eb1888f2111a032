"""Shared code of the command line programs: errors as one line, exit statuses, printable messages."""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TextIO, cast

from banners import settings
from banners.errors import BadInput, SteamClipError, one_line, printable


@contextmanager
def importing(program: str, requirements: str = "requirements-embed.txt") -> Iterator[None]:
    """Around a program's imports: a library that is not installed, or an interrupt, ends it with one line."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("banners", "webapp", "console"):
            raise  # a fault of ours
        say(program, f"error: {error.name} is not installed; pip install -r {requirements}")
    except KeyboardInterrupt:
        say(program, "interrupted")
        sys.exit(130)
    else:
        return
    sys.exit(2)


class Parser(argparse.ArgumentParser):
    """An argument parser that answers a mistake with one line instead of the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {printable(message)} (see {self.prog} --help)\n")


def whole_number(most: int, least: int = 1) -> Callable[[str], int]:
    """The type of an argument that is a whole number from `least` to `most`."""

    def parse(text: str) -> int:
        try:
            return settings.whole(text, least, most)
        except BadInput as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse


def several(choices: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """The type of an argument that names some of `choices`, separated by commas. The order is that of `choices`."""

    def parse(text: str) -> tuple[str, ...]:
        if set(text.split(",")) - set(choices):
            raise argparse.ArgumentTypeError(f"{text!r}: there are {', '.join(choices)}")
        return tuple(choice for choice in choices if choice in text.split(","))

    return parse


def without(arguments: Sequence[str] | None, option: str, value: str = "") -> list[str]:
    """`arguments`, or those of the command line if None, without an option (and its value) and without `value`."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(option)
    return [text for text in parser.parse_known_args(arguments)[1] if text not in (value, "--")]


def run(program: str, action: Callable[[], int], interrupted: str, damaged: type[Exception] | tuple[()] = ()) -> int:
    """Run a program's `action` and give its exit status. What goes wrong is one line to stderr: status 1 for errors of
    the type `damaged`, 130 for an interrupt, which says `interrupted`, and 2 for all others."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
    if not isinstance(sys.stderr, _Unfailing):
        sys.stderr = cast(TextIO, _Unfailing(sys.stderr))
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, _interrupt)
    try:
        return action()
    except SteamClipError as error:
        say(program, f"error: {error}")
        return 1 if isinstance(error, damaged) else 2
    except MemoryError:
        say(program, "error: not enough memory; smaller batches or fewer workers need less")
    except OSError as error:
        reason = one_line(error)
        if "requested and" in reason:  # as NumPy tells of a full disk
            reason = f"the disk may be full ({reason})"
        say(program, f"error: cannot write or read {error.filename or 'a file'}: {reason}")
    except BrokenProcessPool:
        say(program, "error: a worker process was killed; is there enough memory?")
    except RuntimeError as error:
        if "start new thread" not in str(error) and "allocate memory" not in str(error):
            raise
        say(program, f"error: this machine gives too little: {str(error)[:200]}")
    except KeyboardInterrupt:
        say(program, f"interrupted; {interrupted}")
        return 130
    return 2


def say(program: str, text: str) -> None:
    """Print one line to stderr, above a progress bar if there is one."""
    line = f"{program}: {printable(text)}"
    tqdm = sys.modules.get("tqdm")  # without it there is no bar; a web host does not install it
    if tqdm:
        tqdm.tqdm.write(line, file=sys.stderr)
    else:
        sys.stderr.write(line + "\n")


def tell(text: str) -> None:
    """Print the summary to stdout. A failed write, as to the closed pipe of `| head`, does not fail the program."""
    encoding = sys.stdout.encoding or "utf-8"
    shown = "\n".join(map(printable, text.split("\n"))).encode(encoding, "backslashreplace").decode(encoding)
    try:
        print(shown, flush=True)  # noqa: T201
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would try again at its end


class _Unfailing:
    """A stream that ignores failed writes. Progress bars write to stderr all the time: a closed pipe, as that of
    `2>&1 | head`, must not end the work."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    """Only the first interrupt counts: a second one would break off the cleaning up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt
