"""`recsys experiment`: plans an experiment and analyses its result."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from recsys.cli.releases import Store
from recsys.errors import DataError, reports_errors
from recsys.schemas.store_schema import DEFAULT_URL

app = typer.Typer(help="Online experiments: plan them, analyse their results.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="name of the experiment in experiments.yaml")]
Config = Annotated[Path, typer.Option("--config", envvar="RECSYS_EXPERIMENTS", help="file of the experiments")]


@app.command()
@reports_errors
def readout(
    name: Name,
    config: Config = Path("experiments.yaml"),
    store: Store = DEFAULT_URL,
    until: Annotated[datetime | None, typer.Option(help="ignore what was recorded after this time, UTC")] = None,
    out: Annotated[Path | None, typer.Option(help="folder for readout.json and readout.html")] = None,
) -> None:
    """Print for each arm the effects with intervals and a decision (such as ship or stop), and checks of the data."""
    from recsys.experiments.analysis import log, report, run

    experiment = run.find(config, name, store)
    raw = log.read(store, name, experiment, until.replace(tzinfo=UTC) if until else None)
    found = run.of(name, experiment, raw)
    folder = out or Path("reports/experiments") / name
    planned = found.planned_units or max(sum(found.units.values()), 1)
    report.write(found, run.over_time(raw, experiment, planned), folder)
    print(f"{report.text(found)}\n\n  {folder / 'readout.html'}")


@app.command()
@reports_errors
def interleaving(name: Name, config: Config = Path("experiments.yaml"), store: Store = DEFAULT_URL) -> None:
    """Print which of two interleaved variants gets more clicks, for every arm with `interleave`."""
    from recsys.experiments.analysis import log, run

    experiment = run.find(config, name, store)
    for arm, found in run.preferences(experiment, log.read(store, name, experiment)).items():
        a, b = experiment.arms[arm].variant, experiment.arms[arm].interleave
        which = f"{b} is preferred" if found.low > 0 else f"{a} is preferred" if found.high < 0 else "not decided"
        print(
            f"{arm}: {which}. From -1 (all clicks on picks of {a}) to 1 ({b}): {found.score:+.3f}, interval "
            f"{found.low:+.3f} to {found.high:+.3f}, p {found.p_value:.3f}, {found.units:,} units with a click"
        )


@app.command()
@reports_errors
def plan(
    name: Name,
    config: Config = Path("experiments.yaml"),
    store: Store = DEFAULT_URL,
    rate: Annotated[float | None, typer.Option(help="expected mean of the metric; default: from the log")] = None,
    spread: Annotated[
        float | None, typer.Option(help="its standard deviation; default: sqrt(rate x (1 - rate))")
    ] = None,
    units_per_day: Annotated[float, typer.Option(help="units that take part per day; used with --rate")] = 1000,
) -> None:
    """Print how many units (such as users) and days it takes to detect `minimum_effect`, from a log or from --rate."""
    from recsys.experiments.analysis import planning, run

    experiment = run.find(config, name)
    if rate is None:
        found = run.plan(name, experiment, store)
    else:
        found = planning.from_rates(experiment, rate, spread, units_per_day)
    print(
        f"{name}: to detect a change of {experiment.minimum_effect:.1%} in {experiment.primary} with power "
        f"{experiment.power:.0%} at level {experiment.alpha:g}: {found.units:,} units, "
        f"about {found.days:g} days at the rate of {found.source}\n"
        f"add to the experiment in {config}, so that the readout shows its end: planned_units: {found.units}"
    )


@app.command("off-policy")
@reports_errors
def off_policy(
    name: Name,
    config: Config = Path("experiments.yaml"),
    store: Store = DEFAULT_URL,
    policy: Annotated[
        Path | None, typer.Option(help="Parquet file of another policy: request_id, item_id, probability of that item")
    ] = None,
) -> None:
    """Estimate how many clicks per slot other items would get, from the slots that an exploring arm fills at random.

    Other items: always the arm's own ones, always random ones, or those of --policy."""
    import polars as pl

    from recsys.experiments.analysis import log, run
    from recsys.experiments.analysis.off_policy import estimate, log_of

    experiment = run.find(config, name, store)
    for arm, places in run.explored(name, experiment, log.read(store, name, experiment)).items():
        print(f"{arm}: {places.height:,} slots, {places['reward'].sum():,.0f} clicks")
        judged = {"own": "the arm's own items", "random": "random items of the pool"}
        if policy is not None:
            given = pl.read_parquet(policy, columns=["request_id", "item_id", "probability"])
            places = places.join(given, on=["request_id", "item_id"], how="left").with_columns(
                pl.col("probability").fill_null(0.0)
            )
            judged["probability"] = str(policy)
        for column, what in judged.items():
            for method in ("ips", "snips"):
                try:
                    found = estimate(log_of(places, column), method, experiment.alpha)
                    figures = f"{found.value:.4f}, interval {found.low:.4f} to {found.high:.4f}"
                    print(f"  {what}, {method}: {figures}, effective sample {found.effective:,.0f} slots")
                except DataError as error:
                    print(f"  {what}, {method}: {error}")
