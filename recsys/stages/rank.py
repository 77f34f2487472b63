"""Trains a ranker on a log of candidates, or one on each of several logs:

`python -m recsys.stages.rank --ranker learned --candidates candidates/valid/learned.parquet --out rankers/test/learned`
"""

from functools import partial
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from recsys import params
from recsys.errors import DataError, reports_errors
from recsys.params import Params
from recsys.processes import mapped


@reports_errors
def main(
    ranker: Annotated[str, typer.Option(help="name of a section of `rankers` in params.yaml")],
    candidates: Annotated[list[Path], typer.Option(help="file that the stage `candidates` wrote")],
    out: Annotated[list[Path], typer.Option(help="folder of the ranker, one for each --candidates")],
    params_file: Annotated[Path, typer.Option("--params", help="the settings file")] = params.PARAMS_FILE,
) -> None:
    """Train the ranker on each log and write it with its description."""
    settings = params.load(params_file)
    if missing := [path for path in candidates if not path.is_file()]:
        raise DataError(f"{missing[0]}: no such file; run `dvc repro candidates@{ranker}`")
    with mapped(min(settings.threads, len(candidates))) as each:
        for lines in each(partial(_trained, ranker, settings), candidates, out):
            print(lines)


def _trained(ranker: str, settings: Params, candidates: Path, out: Path) -> str:
    from recsys.rankers._learned import artifact, training  # LightGBM, where it is used: its import takes a second

    config = settings.rankers[ranker]
    trees, about = training.fit(pl.read_parquet(candidates), settings.variants[config.variant], config, settings.seed)
    artifact.write(trees, about, out)
    trusted = f"trees for users with up to {about.trees_up_to} liked items, else {about.few} or {about.more}"
    left_out = (f"{source} is left out: {reason}" for source, reason in about.left_out.items())
    return "\n".join([f"{out}: {trusted}; {about.figures}", *left_out])


if __name__ == "__main__":
    typer.run(main)
