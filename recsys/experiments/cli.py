"""`recsys experiment`: plan one, read what came of it."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from recsys.errors import reports_errors

app = typer.Typer(help="Online experiments: plan one, read what came of it.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="a name in experiments.yaml")]
Config = Annotated[Path, typer.Option("--config", envvar="RECSYS_EXPERIMENTS", help="the experiments")]
Store = Annotated[str, typer.Option(envvar="RECSYS_STORE_URL", help="where the API logs; see docs/stores.md")]


@app.command()
@reports_errors
def readout(
    name: Name,
    config: Config = Path("experiments.yaml"),
    store: Store = "sqlite:///store/events.sqlite",
    until: Annotated[datetime | None, typer.Option(help="read as if it were this moment, UTC")] = None,
    out: Annotated[Path | None, typer.Option(help="folder for readout.json and readout.html")] = None,
) -> None:
    """Effects with intervals, whether the log can be trusted, and what to do."""
    from datetime import UTC

    from recsys.experiments import report, run

    moment = until.replace(tzinfo=UTC) if until else None
    found = run.read(name, run.find(config, name), store, moment)
    folder = out or Path("reports/experiments") / name
    report.write(found, folder)
    print(f"{report.text(found)}\n\n  {folder / 'readout.html'}")


@app.command()
@reports_errors
def plan(name: Name, config: Config = Path("experiments.yaml"), store: Store = "sqlite:///store/events.sqlite") -> None:
    """How many units and days it takes to find the effect worth finding, from what was logged so far."""
    from recsys.experiments import run

    experiment = run.find(config, name)
    found = run.plan(name, experiment, store)
    print(
        f"experiment {name}: to find a change of {found.detectable:.1%} in {found.metric} with power {found.power:.0%} "
        f"at level {found.alpha:g}: {found.units:,} units, about {found.days:g} days at today's pace"
    )
