"""Writes and reads a learned ranker: `model.txt`, trees in LightGBM's text format; `ranker.json`, a `Description`."""

import json
from pathlib import Path

from pydantic import Field

from recsys.errors import BundleError
from recsys.output import replaced
from recsys.params import Params, Section, parse

MODEL, DESCRIPTION = "model.txt", "ranker.json"


class Description(Section):
    """What training chose on the validation window: which sources, weighted sums of features (blends) and trees to use.
    models: labels of the sources that are used; features: names of the trees' features in order; few, more: feature ->
    weight, the blends for users with at most `few_up_to` liked items and for the others; trees_up_to: trees are used in
    place of the blend for users with at most this many liked items, -1: never; left_out: source -> why it is not used;
    strangers: the blend for users without liked items, empty: recent demand; figures: name -> NDCG, for the report;
    formula: in older files without blends, the only feature that is used."""

    models: list[str]
    features: list[str]
    trees_up_to: int = Field(ge=-1)
    few: dict[str, float] = Field(default_factory=dict)
    more: dict[str, float] = Field(default_factory=dict)
    few_up_to: int = 0
    left_out: dict[str, str] = Field(default_factory=dict)
    strangers: dict[str, float] = Field(default_factory=dict)
    figures: dict[str, float]
    formula: str | None = None


def narrowed(params: Params, rankers: Path) -> Params:
    """Return the settings in which each variant with a learned ranker has only the sources that its ranker uses.
    rankers: the folder with one folder for each learned ranker."""
    variants = dict(params.variants)
    for name, variant in params.variants.items():
        if variant.ranker is not None and variant.ranker.name in params.rankers:
            left_out = read(rankers / variant.ranker.name).left_out
            used = [part for part in variant.sources if part.label not in left_out]
            variants[name] = variant.model_copy(update={"sources": used or variant.sources})
    return params.model_copy(update={"variants": variants})


def write(trees: str, about: Description, out: Path) -> None:
    """Write trees, in LightGBM's text format, and description into a folder."""
    with replaced(out) as folder:
        (folder / MODEL).write_text(trees, encoding="utf-8")
        content = json.dumps(about.model_dump(exclude=None if about.strangers else {"strangers"}), indent=1) + "\n"
        (folder / DESCRIPTION).write_text(content, encoding="utf-8")


def read(folder: Path) -> Description:
    """Read `ranker.json`.

    Raises:
        BundleError: "bundle/rankers/learned/ranker.json: not readable (...); run `dvc repro` again"
    """
    path = folder / DESCRIPTION
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: not readable ({error}); run `dvc repro` again") from error
    about = parse(Description, content, str(path))
    if about.more:
        return about
    if about.formula is None:
        raise BundleError(f"{path}: has neither blends nor a formula; run `dvc repro` again")
    return about.model_copy(update={"few": {about.formula: 1.0}, "more": {about.formula: 1.0}})
