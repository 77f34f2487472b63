"""The command `recsys`: chooses a data set, tunes, exports, serves, manages releases and keys."""

import os
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from recsys import params as settings
from recsys.bundle.releases import current
from recsys.cli import channel, experiment, releases
from recsys.cli.new import Kind, begin
from recsys.cli.releases import PublicKey, Releases, Store
from recsys.errors import ParamsError, reports_errors
from recsys.output import write_text
from recsys.schemas.store_schema import DEFAULT_URL, URL_VARIABLE

app = typer.Typer(
    help="Tune models, choose a data set, promote and roll back releases, serve. The pipeline itself is `dvc repro`.",
    no_args_is_help=True,
    add_completion=False,
)
app.add_typer(releases.app, name="releases")
app.add_typer(channel.rules, name="rules")
experiment.app.command("put")(channel.put_experiments)
app.add_typer(experiment.app, name="experiment")
app.add_typer(experiment.app, name="experiments", hidden=True)  # an alias

# all arguments go to another command
PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
ParamsFile = Annotated[Path, typer.Option("--params", help="file of the settings")]


@app.command()
@reports_errors
def use(dataset: str, params: ParamsFile = settings.PARAMS_FILE) -> None:
    """Change the line `dataset:` of params.yaml; `dvc repro` then runs on that data set."""
    known = settings.load(params).datasets
    if dataset not in known:
        raise ParamsError(f"{params}: no data set {dataset!r} in `datasets`; there are: {', '.join(known)}")
    text = params.read_text(encoding="utf-8")
    write_text(params, re.sub(r"(?m)^dataset:\s*\S+", f"dataset: {dataset}", text, count=1))
    print(f"{params}: dataset is now {dataset}")


@app.command()
@reports_errors
def inspect(
    paths: Annotated[list[Path], typer.Argument(help="your files: of events, and of items if you have one")],
    database: Annotated[str | None, typer.Option(help="database for .sql files, such as sqlite:///shop.sqlite")] = None,
    out: Annotated[Path | None, typer.Option(help="write the settings to this file instead of printing them")] = None,
    write: Annotated[bool, typer.Option("--write", help="put them into params.yaml, select this data set")] = False,
    name: Annotated[str, typer.Option(help="name of the data set")] = "files",
    params: ParamsFile = settings.PARAMS_FILE,
) -> None:
    """Propose settings by which the pipeline can read your own files: a section `datasets.<name>` of params.yaml."""
    from recsys.datasets._inspect import inspect as inspection

    tables, text = inspection.inspect(paths, database, name)
    print("\n\n".join(tables) + "\n")
    if write:
        inspection.put(params, text, name)
        use(name, params)
    elif out is None:
        print(text)
    else:
        write_text(out, text)
        print(f"{out}: the proposed settings; check them, then copy them under `datasets:` in params.yaml")


@app.command()
@reports_errors
def new(kind: Kind, name: Annotated[str, typer.Argument(help="name of the file, such as newest")]) -> None:
    """Create an extension: write its file with a working example, and print the settings that it needs."""
    print(begin(kind, name))


@app.command(context_settings=PASSED_ON)
def init(context: typer.Context) -> None:
    """Adapt this clone to a product: name, data set, purpose, parts to remove. The same as `python -m template`."""
    _become("template", context.args)


@app.command()
@reports_errors
def lock(path: Annotated[Path, typer.Argument(help="DVC's record of the last run")] = Path("dvc.lock")) -> None:
    """Restore a damaged `dvc.lock`, as a killed `dvc repro` may leave it, from this command's last copy or from git.

    A valid file is copied for the next time; `make demo` runs this command first.
    """
    from recsys.cli.lock import restore

    restore(path)


@app.command("retrain")
@reports_errors
def retrain_command(
    folder: Releases = Path("releases"),
    public_key: PublicKey = None,
    canary: Annotated[str, typer.Option(help="share of users that a new release serves first, such as 1%")] = "",
    store: Store = DEFAULT_URL,
    fetch: Annotated[bool, typer.Option(help="fetch the data again even if no setting changed")] = True,
    log: Annotated[Path, typer.Option(help="log file, a line per step")] = Path("retrain.log"),
) -> None:
    """Fetch, train, evaluate, promote. Exit: 0 released, 3 refused, 4 nothing new, 75 another is running, 1 failed."""
    from recsys.cli.retrain import retrain
    from recsys.drift.promotion import share_of

    raise typer.Exit(retrain(folder, public_key or None, share_of(canary), store, fetch, log))


@app.command()
@reports_errors
def tune(
    models: Annotated[list[str] | None, typer.Argument(help="models; default: all, and popularity's half-life")] = None,
    split: Annotated[Path, typer.Option(help="folder that `dvc repro split` wrote")] = Path("data/split"),
    trials: Annotated[int, typer.Option(min=1, help="number of trials per model")] = 60,
    out: Annotated[Path | None, typer.Option(help="write every trial to this JSON file")] = None,
    memory: Annotated[Path, typer.Option(help="finished trials, to resume")] = Path("recsys-tune.trials"),
    params: ParamsFile = settings.PARAMS_FILE,
) -> None:
    """Search all settings of models by NDCG on the validation window, and print the best.

    Settings that params.yaml sets are searched too.
    """
    from recsys.evaluation.tuning.portfolio import search_anew

    search_anew(models or [], split, settings.load(params), trials, memory, out)


@app.command()
@reports_errors
def export(
    to: Annotated[
        str, typer.Argument(envvar="RECSYS_EXPORT_TO", help=".parquet, .csv, .jsonl, postgresql://..., redis://...")
    ],
    k: Annotated[int, typer.Option(min=1, help="number of items per user")] = 20,
    variant: Annotated[str | None, typer.Option(help="variant of the bundle; default: the released one")] = None,
    name: Annotated[str, typer.Option(help="view in PostgreSQL, or prefix of keys in Redis")] = "recommendations",
    bundle: Annotated[Path | None, typer.Option(envvar="RECSYS_BUNDLE", help="default: the current release")] = None,
    folder: Releases = Path("releases"),
    shard: Annotated[str, typer.Option(help="2/8: part 2 of 8 of the users, into lists-2-of-8.parquet")] = "",
    rules: Annotated[Path, typer.Option(envvar="RECSYS_RULES", help="file of the business rules")] = Path("rules.yaml"),
    store: Annotated[str, typer.Option(envvar=URL_VARIABLE, help="API store: no list for erased users")] = DEFAULT_URL,
) -> None:
    """Write a list of the best items for each user; after a stop, run the same command again to resume."""
    from recsys.bundle.bundle import load
    from recsys.export.lists import lists, open_target, shard_of

    part = shard_of(shard) if shard else None
    wanted = lists(load(bundle or current(folder)), variant, k, rules, store, part or (1, 1))
    users, of = wanted.write(open_target(to, name, wanted.version, part)), wanted.recommender
    print(f"{users:,} users, bundle {of.bundle.manifest.bundle_id}, variant {of.variant}")


@app.command(context_settings=PASSED_ON)
def serve(context: typer.Context) -> None:
    """Serve the current release. The same as `python -m serving`, with its options."""
    _become("serving", context.args)


@app.command(context_settings=PASSED_ON)
def why(context: typer.Context) -> None:
    """Replay a recorded answer and explain each item in it. The same as `python -m serving.why REQUEST_ID`."""
    _become("serving.why", context.args)


@app.command(context_settings=PASSED_ON)
def watch(context: typer.Context) -> None:
    """Check for drift, measure outcomes, judge the canary. The same as `python -m serving.watch`, with its options."""
    _become("serving.watch", context.args)


def _become(module: str, arguments: list[str]) -> None:
    """Replace this process by `python -m <module>`, so that signals reach it; does not return."""
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])
