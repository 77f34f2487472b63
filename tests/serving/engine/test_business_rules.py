"""The rules of the shop, followed while the API runs: a bad file changes nothing and is reported once."""

import logging
import os
from dataclasses import replace
from pathlib import Path

import pytest

from recsys.bundle import bundle
from recsys.bundle.bundle import Bundle
from recsys.contracts import PIN, Query
from recsys.errors import ParamsError
from recsys.recommend.recommender import Recommender
from serving.engine.business_rules import BusinessRulesFile
from tests.support import bundles

NOW = bundles.NOW.timestamp()


@pytest.fixture(scope="module")
def shop(bundle_folder: Path) -> Bundle:
    return bundle.load(bundle_folder)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rules.yaml"


def write(path: Path, text: str) -> None:
    """As an editor does: aside, then renamed. Two files of the same size in one tick of the clock are still two."""
    aside = path.with_suffix(".new")
    aside.write_text(text)
    os.replace(aside, path)


def shown(business_rules: BusinessRulesFile, shop: Bundle, **asked: object) -> list[tuple[int, str]]:
    query = Query(shop.histories.of("anna"), 3, NOW, "anna")
    answer = Recommender(shop, "als").recommend(query, business_rules.current(shop, **asked)[1])  # type: ignore[arg-type]
    return [(slot.row, slot.source) for slot in answer.slots]


def settle(business_rules: BusinessRulesFile, shop: Bundle) -> bool:
    return any([business_rules.reload(shop), business_rules.reload(shop)])


def test_no_file_is_no_rules_and_costs_nothing(path: Path, shop: Bundle) -> None:
    business_rules = BusinessRulesFile(path)
    assert business_rules.current(shop)[1] is None
    assert (business_rules.version, business_rules.reason) == (None, None)
    assert not settle(business_rules, shop)


def test_a_file_that_was_named_must_be_there(path: Path) -> None:
    with pytest.raises(ParamsError, match=r"rules.yaml: no such file; RECSYS_RULES is the path of this file"):
        BusinessRulesFile(path, must_exist=True)


@pytest.mark.parametrize("content", [b"blok: 1", b"block: {items: [a", b"\xff\xfe"])
def test_the_api_does_not_start_with_a_bad_file(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ParamsError, match=r"rules\.yaml: "):
        BusinessRulesFile(path)


def test_a_change_counts_once_it_has_settled(path: Path, shop: Bundle) -> None:
    write(path, 'block: {items: ["kitchen-4"]}')
    business_rules = BusinessRulesFile(path)
    before, version = shown(business_rules, shop), business_rules.version
    assert (4, "als") not in before
    write(path, f'block: {{items: ["{bundles.ITEM_IDS[before[0][0]]}"]}}')
    assert not business_rules.reload(shop)  # it may be half written
    assert shown(business_rules, shop) == before
    assert business_rules.reload(shop)
    assert before[0] not in shown(business_rules, shop)
    assert business_rules.version not in (version, None)
    assert not business_rules.reload(shop)


def test_a_file_that_is_still_written_waits(path: Path, shop: Bundle) -> None:
    write(path, 'block: {items: ["kitchen-4"]}')
    business_rules = BusinessRulesFile(path)
    version = business_rules.version
    for text in ("", "block:", 'block: {items: ["kitchen-4"'):
        write(path, text)
        assert not business_rules.reload(shop)
    assert (business_rules.version, business_rules.reason) == (version, None)


def test_a_file_that_comes_later_counts_and_one_that_goes_does_not_take_the_rules_along(
    path: Path, shop: Bundle
) -> None:
    business_rules = BusinessRulesFile(path)
    write(path, 'pin: [{item: "garden-15", position: 1}]')
    assert settle(business_rules, shop)
    assert shown(business_rules, shop)[0] == (15, PIN)
    path.unlink()
    assert not settle(business_rules, shop)
    assert shown(business_rules, shop)[0] == (15, PIN)
    assert "no such file" in str(business_rules.reason)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("blok: 1", "unknown key 'blok'"),
        ('block: {items: ["lamp"]}', "block.items: 'lamp' is not in the catalogue: correct or remove it"),
        ("block: {categories: [sea]}", "block.categories: 'sea' is not in the catalogue"),
        ("bury: [{filter: 'price <', factor: 0}]", "bury.0.filter: the end at position 8, expected a number"),
    ],
)
def test_a_bad_file_is_refused_as_a_whole_and_reported_once(
    path: Path, shop: Bundle, caplog: pytest.LogCaptureFixture, text: str, reason: str
) -> None:
    write(path, 'pin: [{item: "garden-15", position: 1}]')
    business_rules = BusinessRulesFile(path)
    version, before = business_rules.version, shown(business_rules, shop)
    write(path, 'pin: [{item: "garden-16", position: 1}]\n' + text)
    with caplog.at_level(logging.WARNING, logger="serving.engine.business_rules"):
        for _ in range(4):
            assert not business_rules.reload(shop)
    assert shown(business_rules, shop) == before
    assert business_rules.version == version
    assert business_rules.reason is not None
    assert reason in business_rules.reason
    assert business_rules.reason.endswith(f"; the rules of version {version} stay")
    assert [record.getMessage() for record in caplog.records] == [business_rules.reason]
    write(path, 'pin: [{item: "garden-16", position: 1}]')
    assert settle(business_rules, shop)
    assert shown(business_rules, shop)[0] == (16, PIN)
    assert not business_rules.reason


def test_a_new_bundle_is_not_refused_for_an_item_that_is_gone(path: Path, shop: Bundle) -> None:
    write(path, 'block: {items: ["lamp", "kitchen-9"]}')
    business_rules = BusinessRulesFile(path)
    assert 9 not in [row for row, _ in shown(business_rules, shop)]
    said = f"{path}: block.items: 'lamp' is not in the catalogue of this bundle: its rule has no effect"
    assert business_rules.reason == said


def test_rules_are_compiled_once_for_each_bundle(path: Path, shop: Bundle) -> None:
    write(path, 'block: {items: ["kitchen-4"]}')
    business_rules = BusinessRulesFile(path)
    others = [replace(shop) for _ in range(5)]
    for served in (shop, others[0]):
        assert business_rules.current(served)[1] is business_rules.current(served)[1]
        assert business_rules.current(served)[1].bundle is served  # type: ignore[union-attr]
    for other in others:
        business_rules.current(other)[1]
    assert len(business_rules._current.compiled) == 3


def test_what_a_request_asks_for(path: Path, shop: Bundle) -> None:
    write(path, "{}")
    business_rules = BusinessRulesFile(path)
    assert business_rules.current(shop)[1] is None
    assert business_rules.current(shop, diversity=0.0)[1] is None
    mixed = business_rules.current(shop, diversity=0.7)[1]
    assert mixed is not None
    assert mixed.diversity == 0.7
    write(path, 'pin: [{item: "garden-15", position: 1, until: 2020-01-01T00:00:00Z, surfaces: [home]}]')
    assert settle(business_rules, shop)
    assert shown(business_rules, shop, surface="home", now=0.0)[0] == (15, PIN)
    assert shown(business_rules, shop, surface="home")[0] != (15, PIN)
    assert shown(business_rules, shop, surface="basket", now=0.0)[0] != (15, PIN)
