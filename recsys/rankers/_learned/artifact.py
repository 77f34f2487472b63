"""The folder of a learned ranker: `model.txt`, trees in LightGBM's text format, and `ranker.json`, a `Description`."""

import json
from pathlib import Path

from pydantic import Field

from recsys.errors import BundleError
from recsys.output import replaced
from recsys.params import Section, parse

MODEL, DESCRIPTION = "model.txt", "ranker.json"


class Description(Section):
    """The content of `ranker.json`: the formula's feature, and up to how many liked items (-1: never) the trees order.

    models and features: in the order of the trees' columns; figures: NDCG, for people.
    """

    models: list[str]
    features: list[str]
    formula: str
    trees_up_to: int = Field(ge=-1)
    figures: dict[str, float]


def write(trees: str, about: Description, out: Path) -> None:
    """Write trees and description into a folder."""
    with replaced(out) as folder:
        (folder / MODEL).write_text(trees, encoding="utf-8")
        content = json.dumps(about.model_dump(), indent=1) + "\n"
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
    return parse(Description, content, str(path))
