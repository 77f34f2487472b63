"""Every file of `recsys/sources`, `rules`, `rankers` and `encoders` keeps its contract; a new file is tried by itself.

Settings: the file's defaults, else those of its first use in the variants of `params.yaml`; models that the hand-made
shop lacks are replaced by one that it has.
"""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from recsys import params
from recsys.bundle import bundle
from recsys.bundle.bundle import Bundle
from recsys.params import extensions
from tests.extensions.contracts import check_encoder, check_ranker, check_rule, check_source
from tests.support import bundles

IN_BUNDLES = {"learned"}  # rankers that read a trained file of the bundle: tests/rankers has one


@pytest.fixture(scope="module", params=[False, True], ids=["first times", "repeats"])
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder: Path = tmp_path_factory.mktemp("contract") / "bundle"
    return bundle.load(bundles.write(folder, allow_repeat=request.param))


def settings(kind: str, name: str, shop: Bundle) -> dict[str, Any]:
    try:
        extensions.load(kind, name).Config()
    except ValidationError:
        variants = params.load().variants.values()
        used = [part.config for each in variants for part in each.sources if part.source == name]
        used += [each.ranker.config for each in variants if each.ranker is not None and each.ranker.name == name]
        used += [rule.config for each in variants for rule in each.rules if rule.name == name]
        assert used, f"recsys/{kind}/{name}.py: needs settings and no variant of params.yaml uses it: add a variant"
        model = {"model": next(iter(shop.item_items if name == "item_item" else shop.models))}
        return {**used[0], **(model if "model" in used[0] else {})}
    return {}


@pytest.mark.parametrize("name", extensions.names("sources"))
def test_a_source_keeps_its_contract(shop: Bundle, name: str) -> None:
    check_source(name, extensions.build("sources", name, shop, settings("sources", name, shop)), shop)


@pytest.mark.parametrize("name", extensions.names("rules"))
def test_a_rule_keeps_its_contract(shop: Bundle, name: str) -> None:
    check_rule(name, extensions.build("rules", name, shop, settings("rules", name, shop)), shop)


@pytest.mark.parametrize("name", sorted(set(extensions.names("rankers")) - IN_BUNDLES))
def test_a_ranker_keeps_its_contract(shop: Bundle, name: str) -> None:
    check_ranker(name, extensions.build("rankers", name, shop, settings("rankers", name, shop)), shop)


def test_the_encoders_of_a_bundle_keep_their_contract(shop: Bundle) -> None:
    for model in shop.models.values():
        check_encoder(model.embeddings.encoder, model.encoder, model.embeddings.vectors.shape[1], len(shop.catalogue))
