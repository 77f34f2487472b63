"""Fits the confidence of `recsys/bundle/calibration.py` on answers of the main path in the validation window.

Each label of a variant gets one logistic curve; which of score, rank and known events are its features is chosen by
cross-validated log loss over users. A score may only raise confidence, a rank may only lower it. Isotonic regression
overfitted: it was worse on held-out users.
"""

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.optimize import minimize
from scipy.special import expit, logit

from recsys.bundle.bundle import Bundle
from recsys.bundle.calibration import Calibration, Curve, label
from recsys.contracts import LIVE_COVISIT, SECONDS_PER_DAY, BoolArray
from recsys.data.split import WINDOWS, Split
from recsys.evaluation import answers, metrics, sample
from recsys.evaluation.metrics import Ragged
from recsys.evaluation.sample import Sample, ranker_holdout_users
from recsys.params import Params, SplitParams
from recsys.recommend.recommender import Recommender

Floats = npt.NDArray[np.float64]

CHOICES: tuple[tuple[str, ...], ...] = ((), ("rank",), ("rank", "known"), ("score", "rank", "known"))
PARTS = 5  # of the users, for the choice
RIDGE = 1e-3
ENOUGH = 20  # fewer slots that were wanted, and a label has one confidence for all its slots
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


def on_valid(bundle: Bundle, split: Split, params: Params, k: int) -> Calibration:
    """Fit the curves of every variant on lists of k items for the users of the validation window.

    bundle: that of fold `valid`. A learned ranker was trained on two thirds of these users, so its variant is fitted
    on the others only. A variant that scores by live counts has no curves, because there are no live counts offline.
    """
    asked = sample.draw(split, "valid", bundle.catalogue.popularity, params.evaluate.max_users, params.seed)
    others = ranker_holdout_users(split.users["user_id"][asked.users])[asked.targets.owners]
    slots = {}
    for name, variant in params.variants.items():
        if variant.sources[0].source == LIVE_COVISIT:
            slots[name] = pl.DataFrame(schema=SCHEMA)
            continue
        learned = variant.ranker is not None and variant.ranker.name in params.rankers
        wanted = asked.targets.keep(others) if learned else asked.targets
        slots[name] = ask(Recommender(bundle, name), split, asked, wanted, k, params.seed)
    return fit(slots, horizon_days(split), params.seed)


def on_test(calibration: Calibration, slots: dict[str, pl.DataFrame]) -> dict[str, tuple[Floats, BoolArray]]:
    """Return each variant's confidences in the test window and whether the items were relevant, (n_slots,) both.

    slots: the result of `ask` for the targets of `as_long_as_valid`, by variant.
    """
    return {name: (confidences(calibration, name, found), found["wanted"].to_numpy()) for name, found in slots.items()}


def ask(recommender: Recommender, split: Split, asked: Sample, wanted: Ragged, k: int, seed: int) -> pl.DataFrame:
    """Return all slots of users with targets: user (position in the sample), label, score, rank, known, wanted.

    wanted: (argument) the targets as item rows per user of the sample, (column) whether the slot is among them.
    """
    table = []
    for at in np.flatnonzero(wanted.lengths).tolist():
        user = int(asked.users[at])
        slots = answers.recommend_offline(recommender, split, asked.fold, user, k, seed).slots
        rows = np.array([[slot.row for slot in slots]], dtype=np.int32)
        mine = Ragged.of(np.zeros(wanted.lengths[at], dtype=np.int64), _of(wanted, at), 1)
        found, known = metrics.hits(rows, mine)[0].tolist(), len(recommender.bundle.histories.at(user))
        table += [
            (at, label(slot.source, slot.fallback), slot.score, rank, known, hit)
            for rank, (slot, hit) in enumerate(zip(slots, found, strict=True), 1)
        ]
    return pl.DataFrame(table, schema=SCHEMA, orient="row")


def as_long_as_valid(split: Split, asked: Sample, params: SplitParams) -> Ragged:
    """Return the targets of the first part of the test window, which is as long as the validation window.

    A longer window has more targets, so a probability holds for one length only. With `per_user_holdout` the length is
    the share of a user's events, of those on held-out items and of the others.
    """
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


def fit(slots: dict[str, pl.DataFrame], horizon: float | None, seed: int) -> Calibration:
    """Fit the curves. slots: the result of `ask` in the validation window, by variant."""
    curves = {
        variant: {str(name): _curve(mine, seed) for (name,), mine in found.sort("user", "rank").group_by("label")}
        for variant, found in slots.items()
    }
    return Calibration(horizon_days=horizon, curves=curves)


def confidences(calibration: Calibration, variant: str, slots: pl.DataFrame) -> Floats:
    """Return (n_slots,) float64 confidences, NaN for a label that was not in the validation window."""
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
        if not _plausible(names, _platt(features, wanted)):
            continue
        loss = 0.0
        for left_out in range(PARTS):
            mine = part == left_out
            loss += _log_loss(features[mine] @ _platt(features[~mine], wanted[~mine]), wanted[mine])
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


def _plausible(names: tuple[str, ...], numbers: Floats) -> bool:
    signs = {"score": 1, "rank": -1, "known": 0}
    return all(signs[name] * number >= 0 for name, number in zip(names, numbers[1:], strict=True))


def _platt(features: Floats, wanted: BoolArray) -> Floats:
    """Fit a logistic regression with Platt's smoothed targets in place of 0 and 1."""
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


def _log_loss(z: Floats, wanted: BoolArray) -> float:
    return float(np.logaddexp(0, np.where(wanted, -z, z)).sum())


def _of(ragged: Ragged, at: int) -> npt.NDArray[np.int32]:
    return ragged.rows[ragged.indptr[at] : ragged.indptr[at + 1]]
