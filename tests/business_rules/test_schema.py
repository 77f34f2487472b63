"""The file of rules: what is refused, in one line that says where."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from recsys.business_rules.schema import Rules, read
from recsys.errors import ParamsError

WHERE = Path("rules.yaml")


def test_a_file_says_what_it_wishes() -> None:
    rules = read(
        """
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


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "{}", "block: {}\nboost: []"])
def test_an_empty_file_wishes_for_nothing(text: str) -> None:
    assert read(text, WHERE) == Rules()


def test_the_example_at_the_top_wishes_for_nothing_until_its_marks_are_taken_away(root: Path) -> None:
    text = (root / "rules.yaml").read_text()
    assert read(text, WHERE) == Rules()
    example = text[text.index("# block:") :].replace("\n# ", "\n").removeprefix("# ")
    assert read(example, WHERE).pin


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("blok: {}", "rules.yaml: unknown key 'blok'; known here: block, boost, bury, cap, diversity, pin"),
        ("block: {item: [a]}", "rules.yaml: unknown key 'block.item'; known here: the documented keys"),
        ("block: {items: [12]}", "rules.yaml: block.items.0: Input should be a valid string, found 12"),
        ("block: {items: [a]}\nblock: {items: [b]}", "the key 'block' stands there twice, line 2: keep one"),
        ("cap: {categories: {a: 1, a: 2}}", "not valid YAML: the key 'a' stands there twice, line 1: keep one"),
        ("- a", "rules.yaml: the file: Input should be a valid dictionary or instance of Rules, found ['a']"),
        ("a: [", "rules.yaml: not valid YAML: while parsing"),
        ("diversity: 2", "rules.yaml: diversity: Input should be less than or equal to 1, found 2"),
        ("cap: {every_category: 0}", "cap.every_category: Input should be greater than or equal to 1, found 0"),
        ("boost: [{filter: 'price < 3', factor: 0.5}]", "rules.yaml: boost.0.factor: Input should be greater than 1"),
        ("bury: [{filter: 'price < 3', factor: 2}]", "rules.yaml: bury.0.factor: Input should be less than 1"),
        ("bury: [{filter: 'prize < 3', factor: 0}]", "rules.yaml: bury.0.filter: 'prize' at position 1, wanted one of"),
        ("block: {filters: ['available = false']}", "rules.yaml: block.filters.0: asks for 'available', which changes"),
        ("pin: [{item: a, position: 0}]", "rules.yaml: pin.0.position: Input should be greater than or equal to 1"),
        ("pin: [{item: a, position: 1, since: 2026-11-27}]", "pin.0.since: Input should have timezone info"),
        (
            "pin: [{item: a, position: 1, since: 2026-11-27T00:00:00Z, until: 2026-11-26T00:00:00Z}]",
            "rules.yaml: pin.0: Value error, since must be before until",
        ),
        ("!!python/object/apply:os.system ['true']", "rules.yaml: not valid YAML: could not determine a constructor"),
    ],
)  # fmt: skip
def test_one_line_says_what_and_where(text: str, problem: str) -> None:
    with pytest.raises(ParamsError) as caught:
        read(text, WHERE)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
