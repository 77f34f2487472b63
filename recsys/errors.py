"""Errors a user may meet. Each message is one line: what was found, where, what was wanted, what to do."""

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class RecsysError(Exception):
    """Base of every error that is the input's fault, not the code's."""


class ParamsError(RecsysError):
    """A setting is missing, unknown or out of range."""


class DataError(RecsysError):
    """The raw data, a table or a threshold is not as the pipeline needs it."""


class SourceUnreachableError(DataError):
    """No place that should hold the raw data could be read."""


class GateError(RecsysError):
    """A result is below the bar that was set for it, so nothing is released."""


class BundleError(RecsysError):
    """A bundle is incomplete, altered or of an unreadable format."""


class FilterError(RecsysError):
    """The text of a filter cannot be read."""


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
