"""Errors that input or settings cause. Each message is one line: what is wrong, where, what is expected, what to do."""

import functools
import sys
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class RecsysError(Exception):
    """Base of every error that input or settings cause."""


class ParamsError(RecsysError):
    """Raised when a setting is missing, unknown or out of range."""


class DataError(RecsysError):
    """Raised when raw data or a table is invalid, or exceeds a limit in the settings."""


class SourceUnreachableError(DataError):
    """Raised when a file, address or database with the data cannot be reached."""


class GateError(RecsysError):
    """Raised when a result misses its limit in the settings, so that nothing is released."""


class BundleError(RecsysError):
    """Raised when a bundle, the folder that the API serves from, is incomplete, altered or of an unreadable format."""


class FilterError(RecsysError):
    """Raised when the text of a filter cannot be parsed."""


def quoted(value: object) -> str:
    """Format an untrusted value for a message: text quoted, escaped and cut at 60 letters; a list by its size."""
    if isinstance(value, dict | list | tuple):
        return f"a {'mapping' if isinstance(value, dict) else 'list'} of {len(value)}"
    text = value if isinstance(value, str) else str(value)
    cut = text if len(text) <= 60 else text[:57] + "..."
    return repr(cut) if isinstance(value, str) else one_line(cut)


def one_line(text: str, limit: int = 400) -> str:
    """Format an untrusted text for a message: one line without control characters, cut at `limit` characters."""
    words = " ".join(text[: limit + 1].split())
    escaped = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in words)
    return escaped if len(escaped) <= limit else escaped[: limit - 3] + "..."


def validator_message(error: Mapping[str, Any]) -> str:
    """Return the message of an item of pydantic's `errors()`, without the "Value error, " that pydantic puts before the
    message of a ValueError."""
    return str(error["msg"]).removeprefix("Value error, ")


def reports_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Wrap a command so that a RecsysError becomes one line on stderr and exit code 1; others keep their traceback."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except RecsysError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(1)

    return run
