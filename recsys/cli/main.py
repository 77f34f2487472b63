"""The `recsys` command: choose a data set, tune, export, serve, manage releases and keys."""

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
app.add_typer(experiment.app, name="experiments", hidden=True)  # the same, for fingers that write the plural

PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}  # all arguments
ParamsFile = Annotated[Path, typer.Option("--params", help="the settings file")]


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
    paths: Annotated[list[Path], typer.Argument(help="your files: events, and items if you have them")],
    out: Annotated[Path | None, typer.Option(help="write the settings to this file in place of the screen")] = None,
) -> None:
    """Look at your own files and propose the settings that read them: the section `datasets.files` of params.yaml."""
    from recsys.datasets._inspect import inspect as inspection

    tables, text = inspection.inspect(paths)
    print("\n\n".join(tables) + "\n")
    if out is None:
        print(text)
    else:
        write_text(out, text)
        print(f"{out}: the settings; read them, then put them under `datasets:` in params.yaml")


@app.command()
@reports_errors
def new(kind: Kind, name: Annotated[str, typer.Argument(help="of the file, such as newest")]) -> None:
    """Begin an extension: write its file with a working example, and say which settings it needs."""
    print(begin(kind, name))


@app.command(context_settings=PASSED_ON)
def init(context: typer.Context) -> None:
    """Make a product of this clone: name, data set, purpose, what to leave out. The same as `python -m template`."""
    _become("template", context.args)


@app.command()
@reports_errors
def lock(path: Annotated[Path, typer.Argument(help="DVC's record of the last run")] = Path("dvc.lock")) -> None:
    """Restore a `dvc.lock` that a killed `dvc repro` left damaged, from the copy of the last call or from git.

    A valid file is copied for the next call; `make demo` runs this command first.
    """
    from recsys.cli.lock import restore

    restore(path)


@app.command("retrain")
@reports_errors
def retrain_command(
    folder: Releases = Path("releases"),
    public_key: PublicKey = None,
    canary: Annotated[str, typer.Option(help="the share of units that a new release begins with, such as 1%")] = "",
    store: Store = DEFAULT_URL,
    fetch: Annotated[bool, typer.Option(help="read the data again, although its settings are the same")] = True,
    log: Annotated[Path, typer.Option(help="where each step is logged")] = Path("retrain.log"),
) -> None:
    """Fetch, train, evaluate, promote. Exit codes: 0 released, 3 refused, 4 nothing new, 75 another runs, 1 failed."""
    from recsys.cli.retrain import retrain
    from recsys.drift.promotion import share_of

    raise typer.Exit(retrain(folder, public_key or None, share_of(canary), store, fetch, log))


@app.command()
@reports_errors
def tune(
    models: Annotated[list[str] | None, typer.Argument(help="files in recsys/models; else popularity and all")] = None,
    split: Annotated[Path, typer.Option(help="the split, from `dvc repro split`")] = Path("data/split"),
    trials: Annotated[int, typer.Option(min=1, help="settings to try, of each model")] = 60,
    out: Annotated[Path | None, typer.Option(help="write every trial to this JSON file")] = None,
    memory: Annotated[Path, typer.Option(help="a stopped search goes on from here")] = Path("recsys-tune.trials"),
    params: ParamsFile = settings.PARAMS_FILE,
) -> None:
    """Search settings on the validation window, typed ones too, and print the lines for params.yaml."""
    from recsys.evaluation.tuning.portfolio import search_anew

    search_anew(models or [], split, settings.load(params), trials, memory, out)


@app.command()
@reports_errors
def export(
    to: Annotated[
        str, typer.Argument(envvar="RECSYS_EXPORT_TO", help="lists.parquet, lists.csv, postgresql://..., redis://...")
    ],
    k: Annotated[int, typer.Option(min=1, help="items a user")] = 20,
    variant: Annotated[str | None, typer.Option(help="a variant of the bundle; else its default")] = None,
    name: Annotated[str, typer.Option(help="of the view in PostgreSQL, or of the keys in Redis")] = "recommendations",
    bundle: Annotated[Path | None, typer.Option(envvar="RECSYS_BUNDLE", help="else the current release")] = None,
    folder: Releases = Path("releases"),
    rules: Annotated[Path, typer.Option(envvar="RECSYS_RULES", help="the rules of the house")] = Path("rules.yaml"),
    store: Annotated[str, typer.Option(envvar=URL_VARIABLE, help="who is forgotten there gets no list")] = DEFAULT_URL,
) -> None:
    """Write the best items of all users; a run that was stopped resumes when the command is run again."""
    from recsys.bundle.bundle import load
    from recsys.export.lists import lists, open_target

    wanted = lists(load(bundle or current(folder)), variant, k, rules, store)
    users, of = wanted.write(open_target(to, name, wanted.version)), wanted.recommender
    print(f"{users:,} users, bundle {of.bundle.manifest.bundle_id}, variant {of.variant}")


@app.command(context_settings=PASSED_ON)
def serve(context: typer.Context) -> None:
    """Serve the current release. The same as `python -m serving`, with its options."""
    _become("serving", context.args)


@app.command(context_settings=PASSED_ON)
def why(context: typer.Context) -> None:
    """Make a recorded answer again and say why each item is in it. The same as `python -m serving.why REQUEST_ID`."""
    _become("serving.why", context.args)


@app.command(context_settings=PASSED_ON)
def watch(context: typer.Context) -> None:
    """Watch drift, outcomes and the canary. The same as `python -m serving.watch`, with its options."""
    _become("serving.watch", context.args)


def _become(module: str, arguments: list[str]) -> None:
    """Run a module in place of this process, so that signals reach it."""
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])
