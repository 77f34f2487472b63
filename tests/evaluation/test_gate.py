"""The gate opens only for a default variant that beats the baseline beyond doubt, and says the figures."""

import re
from pathlib import Path

import polars as pl
import pytest

from recsys import params
from recsys.errors import GateError
from recsys.evaluation import gate
from recsys.params import Floor, GateParams, Params


@pytest.fixture
def path(every: pl.DataFrame, tmp_path: Path) -> Path:
    every.write_csv(tmp_path / "intervals.csv")
    return tmp_path / "intervals.csv"


def floor(segment: str, metric: str = "ndcg@3", margin: float = 0.0) -> Floor:
    return Floor(segment=segment, metric=metric, baseline="popular", margin=margin)


def settings(
    root: Path, variant: str | list[str], metric: str = "ndcg@3", segment: str = "all", *floors: Floor
) -> Params:
    given = params.load(root / "params.yaml")
    candidates = [variant] if isinstance(variant, str) else variant
    data = given.data.model_copy(update={"release_candidates": candidates})
    return given.model_copy(
        update={
            "datasets": {given.dataset: data},
            "evaluate": given.evaluate.model_copy(update={"at": [3, 6], "new_user_items": [0, 1, 3]}),
            "gate": GateParams(metric=metric, segment=segment, baseline="popular", floors=list(floors)),
        }
    )


def test_a_clear_win_passes_with_its_figures(path: Path, root: Path) -> None:
    released, won = gate.check(path, settings(root, "model"))
    assert released == "model"
    assert won["gate"].startswith("'model' beats 'popular' on ndcg@3 in segment 'all': 0.")
    assert set(won["variants"]) == {"popular", "model", "empty"}
    assert won["variants"]["model"]["ndcg@3"] > won["variants"]["popular"]["ndcg@3"]


def test_a_loss_is_refused_with_its_figures(path: Path, root: Path) -> None:
    with pytest.raises(GateError, match=r"'empty' does not beat 'popular' on ndcg@3 .* difference -0\.\d+, interval -"):
        gate.check(path, settings(root, "empty"))


def with_difference(table: pl.DataFrame, segments: list[str], low: float, high: float) -> pl.DataFrame:
    """Sure losses by fiat: in these segments the interval of `model` is this one."""
    mine = (pl.col("variant") == "model") & pl.col("segment").is_in(segments) & (pl.col("metric") == "ndcg@3")
    bounds = {"difference_low": low, "difference_high": high}
    return table.with_columns(pl.when(mine).then(value).otherwise(name).alias(name) for name, value in bounds.items())


def test_every_missed_floor_is_named_in_one_line(every: pl.DataFrame, tmp_path: Path, root: Path) -> None:
    path = tmp_path / "sold.csv"
    with_difference(every, ["few", "new_user_1"], -0.2, -0.1).write_csv(path)
    floors = [floor("few"), floor("new_user_0"), floor("new_user_1"), floor("cold_user")]
    with pytest.raises(GateError) as error:
        gate.check(path, settings(root, "model", "ndcg@3", "all", *floors))
    line = str(error.value)
    assert line.startswith(f"{path}: 'model' is below 2 of 4 floors: 'popular' on ndcg@3 in segment 'few': ")
    assert "'popular' on ndcg@3 in segment 'new_user_1'" in line
    assert line.count("interval -0.2000 to -0.1000") == 2
    assert "new_user_0" not in line
    assert "cold_user" not in line
    assert "\n" not in line


@pytest.mark.parametrize(("high", "margin", "opens"), [(0.0, 0.0, True), (-0.1, 0.1, True), (-0.1, 0.09, False)])
def test_a_floor_refuses_only_what_is_surely_worse_than_tolerated(
    every: pl.DataFrame, tmp_path: Path, root: Path, high: float, margin: float, opens: bool
) -> None:
    path = tmp_path / "sold.csv"
    with_difference(every, ["few"], -0.2, high).write_csv(path)
    params = settings(root, "model", "ndcg@3", "all", floor("few", margin=margin))
    if opens:
        gate.check(path, params)
    else:
        with pytest.raises(GateError, match=r"interval -0.2000 to -0.1000, tolerated -0.0900; wanted"):
            gate.check(path, params)


def test_a_segment_that_nobody_belongs_to_has_no_floor(every: pl.DataFrame, tmp_path: Path, root: Path) -> None:
    path = tmp_path / "rest.csv"
    every.filter(pl.col("segment") != "dormant").write_csv(path)
    gate.check(path, settings(root, "model", "ndcg@3", "all", floor("dormant")))


def test_a_floor_in_no_known_segment_is_refused(path: Path, root: Path) -> None:
    with pytest.raises(GateError, match=r"^gate: no segment is called 'vip'; there are: all, warm, few, "):
        gate.check(path, settings(root, "model", "ndcg@3", "all", floor("vip")))


def test_a_win_that_may_be_luck_is_refused(table: pl.DataFrame, tmp_path: Path, root: Path) -> None:
    lucky = table.with_columns(difference_low=pl.when(pl.col("variant") == "model").then(0.0).otherwise(None))
    lucky.write_csv(tmp_path / "lucky.csv")
    with pytest.raises(GateError, match=r"interval \+0\.0000 to .* wanted the lower end above 0"):
        gate.check(tmp_path / "lucky.csv", settings(root, "model"))


@pytest.mark.parametrize(
    ("variant", "metric", "segment", "message"),
    [
        ("other", "ndcg@3", "all", "no row with variant 'other', the gate needs it; there are: popular, model, empty"),
        ("model", "ndcg@5", "all", "no row with metric 'ndcg@5', .* there are: recall@3, ndcg@3"),
        ("model", "ndcg@3", "vip", "no row with segment 'vip', .* there are: all, warm, few, cold_user, dormant"),
        ("model", "coverage@3", "all", "coverage@3 of 'model' has no interval; gate on another metric"),
        ("popular", "ndcg@3", "all", "release_candidates and gate.baseline name 'popular'"),
    ],
)
def test_a_gate_that_cannot_be_judged_is_refused(
    path: Path, root: Path, variant: str, metric: str, segment: str, message: str
) -> None:
    with pytest.raises(GateError, match=message):
        gate.check(path, settings(root, variant, metric, segment))


def test_missing_results_are_named(tmp_path: Path, root: Path) -> None:
    with pytest.raises(GateError, match=r"intervals.csv: no such file"):
        gate.check(tmp_path / "intervals.csv", settings(root, "model"))


def between(table: pl.DataFrame, intervals: dict[str, tuple[float, float]]) -> pl.DataFrame:
    """A table in which `model` and `elaborate` both beat `popular`, and differ from each other as said by segment."""
    wins = table.filter(variant="model", baseline="popular").with_columns(difference_low=0.1, difference_high=0.2)
    bounds = pl.DataFrame(
        [(segment, low, high) for segment, (low, high) in intervals.items()],
        schema={"segment": pl.String, "lower": pl.Float64, "upper": pl.Float64},
        orient="row",
    )
    differing = (
        wins.join(bounds, on="segment", how="inner", maintain_order="left")
        .with_columns(
            baseline=pl.lit("model"),
            difference=(pl.col("lower") + pl.col("upper")) / 2,
            difference_low="lower",
            difference_high="upper",
        )
        .drop("lower", "upper")
    )
    elaborate = pl.concat([wins, differing]).with_columns(variant=pl.lit("elaborate"))
    return pl.concat([table.filter(pl.col("variant") != "model"), wins, elaborate])


SURE, LUCK, LOSS = (0.01, 0.03), (-0.01, 0.03), (-0.03, -0.01)


@pytest.mark.parametrize(
    ("everyone", "new", "earn_in", "released", "reason"),
    [
        (SURE, LUCK, ["new_user_1"], "elaborate", r"^'elaborate' beats 'model' on ndcg@3 in segment 'all': "),
        (LUCK, SURE, ["new_user_1"], "elaborate", r"^'elaborate' beats 'model' on ndcg@3 in segment 'new_user_1': "),
        (LUCK, SURE, [], "model", r"^'elaborate' may be no better than 'model' .*: the simpler one stays$"),
        (LUCK, LUCK, ["new_user_1"], "model", r"^'elaborate' may be no better than .* and 'model' .* 'new_user_1'"),
        (LOSS, SURE, ["new_user_1"], "model", r"^'elaborate' is surely worse than 'model' on ndcg@3 in segment 'all'"),
        (SURE, LOSS, ["new_user_1"], "model", r"^'elaborate' is surely worse than 'model' .* 'new_user_1'"),
    ],
)
def test_an_elaborate_candidate_has_to_earn_its_place(
    every: pl.DataFrame,
    root: Path,
    everyone: tuple[float, float],
    new: tuple[float, float],
    earn_in: list[str],
    released: str,
    reason: str,
) -> None:
    table = between(every, {"all": everyone, "new_user_1": new})
    given = settings(root, ["model", "elaborate"])
    given = given.model_copy(update={"gate": given.gate.model_copy(update={"earn_in": earn_in})})
    found = gate.decide(table, Path("intervals.csv"), given)
    assert found.variant == released
    assert re.search(reason, found.reasons["elaborate"]), found.reasons


def test_a_candidate_that_is_not_admitted_leaves_the_place_to_the_next(every: pl.DataFrame, root: Path) -> None:
    found = gate.decide(every, Path("intervals.csv"), settings(root, ["empty", "model"]))
    assert found.variant == "model"
    assert found.reasons["empty"].startswith("'empty' does not beat 'popular'")


def test_an_elaborate_candidate_below_a_floor_is_not_released(every: pl.DataFrame, root: Path) -> None:
    table = between(every, {"all": SURE})
    mine = (pl.col("variant") == "elaborate") & (pl.col("segment") == "few") & (pl.col("baseline") == "popular")
    table = table.with_columns(pl.when(mine).then(-0.1).otherwise("difference_high").alias("difference_high"))
    found = gate.decide(
        table, Path("intervals.csv"), settings(root, ["model", "elaborate"], "ndcg@3", "all", floor("few"))
    )
    assert found.variant == "model"
    assert "'elaborate' is below 1 of 1 floors" in found.reasons["elaborate"]
