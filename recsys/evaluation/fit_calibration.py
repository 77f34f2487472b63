"""Fits the confidence of `recsys/bundle/calibration.py`, a probability of relevance, on the validation window.

Each label (source) of a variant gets one logistic curve. Its features, some of score, rank and number of known events,
are chosen by cross-validated log loss over users. Confidence may only rise with the score and fall with the rank.
Isotonic regression was worse on held-out users.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.optimize import minimize
from scipy.special import expit, logit

from recsys.bundle.bundle import Bundle
from recsys.bundle.calibration import Calibration, Curve, label
from recsys.contracts import LIVE_COVISIT, SECONDS_PER_DAY, BoolArray, Slot
from recsys.data.split import WINDOWS, Split
from recsys.evaluation import answers
from recsys.evaluation.choices.new_items import applied_to
from recsys.evaluation.metrics import Ragged
from recsys.evaluation.sample import Sample, ranker_holdout_users
from recsys.params import Params, SplitParams
from recsys.recommend.recommender import Recommender

Floats = npt.NDArray[np.float64]

CHOICES: tuple[tuple[str, ...], ...] = ((), ("rank",), ("rank", "known"), ("score", "rank", "known"))
SIGNS = {"score": 1, "rank": -1, "known": 0}  # a confidence may only rise with the score and fall with the rank
PARTS = 5  # parts of the users in cross-validation
RIDGE = 1e-3
ENOUGH = 20  # with fewer relevant slots, all slots of a label get the same confidence
SCHEMA = pl.Schema(
    {
        "user": pl.Int64,
        "label": pl.String,
        "score": pl.Float64,
        "rank": pl.Int64,
        "known": pl.Int64,
        "wanted": pl.Boolean,
    }
)


def on_valid(bundle: Bundle, split: Split, variant: str, asked: Sample, params: Params, k: int) -> dict[str, Curve]:
    """Fit the curves of a variant, label -> curve, on lists of k items for the users of the validation window, `asked`.
    bundle: of the fold `valid`. A learned ranker was trained on two thirds of these users, so the curves of its variant
    are fitted on the others. A variant that scores by live counts has no curves, because these do not exist offline."""
    settings = params.variants[variant]
    if settings.sources[0].source == LIVE_COVISIT:
        return {}
    others = ranker_holdout_users(split.users["user_id"][asked.users])[asked.targets.owners]
    learned = settings.ranker is not None and settings.ranker.name in params.rankers
    wanted = asked.targets.keep(others) if learned else asked.targets
    recommender = Recommender(applied_to(bundle, {variant: settings.new_item_share or 0.0}), variant)
    return curves(ask(recommender, split, asked, wanted, k, params.seed), params.seed)


def on_test(calibration: Calibration, slots: dict[str, pl.DataFrame]) -> dict[str, tuple[Floats, BoolArray]]:
    """Return variant -> (n_slots,) confidences in the test window, and (n_slots,) whether the items were relevant.
    slots: variant -> result of `ask` with the targets of `as_long_as_valid`."""
    return {name: (confidences(calibration, name, found), found["wanted"].to_numpy()) for name, found in slots.items()}


def ask(recommender: Recommender, split: Split, asked: Sample, wanted: Ragged, k: int, seed: int) -> pl.DataFrame:
    """Recommend to the users with targets; return the table of `slot_table`. wanted: as there."""
    users = [(at, int(asked.users[at])) for at in np.flatnonzero(wanted.lengths).tolist()]
    lists = ((at, answers.recommend_offline(recommender, split, asked.fold, user, k, seed).slots) for at, user in users)
    return slot_table(recommender.bundle, asked, wanted, lists)


def slot_table(
    bundle: Bundle, asked: Sample, wanted: Ragged, lists: Iterable[tuple[int, tuple[Slot, ...]]]
) -> pl.DataFrame:
    """Return one row per slot of the users with targets. Columns: user (position in the sample), label (source), score,
    rank (from 1), known (events in the history), wanted (whether the item is a target). Parameters: wanted, the targets
    as item rows per user of the sample; lists, position in the sample and slots of the list."""
    table = []
    for at, slots in lists:
        if targets := set(wanted.of_user(at).tolist()):
            known = len(bundle.histories.at(int(asked.users[at])))
            table += [
                (at, label(slot.source, slot.fallback), slot.score, rank, known, slot.row in targets)
                for rank, slot in enumerate(slots, 1)
            ]
    return pl.DataFrame(table, schema=SCHEMA, orient="row")


def as_long_as_valid(split: Split, asked: Sample, params: SplitParams) -> Ragged:
    """Return the targets in the first part of the test window, as long as the validation window. In a longer window
    more items become relevant, so a confidence is valid for one length only. With `per_user_holdout` the first part has
    the share valid_share / test_share of each user's events in the test window, separately for items in the fit set and
    others."""
    window = split.interactions.filter(pl.col("fold") == WINDOWS["test"])
    if split.facts.protocol == "global_time":
        begin = split.facts.now["test"]
        window = window.filter(pl.col("timestamp") < begin + (begin - split.facts.now["valid"]))
    else:
        parts = ["user_row", pl.col("item_row").is_in(split.fit_rows("test")["item_row"].unique().implode())]
        place, n_events = pl.int_range(pl.len()).over(parts), pl.len().over(parts)
        window = window.filter(place < n_events * params.valid_share / params.test_share)
    liked = pl.col("event").is_in(split.facts.target_events) & (pl.col("weight") > 0)
    pairs = window.filter(liked).select("user_row", "item_row")
    width = split.facts.n_items
    early = pairs["user_row"].to_numpy().astype(np.int64) * width + pairs["item_row"].to_numpy()
    targets = asked.users[asked.targets.owners].astype(np.int64) * width + asked.targets.rows
    return asked.targets.keep(np.isin(targets, early))


def horizon_days(split: Split) -> float | None:
    """Return the length of the validation window in days; None with `per_user_holdout`."""
    if split.facts.protocol != "global_time":
        return None
    return round((split.now("test") - split.now("valid")) / SECONDS_PER_DAY, 2)


def curves(slots: pl.DataFrame, seed: int) -> dict[str, Curve]:
    """Fit the curves of one variant, label -> curve. slots: table of `slot_table`."""
    return {str(name): _curve(mine, seed) for (name,), mine in slots.sort("user", "rank").group_by("label")}


def confidences(calibration: Calibration, variant: str, slots: pl.DataFrame) -> Floats:
    """Return (n_slots,) float64: the calibrated probability that the item of each slot is wanted.

    slots: a table with the columns label (name of the source), score, rank (from 1) and known (length of the history).
    NaN where the variant has no calibration curve for the label.
    """
    curves = calibration.curves[variant]
    rows = slots.select("label", "score", "rank", "known").iter_rows()
    return np.array([curves[name].at(*rest) if name in curves else np.nan for name, *rest in rows], dtype=np.float64)


def _curve(slots: pl.DataFrame, seed: int) -> Curve:
    wanted = slots["wanted"].to_numpy()
    size = float(np.median(np.abs(slots["score"].to_numpy())))
    scale = size if size > 0 else 1.0
    choices = CHOICES if wanted.sum() >= ENOUGH else CHOICES[:1]
    users, owners = np.unique(slots["user"].to_numpy(), return_inverse=True)
    part = np.random.default_rng(seed).permutation(len(users))[owners] % PARTS
    best, least = choices[0], np.inf
    for names in choices if len(choices) > 1 else ():
        features = _features(slots, names, scale)
        numbers = _platt(features, wanted)[1:]
        if not all(SIGNS[name] * number >= 0 for name, number in zip(names, numbers, strict=True)):
            continue
        loss = 0.0
        for left_out in range(PARTS):
            mine = part == left_out
            z = features[mine] @ _platt(features[~mine], wanted[~mine])
            loss += float(np.logaddexp(0, np.where(wanted[mine], -z, z)).sum())
        if loss < least:
            best, least = names, loss
    numbers = _platt(_features(slots, best, scale), wanted)
    named = {name: round(float(number), 6) for name, number in zip(("bias", *best), numbers, strict=True)}
    return Curve(**named, scale=float(f"{scale:.6g}"), slots=len(wanted), wanted=int(wanted.sum()))


def _features(slots: pl.DataFrame, names: tuple[str, ...], scale: float) -> Floats:
    known = {
        "score": np.arcsinh(slots["score"].to_numpy() / scale),
        "rank": np.log(slots["rank"].to_numpy()),
        "known": np.log1p(slots["known"].to_numpy()),
    }
    return np.column_stack([np.ones(slots.height), *(known[name] for name in names)])


def _platt(features: Floats, wanted: BoolArray) -> Floats:
    """Return the coefficients of a logistic regression, fitted to Platt's smoothed targets in place of 0 and 1."""
    many = int(wanted.sum())
    targets = np.where(wanted, (many + 1) / (many + 2), 1 / (len(wanted) - many + 2))

    def loss(numbers: Floats) -> tuple[float, Floats]:
        z = features @ numbers
        value = float(np.logaddexp(0, z).sum() - targets @ z + RIDGE / 2 * numbers @ numbers)
        return value, features.T @ (expit(z) - targets) + RIDGE * numbers

    def curvature(numbers: Floats) -> Floats:
        p = expit(features @ numbers)
        found: Floats = (features.T * (p * (1 - p))) @ features + RIDGE * np.eye(len(numbers))
        return found

    start = np.zeros(features.shape[1])
    start[0] = logit(targets.mean())
    fitted = minimize(loss, start, jac=True, hess=curvature, method="trust-exact", options={"gtol": 1e-9})
    numbers: Floats = fitted.x
    return numbers
