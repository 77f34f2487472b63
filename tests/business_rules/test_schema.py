"""The file of rules: what is refused, in one line that says where."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from recsys.business_rules.schema import Rules, read
from recsys.errors import ParamsError

WHERE = Path("rules.yaml")


def test_a_file_says_what_it_wishes() -> None:
    rules = read(
        b"""
        block: {items: ["12"], categories: [adult], filters: ['price > 500']}
        cap: {every_category: 5, categories: {"gift cards": 1}}
        boost: [{filter: 'category = "own brand"', factor: 1.3}]
        bury: [{filter: 'price > 500', factor: 0}]
        pin: [{item: "22423", position: 1, since: 2026-11-27T00:00:00Z, surfaces: [home]}]
        diversity: 0.2
        """,
        WHERE,
    )
    assert (rules.block.items, rules.cap.categories, rules.diversity) == (["12"], {"gift cards": 1}, 0.2)
    assert rules.pin[0].since == datetime(2026, 11, 27, tzinfo=UTC)
    assert [where for where, _ in rules.filters()] == ["block.filters.0", "boost.0.filter", "bury.0.filter"]


@pytest.mark.parametrize("content", [b"{}", b"# nothing yet\n{}\n", b"block: {}\nboost: []", b"diversity: 0"])
def test_a_file_says_explicitly_that_there_are_no_rules(content: bytes) -> None:
    assert read(content, WHERE) == Rules()


@pytest.mark.parametrize("content", [b"", b"\n", b"# nothing yet\n", b"---\n", b"null", b"~", b"[]", b"block:"])
def test_an_emptied_file_is_refused(content: bytes) -> None:
    with pytest.raises(ParamsError, match=r"rules\.yaml: (the file is empty|line 1: )"):
        read(content, WHERE)


def test_the_example_at_the_top_wishes_for_nothing_until_its_marks_are_taken_away(root: Path) -> None:
    text = (root / "rules.yaml").read_text()
    assert read(text.encode(), WHERE) == Rules()
    example = text.replace("\n# ", "\n").replace("Take the # away", "# Take the # away")
    assert read(example.replace("Everything is", "# Everything is").encode(), WHERE).pin


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("blok: {}", "line 1: unknown key 'blok'; known here: block, boost, bury, cap, diversity, pin"),
        ("block: {item: [a]}", "line 1: unknown key 'block.item'; known here: the documented keys"),
        ("block: {items: [12]}", "line 1: block.items.0: Input should be a valid string, found 12: put it in quotes"),
        ("block: {items: [a]}\nblock: {items: [b]}", "line 2: the key 'block' is set twice, first in line 1"),
        ("cap: {categories: {a: 1, a: 2}}", "line 1: the key 'a' is set twice, first in line 1"),
        ("- a", "line 1: the file: Input should be a valid dictionary or instance of Rules, found a list of 1"),
        ("a: [", "line 1: not valid YAML (did not find expected node content): correct it"),
        ("diversity: 2", "line 1: diversity: Input should be less than or equal to 1, found 2"),
        ("cap: {every_category: 0}", "cap.every_category: Input should be greater than or equal to 1, found 0"),
        ("boost: [{filter: 'price < 3', factor: 0.5}]", "line 1: boost.0.factor: Input should be greater than 1"),
        ("bury: [{filter: 'price < 3', factor: 2}]", "line 1: bury.0.factor: Input should be less than 1"),
        ("bury: [{filter: 'prize < 3', factor: 0}]", "line 1: bury.0.filter: 'prize' at position 1, expected one of"),
        ("block: {filters: ['available = false']}", "line 1: block.filters.0: a filter here cannot use 'available'"),
        ("pin: [{item: a, position: 0}]", "line 1: pin.0.position: Input should be greater than or equal to 1"),
        ("pin: [{item: a, position: 1, since: 2026-11-27}]", "pin.0.since: Input should have timezone info"),
        (
            "pin: [{item: a, position: 1, since: 2026-11-27T00:00:00Z, until: 2026-11-26T00:00:00Z}]",
            "line 1: pin.0: since must be before until",
        ),
        ("!!python/object/apply:os.system ['true']", "line 1: a tag, 'tag:yaml.org,2002:python"),
    ],
)  # fmt: skip
def test_one_line_says_what_and_where(text: str, problem: str) -> None:
    with pytest.raises(ParamsError) as caught:
        read(text.encode(), WHERE)
    assert str(caught.value).startswith("rules.yaml: line ")
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
