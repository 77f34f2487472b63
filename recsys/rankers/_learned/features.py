"""Computes the features of a learned ranker, by the same function in training and in serving.

    <model>_score          the model's score / the best candidate's score
    <model>_rank           log(1 + the candidate's position by this score, from 0)
    <model>_times_recent   score * recent_share
    <model>_nearest, _likeness   of a model with vectors: largest and mean cosine to the user's newest likes
    repeat_score           the score of the source `repeat` (`recsys/sources/repeat.py`) / the user's largest one
    repeat_often_<d>d      how often the user liked the item, with a half-life of d days / the user's largest value
    repeat_visits, _days   visits with a like of the item; days since the last one
    repeat_gaps            these days / the usual days between two such visits
    recent_share           part of the item's popularity that is recent: recent demand / (popularity + smoothing)
    recent_demand          the item's recent demand / the average item's
    demand_<h>h            the item's demand with a half-life of h hours / that of the item with the largest
    age_days               days since the item was first seen
    liked_share            share that liked the item of the users with any event of it, such as a low rating
    user_<a>_lift          how much more often users with the same value of an attribute like the item than all do,
                           see `recsys/bundle/user_groups.py`; 1 if unknown
    user_<a>_demand        lift * recent_demand
    liked, idle_days       number of items that the user liked, days since the user's last event

NaN means unknown. Recent demand is the item's likes with decay, by the half-life of the settings. Popularity, the
number of users who ever liked the item, is no feature: with it the trees memorise the items of one window.
"""

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from recsys.contracts import HALF_LIVES_DAYS, REPEAT, SECONDS_PER_DAY, BoolArray, FloatArray, IntArray, Query
from recsys.encoders import item_item, repeats
from recsys.ranking import among

if TYPE_CHECKING:
    from recsys.bundle.bundle import Bundle

OF_PAIRS = {"score": 1, "rank": -1, "times_recent": 1}
OF_A_MODEL = {**OF_PAIRS, "nearest": 1, "likeness": 1}
OFTEN = {f"often_{days:g}d": days for days in HALF_LIVES_DAYS[4:]}
OF_REPEAT = {f"{REPEAT}_{name}": sign for name, sign in {"score": 1, "visits": 0, "days": 0, "gaps": 0}.items()}
OF_REPEAT |= {f"{REPEAT}_{name}": 1 for name in OFTEN}
DEMANDS = {f"demand_{24 * days:.0f}h": days for days in HALF_LIVES_DAYS if days < np.inf}
OF_ITEM_AND_USER = {"recent_share": 1, "recent_demand": 1, "liked": 0, "idle_days": 0}
OF_TIME = {**dict.fromkeys(DEMANDS, 1), "age_days": 0}
DEMAND, LIKED_SHARE = "recent_demand", "liked_share"
OF_A_GROUP = {"lift": 1, "demand": 1}
NEWEST = 20  # newest likes that the cosines are computed with


def names(
    models: Sequence[str],
    pairs: Sequence[str] = (),
    repeat: bool = False,
    attributes: Iterable[str] = (),
    liked_share: bool = False,
) -> dict[str, int]:
    """Return all features in order, each with its monotonic constraint: as the feature grows, the score may only rise
    (1), only fall (-1), or both (0).

    models: names of the models with vectors; pairs: names of those of item pairs; repeat: whether to include repeat_*;
    attributes: those of users; liked_share: whether to include it.

    >>> list(names(["als"]))[:2]
    ['als_score', 'als_rank']
    """
    of_models = {f"{model}_{name}": sign for model in models for name, sign in OF_A_MODEL.items()}
    of_pairs = {f"{model}_{name}": sign for model in pairs for name, sign in OF_PAIRS.items()}
    of_users = {f"user_{attribute}_{name}": sign for attribute in attributes for name, sign in OF_A_GROUP.items()}
    of_items = OF_ITEM_AND_USER | OF_TIME | ({LIKED_SHARE: 1} if liked_share else {})
    return of_models | of_pairs | (OF_REPEAT if repeat else {}) | of_items | of_users


def every(models: Sequence[str], features: Iterable[str]) -> dict[str, int]:
    """Return all features that a ranker may have with these models and the attributes of users that `features` are
    about, see `names`."""
    return names(models, models, repeat=True, attributes=attributes(features), liked_share=True)


def split(feature: str) -> tuple[str | None, str]:
    """Split the name of a feature into its model (None for a feature of the item or the user) and the rest.

    >>> split("als_long_times_recent"), split("recent_share")
    (('als_long', 'times_recent'), (None, 'recent_share'))
    """
    if feature in OF_REPEAT:
        return REPEAT, feature.removeprefix(f"{REPEAT}_")
    for name in OF_A_MODEL:
        if feature.endswith(f"_{name}") and feature not in OF_ITEM_AND_USER:
            return feature.removesuffix(f"_{name}"), name
    return None, feature


def attribute(feature: str) -> str | None:
    """Return the attribute of users that a feature is about, None if it is about none.

    >>> attribute("user_age_group_demand"), attribute("recent_demand")
    ('age_group', None)
    """
    found = re.fullmatch(rf"user_(.+)_({'|'.join(OF_A_GROUP)})", feature)
    return found[1] if found else None


def attributes(features: Iterable[str]) -> list[str]:
    """Return the attributes of users that features are about, sorted."""
    return sorted({found for feature in features if (found := attribute(feature))})


class RankingFeatures:
    """Computes some of the features for the items of one bundle. wanted: the names of these features."""

    def __init__(self, bundle: "Bundle", wanted: Sequence[str]) -> None:
        self.names = tuple(wanted)
        self.models = tuple(dict.fromkeys(model for name in wanted if (model := split(name)[0])))
        self._cosines = {model for model, kind in map(split, wanted) if model and kind in ("nearest", "likeness")}
        self._ranks = {model for model, kind in map(split, wanted) if model and kind == "rank"}
        self._bundle = bundle
        models = {model: each for model, each in bundle.models.items() if model in self.models}
        self._vectors = {model: each.embeddings.vectors for model, each in models.items()}
        self._lengths = {model: np.linalg.norm(vectors, axis=1) for model, vectors in self._vectors.items()}
        self._known = {model: lengths > 0 for model, lengths in self._lengths.items()}
        catalogue = bundle.catalogue
        demand = catalogue.demand / np.maximum(catalogue.demand.max(axis=0, initial=0), 1e-9)
        self._smoothed, self._recent = catalogue.popularity + np.float32(bundle.manifest.smoothing), catalogue.recent
        self._mean = max(float(catalogue.recent.mean()), 1e-9)
        self._groups = {each: bundle.histories.groups(each) for each in attributes(wanted)}
        self._demands = {name: column for name, column in zip(DEMANDS, demand.T.copy(), strict=False) if name in wanted}

    def of(self, query: Query, rows: IntArray) -> FloatArray:
        """Return the features of rows, (m,) int32, for a query with `vectors`: (m, n_features) float32."""
        found: dict[str, FloatArray | float] = {name: values[rows] for name, values in self._demands.items()}
        recent, mean = self._recent[rows], self._mean
        if query.live is not None:
            recent, mean = query.live.demand[rows], max(query.live.total / len(query.live.demand), 1e-9)
        share, history, catalogue = recent / self._smoothed[rows], query.history, self._bundle.catalogue
        found |= {"recent_share": share, DEMAND: recent / mean}
        for name, lift in self._lifts(query, rows).items():
            found |= {f"user_{name}_lift": lift, f"user_{name}_demand": lift * found[DEMAND]}
        for model in self.models:
            if model in self._vectors:
                columns = self._of_vectors(query, model, rows)
            elif model == REPEAT:
                half_life_days = self._bundle.manifest.repeat_half_life_days
                columns = _of_repeat(query, rows, catalogue.gap_days, self.names, half_life_days)
            else:
                scores = query.pair_scores.get(model)
                if scores is None:
                    scores = item_item.scores(self._bundle.item_items[model], history, query.now, len(catalogue))
                columns = _of_score(scores[rows], model in self._ranks)
            if f"{model}_times_recent" in self.names:
                columns["times_recent"] = np.maximum(columns["score"], 0) * share
            found |= {f"{model}_{name}": values for name, values in columns.items()}
        if "age_days" in self.names:
            age_days = (query.now - catalogue.first_seen[rows]) / SECONDS_PER_DAY
            found["age_days"] = age_days.astype(np.float32)
        if LIKED_SHARE in self.names:
            found[LIKED_SHARE] = catalogue.liked_share[rows]
        found["liked"] = len(history.liked_items[0])
        found["idle_days"] = (query.now - history.times[-1]) / SECONDS_PER_DAY if len(history.rows) else np.nan
        table = np.empty((len(self.names), len(rows)), dtype=np.float32)
        for line, name in zip(table, self.names, strict=True):
            line[:] = found[name]
        return table.T

    def raised(self, query: Query, rows: IntArray) -> BoolArray:
        """Return for each row, (m,) bool, whether the lift by one of the attributes is above 1."""
        lifts = self._lifts(query, rows).values()
        return np.any([lift > 1 for lift in lifts], axis=0) if lifts else np.zeros(len(rows), dtype=bool)

    def _lifts(self, query: Query, rows: IntArray) -> dict[str, FloatArray]:
        """Return attribute -> lift of these rows for the user, see `UserGroups.lift`."""
        of_user, smoothing = query.attributes, self._bundle.manifest.smoothing
        return {name: groups.lift(of_user.get(name), rows, smoothing) for name, groups in self._groups.items()}

    def _of_vectors(self, query: Query, model: str, rows: IntArray) -> dict[str, FloatArray]:
        vector, vectors, lengths = query.vectors.get(model), self._vectors[model], self._lengths[model]
        if vector is None:
            return dict.fromkeys(OF_A_MODEL, np.full(len(rows), np.nan, dtype=np.float32))
        mine, known = vectors.take(rows, axis=0), self._known[model][rows]  # three times as fast as indexing
        columns = _of_score(np.where(known, mine @ vector, np.float32(np.nan)), model in self._ranks)
        if model in self._cosines:
            columns |= dict.fromkeys(("nearest", "likeness"), np.full(len(rows), np.nan, dtype=np.float32))
            likes = query.history.likes[-NEWEST:]
            likes = likes[lengths[likes] > 0]
            if len(likes):
                unit = (vectors[likes] / lengths[likes, None]).T
                cosines = mine @ unit / np.where(known, lengths[rows], np.nan)[:, None]
                columns |= {"nearest": cosines.max(axis=1), "likeness": cosines.mean(axis=1)}
        return columns


def _of_score(score: FloatArray, ranks: bool) -> dict[str, FloatArray]:
    """Return the features score and, if `ranks`, rank of one model; NaN where it has no score."""
    columns = {"score": score / max(float(np.fmax.reduce(score, initial=-np.inf)), 1e-9)}
    if ranks:
        columns["rank"] = rank = np.empty(len(score), dtype=np.float32)
        rank[np.argsort(-score, kind="stable")] = np.log1p(np.arange(len(score)))
        rank[np.isnan(score)] = np.nan
    return columns


def _of_repeat(
    query: Query, rows: IntArray, gap_days: FloatArray, wanted: Sequence[str], half_life_days: float
) -> dict[str, FloatArray]:
    """Return the features of the source `repeat`. For items that the user never liked score and often are 0, others
    NaN."""
    known = among(rows, query.history.likes)
    columns = {name: np.full(len(rows), np.nan, dtype=np.float32) for name in ("visits", "days", "gaps")}
    often = {name: days for name, days in OFTEN.items() if f"{REPEAT}_{name}" in wanted}
    columns |= {name: np.zeros(len(rows), dtype=np.float32) for name in ("score", *often)}
    if not known.any():  # always so where the rule `seen` removes what the user had
        return columns
    found = repeats.liked(query.history, query.now, gap_days, half_life_days)
    place = np.searchsorted(found.rows, rows[known])
    values = {"visits": found.visits, "days": found.days_since, "gaps": found.days_since / found.usual_days}
    values["score"] = found.frequency * found.due / max(float((found.frequency * found.due).max(initial=0)), 1e-9)
    for name, days in often.items():
        frequency = repeats.liked(query.history, query.now, gap_days, days).frequency
        values[name] = frequency / max(float(frequency.max(initial=0)), 1e-9)
    for name, of_items in values.items():
        columns[name][known] = of_items[place]
    return columns


def by_formula(feature: FloatArray, recent_demand: FloatArray) -> FloatArray:
    """Return the feature as the score, (m,) float32, at least 0; where it is NaN, below 0 and ordered by demand."""
    unknown = recent_demand / (1 + recent_demand) - 1
    return np.where(np.isnan(feature), unknown, np.maximum(feature, 0))
