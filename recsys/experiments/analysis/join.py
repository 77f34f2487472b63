"""Attributes events to answers: by request id, else by the last time the item was shown to the unit.

    exposures   request_id, unit, arm, segment, timestamp, items (list of item_id), fallback, latency_ms
    events      event_id, unit, event, item_id, value, timestamp, request_id (null where the client did not say),
                and where the log has them: received (the server's clock), elsewhere (names an answer of no arm)

An event that names the request of an answer with its item belongs to it, regardless of the client's clock. Without a
request id, an event happened at the client's time plus the tolerated skew, but never after its arrival. A return
belongs to the purchase that it takes back.
"""

from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from recsys.schemas.field_limits import PURCHASE, RETURN

BY_REQUEST, BY_WINDOW, BY_PURCHASE = "by request id", "by time window", "returns, by their purchase"
JOINED = (BY_REQUEST, BY_WINDOW, BY_PURCHASE)
TOO_LATE = "after the window"
ELSEWHERE = "names an answer outside of the experiment"
EARLY = "before the answer that showed the item, by more than the tolerated skew"
LOST = "names an answer that is not in the log"
NOT_SHOWN = "the item was not shown"
NO_PURCHASE = "returns of a purchase that does not count"
DOUBTFUL = (EARLY, LOST)  # may belong to an answer of the experiment: `checks.py` looks what they could change
OUTCOMES = ("click", "cart", PURCHASE, RETURN)
DOUBT = timedelta(hours=1)  # how wrong a clock without any better time is taken to be, to find what was lost


@dataclass(frozen=True)
class Rule:
    """The attribution rule: how long an event counts for an answer, and the tolerated skew of clients' clocks."""

    window_hours: float
    skew_seconds: float = 10.0

    @property
    def window(self) -> timedelta:
        return timedelta(hours=self.window_hours, seconds=self.skew_seconds)

    def __str__(self) -> str:
        return (
            f"an event counts for the answer that its request_id names, else for the last one that showed the item to "
            f"the same unit; in both cases within {self.window_hours:g} h; where only the client's clock says when, it "
            f"may be wrong by {self.skew_seconds:g} s"
        )


def classify(exposures: pl.DataFrame, events: pl.DataFrame, rule: Rule) -> pl.DataFrame:
    """Return every event of the units in the exposures, with the answer that it belongs to, if any.

    Columns: event_id, event, item_id, value, timestamp, request_id and unit (of the answer), how (one of the
    constants above). Doubtful ones carry the answer that they may belong to.
    """
    events = _with_moments(events, rule).filter(pl.col("event").is_in(OUTCOMES))
    shown = exposures.select("request_id", "unit", shown_at="timestamp", item_id="items").explode("item_id")
    shown = shown.drop_nulls("item_id").unique(["request_id", "unit", "item_id"], keep="first", maintain_order=True)
    returns, acts = events.filter(event=RETURN), events.filter(pl.col("event") != RETURN)
    named = _named(acts, shown, rule)
    rest = acts.join(named, on="event_id", how="anti")
    elsewhere = rest.filter("elsewhere").with_columns(how=pl.lit(ELSEWHERE), request_id=pl.lit(None, pl.String))
    rest = rest.filter(~pl.col("elsewhere"))
    window = _last_shown(rest, shown, "moment", rule, BY_WINDOW)
    rest = rest.join(window, on="event_id", how="anti")
    early = _last_shown(rest, shown, "latest", rule, EARLY)
    rest = rest.join(early, on="event_id", how="anti")
    left = _not_joined(rest, exposures)
    joined = pl.concat([_columns(part) for part in (named, window, elsewhere, early, left)])
    all_ = pl.concat([joined, _columns(_returns(returns, joined, rule))])
    return all_.join(exposures.select("unit").unique(), on="unit", how="semi").sort("timestamp", "event_id")


def attribute(exposures: pl.DataFrame, events: pl.DataFrame, rule: Rule) -> pl.DataFrame:
    """Return the events that `classify` attributed to an answer."""
    return classify(exposures, events, rule).filter(pl.col("how").is_in(JOINED))


def by_unit(
    exposures: pl.DataFrame, attributed: pl.DataFrame, before: pl.DataFrame | None = None, slow_ms: float = float("inf")
) -> pl.DataFrame:
    """Return one row per unit with the columns that a readout adds up.

    unit, arm, segment (of the first answer), requests, slots, clicks, carts, purchases, converted (0 or 1), revenue,
    fallbacks (answers), slow (answers that took longer than slow_ms), latency_ms (sum), events_before.
    clicks are places clicked (a second click on one place is none); a purchase that is returned stays a purchase, its
    amount leaves the revenue; before: unit, events of the time before the experiment, becomes the column
    `events_before`, 0 where nothing is known.
    """
    of = {event: pl.col("event") == event for event in OUTCOMES}
    counted = attributed.group_by("request_id", "unit").agg(
        clicks=pl.col("item_id").filter(of["click"]).n_unique(),
        carts=of["cart"].sum(),
        purchases=of[PURCHASE].sum(),
        revenue=pl.col("value").filter(of[PURCHASE]).sum() - pl.col("value").filter(of[RETURN]).sum(),
    )
    table = (
        exposures.join(counted, on=["request_id", "unit"], how="left")
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
            slow=(pl.col("latency_ms") > slow_ms).sum(),
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


def _with_moments(events: pl.DataFrame, rule: Rule) -> pl.DataFrame:
    """Return each event once, with its assumed time `moment` and the latest possible time `latest`."""
    absent = {"received": pl.lit(None, pl.Datetime("us", "UTC")), "elsewhere": pl.lit(False)}
    events = events.with_columns(**{name: value for name, value in absent.items() if name not in events.columns})
    return events.unique("event_id", keep="first", maintain_order=True).with_columns(
        pl.col("elsewhere").fill_null(False),
        moment=pl.min_horizontal("received", pl.col("timestamp") + timedelta(seconds=rule.skew_seconds)),
        latest=pl.coalesce("received", pl.col("timestamp") + DOUBT),
    )


def _named(acts: pl.DataFrame, shown: pl.DataFrame, rule: Rule) -> pl.DataFrame:
    """Return the events that name an answer with their item; if answers share an id, that of the same unit."""
    found = acts.drop_nulls("request_id").join(shown, on=["request_id", "item_id"], suffix="_shown")
    found = found.sort(pl.col("unit_shown") == pl.col("unit"), descending=True, nulls_last=True, maintain_order=True)
    in_time = pl.col("moment") <= pl.col("shown_at") + rule.window
    return (
        found.unique("event_id", keep="first", maintain_order=True)
        .with_columns(unit="unit_shown", how=pl.when(in_time).then(pl.lit(BY_REQUEST)).otherwise(pl.lit(TOO_LATE)))
        .sort("timestamp", "event_id")
    )


def _last_shown(events: pl.DataFrame, shown: pl.DataFrame, at: str, rule: Rule, how: str) -> pl.DataFrame:
    """Return the events within the window after the item was last shown to the unit; at: the column of their time."""
    return (
        events.drop("request_id")
        .sort(at)
        .join_asof(
            shown.sort("shown_at"),
            left_on=at,
            right_on="shown_at",
            by=["unit", "item_id"],
            strategy="backward",
            tolerance=rule.window,
            check_sortedness=False,
        )
        .drop_nulls("request_id")
        .with_columns(how=pl.lit(how))
    )


def _not_joined(events: pl.DataFrame, exposures: pl.DataFrame) -> pl.DataFrame:
    """Return the reason for each event without an answer; if it names a missing one, also the unit's first answer."""
    logged = exposures["request_id"].unique().implode()
    first = (
        exposures.sort("timestamp").unique("unit", keep="first", maintain_order=True).select("unit", first="request_id")
    )
    lost = pl.col("request_id").is_not_null() & ~pl.col("request_id").is_in(logged)
    return events.join(first, on="unit", how="left").with_columns(
        how=pl.when(lost).then(pl.lit(LOST)).otherwise(pl.lit(NOT_SHOWN)),
        request_id=pl.when(lost).then("first"),
    )


def _returns(returns: pl.DataFrame, joined: pl.DataFrame, rule: Rule) -> pl.DataFrame:
    """Attribute each return to the answer of the unit's last purchase of the item, however long ago."""
    bought = joined.filter(pl.col("how").is_in(JOINED), event=PURCHASE)
    bought = bought.select("unit", "item_id", "request_id", "moment").sort("moment")
    # a session is not named by an event, but its answer is
    units = bought.select("request_id", "item_id", of="unit").unique(["request_id", "item_id"], keep="last")
    returns = returns.join(units, on=["request_id", "item_id"], how="left").with_columns(pl.coalesce("unit", "of"))
    return (
        returns.drop("request_id")
        .with_columns(pl.col("moment") + timedelta(seconds=rule.skew_seconds))
        .sort("moment")
        .join_asof(bought, on="moment", by=["unit", "item_id"], strategy="backward", check_sortedness=False)
        .with_columns(
            how=pl.when(pl.col("request_id").is_null()).then(pl.lit(NO_PURCHASE)).otherwise(pl.lit(BY_PURCHASE))
        )
    )


def _columns(events: pl.DataFrame) -> pl.DataFrame:
    return events.select("event_id", "event", "item_id", "value", "timestamp", "moment", "request_id", "unit", "how")
