"""The report is one page that needs nobody, says the figures of the table, and trusts no title."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys.evaluation import answers, reliability, results, segments
from recsys.evaluation.choices import gate
from recsys.evaluation.intervals import Bootstrap
from recsys.evaluation.reporting import curves, examples, plots, report
from recsys.evaluation.segments import PLAIN, QueryMode
from recsys.params import Params
from recsys.rankers._learned.artifact import Description
from recsys.recommend.recommender import Recommender
from tests.evaluation import world
from tests.support import bundles

EVIL = "<script>alert('mug')</script>"


def random_vectors(n_items: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(n_items, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def settings() -> Params:
    given = bundles.settings()
    return given.model_copy(update={"evaluate": given.evaluate.model_copy(update={"at": [3, 6]})}).model_copy(
        update={"gate": given.gate.model_copy(update={"metric": "ndcg@3"})}
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> world.World:
    return world.make(tmp_path_factory.mktemp("world"), 1, random_vectors)


@pytest.fixture(scope="module")
def lists(made: world.World, settings: Params) -> dict[str, dict[QueryMode, np.ndarray]]:
    parts = segments.build(made.sample, settings.evaluate)
    return {
        name: answers.recommend_all(Recommender(made.bundle, name), made.split, made.sample, parts, 6, 1)
        for name in ("random", "popular", "als")
    }


@pytest.fixture(scope="module")
def every(made: world.World, settings: Params, lists: dict[str, dict[QueryMode, np.ndarray]]) -> pl.DataFrame:
    parts = segments.build(made.sample, settings.evaluate)
    return results.measure(lists, made.sample, parts, [3, 6], ["popular", "als"], Bootstrap(200, 0.95, 1))


@pytest.fixture(scope="module")
def figures(every: pl.DataFrame) -> pl.DataFrame:
    return results.against(every, "popular")


@pytest.fixture(scope="module")
def tables(
    made: world.World, lists: dict[str, dict[QueryMode, np.ndarray]], figures: pl.DataFrame
) -> dict[str, pl.DataFrame]:
    plain = {name: found[PLAIN] for name, found in lists.items()}
    return {
        "curve": curves.by_length(plain, made.sample),
        "new_users": curves.new_users(figures, "ndcg@3"),
        "ramp": curves.ramp(plain, made.sample, 3),
        "calibration": reliability.table({"als": (np.linspace(0, 0.2, 40), np.arange(40) % 9 == 0)}),
    }


LEARNED = {
    "learned": Description(
        models=["als"],
        features=[],
        few={"als_score": 0.75, "demand_24h": 0.25},
        more={"als_score": 1.0},
        few_up_to=10,
        trees_up_to=-1,
        left_out={"ease": "no significant gain"},
        figures={"blend, more": 0.1234},
    )
}


def render(made: world.World, settings: Params, every: pl.DataFrame, tables: dict[str, pl.DataFrame]) -> str:
    parts = segments.build(made.sample, settings.evaluate)
    recommender = Recommender(made.bundle, "als")
    shown = examples.some(recommender, made.split, made.sample, parts, 1)
    line = examples.Line(EVIL, "als", found=True)
    shown.append(examples.Example("ünï/<b>", "warm", "evil", 99, 1, [EVIL], [line]))
    reliable = {"als": {"ece": 0.0123, "ece_by_chance": 0.0045, "brier": 0.0678}}
    facts, manifest = made.split.facts, made.bundle.manifest
    decision = gate.Decision("als", "'als' is released: a reason", {"als": "'als' is better"})
    return report.page(settings, facts, manifest, decision, made.sample, parts, every, tables, reliable, shown, LEARNED)


@pytest.fixture(scope="module")
def page(made: world.World, settings: Params, every: pl.DataFrame, tables: dict[str, pl.DataFrame]) -> str:
    return render(made, settings, every, tables)


class Tags(HTMLParser):
    """Collects the tags, and fails where one is not closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_asks_nobody(page: str) -> None:
    tags = Tags(page)
    assert tags.open == []
    assert sum(tag == "svg" for tag, _ in tags.seen) == 5
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in tags.seen}
    asked = [value for _, attributes in tags.seen for key, value in attributes.items() if key.endswith(("href", "src"))]
    assert all(value.startswith("#") for value in asked if value)
    assert not re.search(r"url\((?!#)", page)
    assert "@import" not in page


def test_every_row_and_column_of_the_table_is_shown(page: str, figures: pl.DataFrame) -> None:
    text = re.sub(r"<[^>]+>", " ", page)
    for row in figures.filter(segment="all").iter_rows(named=True):
        assert report._shown(row["metric"], row["value"]) in text
    for row in figures.filter(metric="ndcg@3").iter_rows(named=True):
        assert f"{row['low']:.4f}–{row['high']:.4f}" in text
    for row in figures.filter(pl.col("variant") == "als", pl.col("segment") == "all", metric="ndcg@3").rows(named=True):
        assert f"{row['difference']:+.4f}" in text
        assert f"{row['difference_low']:+.4f} to {row['difference_high']:+.4f}" in text


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.1, 0.2, "beats"), (-0.2, -0.1, "loses to"), (-0.1, 0.1, "cannot be told apart from")],
)
def test_the_verdict_follows_the_interval(
    made: world.World,
    settings: Params,
    every: pl.DataFrame,
    tables: dict[str, pl.DataFrame],
    low: float,
    high: float,
    verdict: str,
) -> None:
    mine = pl.col("variant") == "als"
    changed = every.with_columns(
        difference_low=pl.when(mine).then(low).otherwise("difference_low"),
        difference_high=pl.when(mine).then(high).otherwise("difference_high"),
    )
    text = " ".join(re.sub(r"<[^>]+>", " ", render(made, settings, changed, tables)).split())
    assert f"The default variant als {verdict} popular on ndcg@3" in text


def test_titles_are_text_not_markup(page: str) -> None:
    assert EVIL not in page
    assert "&lt;script&gt;" in page
    assert "ünï/&lt;b&gt;" in page


def test_the_same_figures_give_the_same_bytes(
    page: str, made: world.World, settings: Params, every: pl.DataFrame, tables: dict[str, pl.DataFrame]
) -> None:
    assert render(made, settings, every, tables) == page


def test_a_floor_and_the_share_of_new_items_are_told(
    made: world.World, settings: Params, every: pl.DataFrame, tables: dict[str, pl.DataFrame]
) -> None:
    gated = settings.gate.model_copy(update={"floors": ["few"], "margin": 0.05})
    with_floor = settings.model_copy(update={"gate": gated})
    text = " ".join(re.sub(r"<[^>]+>", " ", render(made, with_floor, every, tables)).split())
    assert "No candidate is released that loses more than 5 % of ndcg@3 of popular in few." in text
    assert "'als' is released: a reason. The candidates" in text.replace("&#39;", "'")
    wanted = np.mean([made.sample.popularity[row] <= 3 for row in made.sample.targets.rows.tolist()])
    assert f"of the choices, {wanted:.1%} are such items" in text


@pytest.mark.parametrize("protocol", ["global_time", "per_user_holdout"])
def test_items_that_were_held_out_flatter_the_figures(
    made: world.World, settings: Params, every: pl.DataFrame, tables: dict[str, pl.DataFrame], protocol: str
) -> None:
    facts = made.split.facts.model_copy(update={"protocol": protocol})
    text = render(replace(made, split=replace(made.split, facts=facts)), settings, every, tables)
    assert ("figures over all targets flatter" in text) is (protocol == "per_user_holdout")


def test_without_new_users_the_page_says_so(
    made: world.World, settings: Params, every: pl.DataFrame, tables: dict[str, pl.DataFrame]
) -> None:
    text = render(made, settings, every, tables | {"new_users": tables["new_users"].clear()})
    assert "No user here knows as many as 3 items." in text


def test_the_examples_are_the_recommenders_answers(made: world.World, settings: Params) -> None:
    parts = segments.build(made.sample, settings.evaluate)
    recommender = Recommender(made.bundle, "als")
    picked = examples.pick(made.sample, parts, 1)
    assert len({at for _, at in picked}) == 3
    assert all(segment.users[at] for segment, at in picked)
    shown = examples.some(recommender, made.split, made.sample, parts, 1)
    for (_, at), example in zip(picked, shown, strict=True):
        user = int(made.sample.users[at])
        slots = answers.recommend_offline(recommender, made.split, "test", user, 10, 1).slots
        wanted = set(made.split.targets("test").filter(user_row=user)["item_row"])
        assert example.user_id == made.split.users["user_id"][user]
        assert [line.found for line in example.recommended] == [slot.row in wanted for slot in slots]
        assert [line.source.endswith("(fallback)") for line in example.recommended] == [s.fallback for s in slots]


def test_the_table_for_the_terminal_lines_up(every: pl.DataFrame, figures: pl.DataFrame, tmp_path: Path) -> None:
    every.write_csv(tmp_path / "intervals.csv")
    lines = report.table(tmp_path / "intervals.csv").splitlines()
    assert lines[0] == f"{figures['users'][0]} users of the test window"
    assert lines[1].split()[:2] == ["recall@3", "ndcg@3"]
    assert [line.split()[0] for line in lines[2:5]] == ["random", "popular", "als"]
    assert len({len(line) for line in lines[1:5]}) == 1
    ndcg = figures.filter(variant="als", segment="all", metric="ndcg@3")["value"][0]
    assert lines[4].split()[2] == f"{ndcg:.4f}"
    assert lines[6] == "ndcg@3 by segment"


def test_charts_take_any_number_of_variants_and_a_list_of_one() -> None:
    names = [f"v{number}" for number in range(2 * len(plots.COLOURS))]
    chart = plots.by_length(pl.DataFrame({"variant": names, "k": 1, "recall": 0.1, "ndcg": 0.2}))
    assert all(f">{name}<" in chart for name in names)


def test_the_error_of_the_confidence_is_told(page: str) -> None:
    assert re.search(r"<th>als</th><td>0\.0123</td><td>0\.0045</td><td>0\.0678</td>", page)
    assert "share of relevant slots by confidence" in page


def test_a_dot_for_each_tenth_of_the_slots(tables: dict[str, pl.DataFrame]) -> None:
    svg = plots.reliability(tables["calibration"])
    assert svg == plots.reliability(tables["calibration"])
    assert svg.count("<use ") >= 10


def test_what_the_ranker_uses_and_what_it_leaves_out_is_said(page: str) -> None:
    for said in ("0.75 als_score + 0.25 demand_24h", "ease is left out: no significant gain", "blend, more 0.1234"):
        assert said in page
