"""Attributes events to the answers that caused them: by request id, else by the last answer that showed the item.

    exposures   one row per answer: request_id, unit, arm, segment, timestamp, items (list of item_id), fallback,
                latency_ms
    events      event_id, unit, event, item_id, value, timestamp (the client's clock), request_id (null if the client
                sent none), received (the server's clock, or null), elsewhere (true if the request_id is that of an
                answer outside of the experiment)

An event whose request_id is that of an answer with its item belongs to this answer, whatever the client's clock says.
The assumed time of an event without a request_id is the client's time plus the tolerated skew, but not later than
`received`. A return belongs to the answer of the purchase that it takes back.
"""

from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from recsys.experiments.online.config import Experiment
from recsys.schemas.field_limits import PURCHASE, RETURN

BY_REQUEST, BY_WINDOW, BY_PURCHASE = "by request id", "by time window", "returns, by their purchase"
JOINED = (BY_REQUEST, BY_WINDOW, BY_PURCHASE)
TOO_LATE = "after the window"
ELSEWHERE = "names an answer outside of the experiment"
EARLY = "before the answer that showed the item, by more than the tolerated skew"
LOST = "names an answer that is not in the log"
NOT_SHOWN = "the item was not shown"
NO_PURCHASE = "returns of a purchase that does not count"
DOUBTFUL = (EARLY, LOST)  # may belong to the experiment: `checks.py` tests whether they could change a decision
OUTCOMES = ("click", "cart", PURCHASE, RETURN)
DOUBT = timedelta(hours=1)  # assumed error of a client's clock where the time of arrival is unknown


@dataclass(frozen=True)
class Rule:
    """The attribution rule: for how many hours an event counts for an answer, and the tolerated skew of the clients'
    clocks in seconds. `str(rule)` is the sentence by which the readout explains it."""

    window_hours: float
    skew_seconds: float = 10.0

    @classmethod
    def of(cls, experiment: Experiment) -> "Rule":
        return cls(experiment.attribution_hours, experiment.clock_skew_seconds)

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
    """Return every event of the units in the exposures, with the answer that it belongs to. Columns: event_id, event,
    item_id, value, timestamp, moment (the assumed time), request_id (null without an answer) and unit of the answer,
    how (one of `JOINED` if the event belongs to an answer, else the reason why not, such as `TOO_LATE`). An event with
    a reason in `DOUBTFUL` has the request_id of the answer that it may belong to."""
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
    exposures: pl.DataFrame, attributed: pl.DataFrame, before: pl.DataFrame, slow_ms: float = float("inf")
) -> pl.DataFrame:
    """Sum up the answers and events of each unit, one row per unit.

    attributed: the result of `attribute`; before: events from before the experiment, with the column unit.
    Columns: unit, arm, segment (of the first answer), requests, slots, clicks (a second click on the same item of an
    answer is not counted), purchases (returned ones too), converted (0 or 1), revenue (without returned
    purchases), fallbacks and slow (number of answers by the fallback, or slower than slow_ms), latency_ms (sum),
    events_before (number of rows in `before`).
    """
    of = {event: pl.col("event") == event for event in OUTCOMES}
    counted = attributed.group_by("request_id", "unit").agg(
        clicks=pl.col("item_id").filter(of["click"]).n_unique(),
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
    known = before.group_by("unit").agg(events_before=pl.len().cast(pl.Float64))
    return table.join(known, on="unit", how="left").with_columns(pl.col("events_before").fill_null(0.0)).sort("unit")


def _with_moments(events: pl.DataFrame, rule: Rule) -> pl.DataFrame:
    """Add the assumed time of each event, `moment`, and its latest possible time, `latest`."""
    return events.with_columns(
        pl.col("elsewhere").fill_null(False),
        moment=pl.min_horizontal("received", pl.col("timestamp") + timedelta(seconds=rule.skew_seconds)),
        latest=pl.coalesce("received", pl.col("timestamp") + DOUBT),
    )


def _named(acts: pl.DataFrame, shown: pl.DataFrame, rule: Rule) -> pl.DataFrame:
    """Return the events whose request_id is that of an answer with their item, with `how`. acts: events without
    returns; shown: one row per answer and item. If answers of several units share a request_id, the answer of the
    event's unit is taken."""
    found = acts.drop_nulls("request_id").join(shown, on=["request_id", "item_id"], suffix="_shown")
    found = found.sort(pl.col("unit_shown") == pl.col("unit"), descending=True, nulls_last=True, maintain_order=True)
    in_time = pl.col("moment") <= pl.col("shown_at") + rule.window
    return (
        found.unique("event_id", keep="first", maintain_order=True)
        .with_columns(unit="unit_shown", how=pl.when(in_time).then(pl.lit(BY_REQUEST)).otherwise(pl.lit(TOO_LATE)))
        .sort("timestamp", "event_id")
    )


def _last_shown(events: pl.DataFrame, shown: pl.DataFrame, at: str, rule: Rule, how: str) -> pl.DataFrame:
    """Return the events that happened within the window of `rule` after their item was last shown to their unit. shown:
    one row per answer and item; at: the column with the time of an event; how: the value of the column `how`."""
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
    """Add the reason to events without an answer; to those with an unknown request_id also the unit's first answer."""
    logged = exposures["request_id"].unique().implode()
    first = (
        exposures.sort("timestamp").unique("unit", keep="first", maintain_order=True).select("unit", first="request_id")
    )
    lost = pl.col("request_id").is_not_null() & ~pl.col("request_id").is_in(logged)
    return events.join(first, on="unit", how="left").with_columns(
        how=pl.when(lost).then(pl.lit(LOST)).otherwise(pl.lit(NOT_SHOWN)), request_id=pl.when(lost).then("first")
    )


def _returns(returns: pl.DataFrame, joined: pl.DataFrame, rule: Rule) -> pl.DataFrame:
    """Attribute each return to the answer of the unit's last purchase of the same item, however long ago that was. A
    return without an amount takes back all that was paid. joined: the other events, classified."""
    bought = joined.filter(pl.col("how").is_in(JOINED), event=PURCHASE)
    bought = bought.select("unit", "item_id", "request_id", "moment", paid="value").sort("moment")
    # events carry no session, so for sessions the unit comes from the answer
    units = bought.select("request_id", "item_id", of="unit").unique(["request_id", "item_id"], keep="last")
    returns = returns.join(units, on=["request_id", "item_id"], how="left").with_columns(pl.coalesce("unit", "of"))
    return (
        returns.drop("request_id")
        .with_columns(pl.col("moment") + timedelta(seconds=rule.skew_seconds))
        .sort("moment")
        .join_asof(bought, on="moment", by=["unit", "item_id"], strategy="backward", check_sortedness=False)
        .with_columns(
            pl.coalesce("value", "paid"),
            how=pl.when(pl.col("request_id").is_null()).then(pl.lit(NO_PURCHASE)).otherwise(pl.lit(BY_PURCHASE)),
        )
    )


def _columns(events: pl.DataFrame) -> pl.DataFrame:
    return events.select("event_id", "event", "item_id", "value", "timestamp", "moment", "request_id", "unit", "how")
