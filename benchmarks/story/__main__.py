"""Runs three phases of a recommender as experiments with known true effects: `make story`, or

    python -m benchmarks.story [--small]    writes docs/results/story.json and docs/results/story.png

docs/story.md explains what is simulated, and what the results show.
"""

import argparse
import asyncio
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import polars as pl
import yaml

from benchmarks import provenance
from benchmarks.simulator.clicks import ClickModel
from benchmarks.story import compare, phases, replay, shop
from recsys.datasets.shop_world.config import Config

PUBLISHED = {"uplift_in_ctr": [0.23, 0.41, 0.47], "availability": 0.999}
COMPARED = ["random", "popular", "collaborative", "content", "als_recent", "learned", "complete"]
STEPS = {
    "collaborative": ("als", False),
    "+ fallback": ("als", True),
    "content": ("content", True),
    "+ trees": ("learned", True),
}


def main() -> None:
    """Play, measure, write, draw."""
    options = argparse.ArgumentParser()
    options.add_argument("--small", action="store_true", help="a tenth of the shop, to see that it works")
    small = options.parse_args().small
    pl.Config.set_tbl_rows(20)
    origin = provenance.describe()
    with tempfile.TemporaryDirectory() as name:
        found = tell(Path(name), small)
    print(json.dumps(found, indent=1))
    if not small:
        provenance.write("story", origin, found, provenance.DOCS)
        draw(found)


@dataclass(frozen=True)
class Size:
    """days: of each phase; visits: a day, twice as many in the last phase if more; compared: visits asked of all."""

    world: Config
    days: int = 6
    visits: int = 2500
    more: int = 2  # a small step needs more visits to be seen
    compared: int = 3000


def tell(folder: Path, small: bool) -> dict[str, Any]:
    """All of it."""
    learned = yaml.safe_load((shop.TOP / "params.yaml").read_text())["variants"]["learned"]
    changes: dict[str, Any] = {"variants": phases.variants(learned)}
    if small:
        changes |= {
            "gate": {"baseline": "random", "floors": []},
            "evaluate": {"max_users": 300, "bootstrap": 200, "baselines": ["random", "popular", "als", "als_recent"]},
            "datasets.files.thresholds": {"min_interactions": 1000},
        }
    size = Size(shop.SMALL, days=2, visits=150, more=1, compared=200) if small else Size(shop.FULL)
    _, releases = shop.build(size.world, folder / "shop", changes)
    return {
        "published": PUBLISHED,
        **played(folder, releases, size),
        "replay": {} if small else replay.run(folder / "replay", STEPS, changes),
    }


def played(folder: Path, releases: Path, size: Size) -> dict[str, Any]:
    """The three phases and the comparison, in a shop whose bundle is released."""
    told = []
    for number, phase in enumerate(phases.PHASES):
        visits = size.visits * (1 if number < 2 else size.more)
        playing = phases.play(phase, size.world, releases, folder / f"phase-{number}", size.days, visits, ClickModel())
        told.append(asyncio.run(playing))
        print(phases.show(told), flush=True)
    asked = asyncio.run(compare.answers(releases, folder / "compare", size.world, size.compared, COMPARED))
    knn = compare.item_knn(releases, size.world, asked["visits"])
    return {
        "phases": [each.row() for each in told],
        "staircase": phases.staircase(told),
        **compare.table(size.world, asked, knn, best="learned"),
    }


def draw(found: dict[str, Any]) -> None:
    """The staircase beside the published one, and the model made worse."""
    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4))
    stairs = found["staircase"]
    places = range(1, len(stairs) + 1)
    left.bar(places, [row["over_random"] * 100 for row in stairs], color="#3567a6", label="here, simulated")
    published = [value * 100 for value in PUBLISHED["uplift_in_ctr"]]  # type: ignore[attr-defined]
    left.plot(places, published, "o--", color="#b42318", label="published case")
    left.set_xticks(places, [each["phase"].replace(" for", "\nfor").replace(", ", ",\n") for each in found["phases"]])
    left.set(ylabel="CTR over random, %", title="Three phases, each an A/B test")
    left.legend(frameon=False)
    curve = found["made_worse"]["curve"]
    qualities = [float(quality) * 100 for quality in curve]
    right.plot(qualities, [row["uplift"] * 100 for row in curve.values()], "o-", color="#3567a6")
    right.set(
        xlabel="places that keep the model's item, %", ylabel="CTR over random, %", title="If the model were worse"
    )
    figure.tight_layout()
    figure.savefig(provenance.DOCS / "story.png", dpi=110)


if __name__ == "__main__":
    main()
