"""`python -m serving` with faults that a file switches on: `source_raises` or `source_slow` in the folder FAULTS."""

import os
import time
from pathlib import Path

import typer
from fastapi import FastAPI

from recsys.contracts import Candidates, Query
from recsys.sources import nearest
from serving import __main__ as program
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


if __name__ == "__main__":
    program.APP = "benchmarks.serving.faults.faulty:create_app"
    typer.run(program.main)
