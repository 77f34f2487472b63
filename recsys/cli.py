"""The `recsys` command: choose a data set, tune, export, serve, manage releases and keys."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from recsys import params as settings
from recsys.bundle import releases
from recsys.bundle.bundle import MANIFEST, SIGNATURE, read_manifest
from recsys.errors import ParamsError, reports_errors
from recsys.experiments.analysis import cli
from recsys.output import write_text
from recsys.schemas.store_schema import DEFAULT_URL, URL_VARIABLE

app = typer.Typer(
    help="Tune models, choose a data set, promote and roll back releases, serve. The pipeline itself is `dvc repro`.",
    no_args_is_help=True,
    add_completion=False,
)
release_app = typer.Typer(help="What is served: list, show, promote, roll back.", no_args_is_help=True)
app.add_typer(release_app, name="releases")
app.add_typer(cli.app, name="experiment")

PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}  # all arguments
ParamsFile = Annotated[Path, typer.Option("--params", help="the settings file")]
PublicKey = Annotated[
    str | None, typer.Option(envvar="RECSYS_PUBLIC_KEY", help="accept only bundles that this key's owner signed")
]
Store = Annotated[str, typer.Option(envvar=URL_VARIABLE, help="the store of the API")]
Why = Annotated[str, typer.Option(help="for the log")]
Releases = Annotated[Path, typer.Option("--releases", envvar="RECSYS_RELEASES", help="the folder of the releases")]


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
def lock(path: Annotated[Path, typer.Argument(help="DVC's record of the last run")] = Path("dvc.lock")) -> None:
    """Restore a `dvc.lock` that a killed `dvc repro` left damaged, from the copy of the last call or from git.

    A valid file is copied for the next call; `make demo` runs this command first.
    """
    in_use, kept = (path.parent / ".dvc" / "tmp" / name for name in ("rwlock", "dvc.lock.kept"))
    if in_use.exists() and not _is_json(in_use):  # what running commands read and write
        in_use.unlink()
        print(f"{in_use}: a run that was killed left it damaged; removed")
    if not path.exists() or _is_lock(path):
        if path.exists():
            write_text(kept, path.read_text(encoding="utf-8"))
        return
    committed = path.with_name("dvc.lock.committed")
    git = subprocess.run(["git", "show", f"HEAD:./{path.name}"], cwd=path.parent, capture_output=True, check=False)
    committed.write_bytes(git.stdout)
    for source, named in ((kept, "the copy of the last run"), (committed, "git")):
        if _is_lock(source):
            write_text(path, source.read_text(encoding="utf-8"))
            print(f"{path}: a run that was killed left it damaged; restored from {named}")
            break
    else:
        path.unlink()
        print(f"{path}: a run that was killed left it damaged, and there is no copy: removed, every stage runs again")
    committed.unlink()


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except ValueError:
        return False
    return True


def _is_lock(path: Path) -> bool:
    """Return whether DVC can read the file: a truncated file is often still valid YAML."""
    import yaml
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA  # here, because it takes a moment to import

    try:
        return bool(COMPILED_LOCKFILE_SCHEMA(yaml.safe_load(path.read_text(encoding="utf-8"))))
    except Exception:  # noqa: BLE001 (whatever is wrong with it)
        return False


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
    from recsys.drift.promotion import share_of
    from recsys.retrain import retrain

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
    from recsys.tuning.portfolio import search_anew

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
    from recsys.recommend.recommender import Recommender

    recommender = Recommender(load(bundle or releases.current(folder)), variant)
    wanted = lists(recommender, k, rules, store)
    users = wanted.write(open_target(to, name, wanted.version))
    print(f"{users:,} users, bundle {recommender.bundle.manifest.bundle_id}, variant {recommender.variant}")


@app.command(context_settings=PASSED_ON)
def serve(context: typer.Context) -> None:
    """Serve the current release. The same as `python -m serving`, with its options."""
    _become("serving", context.args)


@app.command(context_settings=PASSED_ON)
def why(context: typer.Context) -> None:
    """Make a recorded answer again and say why each item is in it. The same as `python -m serving.why REQUEST_ID`."""
    _become("serving.why", context.args)


def _become(module: str, arguments: list[str]) -> None:
    """Run a module in place of this process, so that signals reach it."""
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])


@app.command(add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def watch(context: typer.Context) -> None:
    """Watch drift, outcomes and the canary. The same as `python -m serving.watch`; --help shows the options."""
    os.execv(sys.executable, [sys.executable, "-m", "serving.watch", *context.args])


@release_app.command("list")
@reports_errors
def list_releases(folder: Releases = Path("releases")) -> None:
    """Print the promoted bundles, newest last; the current one is marked."""
    state = releases.read(folder)
    for entry in state.log:
        mark = "*" if entry is state.log[-1] else " "
        print(
            f"{mark} {entry.at:%Y-%m-%d %H:%M:%S} UTC  {entry.action:<8}  {entry.bundle_id}  {entry.why or ''}".rstrip()
        )
    if not state.log:
        print("no releases yet; run `recsys releases promote bundle`")


@release_app.command("current")
@reports_errors
def current(folder: Releases = Path("releases")) -> None:
    """Print the bundle that is served now."""
    path = releases.current(folder)
    manifest = read_manifest(path)
    print(
        f"{manifest.bundle_id}  {manifest.dataset}  trained until {manifest.trained_until:%Y-%m-%d %H:%M} UTC  {path}"
    )


@release_app.command("promote")
@reports_errors
def promote(
    bundle: Annotated[Path, typer.Argument(help="a bundle folder")] = Path("bundle"),
    folder: Releases = Path("releases"),
    public_key: PublicKey = None,
    canary: Annotated[str, typer.Option(help="the share of units to begin with, such as 1%")] = "",
    store: Store = DEFAULT_URL,
    notes: Annotated[str, typer.Option(help="what changed, for the release's record")] = "",
) -> None:
    """Verify a bundle, try it in a process of its own, copy it to the releases and make it current.

    With --canary it is first compared with the current release on recorded requests; then `recsys watch` lets it serve
    ten times the share, step by step, or ends it.
    """
    from recsys.drift import promotion

    print(promotion.promote(bundle, folder, public_key or None, promotion.share_of(canary), store, notes))


@release_app.command("abort")
@reports_errors
def abort(folder: Releases = Path("releases"), why: Why = "") -> None:
    """End the canary: the current release answers everybody."""
    print(f"ended: {releases.abort(folder, why) or 'there is no canary'}")


@release_app.command("diff")
@reports_errors
def diff(first: str, second: str, folder: Releases = Path("releases")) -> None:
    """Print what differs between two releases: settings, data, offline metrics, lists."""
    from recsys.drift.release_diff import lines

    print("\n".join(lines(folder, first, second)))


@release_app.command("rollback")
@reports_errors
def rollback(folder: Releases = Path("releases"), public_key: PublicKey = None, why: Why = "") -> None:
    """Go back to the release before the current one."""
    print(f"current release: {releases.rollback(folder, public_key or None, why)}")


@release_app.command("keygen")
@reports_errors
def keygen(key: Annotated[Path, typer.Argument(help="where to write the private key")] = Path("signing.pem")) -> None:
    """Make a key pair for signed releases."""
    from recsys.bundle import signing

    public = signing.keygen(key)
    print(f"private key: {key}; keep it away from the servers\nRECSYS_PUBLIC_KEY={public}")


@release_app.command("sign")
@reports_errors
def sign(
    bundle: Annotated[Path, typer.Argument(help="a bundle folder")] = Path("bundle"),
    key: Annotated[Path, typer.Option(help="the private key, from `recsys releases keygen`")] = Path("signing.pem"),
) -> None:
    """Sign a bundle; servers with the public key accept it."""
    from recsys.bundle import signing

    public = signing.sign(bundle / MANIFEST, bundle / SIGNATURE, key)
    print(f"{bundle / SIGNATURE}: fits RECSYS_PUBLIC_KEY={public}")


if __name__ == "__main__":
    app()
