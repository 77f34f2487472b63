"""Pages of experiments, with their last readout, and of the data of the last run of the pipeline.

They read files that `recsys experiment readout` and `dvc repro` wrote, in the working directory of the API.
"""

import json
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from serving.api.errors import ApiError
from serving.console import health, queries
from serving.console.page import console_of, read_json, show
from serving.stores.protocol import StoreError

router = APIRouter(prefix="/console")

READOUTS = Path("reports/experiments")
DATA = Path("metrics/data.json")
RUNS, LINES = Path("retrain.log"), 30  # of `recsys retrain`, and its newest lines that are shown
RAW = ("events", "items")  # kinds of findings about the raw data
ANSWERS = 5_000  # newest answers of an experiment, in which the units are counted


@router.get("/experiments")
async def experiments_page(request: Request) -> HTMLResponse:
    """Show every experiment: arms, assigned units, checks, effects and decision."""
    console = console_of(request)
    background, units = console.background, Counter[tuple[str, str]]()
    running = background.experiments.experiments.experiments
    with suppress(StoreError, ApiError):
        store = console.service.store()
        for name in running:
            rows = await store.select(queries.UNITS, name, ANSWERS)
            arms = {unit: str(json.loads(context)["arm"]) for unit, context in rows}
            units.update((name, arm) for arm in arms.values())
    return show(
        request,
        "experiments.html.j2",
        experiments=running,
        holdout=background.experiments.experiments.holdout,
        reason=background.experiments.reason,
        units=units,
        answers=ANSWERS,
        readouts={name: read_json(READOUTS / name / "readout.json") for name in running},
        now=datetime.now(UTC),
    )


@router.get("/data")
async def data_page(request: Request) -> HTMLResponse:
    """Show how many rows the last run of the pipeline read, kept and rejected, its drift, and the last retrainings."""
    found, runs = read_json(DATA), list[str]()
    with suppress(OSError):
        runs = RUNS.read_text(encoding="utf-8", errors="replace").splitlines()[-LINES:][::-1]
    findings = [each for each in await health.found_by_the_watcher(console_of(request)) if each[1] in RAW]
    at = DATA.stat().st_mtime if found else 0.0
    return show(request, "data.html.j2", data=found, file=str(DATA), at=at, findings=findings, runs=runs, log=str(RUNS))
