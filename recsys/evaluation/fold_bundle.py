"""Collects the parts of the bundle of one fold: histories, catalogue, and the models fitted on it."""

from pathlib import Path

import polars as pl

from recsys.bundle.bundle import Parts
from recsys.data.split import Fold, Split
from recsys.params import Params


def parts(
    split: Split,
    fold: Fold,
    models: Path,
    indexes: Path,
    params: Params,
    calibration: Path | None = None,
    rankers: Path | None = None,
) -> Parts:
    """Return the parts of the bundle of `fold`; the folders have a subfolder per model or ranker."""
    return Parts(
        interactions=split.fit_rows(fold),
        catalogue=split.catalogue.with_columns(available=pl.Series(split.available(fold), dtype=pl.Boolean)),
        users=split.users,
        now=split.now(fold),
        models={name: (models / name, indexes / name) for name in params.models},
        calibration=calibration,
        rankers={name: rankers / name for name in params.rankers} if rankers else {},
    )
