"""Reads and writes the learned shares of slots for new items, and applies them to settings."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from recsys.bundle.bundle import Bundle
from recsys.data.split import Split
from recsys.errors import DataError
from recsys.output import write_text
from recsys.params import Params, VariantParams

FILE = "new_items.json"
MOST_LOST = 0.01  # maximum loss of NDCG over all targets, as a share


@dataclass(frozen=True)
class NewItems:
    """The share of slots that one variant keeps for new items, chosen on the validation window, and what it costs.

    demand: share of new items among the targets; shown: their share of the recommended items; lost: loss of NDCG over
    all targets, as a share, below 0 for a gain; lost_on_known: the same over targets that are not new; fair: whether
    new items are recommended often enough without costing too much.
    """

    share: float
    demand: float
    shown: float
    lost: float
    lost_on_known: float
    fair: bool = True

    def __str__(self) -> str:
        return (
            f"new items have {self.shown:.1%} of the places and {self.demand:.1%} of the demand, and cost "
            f"{self.lost:.1%} of NDCG over all targets, {self.lost_on_known:.1%} over known items"
        )


NOTHING = NewItems(0.0, 0.0, 0.0, 0.0, 0.0)
Learned = Mapping[str, NewItems]


def save(learned: Learned, path: Path) -> None:
    """Write the results by variant as JSON."""
    write_text(path, json.dumps({name: asdict(found) for name, found in learned.items()}, indent=1) + "\n")


def load(path: Path) -> dict[str, NewItems]:
    """Read the learned shares that `save` wrote.

    Raises:
        DataError: "metrics/new_items.json: not readable (...); run `dvc repro evaluate`"
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {name: NewItems(**found) for name, found in content.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: not readable ({error}); run `dvc repro evaluate`") from error


def for_release(learned: Learned, split: Split) -> tuple[Learned, list[str]]:
    """Return the shares to release and, where they are less than what was learned, the reason in one line.

    A split by user holds all events of some items out, as if these arrived later, and the share is learned among so
    many arrivals. Nothing is held out of the released models: there an item that few users liked is mostly one that
    users had and did not like. So the shares get less as items without any event do. A split by time holds nothing out
    but the future, which is as rich in new items after the release: its shares stay.
    """
    if split.facts.protocol == "global_time":
        return learned, []
    then, now = (int(split.available(fold)[split.cold_items(fold)].sum()) for fold in ("valid", "all"))
    if now >= then:
        return learned, []
    less = {name: replace(found, share=round(found.share * now / then, 6)) for name, found in learned.items()}
    shown = [f"{name} {found.share:.2%} for {learned[name].share:.1%}" for name, found in less.items() if found.share]
    return less, [
        f"slots for new items: {', '.join(shown) or 'none'}; the learned share times {now}/{then}, as {now} items are "
        f"without any event and {then} were where it was learned"
    ]


def applied(params: Params, learned: Learned) -> Params:
    """Return the settings in which each variant in `learned` has its learned share of slots for new items."""
    shares = {name: found.share for name, found in learned.items()}
    return params.model_copy(update={"variants": _with(params.variants, shares)})


def applied_to(bundle: Bundle, shares: Mapping[str, float]) -> Bundle:
    """Return the bundle with these shares set in its variants. shares: variant -> share of slots for new items."""
    manifest = bundle.manifest
    variants = _with(manifest.variants, shares)
    return replace(bundle, manifest=manifest.model_copy(update={"variants": variants}))


def _with(variants: Mapping[str, VariantParams], shares: Mapping[str, float]) -> dict[str, VariantParams]:
    return {
        name: variant.model_copy(update={"new_item_share": shares.get(name, variant.new_item_share)})
        for name, variant in variants.items()
    }
