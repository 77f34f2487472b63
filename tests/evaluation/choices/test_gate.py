"""The gate releases what is significantly better, the baseline where nothing is, and always says the figures."""

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import stats

from recsys import params
from recsys.errors import GateError
from recsys.evaluation import results
from recsys.evaluation.choices import gate
from recsys.evaluation.intervals import paired
from recsys.evaluation.sample import Sample
from recsys.evaluation.segments import Segment
from recsys.params import GateParams, Params
from recsys.ranking import Values

USERS = 400
Evaluation = dict[str, dict[str, Values]]


def settings(root: Path, candidates: list[str] | None = None, **changed: object) -> Params:
    given = params.load(root / "params.yaml")
    data = given.data.model_copy(update={"release_candidates": candidates or ["simple", "elaborate"]})
    asked = GateParams.model_validate({"metric": "ndcg@10", "segment": "all", "baseline": "popular"} | changed)
    return given.model_copy(update={"datasets": {given.dataset: data}, "gate": asked})


def evaluation(users: int = USERS, **means: dict[str, float]) -> Evaluation:
    """segment -> variant -> values around this mean, the same noise in every segment, another for each variant."""
    noise = {name: np.random.default_rng([1, len(name)]).normal(0, 0.1, users) for name in next(iter(means.values()))}
    centred = {name: values - values.mean() for name, values in noise.items()}
    return {place: {name: mean + centred[name] for name, mean in row.items()} for place, row in means.items()}


def row(simple: float, elaborate: float) -> dict[str, float]:
    """Figures of a segment, where `popular` has 0.5."""
    return {"popular": 0.5, "simple": simple, "elaborate": elaborate}


@pytest.mark.parametrize(
    ("everyone", "new", "improve_in", "released"),
    [
        (row(0.5, 0.5), row(0.5, 0.5), [], "popular"),
        (row(0.5, 0.55), row(0.5, 0.5), [], "elaborate"),  # the simple one is not admitted
        (row(0.55, 0.5), row(0.5, 0.5), [], "simple"),
        (row(0.55, 0.555), row(0.5, 0.5), [], "simple"),  # better, but by luck perhaps
        (row(0.55, 0.6), row(0.5, 0.5), [], "elaborate"),
        (row(0.55, 0.555), row(0.5, 0.6), ["new_user_1"], "elaborate"),  # earns its place there
        (row(0.55, 0.555), row(0.5, 0.6), [], "simple"),
        (row(0.6, 0.55), row(0.5, 0.7), ["new_user_1"], "simple"),  # inferior in `all`, whatever new users get
    ],
)
def test_the_simplest_stays_unless_a_later_one_is_significantly_better(
    root: Path, everyone: dict[str, float], new: dict[str, float], improve_in: list[str], released: str
) -> None:
    found = gate.decide(evaluation(all=everyone, new_user_1=new), settings(root, improve_in=improve_in, tolerance=0.04))
    assert found.variant == released, found
    assert found.reason.startswith(f"{released!r} is released: ")
    assert list(found.candidates) == ["simple", "elaborate"]
    assert all("\n" not in reason for reason in [found.reason, *found.candidates.values()])


def test_a_reason_says_the_figures(root: Path) -> None:
    found = gate.decide(evaluation(all=row(0.5, 0.6)), settings(root))
    assert found.candidates["simple"].startswith("'simple' is not significantly better than 'popular' on ndcg@10 in ")
    assert re.search(r"0\.6000 against 0\.5000, difference \+0\.1000, between \+0\.0\d+ and \+0\.1\d+, p ", str(found))
    nothing = gate.decide(evaluation(all=row(0.5, 0.4)), settings(root))
    assert nothing.reason == "'popular' is released: none of 2 candidates is admitted"


def test_a_floor_excludes_a_candidate_never_the_bundle(root: Path) -> None:
    """The better average of `elaborate` is paid by users of few events."""
    sold = evaluation(all=row(0.55, 0.7), few=row(0.5, 0.3))
    found = gate.decide(sold, settings(root, floors=["few", "dormant"]))
    assert found.variant == "simple"
    assert found.candidates["elaborate"].startswith("'elaborate' is below 1 of 3 floors: 'few': 0.3000 against 0.5000")
    both = evaluation(all=row(0.6, 0.7), few=row(0.3, 0.3))
    assert gate.decide(both, settings(root, floors=["few"])).variant == "popular"


@pytest.mark.parametrize(
    ("users", "loss", "passes"),
    [
        (4000, 0.01, True),  # enough users: shown to lose less than a tenth
        (4000, 0.048, False),  # less than a tenth, but not shown to
        (30, 0.048, True),  # too few to show anything: not significantly worse
        (30, 0.15, False),
    ],
)
def test_a_floor_wants_proof_where_there_are_users_to_give_it(
    root: Path, users: int, loss: float, passes: bool
) -> None:
    parts = evaluation(all=row(0.6, 0.6)) | evaluation(users, few=row(0.5 - loss, 0.5))
    found = gate.decide(parts, settings(root, ["simple"], floors=["few"], margin=0.1))
    assert (found.variant == "simple") == passes, found


def test_holm_counts_every_comparison(root: Path) -> None:
    """A win that one candidate may have by luck is none when it is the best of many."""
    alone = evaluation(all={"popular": 0.5, "elaborate": 0.5135})
    p = paired(alone["all"]["elaborate"], alone["all"]["popular"], 0.05).p
    many = {f"n{number}": alone["all"]["popular"] - 0.1 * (np.arange(USERS) == number) for number in range(9)}
    given = settings(root, ["elaborate"], alpha=1.5 * p)
    assert gate.decide(alone, given).variant == "elaborate"
    crowd = settings(root, [*many, "elaborate"], alpha=1.5 * p)
    assert gate.decide({"all": alone["all"] | many}, crowd).variant == "popular"


def test_a_comparison_is_the_paired_t_test() -> None:
    rng = np.random.default_rng(2)
    ours, theirs = rng.random(50), rng.random(50) - 0.1
    found = paired(np.append(ours, np.nan), np.append(theirs, 1.0), 0.05)
    wanted = stats.ttest_rel(ours, theirs, alternative="greater")
    assert found.p == pytest.approx(wanted.pvalue)
    assert found.difference - found.reach == pytest.approx(wanted.confidence_interval(0.95).low)


@pytest.mark.parametrize(
    ("ours", "theirs", "p"),
    [([], [], 1.0), ([1.0], [0.0], 1.0), ([0.5] * 9, [0.5] * 9, 1.0), ([1.0] * 3, [0.0] * 3, 0.125)],
)
def test_hardly_any_users_prove_hardly_anything(ours: list[float], theirs: list[float], p: float) -> None:
    assert paired(np.array(ours), np.array(theirs), 0.05).p == p


def test_nobody_to_judge_by_releases_the_baseline(root: Path) -> None:
    assert gate.decide({}, settings(root)).variant == "popular"
    assert gate.decide(evaluation(3, all=row(0.6, 0.9)), settings(root)).variant == "popular"


def test_without_a_better_candidate_the_baseline_is_what_remains(root: Path) -> None:
    given = params.load(root / "params.yaml")
    nothing = {"all": dict.fromkeys(given.variants, np.full(USERS, 0.1))}
    found = gate.decide(nothing, given)
    assert found.variant == given.gate.baseline == "popular"
    assert set(found.candidates) == set(given.candidates) - {"popular"}


def test_a_segment_that_is_not_known_is_refused(root: Path) -> None:
    with pytest.raises(GateError, match=r"^gate: no segment is called 'vip'; there are: all, warm, few, "):
        gate.decide({}, settings(root, floors=["vip"]))


def test_a_decision_is_read_as_it_was_written(tmp_path: Path, root: Path) -> None:
    found = gate.decide(evaluation(all=row(0.5, 0.6)), settings(root))
    found.save(tmp_path / gate.FILE)
    assert gate.load(tmp_path / gate.FILE) == found
    (tmp_path / gate.FILE).write_text('{"variant": "als"}')
    with pytest.raises(GateError, match=r"gate.json: not a readable decision \(.*\); run `dvc repro evaluate`"):
        gate.load(tmp_path / gate.FILE)
    with pytest.raises(GateError, match=r"none.json: not a readable decision"):
        gate.load(tmp_path / "none.json")


def test_values_are_those_of_the_table(
    sample: Sample, lists: dict[str, np.ndarray], parts: list[Segment], table: pl.DataFrame
) -> None:
    asked = {name: {part.mode: rows for part in parts} for name, rows in lists.items()}
    values = results.per_segment(asked, sample, parts, "ndcg@3")
    for variant, segment, users, value in (
        table.filter(metric="ndcg@3").select("variant", "segment", "users", "value").iter_rows()
    ):
        assert len(values[segment][variant]) == users
        assert values[segment][variant].mean() == pytest.approx(value, abs=1e-6)
    with pytest.raises(
        GateError, match=r"gate.metric is 'coverage@3', expected a metric of a single list: recall@3, ndcg"
    ):
        results.per_segment(asked, sample, parts, "coverage@3")
