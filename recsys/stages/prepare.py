"""Stage `prepare`: validates the raw data, writes good rows to tables and bad rows to quarantine.

    python -m recsys.stages.prepare --raw data/raw --tables data/tables \
        --report metrics/data.json --text reports/data.txt

It fails if a limit of the settings is exceeded; then earlier outputs stay, and the new ones are in `<tables>.partial`.
"""

from pathlib import Path
from typing import Annotated

import typer

from recsys import datasets
from recsys import params as settings
from recsys.data import engines
from recsys.data.prepare import prepare
from recsys.data.report import check
from recsys.errors import reports_errors
from recsys.output import replaced, write_text


@reports_errors
def main(
    raw: Annotated[Path, typer.Option(help="folder that the stage fetch wrote")],
    tables: Annotated[Path, typer.Option(help="folder of the tables")],
    report: Annotated[Path, typer.Option(help="JSON file for the row counts")],
    text: Annotated[Path, typer.Option(help="text file for the same report")],
    params: Annotated[Path, typer.Option(help="the settings file")] = settings.PARAMS_FILE,
) -> None:
    """Write the tables, the quarantine and the report; fail if a limit of the settings is exceeded."""
    chosen = settings.load(params)
    adapter = datasets.load_adapter(chosen.dataset)
    config = settings.parse(adapter.Config, chosen.data.adapter, f"{params}: datasets.{chosen.dataset}.adapter")
    with replaced(tables) as aside:
        read = datasets.tables(chosen.dataset, config, raw)
        found = prepare(read, chosen.dataset, chosen.data, aside, engines.load(chosen.engine))
        check(found, chosen.data.thresholds, aside, read.hints)
    write_text(report, found.to_json())
    write_text(text, found.to_text())


if __name__ == "__main__":
    typer.run(main)
