"""`python -m serving` with faults that a file switches on: `source_raises` or `source_slow` in the folder FAULTS."""

import os
import time
from pathlib import Path
from typing import Any

import typer
import uvicorn
from fastapi import FastAPI

from recsys.contracts import Candidates, Query
from recsys.sources import nearest
from serving.__main__ import main
from serving.app import create_app as create_sound_app

SLOW_SECONDS = 0.3


def create_app() -> FastAPI:
    """The same app; only the source `nearest` looks for the files first."""
    folder, propose = Path(os.environ["FAULTS"]), nearest.Nearest.propose

    def faulty(self: nearest.Nearest, query: Query, n: int) -> Candidates:
        if (folder / "source_raises").exists():
            raise RuntimeError("switched on")
        if (folder / "source_slow").exists():
            time.sleep(SLOW_SECONDS)
        return propose(self, query, n)

    nearest.Nearest.propose = faulty  # type: ignore[method-assign]
    return create_sound_app()


def serve() -> None:
    """Serve this app in place of the sound one."""
    run = uvicorn.run

    def run_this(_: str, **options: Any) -> None:
        run("benchmarks.serving.faults.faulty:create_app", **options)

    uvicorn.run = run_this  # type: ignore[assignment]
    typer.run(main)


if __name__ == "__main__":
    serve()
