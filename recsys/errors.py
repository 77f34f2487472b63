"""Errors that input or settings cause. Each message is one line: what is wrong, where, what is expected, what to do."""

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class RecsysError(Exception):
    """Base of every error that input or settings cause."""


class ParamsError(RecsysError):
    """A setting is missing, unknown or out of range."""


class DataError(RecsysError):
    """Raw data or a table is invalid, or exceeds a threshold of the settings."""


class SourceUnreachableError(DataError):
    """No place that should hold the raw data could be read."""


class GateError(RecsysError):
    """A result does not meet its limit in the settings, so nothing is released."""


class BundleError(RecsysError):
    """A bundle is incomplete, altered or of an unreadable format."""


class FilterError(RecsysError):
    """The text of a filter cannot be read."""


def quoted(value: object, limit: int = 60) -> str:
    """Format an untrusted value for a message: in quotes, escaped, cut at `limit`; a list or mapping by its size."""
    if isinstance(value, dict | list | tuple):
        return f"a {'mapping' if isinstance(value, dict) else 'list'} of {len(value)}"
    text = value if isinstance(value, str) else str(value)
    cut = text if len(text) <= limit else text[: limit - 3] + "..."
    return repr(cut) if isinstance(value, str) else one_line(cut)


def one_line(text: str, limit: int = 400) -> str:
    """Format an untrusted text for a message: one line without control characters, cut at `limit`."""
    words = " ".join(text[: limit + 1].split())
    escaped = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in words)
    return escaped if len(escaped) <= limit else escaped[: limit - 3] + "..."


def reports_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Turn a RecsysError into one line on stderr and exit code 1; anything else keeps its traceback."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except RecsysError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(1)

    return run
