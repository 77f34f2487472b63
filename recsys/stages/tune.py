"""Finds good values for the settings that params.yaml does not set, and writes them to a file.

python -m recsys.stages.tune --split data/split --out tuned.json
"""

from pathlib import Path
from typing import Annotated

import typer

from recsys import params
from recsys.errors import reports_errors
from recsys.evaluation.tuning import portfolio
from recsys.output import write_text


@reports_errors
def main(
    split: Annotated[Path, typer.Option(help="folder of the split")],
    out: Annotated[Path, typer.Option(help="JSON file for the settings")],
    params_file: Annotated[Path, typer.Option("--params", help="the settings file")] = params.PARAMS_FILE,
) -> None:
    """Write all settings of the active data set; search those that params.yaml leaves out."""
    found = portfolio.fill(split, params.load(params_file, tuned=False), out.with_name(f"{out.name}.trials"))
    write_text(out, found.model_dump_json(indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
