"""Blocks of figures in the documents: each is written by a function from results files, never by hand."""

import re
from collections.abc import Callable
from pathlib import Path

from benchmarks.figures import quality, serving, spark, training
from benchmarks.fork import figures as fork
from benchmarks.provenance import TOP
from recsys.output import write_text

BLOCKS: dict[str, Callable[[], str]] = {
    function.__name__: function
    for function in (
        training.results, training.scale, training.engines, training.pipeline, training.peers, training.new_items,
        training.content_cost, training.overhead, training.allow_repeat, training.calibration,
        serving.cache, serving.rules, serving.stores, serving.load, serving.beside_naive,
        serving.serving, serving.faults, serving.experiments, serving.story, serving.structure,
        spark.als_spark, spark.als_spark_cost,
        quality.coverage, quality.dirty_logs, quality.mutation,
        fork.stopwatch,
    )
}  # fmt: skip
MARKED = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)


def documents(top: Path = TOP) -> list[Path]:
    """README.md and the pages of docs/."""
    return [top / "README.md", *sorted((top / "docs").glob("*.md"))]


def filled(text: str) -> str:
    """The text with every block as the results files give it.

    Raises:
        KeyError: a block that `BLOCKS` does not know.
    """
    return MARKED.sub(lambda match: f"{match[1]}{BLOCKS[match[2]]()}\n{match[3]}", text)


def write(top: Path = TOP) -> list[Path]:
    """Fill all documents; returns those that changed."""
    changed = []
    for path in documents(top):
        text = path.read_text(encoding="utf-8")
        if (anew := filled(text)) != text:
            write_text(path, anew)
            changed.append(path.relative_to(top))
    return changed
