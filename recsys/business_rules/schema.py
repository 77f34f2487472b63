"""The schema of the shop's file of rules. Every key is optional; `{}` sets nothing, an empty file is refused.

block:      {items: [id], categories: [name], filters: [filter]}        never shown
cap:        {every_category: 3, categories: {name: 2}, surfaces: [name]}      at most so many in one answer
boost:      [{filter: filter, factor: 1.5}]                             counts for more in the order
bury:       [{filter: filter, factor: 0.5}]                             counts for less
pin:        [{item: id, position: 1, since: time, until: time, surfaces: [name]}]    a fixed place
diversity:  0.3                                                         0..1, see `recsys/business_rules/diversity.py`
"""

import hashlib
from pathlib import Path
from typing import Annotated, Self

from pydantic import AwareDatetime, Field, model_validator

from recsys.business_rules.filters import grammar
from recsys.errors import FilterError, ParamsError
from recsys.params import Section, parse, yaml_files


class Block(Section):
    """Items that no user is ever shown."""

    items: list[str] = Field(default_factory=list)
    categories: list[str] = Field(default_factory=list)
    filters: list[str] = Field(default_factory=list)


class Cap(Section):
    """The most items of one category in an answer; `categories` overrides the number for some of them.

    On all surfaces if none is named; on the page of one category a cap would cut the answer short.
    """

    every_category: int | None = Field(None, ge=1)
    categories: dict[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    surfaces: list[str] = Field(default_factory=list)


class Boost(Section):
    """Multiplies the score of the filter's items by `factor` in the order of an answer."""

    filter: str
    factor: float = Field(gt=1, le=1000)


class Bury(Section):
    """Multiplies the score of the filter's items by `factor` in the order of an answer; 0 puts them last."""

    filter: str
    factor: float = Field(ge=0, lt=1)


class Pin(Section):
    """Puts an item at `position` (from 1), from `since` until before `until`; on all surfaces if none is named."""

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
    """All business rules of the file."""

    block: Block = Block()
    cap: Cap = Cap()
    boost: list[Boost] = Field(default_factory=list)
    bury: list[Bury] = Field(default_factory=list)
    pin: list[Pin] = Field(default_factory=list)
    diversity: float = Field(0.0, ge=0, le=1)

    def filters(self) -> list[tuple[str, str]]:
        named = [(f"block.filters.{at}", text) for at, text in enumerate(self.block.filters)]
        named += [(f"boost.{at}.filter", rule.filter) for at, rule in enumerate(self.boost)]
        return named + [(f"bury.{at}.filter", rule.filter) for at, rule in enumerate(self.bury)]


def load(path: Path) -> tuple[Rules, str, str]:
    """The rules of a file, their version, the SHA-256 of its bytes in hex, and its text.

    Raises:
        ParamsError: "rules.yaml: line 2: unknown key 'blok'; known here: block, boost, bury, cap, diversity, pin"
        ParamsError: "rules.yaml: line 4: boost.0.filter: '<' at position 7, expected a number"
        ParamsError: "rules.yaml: line 12: the key 'block' is set twice, first in line 3: keep one"
    """
    content = yaml_files.read_bytes(path)
    return read(content, path), hashlib.sha256(content).hexdigest(), content.decode()


def read(content: bytes, where: Path | str) -> Rules:
    """Parse the bytes of a file of rules; raises the errors of `load`."""
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
                f"{at}: {place}: compares 'available', which changes all the time: "
                "give the variant the rule `available` instead"
            )
    return rules
