"""Metrics of the outcomes of answers by variant, bundle and surface: the events that have an answer's request_id."""

from collections.abc import Mapping, Sequence
from itertools import chain

from prometheus_client import Gauge

from recsys.contracts import SECONDS_PER_DAY
from recsys.drift.recorded import Recorded, StoredEvent
from recsys.schemas.field_limits import PURCHASE, RETURN

LABELS = ["variant", "bundle_id", "surface"]
OTHER = ("other", "other", "other")
MOST = 100  # combinations of labels; all others are counted as "other"
RATES = Gauge("recsys_watch_outcome_rate", "Share of the window's answers with such an event", [*LABELS, "outcome"])
ANSWERS = Gauge("recsys_watch_answers", "Answers of the window", LABELS)
REVENUE = Gauge("recsys_watch_revenue", "Net amount of what was bought from the window's answers", LABELS)
HITS = Gauge("recsys_watch_hit_rate", "Share of answers with an item that the user or visitor then chose", LABELS)
CALIBRATION = Gauge("recsys_watch_calibration_error", "Mean |confidence - share of hits| over deciles", LABELS)


def by_request(events: Sequence[StoredEvent]) -> dict[str, list[StoredEvent]]:
    """Return request_id -> the events with it; events without a request_id are left out."""
    found: dict[str, list[StoredEvent]] = {}
    for event in events:
        if event.request_id is not None:
            found.setdefault(event.request_id, []).append(event)
    return found


def kind_of(named: Sequence[StoredEvent]) -> int:
    """Return the outcome of an answer with these events: 0 none, 1 click or view, 2 more (purchase, ...), 3 dislike."""
    kinds = {event.event for event in named}
    return 3 if "dislike" in kinds else 2 if kinds - {"click", "view"} else 1 if kinds else 0


def show(answers: Sequence[Recorded], events: Sequence[StoredEvent]) -> None:
    """Set the metrics of one window of time. answers: those of the window; events: on these, at any later time."""
    for gauge in (RATES, ANSWERS, REVENUE, HITS, CALIBRATION):
        gauge.clear()
    named = by_request(events)
    groups: dict[tuple[str, str, str], list[Recorded]] = {}
    for answer in answers:
        group = answer.variant, answer.bundle_id, answer.surface
        groups.setdefault(group if group in groups or len(groups) < MOST else OTHER, []).append(answer)
    chosen: dict[tuple[str, str], float] = {}
    for event in events:
        at = chosen.setdefault((event.person, event.item_id), event.timestamp)
        chosen[event.person, event.item_id] = max(at, event.timestamp)
    for labels, shown in groups.items():
        ANSWERS.labels(*labels).set(len(shown))
        linked = [named.get(answer.request_id, []) for answer in shown]
        for outcome in ("click", PURCHASE, "dislike"):
            share = sum(any(one.event == outcome for one in each) for each in linked) / len(shown)
            RATES.labels(*labels, outcome).set(share)
        amounts = [(one.event, one.value or 0.0) for each in linked for one in each]
        signs: Mapping[str, float] = {PURCHASE: 1.0, RETURN: -1.0}
        REVENUE.labels(*labels).set(sum(signs.get(event, 0.0) * value for event, value in amounts))
        hits = [
            [_hit(chosen.get((answer.person, item["item_id"])), answer.timestamp) for item in answer.items]
            for answer in shown
        ]
        HITS.labels(*labels).set(sum(map(any, hits)) / len(shown))
        items = zip(chain(*(answer.items for answer in shown)), chain(*hits), strict=True)
        if said := sorted((item["confidence"], hit) for item, hit in items if item.get("confidence") is not None):
            CALIBRATION.labels(*labels).set(_calibration_error(said))


def _hit(at: float | None, shown: float) -> bool:
    return at is not None and 0 <= at - shown <= SECONDS_PER_DAY


def _calibration_error(said: list[tuple[float, bool]]) -> float:
    size, error = max(1, len(said) // 10), 0.0
    for start in range(0, len(said), size):
        part = said[start : start + size]
        error += abs(sum(sure for sure, _ in part) - sum(hit for _, hit in part))
    return error / len(said)
