"""Measures the API under load: throughput beside a bare FastAPI, ten times the expected rate, and the highest rate.

    python -m benchmarks.serving.load [--seconds 300] [--expected 20]
    writes benchmarks/results/serving_load.json and .png

Throughput is closed-loop (wrk, 16 connections), API and hello taking turns; all else is open-loop (`traffic.py`). The
client runs on the same cores as the server and takes its part of them: figures are lower than on a machine of its own.
"""

import argparse
import asyncio
import json
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import matplotlib as mpl

from benchmarks import provenance
from benchmarks.serving import shop
from benchmarks.serving.server import Server, exposures_counted, running
from benchmarks.serving.traffic import Traffic, summary

TOP = Path(__file__).parents[2]
ROUNDS, ROUND_SECONDS, CONNECTIONS = 3, 8, 16
VARIANTS = ("default", "als", "popular")
STEP_SECONDS, RATES = 10.0, (50, 100, 200, 300, 400, 500, 600, 800, 1000, 1300, 1600, 2000)
SLOW_P99_MS, ENOUGH = 250.0, 0.999


@dataclass(frozen=True)
class Size:
    """seconds: how long ten times the expected rate lasts; expected: requests a second; the rest as measured."""

    seconds: float = 300
    expected: float = 20
    workers: tuple[int, ...] = (1, 2)
    rounds: int = ROUNDS
    round_seconds: int = ROUND_SECONDS
    rates: tuple[int, ...] = RATES
    step_seconds: float = STEP_SECONDS


def main(size: Size) -> None:
    """Measure and write."""
    origin = provenance.describe()
    found: dict[str, Any] = {}
    environment = {"RECSYS_RELEASES": str(shop.releases())}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment |= prepared(folder)
        found["throughput"] = {str(workers): throughput(folder, environment, workers, size) for workers in size.workers}
        with running("serving", folder, 2, **environment) as server:
            found["ten_times_expected"] = {"rate": size.expected * 10, "workers": 2} | asyncio.run(
                traffic(server, size.expected * 10, size.seconds)
            )
            time.sleep(2)  # for the exposures of the last answers
            written, dropped = exposures_counted(server.port)
            found["ten_times_expected"]["exposures"] = {"written": written, "dropped": dropped}
        found["steps"] = {str(workers): steps(folder, environment, workers, size) for workers in size.workers}
    found["saturation_per_second"] = {workers: saturation(rows) for workers, rows in found["steps"].items()}
    provenance.write("serving_load", origin, {"shop": shop.SIZE, **found})
    draw(found["steps"])
    print(json.dumps(found, indent=1))


def prepared(folder: Path) -> dict[str, str]:
    """The environment of a server with an empty store in `folder`."""
    url = f"sqlite:///{folder}/store.sqlite"
    subprocess.run(["python", "-m", "serving.stores", "migrate", "--url", url], check=True, cwd=TOP)
    return {"RECSYS_STORE_URL": url}


async def traffic(server: Server, rate: float, seconds: float) -> dict[str, Any]:
    """One stretch of open-loop traffic, and what it cost."""
    before = server.cpu_seconds()
    replies = await Traffic(server.port, shop.requests(seed=int(rate))).run(rate, seconds)
    cpu = server.cpu_seconds() - before
    return {**summary(replies), "cpu_seconds_per_1000": round(cpu / len(replies) * 1000, 3)}


def steps(folder: Path, environment: dict[str, str], workers: int, size: Size) -> list[dict[str, Any]]:
    """Rising rates until answers are slow or missing."""
    rows = []
    with running("serving", folder, workers, **environment) as server:
        asyncio.run(traffic(server, 20, size.step_seconds / 3))
        for rate in size.rates:
            rows.append({"rate": rate, **asyncio.run(traffic(server, rate, size.step_seconds))})
            print(workers, rate, rows[-1]["success"], rows[-1]["ms"], flush=True)
            if not held(rows[-1]):
                break
    return rows


def held(row: dict[str, Any]) -> bool:
    """Whether the server kept up with the rate."""
    return bool(row["success"] >= ENOUGH and row["ms"]["p99"] <= SLOW_P99_MS)


def saturation(rows: list[dict[str, Any]]) -> float | None:
    """The highest rate that was kept up with."""
    return max((row["rate"] for row in rows if held(row)), default=None)


def throughput(folder: Path, environment: dict[str, str], workers: int, size: Size) -> dict[str, Any]:
    """Requests a second of the API, by variant, and of hello: all run, asked in turns."""
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed; on Debian: apt-get install wrk")
    asked = {variant: _script(folder, variant) for variant in VARIANTS}
    found: dict[str, list[Done]] = {}
    environment = {**environment, "RECSYS_SHED_REQUESTS": "1000"}
    with (
        running("serving", folder, workers, **environment) as api,
        running("benchmarks.peers.hello:create_app", folder, workers) as hello,
    ):
        for _ in range(size.rounds):
            found.setdefault("hello", []).append(wrk(hello.port, [], CONNECTIONS, size.round_seconds))
            for variant, script in asked.items():
                found.setdefault(variant, []).append(
                    wrk(api.port, ["-s", str(script)], CONNECTIONS, size.round_seconds)
                )
    bare = statistics.median(done.per_second for done in found["hello"])
    return {
        name: {
            "per_second": [round(done.per_second) for done in runs],
            "share_of_hello": round(statistics.median(done.per_second for done in runs) / bare, 3),
            "p50_ms": statistics.median(done.p50_ms for done in runs),
            "p99_ms": statistics.median(done.p99_ms for done in runs),
        }
        for name, runs in found.items()
    }


def _script(folder: Path, variant: str) -> Path:
    """Requests of all kinds of users for one variant."""
    return script(folder, variant, [body for _, body in islice(shop.requests(1, event_share=0), 2000)])


def script(folder: Path, variant: str, asked: list[dict[str, Any]]) -> Path:
    """What wrk sends, one request after another; `default` names no variant."""
    more = {} if variant == "default" else {"variant": variant}
    lines = ",\n".join(f"[=[{json.dumps({**body, **more})}]=]" for body in asked)
    path = folder / f"{variant}.lua"
    path.write_text(
        f"local bodies = {{{lines}}}\nlocal at = 0\nwrk.method = 'POST'\nwrk.path = '/v1/recommend'\n"
        "wrk.headers['content-type'] = 'application/json'\n"
        f"request = function() at = at % {len(asked)} + 1; return wrk.format(nil, nil, nil, bodies[at]) end\n"
    )
    return path


@dataclass(frozen=True)
class Done:
    """One run of wrk; only successes are in it."""

    requests: int
    per_second: float
    p50_ms: float
    p99_ms: float


def wrk(port: int, options: list[str], connections: int, seconds: int) -> Done:
    """As fast as so many connections go; an answer that is no success is an error."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", *options]
    done = subprocess.run([*command, f"http://127.0.0.1:{port}/"], check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in done:
        raise SystemExit(f"answers that are no success:\n{done}")
    requests = int(re.findall(r"(\d+) requests in", done)[0])
    return Done(requests, float(re.findall(r"Requests/sec:\s+([\d.]+)", done)[0]), _ms(done, "50%"), _ms(done, "99%"))


def _ms(text: str, percentile: str) -> float:
    value, unit = re.findall(rf"{percentile}\s+([\d.]+)(us|ms|s)", text)[0]
    return round(float(value) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[unit], 2)


def draw(found: dict[str, list[dict[str, Any]]]) -> None:
    """Latency by rate, one line a number of workers."""
    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4))
    for workers, rows in found.items():
        rates = [row["rate"] for row in rows]
        for name, style in (("p50", "-"), ("p99", "--")):
            label = f"{workers} worker{'s' if workers != '1' else ''}, {name}"
            color = f"C{int(workers) - 1}"
            axes.plot(rates, [row["ms"][name] for row in rows], style, color=color, marker="o", label=label)
    axes.set(xlabel="requests a second (open loop)", ylabel="ms", yscale="log", title="Latency by load")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(provenance.RESULTS / "serving_load.png", dpi=110)


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--seconds", type=float, default=300, help="how long ten times the expected rate lasts")
    options.add_argument("--expected", type=float, default=20, help="requests a second that are expected")
    given = options.parse_args()
    main(Size(given.seconds, given.expected))
