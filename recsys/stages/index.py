"""Build a model's index: `python -m recsys.stages.index --model models/test/als --out indexes/test/als`."""

from pathlib import Path
from typing import Annotated

import typer

from recsys import embeddings, index, params
from recsys.errors import reports_errors
from recsys.output import replaced


@reports_errors
def main(
    model: Annotated[Path, typer.Option(help="folder of the model")],
    out: Annotated[Path, typer.Option(help="folder of the index")],
    params_file: Annotated[Path, typer.Option("--params", help="the settings file")] = params.PARAMS_FILE,
) -> None:
    """Index the items that the model knows; fails when the index misses its recall."""
    settings = params.load(params_file)
    found = embeddings.load(model)
    built = index.build(found.vectors, found.rows, settings.index, settings.seed)
    with replaced(out) as folder:
        built.save(folder)
    print(f"{out}: {built.report.model_dump_json()}")


if __name__ == "__main__":
    typer.run(main)
