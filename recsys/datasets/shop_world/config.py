"""Settings of the made-up data: scenario, size and pace; the adapter's section of `params.yaml`."""

from typing import Literal

from pydantic import Field, model_validator

from recsys.params import Section

MOST_PAIRS = 100_000_000  # of users and items, where the scenario draws among all of them at once

LEAST_OLD = 40  # items of a grocery: enough for a user's staples and one full basket of others


class Config(Section):
    """Scenario, size and pace of the made-up data.

    scenario: `shop`, or another kind of data, see `shop_world/__init__.py`. events: rows of the raw interactions, dirty
    ones included, exactly. users, items: how many there are in the end. days: length of the log. new_user_share,
    new_item_share: the part that arrives after the first day, evenly spread. dirt_share: the part of the raw rows, of
    interactions and of items alike, that a real log would have wrong. The last three default to 0.
    """

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
        """Refuse settings that the scenario would ignore or cannot draw."""
        idle = {"news": ["dirt_share", "new_user_share"], "grocery": ["dirt_share", "new_user_share"]}
        idle["control"] = ["dirt_share", "new_user_share", "new_item_share"]
        for name in idle.get(self.scenario, []):
            if getattr(self, name):
                raise ValueError(f"{name} is {getattr(self, name)}, expected 0 in the scenario {self.scenario!r}")
        least = 2 * self.events if self.scenario == "control" else 0
        if self.scenario in ("grocery", "control") and not least <= self.users * self.items <= MOST_PAIRS:
            raise ValueError(
                f"{self.users} users x {self.items} items, expected from {least:,} to {MOST_PAIRS:,} pairs in the "
                f"scenario {self.scenario!r}"
            )
        if self.scenario == "grocery" and self.items * (1 - self.new_item_share) < LEAST_OLD:
            raise ValueError(f"{self.items} items, expected at least {LEAST_OLD} old ones in scenario 'grocery'")
        return self
