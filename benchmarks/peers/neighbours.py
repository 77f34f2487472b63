"""Three baselines in numpy and scipy that use time and repeats: recent popularity, similar users, similar sessions.

recent_popular: items that most users liked recently. up_cf: a user's own items by frequency and recency, blended with
those of similar users. vsknn: items of users whose recent items are like this user's last ones. Half-lives from an hour
to infinity are tried. Source: Faggioli, Polato, Aiolli, "Recency aware collaborative filtering for next basket
recommendation", UMAP 2020; Ludewig and Jannach, "Evaluation of session-based recommendation algorithms", UMUAI 2018.
"""

import itertools
from typing import Any

import numpy as np
from common import Fold, top, tune_and_run
from scipy.sparse import csr_array

HALF_LIVES_DAYS = (1 / 24, 1 / 4, 1.0, 3.0, 7.0, 30.0, 180.0, float("inf"))
LAST, NEIGHBOURS = 10, 200  # items of a session that count, and users who are heard
USERS_AT_A_TIME = 500


def profiles(fold: Fold, half_life_days: float) -> csr_array:
    """(n_users, n_items): events count less with age and add up, the rows have sum 1."""
    age_days = (fold.times.max() - fold.times) / 86_400
    shape = (fold.n_users, fold.n_items)
    found = csr_array((np.exp2(-age_days / half_life_days), (fold.users, fold.items)), shape=shape)
    return csr_array(found / np.maximum(found.sum(axis=1), 1e-12)[:, None])


def recent_popular(fold: Fold, setting: dict[str, Any]) -> np.ndarray:
    """The same scores for everybody: each user counts by the newest like of an item."""
    newest = np.zeros(fold.n_users * fold.n_items)
    pair = fold.users.astype(np.int64) * fold.n_items + fold.items
    age_days = (fold.times.max() - fold.times) / 86_400
    np.maximum.at(newest, pair, np.exp2(-age_days / setting["half_life_days"]))
    scores = newest.reshape(fold.n_users, fold.n_items).sum(axis=0)
    return in_parts(fold, lambda asked: np.tile(scores, (len(asked), 1)))


def up_cf(fold: Fold, setting: dict[str, Any]) -> np.ndarray:
    """own x the user's profile + (1 - own) x the profiles of alike users."""
    known = profiles(fold, setting["half_life_days"])

    def scores(asked: np.ndarray) -> np.ndarray:
        return setting["own"] * known[asked].toarray() + (1 - setting["own"]) * of_alike(known[asked], known)

    return in_parts(fold, scores)


def vsknn(fold: Fold, setting: dict[str, Any]) -> np.ndarray:
    """Profiles of the users who did what the user did last, the newest item counting most."""
    known = profiles(fold, setting["half_life_days"])
    order = np.lexsort((-fold.times, fold.users))
    place = np.arange(len(order)) - np.searchsorted(fold.users[order], fold.users[order])
    last = order[place < LAST]
    weight = 1 - place[place < LAST] / LAST
    sessions = csr_array((weight, (fold.users[last], fold.items[last])), shape=(fold.n_users, fold.n_items))
    return in_parts(fold, lambda asked: of_alike(sessions[asked], known))


def of_alike(asked: csr_array, known: csr_array) -> np.ndarray:
    """(m, n_items) the mean profile of the most alike users, weighted by the cosine."""

    def unit(rows: csr_array) -> csr_array:
        return csr_array(rows / np.maximum(np.sqrt(rows.power(2).sum(axis=1)), 1e-12)[:, None])

    cosine = (unit(asked) @ unit(known).T).toarray()
    if cosine.shape[1] > NEIGHBOURS:
        least = -np.partition(-cosine, NEIGHBOURS - 1, axis=1)[:, NEIGHBOURS - 1]
        cosine[cosine < least[:, None]] = 0
    weights = csr_array(cosine / np.maximum(cosine.sum(axis=1), 1e-12)[:, None])
    return (weights @ known).toarray()


def in_parts(fold: Fold, scores: Any) -> np.ndarray:
    """The lists of all who are asked, some users at a time."""
    parts = np.array_split(fold.asked, len(fold.asked) // USERS_AT_A_TIME + 1)
    return np.concatenate([top(np.asarray(scores(part), dtype=np.float64), fold, part) for part in parts])


if __name__ == "__main__":
    half_lives = [{"half_life_days": days} for days in HALF_LIVES_DAYS]
    owns = itertools.product(half_lives, (0.1, 0.5, 0.9))
    tune_and_run("recent_popular", recent_popular, half_lives)
    tune_and_run("up_cf", up_cf, [{**days, "own": own} for days, own in owns])
    tune_and_run("vsknn", vsknn, half_lives)
