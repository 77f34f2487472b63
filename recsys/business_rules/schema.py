"""The schema of the shop's file of business rules. Every key is optional; `{}` is a file without rules; an empty file
is an error. A filter is a text such as 'price < 20', see `recsys/business_rules/filters/grammar.py`. A surface is a
name of the place that shows a list, such as home or cart, which requests send.

block:      {items: [id], categories: [name], filters: [filter]}           items that are never shown
cap:        {every_category: 3, categories: {name: 2}, surfaces: [name]}   most items of a category in one answer
boost:      [{filter: filter, factor: 1.5}]                                items that move up
bury:       [{filter: filter, factor: 0.5}]                                items that move down
pin:        [{item: id, position: 1, since: time, until: time, surfaces: [name]}]    items at a fixed position
diversity:  0.3                                                   0 to 1, see `recsys/business_rules/diversity.py`
"""

import hashlib
from pathlib import Path
from typing import Annotated, Self

from pydantic import AwareDatetime, Field, model_validator

from recsys.business_rules.filters import grammar
from recsys.errors import FilterError, ParamsError
from recsys.params import Section, parse, yaml_files


class Block(Section):
    """Items that are never shown: by id, by category, or by filter."""

    items: list[str] = Field(default_factory=list)
    categories: list[str] = Field(default_factory=list)
    filters: list[str] = Field(default_factory=list)


class Cap(Section):
    """The largest number of items of one category in an answer. categories: category -> number; every_category: the
    number for all other categories. surfaces: where the cap applies, everywhere if empty; on the page of a single
    category it would shorten the answer."""

    every_category: int | None = Field(None, ge=1)
    categories: dict[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    surfaces: list[str] = Field(default_factory=list)


class Boost(Section):
    """Moves items up: multiplies the score of the items that match the filter by `factor` before they are ordered."""

    filter: str
    factor: float = Field(gt=1, le=1000)


class Bury(Section):
    """Moves items down: multiplies the score of the items that match the filter by `factor`; 0 puts them last."""

    filter: str
    factor: float = Field(ge=0, lt=1)


class Pin(Section):
    """Shows an item at `position` (from 1) in the time [since, until). surfaces: where it is shown; empty:
    everywhere."""

    item: str
    position: int = Field(ge=1, le=1000)
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    surfaces: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.since and self.until and self.since >= self.until:
            raise ValueError("since must be before until")
        return self


class Rules(Section):
    """The content of a file of business rules; the docstring of this module explains the keys."""

    block: Block = Block()
    cap: Cap = Cap()
    boost: list[Boost] = Field(default_factory=list)
    bury: list[Bury] = Field(default_factory=list)
    pin: list[Pin] = Field(default_factory=list)
    diversity: float = Field(0.0, ge=0, le=1)

    def filters(self) -> list[tuple[str, str]]:
        """Return (place in the file, such as "boost.0.filter", text) of every filter."""
        named = [(f"block.filters.{at}", text) for at, text in enumerate(self.block.filters)]
        named += [(f"boost.{at}.filter", rule.filter) for at, rule in enumerate(self.boost)]
        return named + [(f"bury.{at}.filter", rule.filter) for at, rule in enumerate(self.bury)]


def load(path: Path) -> tuple[Rules, str, str]:
    """Read a file of rules; return the rules, their version (SHA-256 of the bytes, hex) and the text of the file.

    Raises:
        ParamsError: "rules.yaml: line 2: unknown key 'blok'; known here: block, boost, bury, cap, diversity, pin"
        ParamsError: "rules.yaml: line 4: boost.0.filter: '<' at position 7, expected a number"
        ParamsError: "rules.yaml: line 12: the key 'block' is set twice, first in line 3: keep one"
    """
    content = yaml_files.read_bytes(path)
    return read(content, path), hashlib.sha256(content).hexdigest(), content.decode()


def read(content: bytes, where: Path | str) -> Rules:
    """Parse the bytes of a file of rules. where: its name in messages. Raises the errors of `load`."""
    file = yaml_files.parse(content, str(where))
    rules = parse(Rules, file.content, str(where), file)
    for place, written in rules.filters():
        at = file.at(tuple(int(part) if part.isdigit() else part for part in place.split(".")))
        try:
            tree = grammar.parse(written)
        except FilterError as error:
            raise ParamsError(f"{at}: {place}: {str(error).removeprefix('filter: ')}") from None
        if "available" in grammar.fields(tree):
            raise ParamsError(
                f"{at}: {place}: a filter here cannot use 'available', as stock changes all the time: "
                "remove it, and list the rule `available` under `rules` of each variant in params.yaml"
            )
    return rules
