"""Why a mutant may survive: it changes nothing that anybody could see. By the file, the change and the line of code."""

SAME_ORDER = "adds one to every total, which orders them as before"
ONCE = "the time only goes on, so every later turn ends in the same place"

EXPLAINED = {
    ("recsys/recommend/circuit_breaker.py", "0.0 -> 1.0", "self._open_until = 0.0"):
        "a time in the past is a time in the past",
    ("recsys/recommend/explanations.py", "0.0 -> 1.0",
     "total[reason.row] = total.get(reason.row, 0.0) + abs(reason.contribution)"): SAME_ORDER,
    ("recsys/recommend/explanations.py", "Break -> Continue", "break"): ONCE,
    ("recsys/recommend/fallback.py", "Break -> Continue", "break"): "a full list stays full",
    ("recsys/recommend/fallback.py", "Sub -> Add",
     "chosen = chosen[rules.room(filled, rows[chosen], wanted - len(filled))]"):
        "more places are asked for than are filled: the next line cuts the list",
    ("recsys/recommend/live_counts.py", "True -> False",
     'likes = likes.unique(["person", "item_id"], keep="last", maintain_order=True)'):
        "polars keeps the order of so few rows anyway",
    ("recsys/recommend/recommender.py", "Gt -> GtE",
     "refused = (exhausted and len(ordered) < wanted) or len(ordered) > TRIED * query.k"):
        "a bound of the effort: one candidate more or less",
    ("recsys/recommend/recommender.py", "1.0 -> 2.0",
     "slots = interleave_by_share(apply_boosts(query, allowed, request.rules), {name: 1.0}, query.k)"):
        "of a single source the share does not matter",
}  # fmt: skip
