"""Which click belongs to which answer: by request id, else by the last time the item was shown to the unit.

    exposures   request_id, unit, arm, segment, timestamp, items (list of item_id), fallback, latency_ms
    events      event_id, unit, event, item_id, value, timestamp, request_id (null where the client did not say)

An event counts for an answer when the item was in it and the event came within the window after it; the rule is in
every readout.
"""

from dataclasses import dataclass
from datetime import timedelta

import polars as pl

BY_REQUEST, BY_WINDOW = "request", "window"


@dataclass(frozen=True)
class Rule:
    """The attribution rule: how long after an answer an event may still count for it."""

    window_hours: float

    def __str__(self) -> str:
        return (
            f"an event counts for the answer that its request_id names, else for the last one that showed the item to "
            f"the same unit; in both cases within {self.window_hours:g} h"
        )


def attribute(exposures: pl.DataFrame, events: pl.DataFrame, rule: Rule) -> pl.DataFrame:
    """The events that count: event_id, event, item_id, value, timestamp, request_id, how (`request` or `window`)."""
    window = timedelta(hours=rule.window_hours)
    shown = exposures.select("request_id", "unit", pl.col("timestamp").alias("shown_at"), "items").explode("items")
    shown = shown.rename({"items": "item_id"}).drop_nulls("item_id")
    events = events.unique("event_id", keep="first", maintain_order=True)
    named = events.drop_nulls("request_id").join(
        shown.select("request_id", "item_id", "shown_at").unique(["request_id", "item_id"]),
        on=["request_id", "item_id"],
    )
    by_request = named.filter(pl.col("timestamp").is_between("shown_at", pl.col("shown_at") + window))
    others = events.join(by_request.select("event_id"), on="event_id", how="anti").drop("request_id")
    by_window = (
        others.sort("timestamp")
        .join_asof(
            shown.sort("shown_at"),
            left_on="timestamp",
            right_on="shown_at",
            by=["unit", "item_id"],
            strategy="backward",
            tolerance=window,
            check_sortedness=False,
        )
        .drop_nulls("request_id")
    )
    columns = ["event_id", "event", "item_id", "value", "timestamp", "request_id"]
    return pl.concat(
        [
            by_request.select(*columns, how=pl.lit(BY_REQUEST)),
            by_window.select(*columns, how=pl.lit(BY_WINDOW)),
        ]
    ).sort("timestamp", "event_id")


def by_unit(exposures: pl.DataFrame, attributed: pl.DataFrame, before: pl.DataFrame | None = None) -> pl.DataFrame:
    """One row a unit, with what it did: the columns a readout adds up.

    unit, arm, segment (of the first answer), requests, slots, clicks, carts, purchases, converted (0 or 1), revenue,
    fallbacks (answers), latency_ms (sum), events_before.
    clicks are places clicked (a second click on one place is none); before: unit, events of the time before the
    experiment, becomes the column `events_before`, 0 where nothing is known.
    """
    counted = attributed.group_by("request_id").agg(
        clicks=pl.col("item_id").filter(pl.col("event") == "click").n_unique(),
        carts=(pl.col("event") == "cart").sum(),
        purchases=(pl.col("event") == "purchase").sum(),
        revenue=pl.col("value").filter(pl.col("event") == "purchase").sum(),
    )
    table = (
        exposures.join(counted, on="request_id", how="left")
        .group_by("unit", "arm")
        .agg(
            segment=pl.col("segment").sort_by("timestamp").first(),
            requests=pl.len(),
            slots=pl.col("items").list.len().sum(),
            clicks=pl.col("clicks").sum(),
            carts=pl.col("carts").sum(),
            purchases=pl.col("purchases").sum(),
            revenue=pl.col("revenue").sum(),
            fallbacks=pl.col("fallback").sum(),
            latency_ms=pl.col("latency_ms").sum(),
        )
        .with_columns(pl.selectors.numeric().fill_null(0).cast(pl.Float64))
        .with_columns(converted=(pl.col("purchases") > 0).cast(pl.Float64))
        .sort("unit", "arm")
    )
    if before is None:
        return table.with_columns(events_before=pl.lit(0.0))
    known = before.group_by("unit").agg(events_before=pl.len().cast(pl.Float64))
    return table.join(known, on="unit", how="left").with_columns(pl.col("events_before").fill_null(0.0)).sort("unit")
