"""The gate opens only for a default variant that beats the baseline beyond doubt, and says the figures."""

from pathlib import Path

import polars as pl
import pytest

from recsys import params
from recsys.errors import GateError
from recsys.evaluation import gate
from recsys.params import GateParams, Params


@pytest.fixture
def path(table: pl.DataFrame, tmp_path: Path) -> Path:
    table.write_csv(tmp_path / "intervals.csv")
    return tmp_path / "intervals.csv"


def settings(root: Path, variant: str, metric: str = "ndcg@3", segment: str = "all") -> Params:
    given = params.load(root / "params.yaml")
    data = given.data.model_copy(update={"default_variant": variant})
    return given.model_copy(
        update={
            "datasets": {given.dataset: data},
            "evaluate": given.evaluate.model_copy(update={"at": [3, 6]}),
            "gate": GateParams(metric=metric, segment=segment, baseline="popular"),
        }
    )


def test_a_clear_win_passes_with_its_figures(path: Path, root: Path) -> None:
    won = gate.check(path, settings(root, "model"))
    assert won["gate"].startswith("'model' beats 'popular' on ndcg@3 in segment 'all': 0.")
    assert set(won["variants"]) == {"popular", "model", "empty"}
    assert won["variants"]["model"]["ndcg@3"] > won["variants"]["popular"]["ndcg@3"]


def test_a_loss_is_refused_with_its_figures(path: Path, root: Path) -> None:
    with pytest.raises(GateError, match=r"'empty' does not beat 'popular' on ndcg@3 .* difference -0\.\d+, interval -"):
        gate.check(path, settings(root, "empty"))


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
        ("model", "ndcg@3", "vip", "no row with segment 'vip', .* there are: all, warm, few, cold_user, cold_item"),
        ("model", "coverage@3", "all", "coverage@3 of 'model' has no interval; gate on another metric"),
        ("popular", "ndcg@3", "all", "default_variant and gate.baseline are both 'popular'"),
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
