"""Trains a ranker on a log of candidates:

`python -m recsys.stages.rank --ranker learned --candidates candidates/valid/learned.parquet --out rankers/test/learned`
"""

from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from recsys import params
from recsys.errors import DataError, reports_errors
from recsys.rankers._learned import artifact, training


@reports_errors
def main(
    ranker: Annotated[str, typer.Option(help="name of a section of `rankers` in params.yaml")],
    candidates: Annotated[Path, typer.Option(help="file that the stage `candidates` wrote")],
    out: Annotated[Path, typer.Option(help="folder of the ranker")],
    params_file: Annotated[Path, typer.Option("--params", help="the settings file")] = params.PARAMS_FILE,
) -> None:
    """Train the ranker and write it with its description."""
    settings = params.load(params_file)
    if not candidates.is_file():
        raise DataError(f"{candidates}: no such file; run `dvc repro candidates@{ranker}`")
    config = settings.rankers[ranker]
    variant = settings.variants[config.variant]
    trees, about = training.fit(pl.read_parquet(candidates), variant, config, settings.seed)
    artifact.write(trees, about, out)
    print(
        f"{out}: trees for users with up to {about.trees_up_to} liked items, else {about.few} or {about.more};"
        f" {about.figures}"
    )
    for source, reason in about.left_out.items():
        print(f"{source} is left out: {reason}")


if __name__ == "__main__":
    typer.run(main)
