"""Evaluates the committed alert rules over a month of scrapes, by a real Prometheus, with their durations unscaled.

The scrapes are read in with `promtool`; then Prometheus answers each rule's expression at every two minutes of the
month. An alert fires where its expression held for the rule's `for`.
"""

import json
import re
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.rehearsal.scrape import EVERY, rules

POINTS = 10_000  # of one query
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True)
class Fired:
    """An alert that fired from `begin` to `end`, UTC seconds."""

    alert: str
    labels: str
    begin: float
    end: float


def evaluate(scrapes: Path, folder: Path, begin: float, end: float) -> list[Fired]:
    """Return the alerts that fired, by time."""
    backfill = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=744h"]
    subprocess.run([*backfill, str(scrapes), str(folder)], check=True, capture_output=True)
    (folder / "empty.yml").write_text("{}\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    process = subprocess.Popen(
        ["prometheus", f"--config.file={folder}/empty.yml", f"--storage.tsdb.path={folder}",
         "--storage.tsdb.retention.time=100y", f"--web.listen-address={address}"],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _wait(f"http://{address}/-/ready")
        return sorted(_fired(f"http://{address}", begin, end), key=lambda one: one.begin)
    finally:
        process.terminate()
        process.wait()


def _fired(url: str, begin: float, end: float) -> list[Fired]:
    recorded = {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}
    found = []
    for rule in [rule for rule in rules() if "alert" in rule]:
        query = re.sub(r"recsys:[\w:]+", lambda name: f"({_inlined(name[0], recorded)})", rule["expr"])
        wait = duration(rule.get("for", "0s"))
        for labels, times in _held(url, query, begin, end).items():
            found += [Fired(rule["alert"], labels, since + wait, until) for since, until in _stretches(times, wait)]
    return found


def _inlined(name: str, recorded: dict[str, str]) -> str:
    return re.sub(r"recsys:[\w:]+", lambda inner: f"({_inlined(inner[0], recorded)})", recorded[name])


def duration(text: str) -> float:
    """Return the seconds of a duration.

    >>> duration("1h30m"), duration("45s")
    (5400.0, 45.0)
    """
    return float(sum(int(number) * UNITS[unit] for number, unit in re.findall(r"(\d+)([smhd])", text)))


def _held(url: str, query: str, begin: float, end: float) -> dict[str, list[float]]:
    """Return labels -> the times at which the expression held."""
    found: dict[str, list[float]] = {}
    at = begin
    while at < end:
        until = min(end, at + (POINTS - 1) * EVERY)
        for series in _query(url, query, at, until):
            names = ",".join(f"{key}={value}" for key, value in sorted(series["metric"].items()) if key != "__name__")
            found.setdefault(names, []).extend(float(moment) for moment, _ in series["values"])
        at = until + EVERY
    return found


def _query(url: str, query: str, begin: float, end: float) -> list[dict[str, Any]]:
    asked = urllib.parse.urlencode({"query": query, "start": begin, "end": end, "step": EVERY})
    with urllib.request.urlopen(f"{url}/api/v1/query_range?{asked}", timeout=120) as response:
        result: list[dict[str, Any]] = json.load(response)["data"]["result"]
        return result


def _stretches(times: list[float], wait: float) -> list[tuple[float, float]]:
    """Return first and last time of every stretch without a gap that is long enough."""
    found, since = [], None
    for at, moment in enumerate(times):
        since = moment if since is None else since
        if at + 1 == len(times) or times[at + 1] > moment + EVERY:
            if moment - since >= wait:
                found.append((since, moment))
            since = None
    return found


def _wait(url: str) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(url, timeout=1).read()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("prometheus did not start")
