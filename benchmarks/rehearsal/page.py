"""Writes docs/rehearsal.md and its picture from the results: clicks a day of the three months, then every incident."""

import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import provenance
from recsys.output import write_text

PAGE, PICTURE = "rehearsal.md", "rehearsal.svg"
WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 960, 420, 60, 120, 40
COLOURS = {"quiet": "#3567a6", "incidents": "#2e7d32", "loop off": "#b42318"}
NO_NIGHTS = """
**This is a short run**, made on a machine that others kept busy. It has no nightly retraining, so none of the incidents
that only such a run sees: half-written dump, source of items offline, price feed of zeros. It is no month:
`make rehearsal` is.
"""
TEMPLATE = Path(__file__).with_name("page.txt")


def write(found: Mapping[str, Any]) -> None:
    """Write picture and page."""
    write_text(provenance.DOCS / PICTURE, picture(found))
    docs = provenance.DOCS if provenance.ELSEWHERE else provenance.DOCS.parent
    write_text(docs / PAGE, page(found))


def page(found: Mapping[str, Any]) -> str:
    """Return the page's text."""
    about, month = found["report"], found["months"]["incidents"]
    bars = [
        ("every incident noticed", about["noticed"], f"{about['of']}", about["noticed"] == about["of"]),
        ("by the right alert in its time", about["right_in_time"], f"13 of 15 ({about['of']} here)",
         about["right_in_time"] / about["of"] >= 13 / 15),
        ("bad canaries refused before 10 % of the traffic", about["bad_canaries_refused"],
         str(about["of_bad_canaries"]), 0 < about["of_bad_canaries"] == about["bad_canaries_refused"]),
        ("clicks lost against the quiet month", f"{about['clicks_lost']:.1%}", "at most 5 %",
         about["clicks_lost"] <= 0.05),
        ("false alarms a week, quiet month", about["false_alarms_a_week"], "at most 1",
         about["false_alarms_a_week"] <= 1),
    ]  # fmt: skip
    rows = [
        f"| {one['incident']} | {', '.join(one['noticed_by']) or 'nothing'} | {_time(one['right_minutes'])}"
        f" | {_time(one['within_minutes'])} | {'yes' if one['right_in_time'] else 'no'}"
        f" | {'; '.join(dict.fromkeys(each.partition(': ')[0] + ' ' + each.partition(': ')[2][:7] for each in one['acted'])) or 'nothing'}"  # noqa: E501
        f" | {one['clicks_lost']} of {one['clicks_of_quiet']} | {_cell(one['said'])} |"
        for one in about["incidents"]
    ]
    false = [f"| {one['at_hours'] / 24:.1f} | {one['what']} | {_cell(one['text'])} |" for one in about["false_alarms"]]
    return string.Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        bars="\n".join(
            f"| {name} | {value} | {bar} | {'met' if met else 'missed'} |" for name, value, bar, met in bars
        ),
        rows="\n".join(rows),
        false="\n".join(false) or "| | none | |",
        visits=month["visits_a_day"],
        days=about["days"],
        off=f"{about['clicks_lost_loop_off']:.1%}",
        cpu=", ".join(f"{name} {seconds / 60:.0f}" for name, seconds in about["cpu_seconds"].items()),
        wall=", ".join(f"{name} {seconds / 60:.0f}" for name, seconds in about["wall_seconds"].items()),
        commit=found["provenance"]["commit"][:12],
        seed=month["seed"],
        nights="" if month["retrained"] else NO_NIGHTS,
    )


def _time(minutes: float | None) -> str:
    if minutes is None:
        return "never"
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _cell(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ")[:160]


def picture(found: Mapping[str, Any]) -> str:
    """Return an SVG: a line of clicks a day for each month, and a mark where an incident begins."""
    days = found["report"]["days"]
    series = {name: _by_day(found["months"][name], days) for name in COLOURS}
    most = max(max(values) for values in series.values()) * 1.1 or 1.0

    def x(day: float) -> float:
        return LEFT + (WIDTH - LEFT - 20) * day / max(days, 1)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * value / most

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="12" role="img" aria-label="Clicks a day in three months">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for tick in range(5):
        value = most * tick / 4
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - 20}" y1="{y(value):.0f}" y2="{y(value):.0f}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(value) + 4:.0f}" text-anchor="end">{value:.0f}</text>')
    parts += [
        f'<text x="{x(day + 0.5):.0f}" y="{HEIGHT - 20}" text-anchor="middle">day {day + 1}</text>'
        for day in range(0, days, 5)
    ]
    for one in found["report"]["incidents"]:
        at = x(one["begin_hours"] / 24)
        parts.append(f'<line x1="{at:.0f}" x2="{at:.0f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="#bbb"/>')
        parts.append(
            f'<text transform="translate({at + 4:.0f},{TOP - 4}) rotate(-40)" font-size="10">{one["incident"]}</text>'
        )
    for number, (name, values) in enumerate(series.items()):
        points = " ".join(f"{x(day + 0.5):.1f},{y(value):.1f}" for day, value in enumerate(values))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{COLOURS[name]}" stroke-width="2"/>')
        parts.append(
            f'<text x="{LEFT + 10 + 110 * number}" y="{HEIGHT - BOTTOM - 8}" fill="{COLOURS[name]}">{name}</text>'
        )
    return "\n".join([*parts, "</svg>\n"])


def _by_day(month: Mapping[str, Any], days: int) -> list[int]:
    first = min((int(hour) for hour in month["clicks"]), default=0) // 24
    counts = [0] * days
    for hour, n in month["clicks"].items():
        if 0 <= (day := int(hour) // 24 - first) < days:
            counts[day] += n
    return counts
