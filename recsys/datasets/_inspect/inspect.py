"""Looks at files of one's own and proposes the settings of the data set `files` that read them."""

from pathlib import Path

from recsys.datasets._files.sources import find
from recsys.datasets._inspect import mapping
from recsys.datasets._inspect.columns import describe
from recsys.datasets._inspect.roles import Table, assign
from recsys.datasets._inspect.sample import read
from recsys.errors import DataError


def inspect(paths: list[Path]) -> tuple[list[str], str]:
    """Return a description of each file, and the settings as YAML, with a comment wherever a guess may be wrong.

    Raises:
        DataError: "no path was given: name the file of the events, and that of the items"
        SourceUnreachableError: a path is wrong.
    """
    if not paths:
        raise DataError("no path was given: name the file of the events, and that of the items")
    samples = [read(find([path])[0], path) for path in paths]  # of a folder, its first file
    looked = [(sample, tuple(describe(column) for column in sample.table.iter_columns())) for sample in samples]
    events, items = assign(looked)
    used = {table.sample.path: table for table in (events, items) if table is not None}
    tables = [mapping.described(used.get(sample.path) or Table(sample, columns, {})) for sample, columns in looked]
    return tables, mapping.settings(events, items)
