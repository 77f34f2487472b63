"""`recsys rules put` and `recsys experiments put`: send a file to all hosts through the store of the API."""

from pathlib import Path

import typer

from recsys.business_rules import schema
from recsys.cli.releases import Store, Why
from recsys.errors import ParamsError, reports_errors
from recsys.experiments.online import config
from recsys.schemas import channel
from recsys.schemas.store_schema import DEFAULT_URL

rules = typer.Typer(help="Business rules of all hosts.", no_args_is_help=True)


@rules.callback()
def _group() -> None:
    """Business rules of all hosts."""


@rules.command("put")
@reports_errors
def put_rules(file: Path, store: Store = DEFAULT_URL, why: Why = "") -> None:
    """Check a file of business rules and write it to the store, with the reason (--why); all hosts soon apply it."""
    text = schema.load(file)[2]
    _put("rules", file, text, store, why, None)


@reports_errors
def put_experiments(file: Path, store: Store = DEFAULT_URL, why: Why = "") -> None:
    """Check a file of experiments and write it to the store; all hosts apply it at one moment, some seconds later.

    A change that would move users of a running experiment to another arm is refused: they would count in both arms.
    """
    if not file.is_file():
        raise ParamsError(f"{file}: no such file; to end all experiments use a file with the line `experiments: {{}}`")
    after, _ = config.load(file)
    before = channel.newest(store, "experiments") if channel.enabled() else None
    if before is not None:
        moved = config.moved(config.read(before.body.encode(), "the experiments in the store")[0], after)
        if moved:
            raise ParamsError(
                f"{file}: experiments.{moved[0]}: its arms, weights, unit or seed differ from those that run now, which"
                " would move users to another arm: choose another name for the new experiment, or end the present one"
            )
    _put("experiments", file, file.read_text(encoding="utf-8"), store, why, before.number if before else 0)


def _put(kind: channel.Kind, file: Path, text: str, store: str, why: str, after: int | None) -> None:
    if not channel.enabled():
        raise ParamsError(
            f"{channel.VARIABLE} is not 'store', so hosts read the {kind} from their own files: change these, "
            f"or set {channel.VARIABLE}=store here and on every host"
        )
    change = channel.put(store, kind, text, why, after)
    print(f"{kind} {change.version}: all hosts apply them in {channel.LEAD_S:g} s")
