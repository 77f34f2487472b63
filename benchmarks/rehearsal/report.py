"""Says of every incident what noticed it, when, what acted, and what it cost in clicks against the quiet month."""

from collections.abc import Mapping
from typing import Any

from benchmarks.rehearsal.incidents import INCIDENTS, Incident

HOUR, WEEK_DAYS = 3600.0, 7
NOTICED_HOURS = 1.0
AFTER_HOURS = 12.0  # after its end an incident still counts as noticed, and costs clicks
KINDS = {one.name: one for one in INCIDENTS}


def report(months: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Compare the three months."""
    days = min(each["days"] for each in months.values())
    months = {name: _first(each, days) for name, each in months.items()}
    quiet, month = months["quiet"], months["incidents"]
    rows = [_row(month, quiet, each) for each in month["incidents"]]
    clicks = {name: sum(each["clicks"].values()) for name, each in months.items()}
    canaries = [row for row in rows if "refused" in KINDS[row["incident"]].right]
    false = _notices(quiet)
    return {
        "incidents": rows,
        "noticed": sum(row["noticed_minutes"] is not None for row in rows),
        "right_in_time": sum(row["right_in_time"] for row in rows),
        "of": len(rows),
        "days": days,
        "bad_canaries_refused": sum(row["right_in_time"] for row in canaries),
        "of_bad_canaries": len(canaries),
        "clicks": clicks,
        "clicks_lost": round(1 - clicks["incidents"] / clicks["quiet"], 4),
        "clicks_lost_loop_off": round(1 - clicks["loop off"] / clicks["quiet"], 4),
        "false_alarms_a_week": round(len(false) / quiet["days"] * WEEK_DAYS, 2),
        "false_alarms": [{"at_hours": round(at, 1), "what": what, "text": text} for at, what, text in false],
        "cpu_seconds": {name: each["cpu_seconds"] for name, each in months.items()},
        "wall_seconds": {name: each["wall_seconds"] for name, each in months.items()},
        "without_a_list": {name: each["requests_without_a_list"] for name, each in months.items()},
    }


def _first(month: Mapping[str, Any], days: int) -> dict[str, Any]:
    """Return the first days of a month, with the incidents that began early enough for something to notice them."""
    first = min(int(hour) for hour in month["clicks"]) // 24
    clicks = {hour: n for hour, n in month["clicks"].items() if int(hour) // 24 - first < days}
    incidents = [one for one in month["incidents"] if one["begin"] + NOTICED_HOURS < 24 * days]
    return {**month, "days": days, "clicks": clicks, "incidents": incidents}


def _row(month: Mapping[str, Any], quiet: Mapping[str, Any], planned: Mapping[str, Any]) -> dict[str, Any]:
    kind, begin, until = KINDS[planned["name"]], planned["begin"], planned["end"] + AFTER_HOURS
    heard = [each for each in _notices(month) if begin <= each[0] <= until]
    right = [each for each in heard if any(_is(name, each) for name in kind.right)]
    late = (right[0][0] - begin) * 60 if right else None
    hours = [str(hour) for hour in _hours(month, begin, until)]
    return {
        "incident": planned["name"],
        "begin_hours": round(begin, 2),
        "expected": list(kind.right),
        "within_minutes": kind.within,
        "noticed_by": list(dict.fromkeys(each[1] for each in heard)),
        "noticed_minutes": round((heard[0][0] - begin) * 60, 1) if heard else None,
        "right_minutes": None if late is None else round(late, 1),
        "right_in_time": late is not None and late <= kind.within + _run_minutes(kind),
        "acted": _acted(month, begin, until),
        "clicks_lost": sum(quiet["clicks"].get(hour, 0) - month["clicks"].get(hour, 0) for hour in hours),
        "clicks_of_quiet": sum(quiet["clicks"].get(hour, 0) for hour in hours),
        "said": right[0][2] if right else "",
    }


def _is(name: str, notice: tuple[float, str, str]) -> bool:
    """Return whether a notice is the one that is named, such as "finding events: amount"."""
    what, _, feature = name.partition(": ")
    return notice[1] == what and f"{feature} " in f"{notice[2]} "


def _run_minutes(kind: Incident) -> float:
    """Return how long before the nightly run a fault of the exports begins."""
    return 6.0 if kind.night else 0.0


def _notices(month: Mapping[str, Any]) -> list[tuple[float, str, str]]:
    """Return (hours since the opening, what noticed, its words) by time; a finding has an alert of its own."""
    opening = month["opening"]
    found = [((one["begin"] - opening) / HOUR, one["alert"], one["labels"]) for one in month["alerts"]]
    found = [each for each in found if each[1] != "RecsysFinding"]
    found += [((one["at"] - opening) / HOUR, f"finding {one['kind']}", one["what"]) for one in month["findings"]]
    found += [((at - opening) / HOUR, what, text) for at, what, text in month["notes"] if what == "refused"]
    return sorted(found)


def _acted(month: Mapping[str, Any], begin: float, until: float) -> list[str]:
    opening = month["opening"]
    inside = [
        f"{what}: {text[:120]}"
        for at, what, text in month["notes"]
        if begin <= (at - opening) / HOUR <= until and what in ("retrain", "refused")
    ]
    inside += [
        f"{one['kind']} found: {one['policy']}"
        for one in month["findings"]
        if begin <= (one["at"] - opening) / HOUR <= until
    ]
    return inside


def _hours(month: Mapping[str, Any], begin: float, until: float) -> range:
    """Return the hours of the log from the beginning of an incident on."""
    first = min(int(hour) for hour in month["clicks"]) // 24 * 24
    return range(first + int(begin), first + int(min(until, month["days"] * 24)))
