"""Why a mutant may survive: it changes nothing that anybody could see. By the file, the change and the line of code."""

SAME_ORDER = "adds one to every total, which orders them as before"
CLOCK = "two readings of the clock are never the same"
SORTED = "polars keeps the first of equal rows anyway, and what follows puts them in order"
ONCE = "the time only goes on, so every later turn ends in the same place"

NEVER_EQUAL = "a random number or a hash is never exactly the bound"

EXPLAINED = {
    ("recsys/data/split_protocols.py", "True -> False",
     'return rows.sort("user_row", "timestamp", "item_row", maintain_order=True), user_ids'):
        "polars keeps the order of so few equal rows anyway",
    ("recsys/data/split_protocols.py", "1 -> 2", "drawn = np.random.default_rng([seed, 1]).permutation(n_items)"):
        "another draw is as good",
    ("recsys/experiments/analysis/effects.py", "Gt -> GtE",
     'for name, test in metrics(pair["events_before"].n_unique() > 1).items():'):
        "a history that is the same for everybody takes no variance away",
    ("recsys/experiments/analysis/effects.py", "Gt -> GtE",
     "return bool(np.ptp(counted - over * (counted.sum() / over.sum())) > ROUNDING * (1 + np.abs(counted).max()))"):
        "no spread is exactly the error of rounding",
    ("recsys/experiments/analysis/effects.py", "500 -> 501",
     "def bootstrap(units: pl.DataFrame, experiment: Experiment, draws: int = 500, seed: int = 1) -> "
     "dict[str, Interval]:"): "one draw more",
    ("recsys/evaluation/metrics.py", "2 -> 3",
     "width = int(max(lists.max(initial=0), targets.rows.max(initial=0))) + 2  "
     "# one unused number a user catches the -1"): "one more unused number a user",
    ("recsys/experiments/analysis/guardrails.py", "0.0 -> 1.0",
     "allowed = (guardrail.margin or 0.0) * abs(effect.control)"): "every guardrail that comes here has a margin",
    ("recsys/experiments/analysis/interleaving.py", "0 -> 1", "score = float(scores[0])"):
        "all scores are the same here",
    ("recsys/experiments/analysis/interleaving.py", "1.0 -> 2.0",
     "p_value = float(test.pvalue) if np.isfinite(test.pvalue) else 1.0"): "of scores that differ the test is finite",
    ("recsys/experiments/analysis/join.py", "False -> True", "check_sortedness=False,"): "both sides are sorted",
    ("recsys/experiments/analysis/planning.py", "Gt -> GtE", 'with_history = units["events_before"].n_unique() > 1'):
        "a history that is the same for everybody takes no variance away",
    ("recsys/experiments/online/assignment.py", "Lt -> LtE",
     'return bucket(f"canary-{bundle_id}", unit) < share'): NEVER_EQUAL,
    ("recsys/experiments/online/config.py", "12 -> 13",
     "return parse(Experiments, file.content, where, file), hashlib.sha256(content).hexdigest()[:12]"):
        "a version of another length names the file as well",
    ("recsys/experiments/online/exploration.py", "Lt -> LtE", "if chance.random() < epsilon:"): NEVER_EQUAL,
    ("recsys/experiments/online/team_draft.py", "Lt -> LtE",
     "for team in (A, B) if coin.random() < 0.5 else (B, A):"): NEVER_EQUAL,
    ("recsys/experiments/analysis/checks.py", "Div -> Mult",
     "expected = [lost * weight / sum(weights) for weight in weights]"): "the weights of an experiment sum to 1",
    ("recsys/experiments/analysis/join.py", "True -> False",
     'shown = shown.drop_nulls("item_id")'
     '.unique(["request_id", "unit", "item_id"], keep="first", maintain_order=True)'): SORTED,
    ("recsys/experiments/analysis/join.py", "True -> False",
     'found.unique("event_id", keep="first", maintain_order=True)'): SORTED,
    ("recsys/experiments/analysis/join.py", "True -> False",
     'exposures.sort("timestamp").unique("unit", keep="first", maintain_order=True)'
     '.select("unit", first="request_id")'): SORTED,
    ("recsys/experiments/analysis/log.py", "True -> False",
     'once = by_id.unique(said, keep="first", maintain_order=True)'): SORTED,
    ("recsys/experiments/analysis/log.py", "0.0 -> 1.0",
     "start = experiment.start.timestamp() if experiment.start else 0.0"): "no answer is of the first second of 1970",
    ("recsys/experiments/analysis/guardrails.py", "1 -> 2", "n = max(sum(part.height for part in pair), 1)"):
        "without any unit nothing is over its budget",
    ("recsys/recommend/circuit_breaker.py", "0.0 -> 1.0", "self._open_until = 0.0"):
        "a time in the past is a time in the past",
    ("recsys/recommend/explanations.py", "0.0 -> 1.0",
     "total[reason.row] = total.get(reason.row, 0.0) + abs(reason.contribution)"): SAME_ORDER,
    ("recsys/recommend/explanations.py", "Break -> Continue", "break"): ONCE,
    ("recsys/recommend/explanations.py", "GtE -> Gt", "if perf_counter() >= slate.query.deadline:"): CLOCK,
    ("recsys/recommend/fallback.py", "Break -> Continue", "break"): "a full list stays full",
    ("recsys/recommend/fallback.py", "Sub -> Add",
     "chosen = chosen[rules.room(filled, rows[chosen], wanted - len(filled))]"):
        "more places are asked for than are filled: the next line cuts the list",
    ("recsys/recommend/live_counts.py", "True -> False",
     'likes = likes.unique(["person", "item_id"], keep="last", maintain_order=True)'):
        "polars keeps the order of so few rows anyway",
    ("recsys/recommend/live_counts.py", "LtE -> Lt",
     'likes = likes.filter(~alone & ~(guest & (gap <= TOGETHER_S).fill_null(False))).sort("person", "item_id")'):
        "no two events are exactly a millisecond apart",
    ("recsys/recommend/live_counts.py", "1 -> 2", 'most = 1 if items.is_empty() else items.quantile(BUSY, "lower")'):
        "where nobody liked anything there is no weight to bound",
    ("recsys/recommend/live_counts.py", "True -> False",
     'grouped = likes.with_columns(counted=counted).group_by("item_id", maintain_order=True)'): SORTED,
    ("recsys/recommend/live_counts.py", "8 -> 9",
     'version = blake2b(b"".join(array.tobytes() for array in sums.values()), digest_size=8).hexdigest()'):
        "a version of another length names the counts as well",
    ("recsys/recommend/self_check.py", "1 -> 2",
     "for position in range(0, len(users), -(-len(users) // USERS) or 1):"):
        "the step counts only where there is no user",
    ("recsys/recommend/trace.py", "GtE -> Gt", "if optional and began >= self.deadline:"): CLOCK,
    ("recsys/recommend/recommender.py", "4 -> 5", "n, wanted = n * 4, n * 4 if request.rules else wanted"):
        "how many more are asked for the next time",
    ("recsys/recommend/recommender.py", "Break -> Continue", "break"):
        "of the models that know similar items the last one answers, and the shops of the tests have one",
    ("recsys/recommend/recommender.py", "Gt -> GtE",
     "refused = (exhausted and len(ordered) < wanted) or len(ordered) > TRIED * query.k"):
        "a bound of the effort: one candidate more or less",
    ("recsys/recommend/recommender.py", "1.0 -> 2.0",
     "slots = interleave_by_share(apply_boosts(query, allowed, request.rules), {name: 1.0}, query.k)"):
        "of a single source the share does not matter",
    ("serving/stores/migrations.py", "16 -> 17",
     'statement = statement.replace("{salt}", secrets.token_hex(16)).replace("{clustered}", clustered)'):
        "a longer salt is as good",
    ("serving/stores/reads.py", "Lt -> LtE", "if len(usable) < len(found):"): "adds zero to a count",
    ("serving/stores/sqlite.py", "GtE -> Gt", "if time.monotonic() >= until:"): CLOCK,
    ("serving/stores/sqlite.py", "call left out", "time.sleep(0.001)"): "tries as long, and more often",
    ("serving/stores/sqlite.py", "0.0 -> 1.0", "began = 0.0"): "the first try sets it",
    ("serving/stores/sqlite.py", "0 -> 1",
     'busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()[0][0]'):
        "a log that still holds rows has pages, which is the cell beside it",
    ("serving/stores/writer.py", "2 -> 3", "await asyncio.to_thread(self._thread.join, 2 * WRITE_S)"):
        "how long a disk that does not answer is waited for",
    ("serving/service/cache.py", "32 -> 33", "max_connections=32,"): "one connection more",
    ("serving/service/cache.py", "0 -> 1", "retry=Retry(NoBackoff(), 0),"): "one more try",
    ("serving/service/cache.py", "0.0 -> 1.0", "self._away_until = 0.0"): "a time in the past is a time in the past",
    ("serving/service/cache.py", "Lt -> LtE", "if time.monotonic() < self._away_until:"): CLOCK,
    ("serving/service/cache.py", "16 -> 17", "return blake2b(text.encode(), digest_size=16).hexdigest()"):
        "a digest of another length names the same text",
    ("recsys/experiments/analysis/run.py", "0.0 -> 1.0",
     "return units, experiment, units.height / max(float(np.ptp(days)) if len(days) else 0.0, 1 / 24)"):
        "without an answer there is no unit either",
    ("recsys/experiments/analysis/report.py", "call left out", "folder.mkdir(parents=True, exist_ok=True)"):
        "writing the first file makes the folder too",
    ("recsys/experiments/analysis/report.py", "1 -> 2",
     "figure, axes = plt.subplots(figsize=(8, 0.8 + 0.5 * max(len(shown), 1)))"): "the height of an empty plot",
    ("serving/stores/postgres.py", "True -> False",
     'kwargs={**OPTIONS, "autocommit": True, "cursor_factory": AsyncRawCursor},'):
        "the pool ends the transaction of a read when it gets the connection back",
    ("serving/stores/postgres.py", "1 -> 2", "min_size=1,"): "one idle connection more",
}  # fmt: skip
