"""The night: the shop exports its click log and its items, and `recsys retrain` runs, as from cron."""

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from benchmarks.rehearsal.workspace import RETRAIN

if TYPE_CHECKING:
    from benchmarks.rehearsal.month import Month

HOUR = 3.0
FIELDS = ("item_id", "title", "text", "categories", "price")


@dataclass
class Feed:
    """What the exports hold. dump_share: of the click log's bytes, below 1 the copy broke off."""

    dump_share: float = 1.0
    items_there: bool = True
    price_factor: float = 1.0


def export(month: "Month") -> None:
    """Copy the click log and the catalogue of today into the workspace."""
    content = month.client.log.read_bytes()
    target = month.folder / "shop"
    (target / "interactions.csv").write_bytes(content[: int(len(content) * month.feed.dump_share)])
    (target / "items.csv").unlink(missing_ok=True)
    if month.feed.items_there:
        _priced(month).write_csv(target / "items.csv")


def retrain(month: "Month") -> None:
    """Run `recsys retrain`; the clock stands still meanwhile: at this size it takes less than a minute."""
    command = [sys.executable, "-m", "recsys.cli", *RETRAIN, "--store", month.store]
    log = month.folder / "retrain.log"
    before = log.stat().st_size if log.exists() else 0
    done = subprocess.run(command, cwd=month.folder, capture_output=True, check=False)
    said = log.read_text()[before:].strip().splitlines()[-1:] if log.exists() else [""]
    month.note("retrain", f"exit {done.returncode}: {said[-1] if said else done.stderr.decode()[-200:]}")


def put_items(month: "Month", only_new: bool = False) -> None:
    """Tell the API of the items: those that arrive today, or all."""
    table = _priced(month)
    if only_new:
        table = table.filter(pl.col("first_seen").dt.epoch("s") >= month.clock.now - 86_400)
    rows = []
    for row in table.select(FIELDS).iter_rows(named=True):
        known = {name: value for name, value in row.items() if value is not None}
        if "categories" in known:
            known["categories"] = json.loads(known["categories"])
        rows.append(known)
    for at in range(0, len(rows), 100):
        month.client.api.ask("PUT", "/v1/items", rows[at : at + 100])


def _priced(month: "Month") -> pl.DataFrame:
    """Return the items that are in the shop today, with today's prices."""
    here = month.items.filter(pl.col("first_seen").dt.epoch("s") < month.clock.now)
    return here.with_columns((pl.col("price") * month.feed.price_factor).round(2))
