"""Splits the tables into folds: `python -m recsys.stages.split --tables data/tables --out data/split`"""

from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from recsys import output, params
from recsys.data import engines, split_protocols
from recsys.errors import DataError, reports_errors


@reports_errors
def split(
    tables: Annotated[Path, typer.Option(help="Folder with interactions.parquet and items.parquet.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    params_file: Annotated[Path, typer.Option("--params", help="The settings.")] = params.PARAMS_FILE,
) -> None:
    """Split the tables into train, valid and test."""
    settings = params.load(params_file)
    for name in ("interactions", "items"):
        if not (tables / f"{name}.parquet").is_file():
            raise DataError(f"{tables / name}.parquet: no such file; run `dvc repro prepare`")
    items, described, vectors = (tables / f"{name}.parquet" for name in ("items", "users", "vectors"))
    catalogue = pl.read_parquet(items)
    if vectors.is_file():
        catalogue = catalogue.join(pl.read_parquet(vectors), on="item_id", how="left", maintain_order="left")
    with output.replaced(out) as folder:
        facts = split_protocols.write(
            tables / "interactions.parquet",
            catalogue,
            settings.data.split,
            settings.seed,
            folder,
            pl.read_parquet(described) if described.is_file() else None,
            engines.load(settings.engine),
        )
    print(f"{out}: {facts.n_users} users, {facts.n_items} items, events {facts.events}")
    for fold, window in facts.windows.items():
        print(f"{fold}: {window.model_dump()}")


if __name__ == "__main__":
    typer.run(split)
