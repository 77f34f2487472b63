"""Builds the search index over a model's item vectors:

`python -m recsys.stages.index --model models/test/als --fold test --split data/split --out indexes/test/als`
"""

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
    model: Annotated[Path, typer.Option(help="folder of the model")],
    fold: Annotated[splits.Fold, typer.Option(help="fold of the model")],
    split: Annotated[Path, typer.Option(help="folder of the split; recall is measured on its users")],
    out: Annotated[Path, typer.Option(help="folder of the index")],
    params_file: Annotated[Path, typer.Option("--params", help="the settings file")] = params.PARAMS_FILE,
) -> None:
    """Build the index; fail if its recall is below `index.min_recall`. Item-item models need none: `out` is empty."""
    settings = params.load(params_file)
    if (model / embeddings.PAIRS).is_file():
        with replaced(out):
            print(f"{out}: an item-item model, which needs no index")
        return
    found = embeddings.load(model)
    queries = None
    if len(found.rows) > settings.index.exact_up_to:
        queries = users(found, splits.load(split), fold, settings.index.sample, settings.seed)
    built = index.build(found.vectors, found.rows, settings.index, settings.seed, queries, settings.threads)
    with replaced(out) as folder:
        built.save(folder)
    print(f"{out}: {built.report.model_dump_json()}")


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
