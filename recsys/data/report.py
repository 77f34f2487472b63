"""Reports the rows that `prepare` read, kept and rejected, as text and JSON; checks them against the thresholds."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import polars as pl

from recsys.data.raw_tables import FileLines
from recsys.errors import DataError
from recsys.output import templates
from recsys.params import Thresholds

SHOWN_CELL, SHOWN_ROW = 40, 240


@dataclass(frozen=True)
class TableReport:
    """Row counts of one table, most frequent first. reasons: reason -> rejected rows; notes: note -> changed cells."""

    file: str
    read: int
    kept: int
    rejected: int
    rejected_share: float
    reasons: dict[str, int]
    notes: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls, file: Path, read: int, reasons: pl.Series, notes: Mapping[str, int] = MappingProxyType({})
    ) -> "TableReport":
        """Return the report of a table with `read` rows.

        reasons: one for each rejected row; notes: a remark -> the number of rows that were kept in spite of it.
        """
        counts = reasons.alias("reason").value_counts().sort(["count", "reason"], descending=[True, False])
        n_bad, of_reasons, of_notes = reasons.len(), dict(counts.iter_rows()), dict(sorted(notes.items()))
        return cls(str(file), read, read - n_bad, n_bad, n_bad / max(read, 1), of_reasons, of_notes)

    def share(self, reason: str) -> float:
        return self.reasons.get(reason, 0) / max(self.read, 1)


@dataclass(frozen=True)
class DataReport:
    """The report of `prepare`. interactions, items, users_table, vectors_table: row counts, None without such a table;
    the other fields describe the kept interactions.

    first, last: times, UTC, ISO 8601, None without interactions; repeat_rate: share of the interactions whose user had
    an earlier one with the item; seen_items: number of items with an interaction; duplicate_share, orphan_share: of the
    rows read; item_gaps: by column, the share of the items without a title (or only the id as title), without a text,
    without categories, without a price and, if there are vectors, without one; items_without_likes: number of items
    without an interaction of a weight above 0; files: line counts of text files.
    """

    dataset: str
    interactions: TableReport
    items: TableReport
    duplicate_share: float
    orphan_share: float
    users: int
    seen_items: int
    events: dict[str, int]
    first: str | None
    last: str | None
    days: float
    repeat_rate: float
    median_events_per_user: float
    median_events_per_item: float
    item_gaps: dict[str, float]
    items_without_likes: int
    files: dict[str, list[FileLines]]
    users_table: TableReport | None = None
    vectors_table: TableReport | None = None

    @property
    def tables(self) -> dict[str, TableReport]:
        """The row counts by table."""
        others = {"users": self.users_table, "vectors": self.vectors_table}
        tables = {"interactions": self.interactions, "items": self.items}
        return tables | {name: table for name, table in others.items() if table is not None}

    def to_json(self) -> str:
        content = dataclasses.asdict(self)
        for name in ("users_table", "vectors_table"):
            if content[name] is None:
                del content[name]
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"

    def to_text(self) -> str:
        """Return the report as text, by the template `report.txt.j2`."""
        environment = templates(Path(__file__).parent)
        environment.filters["count"] = lambda number: "-" if number is None else f"{number:,}"
        return environment.get_template("report.txt.j2").render(report=self)


def describe(
    dataset: str,
    interactions: TableReport,
    items: TableReport,
    kept: pl.LazyFrame,
    pairs: int,
    kept_items: pl.DataFrame,
    files: Mapping[str, Sequence[FileLines]] = MappingProxyType({}),
    users_table: TableReport | None = None,
    vectors_table: TableReport | None = None,
) -> DataReport:
    """Return the report; kept, kept_items: the canonical tables; pairs: the number of different user-item pairs."""
    facts = kept.select(
        first=pl.col("timestamp").min(),
        last=pl.col("timestamp").max(),
        liked=pl.col("item_id").filter(pl.col("weight") > 0).n_unique(),
    ).collect(engine="streaming")
    first, last, liked = facts.row(0)
    without_vector = {"vector": 1 - vectors_table.kept / max(kept_items.height, 1)} if vectors_table else {}
    per = {name: kept.group_by(name).len().collect(engine="streaming") for name in ("user_id", "item_id", "event")}
    return DataReport(
        dataset=dataset,
        interactions=interactions,
        items=items,
        duplicate_share=interactions.share("duplicate"),
        orphan_share=interactions.share("orphan_item"),
        users=per["user_id"].height,
        seen_items=per["item_id"].height,
        events=dict(per["event"].sort("event").iter_rows()),
        first=first.isoformat() if first else None,
        last=last.isoformat() if last else None,
        days=round((last - first).total_seconds() / 86_400, 3) if first else 0.0,
        repeat_rate=1 - pairs / interactions.kept if interactions.kept else 0.0,
        median_events_per_user=_median(per["user_id"]),
        median_events_per_item=_median(per["item_id"]),
        item_gaps=_gaps(kept_items) | without_vector,
        items_without_likes=kept_items.height - liked,
        files={table: list(lines) for table, lines in files.items()},
        users_table=users_table,
        vectors_table=vectors_table,
    )


def _gaps(items: pl.DataFrame) -> dict[str, float]:
    title, blank = pl.col("title").str.strip_chars(), pl.col("text").str.strip_chars() == ""
    untitled = (title == "") | (title == pl.col("item_id"))
    shares = items.select(
        title=untitled.mean(), text=blank.mean(), categories=(pl.col("categories").list.len() == 0).mean(),
        price=pl.col("price").is_null().mean(),
    )  # fmt: skip
    return {name: share or 0.0 for name, share in shares.row(0, named=True).items()}


def check(
    report: DataReport, thresholds: Thresholds, tables: Path, hints: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Raise if a limit of the settings is exceeded; tables: folder of the tables, from which the message quotes a row.

    hints: end of a reason's name, such as `_unreadable` -> advice in the message; default: "correct the data".

    Raises:
        DataError: "events.csv: 120 of 120 interactions rejected (100.0%), datasets.shop.thresholds.max_rejected_share
            allows 10.0%; most often timestamp_unreadable (120), first row 0: ts='x'; see ..., then ..."
        DataError: "events.csv: users left: 1 (the first: user_id 'u1'), datasets.shop.thresholds.min_users ..."
    """
    key = f"datasets.{report.dataset}.thresholds"
    for name, limit, reason in (
        ("items", "max_rejected_share", None),
        *((name, "max_rejected_share", None) for name in ("users", "vectors") if name in report.tables),
        ("interactions", "max_orphan_share", "orphan_item"),
        ("interactions", "max_duplicate_share", "duplicate"),
        ("interactions", "max_rejected_share", None),
    ):
        table = report.tables[name]
        share, allowed = table.share(reason) if reason else table.rejected_share, getattr(thresholds, limit)
        if share > allowed:
            reason = reason or next(iter(table.reasons))
            count = table.reasons[reason]
            rejected = count if limit != "max_rejected_share" else table.rejected
            raise DataError(
                f"{table.file}: {rejected:,} of {table.read:,} {name} rejected ({share:.1%}), {key}.{limit} allows"
                f" {allowed:.1%}; most often {reason} ({count:,}), first {_example(tables, name, reason)};"
                f" see {tables / 'quarantine.parquet'}, then {_hint(reason, hints)} or raise the limit"
            )
    for name in ("items", "users"):
        if name in report.tables:
            _check_emptied(report.tables[name], name, thresholds.max_emptied_share, key, hints)
    for what, found, limit, column in (
        ("interactions", report.interactions.kept, "min_interactions", "timestamp"),
        ("users", report.users, "min_users", "user_id"),
        ("items with an interaction", report.seen_items, "min_items", "item_id"),
    ):
        if found < (wanted := getattr(thresholds, limit)):
            raise DataError(
                f"{report.interactions.file}: {what} left: {found:,}{_first(tables, column)},"
                f" {key}.{limit} requires {wanted:,}: add data or lower the limit"
            )


def _check_emptied(table: TableReport, name: str, allowed: float, key: str, hints: Mapping[str, str]) -> None:
    """Raise if the share of unusable cells in a column exceeds `allowed`: its settings are probably wrong."""
    for note, count in table.notes.items():
        if " emptied: " in note and count > allowed * table.read:
            raise DataError(
                f"{table.file}: {note} in {count:,} of {table.read:,} {name}, {key}.max_emptied_share allows"
                f" {allowed:.1%}: {_hint(note, hints)} or raise the limit"
            )


def _hint(reason: str, hints: Mapping[str, str]) -> str:
    return next((hint for end, hint in hints.items() if reason.endswith(end)), "correct the data")


def _example(tables: Path, table: str, reason: str) -> str:
    """Return the number and the cells of the first row rejected for `reason`, shortened to one line."""
    found = pl.scan_parquet(tables / "quarantine.parquet").filter(table=table, reason=reason).first().collect()
    cells: dict[str, Any] = json.loads(found["raw"][0])
    shown = ", ".join(f"{name}={_short(value, SHOWN_CELL)}" for name, value in cells.items())
    return f"row {found['row'][0]}: {_short(shown, SHOWN_ROW, quote=False)}"


def _first(tables: Path, column: str) -> str:
    found = pl.scan_parquet(tables / "interactions.parquet").select(pl.col(column).cast(pl.String)).first().collect()
    return f" (the first: {column} {found.item()!r:.{SHOWN_CELL}})" if found.height else ""


def _short(value: Any, width: int, quote: bool = True) -> str:
    text = repr(value) if quote else str(value)
    return text if len(text) <= width else text[: width - 3] + "..."


def _median(counts: pl.DataFrame) -> float:
    return float(counts["len"].median() or 0.0)  # type: ignore[arg-type]
