"""Settings of the data set `files`: the files of each table and the format of their cells."""

import codecs
import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import polars as pl
from pydantic import BeforeValidator, Field, field_validator, model_validator

from recsys.data.schema import INTERACTIONS, ITEMS, USERS, VECTORS
from recsys.datasets._files.embed import Embed
from recsys.datasets._files.times import check_format
from recsys.errors import one_line
from recsys.params import Section
from recsys.schemas.field_limits import ATTRIBUTE_NAME, MAX_ATTRIBUTES

NULL_VALUES = (
    "null", "(null)", "<null>", "[null]", "nil", "<nil>", "none", "<none>", "nan", "-nan", "nat", "<nat>", "na", "n/a",
    "n.a.", "#n/a", "#n/a n/a", "#na", "<na>", "pd.na", "#null!", "#value!", "#ref!", "#div/0!", "#name?", "#num!",
    "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan", "undefined", "(blank)", "(empty)", "\\n", "\\\\n", "''", '""', "-",
    "--", "\u2013", "\u2014", ".", "?",
)  # fmt: skip
QUANTITY, VECTOR = "quantity", "vector"
NUMBERS, TIMES = ("value", "weight", "price", QUANTITY), ("timestamp", "first_seen")
Kind = Literal["number", "yes_no", "list"]
KINDS: dict[str, Kind] = {**dict.fromkeys(NUMBERS, "number"), "available": "yes_no", "categories": "list"}
ATTRIBUTE, ATTRIBUTES = "attributes.", "attributes"


Character = Annotated[str, Field(min_length=1, max_length=1)]
ColumnName = Annotated[str, BeforeValidator(lambda name: str(name) if isinstance(name, int) else name)]
OptionalCharacter = Annotated[Character | None, BeforeValidator(lambda mark: None if mark in ("", "none") else mark)]


class TextFile(Section):
    """How the lines of one or more files are split into cells.

    path: a file, a folder, a pattern such as `logs/*.csv.gz`, or a list of these; .csv, .tsv, .txt, .jsonl, .ndjson,
        .json (one object per line) or .parquet, each text also compressed (.gz, .bz2, .xz, .zst, .zip); a workbook
        (.xlsx, .xlsm, .xlsb, .xls, .ods); .sql, an SQL query. A folder named `key=value` adds the column `key`.
    encoding: such as cp1252. separator: character between cells. quote: character around a cell, doubled inside of it;
        none: no quoting, for text with inch marks. escape: character that takes the special
        meaning from the next; with it, `\\N` is a missing value, `\\n` a line break. header: whether the first line
        has the column names; without it the columns are named 1, 2, ... skip_lines: number of lines before it.
    sheet: of a workbook, None for the first one. database: the url of the database of a query, such as
        sqlite:///shop.sqlite or postgresql://...; None: environment variable RECSYS_DATABASE_URL (for passwords).
    """

    canonical: ClassVar[list[str]] = []  # names of all columns that the table may have
    path: Path | list[Path]
    encoding: str = "utf-8"
    separator: Character = ","
    quote: OptionalCharacter = '"'
    escape: OptionalCharacter = None
    header: bool = True
    skip_lines: int = Field(0, ge=0)
    sheet: str | None = None
    database: str | None = None

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, encoding: str) -> str:
        try:
            "".encode(encoding)
            return codecs.lookup(encoding).name.removesuffix("-sig")  # a byte order mark at the start is always removed
        except LookupError:
            raise ValueError("expected an encoding that Python knows, such as utf-8, utf-16 or cp1252") from None

    @model_validator(mode="after")
    def _different_marks(self) -> Self:
        special = [mark for mark in (self.separator, self.quote, self.escape) if mark]
        if len(set(special)) < len(special) or set(special) & {"\n", "\r", "\0"}:
            raise ValueError("separator, quote and escape: expected different characters, and no line break")
        return self

    @property
    def sources(self) -> dict[str, str]:
        """Return canonical name -> name in the file of the mapped columns; attributes are named `attributes.<name>`."""
        return {}

    @property
    def paths(self) -> list[Path]:
        return self.path if isinstance(self.path, list) else [self.path]

    @property
    def label(self) -> Path:
        return Path(", ".join(map(str, self.paths)))


class JoinedFile(TextFile):
    """A file whose columns are looked up for each row. on: the column of the rows to look up; key: the column of this
    file that must be equal to it, by default the one of the same name."""

    on: ColumnName
    key: ColumnName | None = None


class TableFile(TextFile):
    """One table, and how its cells are written.

    columns: canonical name -> name in the file. decimal: the decimal mark, `.` or `,`; if it is set, the other one,
        spaces and apostrophes may separate thousands; default: `.`, and nothing separates thousands.
    null_values: texts that mean a missing value, in upper or lower case; empty and blank cells always do.
    timestamp_format: as for strptime, or epoch_s, epoch_ms, epoch_us; default: ISO 8601. time_zone: zone of times
        without one, such as Europe/Berlin, default UTC; local times that do not exist or exist twice are refused.
    odd_ids: whether ids with invisible characters are refused or normalised. float_ids: whether ids such as 123.0 are
        refused, read as whole numbers, or kept as they are.
    joins: files whose columns are looked up, as `name.column`, such as orders of their lines, or prices of items.
    computed: name -> an expression in SQL, as polars reads it, over the columns of a row and those computed before.
    """

    columns: dict[str, ColumnName] = Field(default_factory=dict)
    joins: dict[Annotated[str, Field(pattern=r"^\w+$")], JoinedFile] = Field(default_factory=dict)
    computed: dict[ColumnName, str] = Field(default_factory=dict)
    decimal: Literal[".", ","] | None = None
    null_values: list[str] = Field(default_factory=lambda: list(NULL_VALUES))
    timestamp_format: str | None = None
    time_zone: str | None = None
    odd_ids: Literal["refuse", "normalise"] = "refuse"
    float_ids: Literal["refuse", "whole", "keep"] = "refuse"

    @field_validator("columns")
    @classmethod
    def _known_columns(cls, columns: dict[str, str]) -> dict[str, str]:
        for name in columns:
            if name not in cls.canonical:
                known = ", ".join(cls.canonical)
                raise ValueError(f"{name!r} is not a canonical column, expected some of {known}")
        return columns

    @field_validator("joins")
    @classmethod
    def _free_names(cls, joins: dict[str, JoinedFile]) -> dict[str, JoinedFile]:
        if taken := joins.keys() & {"interactions", "items", "users", "vectors"}:
            raise ValueError(f"{min(taken)!r} is the name of a table, expected another name, such as orders")
        return joins

    @field_validator("computed")
    @classmethod
    def _expressions(cls, computed: dict[str, str]) -> dict[str, str]:
        for name, text in computed.items():
            if re.search(r"(?i)\bcast\s*\(|::", text):
                raise ValueError(
                    f"{name!r} casts: write TRY_CAST(... AS DOUBLE), which leaves an unreadable cell empty"
                )
            try:
                pl.sql_expr(text)
            except pl.exceptions.PolarsError as error:
                raise ValueError(f"{name!r} is no expression in SQL ({one_line(str(error), 120)})") from None
        return computed

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, zone: str | None) -> str | None:
        if zone is not None and zone != "UTC":
            try:
                pl.Series([0]).cast(pl.Datetime("us")).dt.replace_time_zone(zone)
            except pl.exceptions.PolarsError:
                zone = ""
            if "/" not in zone:  # EST and the like are fixed offsets, which ignore daylight saving time
                raise ValueError("expected a name of the time zone database, such as Europe/Berlin, or UTC")
        return zone

    @property
    def sources(self) -> dict[str, str]:
        return self.columns

    @model_validator(mode="after")
    def _readable_times(self) -> Self:
        if self.timestamp_format is not None:
            check_format(self.timestamp_format, self.time_zone)
        return self


class InteractionsFile(TableFile):
    """The table of interactions. event: the event of all rows, for a file without such a column. If a column is mapped
    to `quantity`, `value` is the price of one piece and is multiplied by it; a row with a quantity below zero is a
    return."""

    canonical: ClassVar[list[str]] = [*INTERACTIONS, QUANTITY]
    event: str | None = None

    @model_validator(mode="after")
    def _one_event(self) -> "InteractionsFile":
        if self.event is not None and "event" in self.columns:
            raise ValueError("both `event` and `columns.event` are set, expected one of them")
        return self


class Attribute(Section):
    """One attribute. column: name in the file; kind: type to read its text as, None for text."""

    column: str
    kind: Kind | None = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, given: Any) -> Any:
        return {"column": given} if isinstance(given, str) else given


class DescribedFile(TableFile):
    """A table of items or users. category_separator: text between values in cells that are no list; default: | and ;.
    attributes: name -> column, or a list of columns: further properties, of items for answers and filters, of users for
    segments and experiments. A cell is text, or of the type in Parquet; `{column: weight_kg, kind: number}` reads text
    as number, yes_no or list."""

    category_separator: str | None = Field(None, min_length=1)
    attributes: Annotated[
        dict[Annotated[str, Field(pattern=f"^{ATTRIBUTE_NAME}$")], Attribute],
        Field(max_length=MAX_ATTRIBUTES),
        BeforeValidator(lambda given: {name: name for name in given} if isinstance(given, list) else given),
    ] = Field(default_factory=dict)

    @property
    def sources(self) -> dict[str, str]:
        return self.columns | {ATTRIBUTE + name: one.column for name, one in self.attributes.items()}


class ItemsFile(DescribedFile):
    """The table of items."""

    canonical: ClassVar[list[str]] = [*(name for name in ITEMS if name != ATTRIBUTES), VECTOR]


class UsersFile(DescribedFile):
    """The table of users: their ids and attributes."""

    canonical: ClassVar[list[str]] = [name for name in USERS if name != ATTRIBUTES]


class VectorsFile(TableFile):
    """A table of vectors of items, such as embeddings made elsewhere. A vector is a list of numbers in Parquet or JSON
    Lines, else text such as `[0.1, 0.2]` or `0.1 0.2`."""

    canonical: ClassVar[list[str]] = list(VECTORS)


class Config(Section):
    """The settings of the data set `files`. items: None to take them from the interactions; users: None without;
    vectors: None without, or if they are a column of the items; embed: None, or the server that makes vectors of the
    texts of items."""

    interactions: InteractionsFile
    items: ItemsFile | None = None
    users: UsersFile | None = None
    vectors: VectorsFile | None = None
    embed: Embed | None = None

    @property
    def tables(self) -> dict[str, TableFile]:
        """Return the tables that are set, by name."""
        every = {"interactions": self.interactions, "items": self.items, "users": self.users, "vectors": self.vectors}
        return {name: file for name, file in every.items() if file is not None}

    @model_validator(mode="after")
    def _one_join_of_a_name(self) -> Self:
        names = [name for file in self.tables.values() for name in file.joins]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"joins: two tables have one named {twice[0]!r}, expected different names")
        return self

    @model_validator(mode="after")
    def _one_origin_of_vectors(self) -> Self:
        if self.embed is not None and (self.items is None or self.vectors is not None):
            raise ValueError("embed: needs a table of items with texts, and cannot be combined with a table of vectors")
        return self
