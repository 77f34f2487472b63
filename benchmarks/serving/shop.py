"""The shop that the serving benchmarks ask: 10,000 items, released by the pipeline in a clone of the last commit."""

import json
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

TOP = Path(__file__).parents[2]
FOLDER = TOP / "build/serving/shop"
SIZE = {"events": 600_000, "users": 20_000, "items": 10_000}


def releases() -> Path:
    """The folder of releases; made once for a commit."""
    commit = _git("rev-parse", "HEAD", folder=TOP)
    made = FOLDER / "made-for"
    if not made.is_file() or made.read_text() != commit:
        shutil.rmtree(FOLDER, ignore_errors=True)
        _git("clone", "--quiet", str(TOP), str(FOLDER), folder=TOP)
        (FOLDER / "dvc.lock").unlink(missing_ok=True)
        path = FOLDER / "params.yaml"
        params = yaml.safe_load(path.read_text())
        params["dataset"] = "synthetic"
        params["datasets"]["synthetic"]["adapter"].update(SIZE)
        path.write_text(yaml.safe_dump(params, sort_keys=False))
        subprocess.run(["dvc", "repro", "--quiet"], cwd=FOLDER, check=True)
        subprocess.run(["recsys", "releases", "promote", "bundle"], cwd=FOLDER, check=True)
        made.write_text(commit)
    return FOLDER / "releases"


def requests(seed: int, event_share: float = 0.1) -> Iterator[tuple[str, dict[str, Any]]]:
    """Paths and bodies for ever: known users, one in ten unknown, one in five with a session, and events in between."""
    chance = random.Random(seed)
    users = _ids("histories/users", "users")
    items = _ids("items", "items")
    number = 0
    while True:
        number += 1
        user = chance.choice(users) if chance.random() < 0.9 else f"stranger-{chance.randrange(10**9)}"
        if chance.random() < event_share:
            event = {"event_id": f"{seed}-{number}", "user_id": user, "item_id": chance.choice(items), "event": "view"}
            yield "/v1/events", event
            continue
        body: dict[str, Any] = {"user_id": user, "k": 10}
        if chance.random() < 0.2:
            body["session"] = [{"item_id": chance.choice(items), "event": "view"} for _ in range(3)]
        yield "/v1/recommend", body


def bundle_folder() -> Path:
    """The bundle that is served."""
    state = json.loads((releases() / "state.json").read_text())
    return releases() / str(state["stack"][-1])


def _ids(folder: str, kind: str) -> list[str]:
    from recsys.bundle import bundle  # after the pipeline: reads what it made

    loaded = bundle.load(bundle_folder())
    table = loaded.histories.users if kind == "users" else loaded.catalogue.ids
    return [table.external_id(row) for row in range(len(table))]


def _git(*arguments: str, folder: Path) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()
