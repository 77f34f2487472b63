"""Promotes and rolls back under 200 requests a second, and counts failed and mixed answers.

    python -m benchmarks.serving.swap    writes benchmarks/results/serving_swap.json

Two releases take turns. Counted: failed requests, answers whose items do not all belong to the bundle that they name
(the second bundle holds renamed items, so a mixed answer would show), and the seconds until the last old answer.
"""

import asyncio
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks import provenance
from benchmarks.serving import shop
from benchmarks.serving.load import prepared
from benchmarks.serving.server import running
from benchmarks.serving.traffic import Traffic, summary
from recsys.bundle import bundle, catalogue, releases
from recsys.output import described_files

TOP = Path(__file__).parents[2]
RATE, SECONDS, EVERY = 200.0, 60.0, 10.0
MARK = "second-"


def main(rate: float = RATE, seconds: float = SECONDS, every: float = EVERY) -> None:
    """Measure and write."""
    origin = provenance.describe()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first = shop.bundle_folder()
        second = renamed(first, folder / "second")
        home = folder / "releases"
        ids = {"first": releases.promote(first, home), "second": bundle.read_manifest(second).bundle_id}
        environment = {"RECSYS_RELEASES": str(home), **prepared(folder)}
        requests, plan = shop.requests(seed=5, event_share=0), (rate, seconds, every)
        with running("serving", folder, 2, **environment) as server:
            found = asyncio.run(measure(Traffic(server.port, requests), plan, second, home, ids))
    provenance.write("serving_swap", origin, {"workers": 2, "rate": rate, **found})
    print(json.dumps(found, indent=1))


async def measure(
    traffic: Traffic, plan: tuple[float, float, float], second: Path, home: Path, ids: dict[str, str]
) -> dict[str, Any]:
    """Traffic at a rate for some seconds, and a promotion or a rollback every so many: the plan."""
    rate, seconds, every = plan
    task, start = asyncio.create_task(traffic.run(rate, seconds)), time.perf_counter()
    changes: list[tuple[str, str, float]] = []
    while time.perf_counter() - start < seconds - every:
        await asyncio.sleep(every)
        if len(changes) % 2 == 0:
            await asyncio.to_thread(releases.promote, second, home)
            changes.append(("promote", ids["second"], time.perf_counter() - start))
        else:
            await asyncio.to_thread(releases.rollback, home)
            changes.append(("rollback", ids["first"], time.perf_counter() - start))
    replies = await task
    answered = [reply for reply in replies if reply.status == 200]
    mixed = 0
    for reply in answered:
        marked = {item["item_id"].startswith(MARK) for item in reply.body["items"]}
        mixed += marked != {reply.body["meta"]["bundle_id"] == ids["second"]}
    took = []
    for at, (action, wanted, moment) in enumerate(changes):
        until = changes[at + 1][2] if at + 1 < len(changes) else seconds
        # a reply is known by the moment it was due; one that was due before the change may name either release
        old = [
            reply.due for reply in answered if moment < reply.due < until and reply.body["meta"]["bundle_id"] != wanted
        ]
        took.append({"action": action, "last_old_answer_after_seconds": round(max(old, default=moment) - moment, 2)})
    return {"changes": took, "mixed_answers": mixed, "failed": len(replies) - len(answered), "all": summary(replies)}


def renamed(source: Path, out: Path) -> Path:
    """A bundle that differs in the names of its items and in nothing else."""
    shutil.copytree(source, out)
    frame = pl.read_parquet(out / "catalogue.parquet").with_columns(item_id=pl.lit(MARK) + pl.col("item_id"))
    shutil.rmtree(out / "items")
    catalogue.write(frame, out)
    return rewritten(out, {})


def rewritten(folder: Path, changes: dict[str, Any]) -> Path:
    """A bundle whose files or manifest were changed gets a manifest that is right for them."""
    content = json.loads((folder / bundle.MANIFEST).read_text()) | changes
    content["files"] = [file for file in described_files(folder) if file["path"] != bundle.MANIFEST]
    content["bundle_id"] = bundle._digest(content)
    (folder / bundle.MANIFEST).write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
    return folder


if __name__ == "__main__":
    main()
