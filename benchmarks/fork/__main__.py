"""`python -m benchmarks.fork`: types the commands of docs/fork.md in an empty folder, for a shop and for a news log.

Each command is run word for word as the page shows it, from the clone to the first recommendation, and timed. Writes
benchmarks/results/stopwatch.json. `--small` uses little data, and the packages of this environment in place of `make
setup`.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import provenance
from benchmarks.fork import tables
from recsys.errors import RecsysError, reports_errors

PAGE = provenance.TOP / "docs" / "fork.md"
SIZES = {"shop": (30_000, 2_000), "news": (120_000, 4_000)}  # orders, clicks; the second ones with --small
LIMIT_MINUTES = {"shop": 30, "news": 60}
KEYS_PER_SECOND = 3.0  # 36 words a minute
SERVE, READY_SECONDS = "make serve", 120.0


def commands(team: str) -> list[str]:
    """Return the commands of a team, as docs/fork.md shows them under the heading that names it."""
    found = re.search(rf"(?ms)^### [^\n]*{team}.*?^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"))
    if found is None:
        raise RecsysError(f"{PAGE}: no commands for {team!r}, expected a block `sh` under a heading that names it")
    return [line for line in found[1].splitlines() if line]


def follow(team: str, small: bool, folder: Path) -> dict[str, Any]:
    """Type the commands of a team in `folder` and time them. Return seconds for each, and the answer.

    Raises:
        RecsysError: "dvc repro: exit code 1: ..."; or the answer is not full of items of the team's own.
    """
    size, write = SIZES[team][small], {"shop": tables.shop, "news": tables.news}[team]
    (folder / "export").mkdir(parents=True)
    user_id = write(folder / "export", size)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RECSYS_", "PYTHONPATH"))}
    environment |= {"ADDRESS": str(provenance.TOP), "USER_ID": user_id}
    steps: list[dict[str, Any]] = []
    server: subprocess.Popen[bytes] | None = None
    place, answer = folder, {}
    try:
        for command in commands(team):
            began, busy = time.monotonic(), _busy()
            if command.startswith("cd "):
                place = place / command.removeprefix("cd ")
                if small:
                    environment["PYTHONPATH"] = str(place)
                continue
            if command.startswith("export PATH=") or (small and command == "make setup"):
                here = Path(sys.executable).parent if small else place / ".venv" / "bin"
                environment["PATH"] = f"{here}:{environment['PATH']}"
                continue
            if command == f"{SERVE} &":
                typed = "python -m serving.stores migrate && exec python -m serving" if small else f"exec {SERVE}"
                server = subprocess.Popen(["bash", "-c", typed], cwd=place, env=environment, start_new_session=True)
                _ready(place, environment)
            else:
                done = subprocess.run(
                    ["bash", "-c", command], cwd=place, env=environment, capture_output=True, text=True
                )
                if done.returncode:
                    raise RecsysError(f"{command}: exit code {done.returncode}: {(done.stdout + done.stderr)[-2000:]}")
                if "/v1/recommend" in command:
                    answer = json.loads(done.stdout)
            seconds, cpu = time.monotonic() - began, _busy() - busy
            steps.append({"command": command, "seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1)})
            print(f"{seconds:8.1f} s  {command}", flush=True)
    finally:
        if server is not None:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(30)
    _check(answer, folder / "export", user_id)
    typing = sum(len(command) for command in commands(team)) / KEYS_PER_SECOND
    minutes = (sum(step["seconds"] for step in steps) + typing) / 60
    return {
        "rows": size, "steps": steps, "typing_seconds": round(typing), "minutes": round(minutes, 1),
        "limit_minutes": LIMIT_MINUTES[team], "first_item": answer["items"][0]["item_id"],
    }  # fmt: skip


def _check(answer: dict[str, Any], export: Path, user_id: str) -> None:
    own = "".join(path.read_text(encoding="utf-8", errors="replace") for path in export.iterdir())
    items = [item["item_id"] for item in answer.get("items", [])]
    if len(items) != 5 or any(not re.search(rf"\b{item}\b", own) for item in items) or answer["meta"]["fallback"]:
        raise RecsysError(
            f"{user_id}: expected 5 items of the team's own and no fallback, the answer is {answer!r:.500}"
        )


def _ready(place: Path, environment: dict[str, str]) -> None:
    end = time.monotonic() + READY_SECONDS
    ask = ["curl", "--silent", "--fail", "http://127.0.0.1:8000/readyz"]
    while subprocess.run(ask, cwd=place, env=environment, capture_output=True).returncode:
        if time.monotonic() > end:
            raise RecsysError(f"{SERVE}: not ready after {READY_SECONDS:.0f} s")
        time.sleep(0.2)


def _busy() -> float:
    used = os.times()
    return used.children_user + used.children_system


@reports_errors
def main(
    team: Annotated[list[str] | None, typer.Argument(help="shop, news; by default both")] = None,
    small: Annotated[bool, typer.Option("--small", help="little data, the packages of this environment")] = False,
) -> None:
    """Follow docs/fork.md and write the times."""
    origin = provenance.describe()
    figures = {}
    for name in team or list(SIZES):
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-"))
        try:
            figures[name] = follow(name, small, folder)
        finally:
            shutil.rmtree(folder)
        print(f"{figures[name]['minutes']:8.1f} minutes of {figures[name]['limit_minutes']}: {name}", flush=True)
        provenance.write("stopwatch", origin, figures)  # after each: the next one takes long, and may fail


if __name__ == "__main__":
    typer.run(main)
