"""Fits a model, once or for several folds:

`python -m recsys.stages.train --model als --split data/split --fold valid --out models/valid/als --fold test ...`
"""

from pathlib import Path
from typing import Annotated

import typer

from recsys import params
from recsys.bundle import embeddings
from recsys.contracts import ItemItem
from recsys.data import split as splits
from recsys.errors import reports_errors
from recsys.output import replaced
from recsys.params import extensions


@reports_errors
def main(
    model: Annotated[str, typer.Option(help="name of a file in recsys/models")],
    fold: Annotated[list[str], typer.Option(help="fit on all events before the window of this fold")],
    split: Annotated[Path, typer.Option(help="folder of the split")],
    out: Annotated[list[Path], typer.Option(help="folder of the model, one for each --fold")],
    params_file: Annotated[Path, typer.Option("--params", help="the settings file")] = params.PARAMS_FILE,
) -> None:
    """Fit the model for each fold and write its embeddings or item pairs."""
    settings = params.load(params_file)
    data = splits.load(split)
    module = extensions.load("models", model)
    config = params.parse(module.Config, settings.model(model), f"{params_file}: model {model!r}")
    for window, folder in zip(splits.folds(fold, out=out), out, strict=True):
        found = module.fit(data.training(window, settings.seed, settings.threads), config)
        with replaced(folder) as aside:
            if isinstance(found, ItemItem):
                embeddings.save_pairs(found, aside)
                what = f"{len(found.rows)} pairs of {data.catalogue.height} items"
            else:
                embeddings.save(found, aside)
                what = f"{len(found.rows)} of {data.catalogue.height} items, {found.vectors.shape[1]} numbers each"
        print(f"{folder}: {what}")


if __name__ == "__main__":
    typer.run(main)
