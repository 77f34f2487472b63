"""Own files through the adapter `files` and `prepare`: what is kept, what is refused and why, where each line went."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from recsys.data.prepare import prepare
from recsys.data.report import DataReport, TableReport
from recsys.datasets import files
from recsys.params import DatasetParams, parse

EVENTS = "user_id,item_id,timestamp\n"
GOOD = EVENTS + "u1,a,2024-05-01\n"


@dataclass(frozen=True)
class Outcome:
    """What `prepare` wrote of own files."""

    interactions: pl.DataFrame
    items: pl.DataFrame
    quarantine: pl.DataFrame
    report: DataReport

    def _table(self, table: str) -> TableReport:
        return self.report.tables[table]

    def reasons(self, table: str = "interactions") -> dict[str, int]:
        return self._table(table).reasons

    def notes(self, table: str = "interactions") -> dict[str, int]:
        return self._table(table).notes

    def bad_lines(self, table: str = "interactions") -> list[tuple[int, str]]:
        """Line number and reason of each refused row."""
        bad = self.quarantine.filter(pl.col("table") == table)
        return [(json.loads(raw)["(line)"], reason) for raw, reason in bad.select("raw", "reason").iter_rows()]

    def users(self) -> list[str]:
        return self.interactions["user_id"].to_list()

    def times(self) -> dict[str, str]:
        """Time of each user's (last) event, UTC."""
        shown = self.interactions.select("user_id", pl.col("timestamp").dt.strftime("%Y-%m-%d %H:%M:%S%.f"))
        return dict(shown.iter_rows())

    def assert_every_line_counts(self, **lines: int) -> None:
        """lines = header + lines of rows + lines refused, for each file; kept + rejected = read, for each table."""
        for table, files_ in self.report.files.items():
            if table in self.report.tables:  # not the joined files
                counted = self._table(table)
                bad = self.quarantine.filter(pl.col("table") == table)
                assert counted.read == counted.kept + counted.rejected
                assert counted.rejected == bad.height
            for one in files_:
                assert one.lines is None or one.lines == sum((one.header or 0, one.row_lines or 0, one.refused or 0))
            if table in lines:
                assert sum(one.lines or 0 for one in files_) == lines[table]


def settings(event: str = "purchase", **thresholds: Any) -> DatasetParams:
    limits = {"min_interactions": 1, "min_users": 1, "min_items": 1}
    shares = dict.fromkeys(("max_rejected_share", "max_duplicate_share", "max_orphan_share"), 1.0)
    return DatasetParams.model_validate(
        {
            "adapter": {},
            "event_weights": {event: 1.0},
            "thresholds": {**limits, **shares, **thresholds},
            "split": {"protocol": "global_time", "valid_share": 0.1, "test_share": 0.1, "target_events": [event]},
            "recent_half_life_days": 1,
            "models": {},
            "release_candidates": ["als"],
        }
    )


def write(name: str, content: str | bytes) -> None:
    """A file in the working directory, as bytes or UTF-8."""
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())


def run(
    interactions: str | bytes | None = None,
    items: str | bytes | None = None,
    item_settings: dict[str, Any] | None = None,
    like_from: Any = None,
    users: dict[str, Any] | None = None,
    vectors: dict[str, Any] | None = None,
    embed: dict[str, Any] | None = None,
    **own: Any,
) -> Outcome:
    """Read events.csv and items.csv, or what `path` says, in the working directory; own: settings of interactions."""
    if interactions is not None:
        write("events.csv", interactions)
    if items is not None:
        write("items.csv", items)
    event = {} if "event" in own.get("columns", {}) else {"event": "purchase"}
    content: dict[str, Any] = {"interactions": {"path": "events.csv", **event, **own}}
    if items is not None or item_settings:
        content["items"] = {"path": "items.csv", **(item_settings or {})}
    others = {"users": users, "vectors": vectors, "embed": embed}
    content |= {name: section for name, section in others.items() if section is not None}
    config = parse(files.Config, content, "datasets.files.adapter")
    for folder in ("raw", "out"):
        shutil.rmtree(folder, ignore_errors=True)
        Path(folder).mkdir()
    files.fetch(config, Path("raw"), seed=0)
    report = prepare(files.tables(config, Path("raw")), "files", settings(like_from=like_from), Path("out"))
    kept, items_kept, refused = (
        pl.read_parquet(f"out/{name}.parquet") for name in ("interactions", "items", "quarantine")
    )
    outcome = Outcome(kept, items_kept, refused, report)
    outcome.assert_every_line_counts()
    return outcome
