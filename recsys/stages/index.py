"""Builds the search index over a model's item vectors, once or for several folds:

`python -m recsys.stages.index --split data/split --fold test --model models/test/als --out indexes/test/als --fold ...`
"""

from functools import cache
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from recsys import params
from recsys.bundle import embeddings, index
from recsys.contracts import Embeddings, FloatArray
from recsys.data import split as splits
from recsys.errors import reports_errors
from recsys.output import replaced


@reports_errors
def main(
    model: Annotated[list[Path], typer.Option(help="folder of the model, one for each --fold")],
    fold: Annotated[list[str], typer.Option(help="fold of the model")],
    split: Annotated[Path, typer.Option(help="folder of the split; recall is measured on its users")],
    out: Annotated[list[Path], typer.Option(help="folder of the index, one for each --fold")],
    params_file: Annotated[Path, typer.Option("--params", help="the settings file")] = params.PARAMS_FILE,
) -> None:
    """Build the index; fail if its recall is below `index.min_recall`. Item-item models need none: `out` is empty."""
    settings, data = params.load(params_file), cache(splits.load)  # which no fold reads if the search is exact
    for folder, window, indexed in zip(model, splits.folds(fold, model=model, out=out), out, strict=True):
        with replaced(indexed) as aside:
            if (folder / embeddings.PAIRS).is_file():
                print(f"{indexed}: an item-item model, which needs no index")
                continue
            found, queries = embeddings.load(folder), None
            if len(found.rows) > settings.index.exact_up_to:
                queries = users(found, data(split), window, settings.index.sample, settings.seed)
            built = index.build(found.vectors, found.rows, settings.index, settings.seed, queries, settings.threads)
            built.save(aside)
        print(f"{indexed}: {built.report.model_dump_json()}")


def users(model: Embeddings, split: splits.Split, fold: splits.Fold, n: int, seed: int) -> FloatArray | None:
    """Return (m, dim) float32: vectors of n random users, or of those that have one; None if no user has a vector."""
    drawn = np.random.default_rng(seed).permutation(split.users.height)[:n].astype(np.int32)
    encoder = embeddings.encoder_of(model)
    histories = split.histories(fold, drawn)
    encoded = (encoder.encode(history, split.query_now(fold, history)) for history in histories)
    vectors = [vector for vector in encoded if vector is not None]
    return np.stack(vectors) if vectors else None


if __name__ == "__main__":
    typer.run(main)
