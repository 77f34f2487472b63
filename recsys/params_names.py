"""Names in `params.yaml` are of things that stand in it."""

from collections.abc import Collection, Container, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys.errors import ParamsError

if TYPE_CHECKING:
    from recsys.params import Params


def check_names(params: "Params", path: Path) -> None:
    """Refuse a name of what is not there.

    Raises:
        ParamsError: "params.yaml: dataset names 'shop', wanted one of `datasets`: synthetic, movielens, ..."
    """
    variants, baselines = params.variants, params.evaluate.baselines
    names: list[tuple[str, str, str, Collection[str]]] = [("dataset", params.dataset, "`datasets`", params.datasets)]
    shared = {name: variant.model_fields_set for name, variant in variants.items()}
    for dataset, section in params.datasets.items():
        at = f"datasets.{dataset}"
        _check_tuned(f"{path}: {at}", "models", section.models, params.models)
        _check_tuned(f"{path}: {at}", "variants", section.variants, shared)
        names += [(f"{at}.release_candidates", name, "`variants`", variants) for name in section.release_candidates]
        # the gate compares a later candidate with the earlier ones
        names += [
            (f"{at}.release_candidates", name, "evaluate.baselines", baselines)
            for name in section.release_candidates[:-1]
        ]
        names += [
            (f"{at}.split.target_events", event, f"{at}.event_weights", section.event_weights)
            for event in section.split.target_events
        ]
    names += [
        (f"rankers.{name}.variant", ranker.variant, "`variants`", variants) for name, ranker in params.rankers.items()
    ]
    names += [("evaluate.baselines", name, "`variants`", variants) for name in baselines]
    names += [("gate.baseline", params.gate.baseline, "evaluate.baselines", baselines)]
    names += [
        (f"gate.floors.{at}.baseline", floor.baseline, "evaluate.baselines", baselines)
        for at, floor in enumerate(params.gate.floors)
    ]
    for key, name, what, known in names:
        if name not in known:
            raise ParamsError(f"{path}: {key} names {name!r}, wanted one of {what}: {', '.join(known)}")


def _check_tuned(at: str, kind: str, tuned: dict[str, dict[str, Any]], shared: Mapping[str, Container[str]]) -> None:
    """What a data set says of its models or variants is of known ones, and of keys that are not shared."""
    for name, settings in tuned.items():
        if name not in shared:
            raise ParamsError(f"{at}.{kind}.{name}: no such {kind[:-1]} in `{kind}`: add {kind}.{name}")
        if both := sorted(key for key in settings if key in shared[name]):
            raise ParamsError(f"{at}.{kind}.{name}: {both[0]!r} stands there and in {kind}.{name}: keep one")
