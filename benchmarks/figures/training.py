"""What the documents show of training: quality, cost and scale."""

from typing import Any

from benchmarks.figures.markdown import origin, read, table

TITLES = {"synthetic": "Synthetic shop", "movielens": "MovieLens latest-small", "online_retail": "Online Retail"}
SHOWN = {"ndcg@10": "NDCG@10", "recall@20": "recall@20", "coverage@10": "coverage@10"}


def results() -> str:
    """One row for each data set and variant; the released variant in bold. A variant whose lists are those of popular,
    because its source has nothing to propose there, has no row.
    """
    lines = [
        f"| data | variant | {' | '.join(SHOWN.values())} | better than popular, NDCG@10 |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for dataset, title in TITLES.items():
        lines += _variants(title, read(dataset))
    return "\n".join(lines) + f"\n\n{origin(*TITLES)}"


def _variants(title: str, result: dict[str, Any]) -> list[str]:
    found = {(row["variant"], row["metric"]): row for row in result["metrics"]}
    rows = []
    for variant in dict.fromkeys(row["variant"] for row in result["metrics"]):
        if _difference(found[variant, "ndcg@10"]) == "+0.000 (+0.000 to +0.000)":
            continue
        name = f"**{variant}**" if variant == result["default_variant"] else variant
        cells = [_cell(found[variant, metric]) for metric in SHOWN]
        rows.append(f"| {title} | {name} | {' | '.join(cells)} | {_difference(found[variant, 'ndcg@10'])} |")
        title = ""
    return rows


def _cell(row: dict[str, Any]) -> str:
    interval = "" if row["low"] is None else f" ({row['low']:.3f} to {row['high']:.3f})"
    return f"{row['value']:.3f}{interval}"


def _difference(row: dict[str, Any]) -> str:
    if row["difference_low"] is None:
        return ""
    return f"{row['difference']:+.3f} ({row['difference_low']:+.3f} to {row['difference_high']:+.3f})"


def scale() -> str:
    """Seconds and memory of the whole pipeline by the size of the shop."""
    sizes = read("scale")["sizes"]
    rows = [
        [f"{int(events):,}", f"{one['users']:,}", f"{one['items']:,}", f"{one['total']['seconds']:,.0f}",
         one["total"]["peak_gib"], one["index"]["kind"]]
        for events, one in sizes.items()
    ]  # fmt: skip
    return table(["events", "users", "items", "seconds", "peak memory, GiB", "index"], rows, "scale")


def engines() -> str:
    """Peak memory of the stages that an engine works for."""
    measured = read("engines")
    stages = list(measured["peak_gib"]["local"])
    rows = [[engine, *(peaks[stage] for stage in stages)] for engine, peaks in measured["peak_gib"].items()]
    return table([f"GiB at {measured['events']:,} events", *stages], rows, "engines")


def pipeline() -> str:
    """What a user waits for."""
    found = read("pipeline")
    rows: list[list[object]] = [
        ["`make demo`, once installed", found["make_demo_seconds"]],
        ["`make test`", found["make_test_seconds"]],
        ["`dvc repro` with nothing to do", found["repro_with_nothing_to_do_median"]],
    ]
    return table(["command", "seconds"], rows, "pipeline")


def peers() -> str:
    """NDCG@10 of all on each data set, ours as shipped."""
    found = {dataset: read(f"peers_{dataset}")["table"] for dataset in TITLES}
    names = sorted({name for one in found.values() for name in one}, key=lambda name: -_best(found, name))
    rows: list[list[object]] = [
        [name, *(f"{one[name]['ndcg@10']:.4f}" if name in one else "" for one in found.values())] for name in names
    ]
    return table(["NDCG@10", *TITLES.values()], rows, *(f"peers_{dataset}" for dataset in TITLES))


def _best(found: dict[str, Any], name: str) -> float:
    return max(one[name]["ndcg@10"] / one["als"]["ndcg@10"] for one in found.values() if name in one)


def new_items() -> str:
    """NDCG@10 among new items, by the way that places them."""
    found = {
        f"{dataset}, {window}": ways
        for dataset in TITLES
        for window, ways in read(f"new_items_{dataset}")["windows"].items()
    }
    first = next(iter(found.values()))
    rows: list[list[object]] = [[way, *(f"{ways[way]['ndcg@10']:.3f}" for ways in found.values())] for way in first]
    return table(["NDCG@10 among new items", *found], rows, *(f"new_items_{dataset}" for dataset in TITLES))


def content_cost() -> str:
    """Training beside ALS, and items added to a loaded bundle."""
    found = {dataset: read(f"content_cost_{dataset}") for dataset in TITLES}
    rows: list[list[object]] = [
        [TITLES[dataset], one["fit_seconds"]["als"], one["fit_seconds"]["content"], one["content_over_als"],
         *(one["upsert_ms"]["new"][n] for n in ("1", "100", "1000"))]
        for dataset, one in found.items()
    ]  # fmt: skip
    header = ["data", "fit of ALS, s", "of content, s", "ratio", "1 new item, ms", "100", "1,000"]
    return table(header, rows, *(f"content_cost_{dataset}" for dataset in TITLES))


def overhead() -> str:
    """The train stage beside the bare fit, and reading beside pandas."""
    train, csr, draw = read("train_overhead"), read("read_csr"), read("synthetic_drawing")["runs"]
    times = csr["times_faster"]
    rows: list[list[object]] = [
        [f"train stage over the bare fit of implicit, {train['events']:,} events", train["stage_over"]["bare_fit"]],
        [f"pandas over our reading of {csr['events']:,} events into a sparse matrix", times["pandas"]],
        ["polars `rank` over our reading of them", times["polars_rank"]],
        *([f"drawing a shop of {run['events']:,} events, s", run["seconds"]] for run in draw),
    ]
    return table(["", "times"], rows, "train_overhead", "read_csr", "synthetic_drawing")


def allow_repeat() -> str:
    """Online Retail with repeat purchases."""
    rows: list[list[object]] = [
        [row["variant"], row["segment"], f"{row['value']:.3f}", f"{row['low']:.3f} to {row['high']:.3f}"]
        for row in read("allow_repeat")["ndcg@10"]
    ]
    return table(["variant", "users", "NDCG@10", "95 % interval"], rows, "allow_repeat")


def calibration() -> str:
    """Brier score of the raw scores of `als_recent`, of one number for all slots, and of confidences."""
    rows: list[list[object]] = []
    for dataset, title in TITLES.items():
        found = read(f"calibration_{dataset}")
        steps, cost = found["variants"]["als_recent"], found["cost"]
        briers = [f"{steps[step]['brier']:.4f}" for step in ("before", "constant", "after")]
        costs = [cost["confidence_of_an_answer_us"], cost["reasons_of_an_answer_us"]]
        rows.append([title, *briers, f"{steps['after']['ece']:.4f}", *costs])
    header = ["Brier score of `als_recent`", "raw scores", "one number", "confidence", "ECE of the confidence"]
    costs_header = ["confidence, µs an answer", "reasons, µs an answer"]
    return table([*header, *costs_header], rows, *(f"calibration_{dataset}" for dataset in TITLES))
