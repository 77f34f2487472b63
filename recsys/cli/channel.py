"""`recsys rules put` and `recsys experiments put`: give all hosts a file through the channel of the store."""

from pathlib import Path
from typing import Annotated

import typer

from recsys.business_rules import schema
from recsys.errors import ParamsError, reports_errors
from recsys.experiments.online import config
from recsys.schemas import channel
from recsys.schemas.store_schema import DEFAULT_URL, URL_VARIABLE

rules = typer.Typer(help="The shop's rules of all hosts.", no_args_is_help=True)

Store = Annotated[str, typer.Option(envvar=URL_VARIABLE, help="the store of the API")]
Why = Annotated[str, typer.Option(help="for the log")]


@rules.callback()
def _group() -> None:
    """The shop's rules of all hosts."""


@rules.command("put")
@reports_errors
def put_rules(file: Path, store: Store = DEFAULT_URL, why: Why = "") -> None:
    """Check a file of rules, and let every host follow it some seconds later."""
    text = schema.load(file)[2]
    _put("rules", file, text, store, why, None)


@reports_errors
def put_experiments(file: Path, store: Store = DEFAULT_URL, why: Why = "") -> None:
    """Check a file of experiments, and let every host run them from the same moment on, some seconds later.

    An experiment may not move its units to other arms: hosts and days would count a user in two.
    """
    if not file.is_file():
        raise ParamsError(f"{file}: no such file; `experiments: {{}}` in it says that there are none")
    after, _ = config.load(file)
    before = channel.newest(store, "experiments") if channel.enabled() else None
    if before is not None:
        moved = config.moved(config.read(before.body.encode(), "the experiments of the channel")[0], after)
        if moved:
            raise ParamsError(
                f"{file}: experiments.{moved[0]}: other arms, weights, unit or seed would put users into a second arm:"
                " give it a new name, or end it first"
            )
    _put("experiments", file, file.read_text(encoding="utf-8"), store, why, before.number if before else 0)


def _put(kind: channel.Kind, file: Path, text: str, store: str, why: str, after: int | None) -> None:
    if not channel.enabled():
        raise ParamsError(
            f"the API follows the file of the {kind}, not the store: change that file, "
            f"or set {channel.VARIABLE}=store here and for every host"
        )
    change = channel.put(store, kind, text, why, after)
    print(f"{kind} {change.version}: every host has them in {channel.LEAD_S:g} s")
