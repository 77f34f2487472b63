"""Settings of the synthetic data: the section `adapter` in `params.yaml`."""

from typing import Literal

from pydantic import Field, model_validator

from recsys.params import Section

MOST_PAIRS = 100_000_000  # user-item pairs, for scenarios that draw from all of them at once

LEAST_OLD = 40  # items of a grocery: enough for a user's staples and one full basket of others


class Config(Section):
    """Scenario and size of the synthetic data. scenario: see `shop_world/__init__.py`. events: exact number of raw
    interactions, including faulty ones. users, items: their numbers at the end of the log. days: length of the log.
    new_user_share, new_item_share: share that arrives after the first day, evenly spread. dirt_share: share of faulty
    rows among raw interactions and items."""

    scenario: Literal["shop", "news", "grocery", "control"] = "shop"
    events: int = Field(ge=100, le=100_000_000)
    users: int = Field(ge=10)
    items: int = Field(ge=10)
    days: int = Field(ge=7, le=3650)
    new_user_share: float = Field(0.0, ge=0, le=0.9)
    new_item_share: float = Field(0.0, ge=0, le=0.9)
    dirt_share: float = Field(0.0, ge=0, le=0.2)

    @model_validator(mode="after")
    def _fits_the_scenario(self) -> "Config":
        """Refuse settings that the scenario ignores or that are outside its limits."""
        idle = {"news": ["dirt_share", "new_user_share"], "grocery": ["dirt_share", "new_user_share"]}
        idle["control"] = ["dirt_share", "new_user_share", "new_item_share"]
        for name in idle.get(self.scenario, []):
            if value := getattr(self, name):
                raise ValueError(f"{name} is {value}, unused in the scenario {self.scenario!r}: set it to 0")
        least = 2 * self.events if self.scenario == "control" else 0
        if self.scenario in ("grocery", "control") and not least <= self.users * self.items <= MOST_PAIRS:
            raise ValueError(
                f"{self.users} users x {self.items} items, expected from {least:,} to {MOST_PAIRS:,} pairs in the "
                f"scenario {self.scenario!r}: change users or items"
            )
        old = int(self.items * (1 - self.new_item_share))
        if self.scenario == "grocery" and old < LEAST_OLD:
            fault = f"{old} of {self.items} items are there on the first day, expected at least {LEAST_OLD}"
            raise ValueError(f"{fault}: raise `items` or lower `new_item_share`")
        return self
