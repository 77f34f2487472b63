"""Estimates the reward of a policy from the log of another one: IPS, SNIPS and doubly robust, with intervals.

A row of the log is one position of one answer: its reward, the propensity (the probability with which the logging
policy showed the item there), the probability with which the new policy would show it there, and for doubly robust the
reward that a model predicts. Rows of one unit are not independent, so variances are between units.

Source: Horvitz and Thompson 1952 (IPS); Swaminathan and Joachims, "The self-normalized estimator for counterfactual
learning", NIPS 2015 (SNIPS); Dudik, Langford, Li, "Doubly robust policy evaluation and learning", ICML 2011.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.stats import norm

from recsys.errors import DataError
from recsys.experiments.online.config import Explore
from recsys.experiments.online.exploration import EXPLORE

Floats = npt.NDArray[np.float64]
MIN_EFFECTIVE = 100.0


@dataclass(frozen=True)
class Estimate:
    """The estimated mean reward per position under the new policy, with the interval low to high. effective: the
    effective sample size, (sum w)^2 / sum w^2 of the importance weights w (Kong 1992)."""

    method: str
    value: float
    low: float
    high: float
    effective: float


@dataclass(frozen=True)
class Log:
    """The rows of a log, (n,) each. propensity: probability of the shown item under the logging policy, above 0;
    probability: under the new policy; unit: a number that identifies the unit. guess, expected: for doubly robust, the
    reward that a model predicts for the item that was shown, and its expectation under the new policy."""

    reward: Floats
    propensity: Floats
    probability: Floats
    unit: npt.NDArray[np.int64]
    guess: Floats | None = None
    expected: Floats | None = None

    @property
    def weights(self) -> Floats:
        """The importance weights, probability / propensity: (n,) float64.

        Raises:
            DataError: "3 of 100 rows were logged with propensity 0 or less; ..."
        """
        if (bad := int((self.propensity <= 0).sum())) or not len(self.propensity):
            raise DataError(
                f"{bad} of {len(self.propensity)} rows were logged with propensity 0 or less: "
                "only items that were shown at random can be evaluated; log answers of an arm with `explore`"
            )
        return self.probability / self.propensity


def estimate(log: Log, method: str, alpha: float = 0.05) -> Estimate:
    """Estimate the mean reward per position under the new policy. method: "ips", "snips" or "dr".


    Raises:
        DataError: "the log supports the new policy with 12 effective rows, expected 100; ..."
    """
    weights = log.weights
    squares = float((weights**2).sum())
    effective = float(weights.sum()) ** 2 / squares if squares else 0.0
    if effective < MIN_EFFECTIVE:
        raise DataError(
            f"the log supports the new policy with {effective:.0f} effective rows, expected {MIN_EFFECTIVE:.0f}: "
            "both policies rarely show the same item; explore more, or try a policy closer to the logged one"
        )
    if method == "ips":
        parts = weights * log.reward
        value = float(parts.mean())
        influence = parts - value
    elif method == "snips":
        value = float((weights * log.reward).sum() / weights.sum())
        influence = weights * (log.reward - value) / weights.mean()
    elif method == "dr":
        if log.guess is None or log.expected is None:
            raise DataError("method 'dr' needs rewards predicted by a model: set `guess` and `expected` of the log")
        parts = log.expected + weights * (log.reward - log.guess)
        value = float(parts.mean())
        influence = parts - value
    else:
        raise DataError(f"method is {method!r}, expected ips, snips or dr")
    half = float(norm.ppf(1 - alpha / 2)) * _clustered_error(influence, log.unit)
    return Estimate(method, value, value - half, value + half, effective)


def _clustered_error(influence: Floats, unit: npt.NDArray[np.int64]) -> float:
    """Return the standard error of the mean of `influence`, (n,), when the rows of a unit are not independent."""
    sums = np.bincount(np.unique(unit, return_inverse=True)[1], influence)
    n = len(sums)
    return float(np.sqrt((sums**2).sum() * n / max(n - 1, 1))) / len(influence)


def explored_places(exposures: pl.DataFrame, clicks: pl.DataFrame, settings: Explore) -> pl.DataFrame:
    """Return one row for each position of an arm's answers that could have held another item. exposures: as from
    `log.read`; clicks: the result of `join.attribute`; settings: of the arm. Columns: request_id, unit, item_id,
    propensity, reward (1 if the item was clicked, else 0), and the probability of the item under two policies: `own`
    always shows the arm's own item, `random` a random one of those that the position could hold."""
    lists = exposures.filter(pl.col("propensities").list.len() == pl.col("items").list.len())
    rows = lists.select("request_id", "unit", item_id="items", propensity="propensities", source="sources")
    rows = rows.with_columns(shown=pl.col("item_id").list.len()).explode("item_id", "propensity", "source")
    rows = rows.filter(pl.col("propensity") < 1)
    share = settings.max_share * pl.col("shown") / pl.len().over("request_id", "unit")
    epsilon = pl.min_horizontal(pl.lit(settings.epsilon), share)
    keys, drawn = ["request_id", "unit", "item_id"], pl.col("source") == EXPLORE
    clicked = clicks.select(keys).unique().with_columns(reward=pl.lit(1.0))
    return (
        rows.join(clicked, on=keys, how="left")
        .with_columns(pl.col("reward").fill_null(0.0), own=(~drawn).cast(pl.Float64))
        .with_columns(random=pl.when(drawn).then(pl.col("propensity") / epsilon).otherwise(0.0))
        .sort("request_id", "unit", "item_id")
    )


def log_of(places: pl.DataFrame, policy: str) -> Log:
    """Convert rows of `explored_places` to a `Log`. policy: the new policy, "own" or "random"."""
    reward, propensity, probability = (places[name].to_numpy() for name in ("reward", "propensity", policy))
    return Log(reward, propensity, probability, places["unit"].rank("dense").cast(pl.Int64).to_numpy())
