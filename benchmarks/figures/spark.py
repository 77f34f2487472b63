"""What docs/spark.md shows of Spark's ALS beside that of implicit, and from which size on it pays."""

from typing import Any

import numpy as np

from benchmarks import provenance
from benchmarks.figures.markdown import origin, read, table
from benchmarks.figures.training import TITLES

MACHINE_GIB = 64


def als_spark() -> str:
    """NDCG@10 on the test window, and the paired difference."""
    rows: list[list[object]] = []
    for dataset, title in TITLES.items():
        found = read(f"als_spark_{dataset}")
        values = [f"{found['ndcg@10'][model]:.4f}" for model in ("als_spark", "als")]
        interval = f"{found['difference']:+.4f} ({found['low']:+.4f} to {found['high']:+.4f})"
        rows.append([title, f"{found['users']:,}", *values, interval])
    header = ["NDCG@10, test window", "users", "`als_spark`", "`als`", "difference, 95 % interval"]
    return table(header, rows, *(f"als_spark_{dataset}" for dataset in TITLES))


def als_spark_cost() -> str:
    """CPU seconds and memory of both train stages by size, and the line through each."""
    names = [path.stem for path in provenance.RESULTS.glob("als_spark_cost_*.json")]
    found = sorted((read(name) for name in names), key=lambda one: int(one["events"]))
    rows: list[list[object]] = []
    for one in found:
        als, spark = one["models"]["als"], one["models"]["als_spark"]
        if stopped := spark.get("stopped"):
            cells = [
                f"more than {stopped['cpu_seconds']:,.0f}: stopped after {stopped['seconds'] / 60:.0f} minutes",
                "",
            ]
        else:
            cells = [f"{spark['median']:,.1f}", f"{spark['median'] / als['median']:.0f} times"]
        rows.append([f"{one['events']:,}", f"{als['median']:,.1f}", *cells, f"{als['peak_gib']:.2f}"])
    header = ["events", "`als`, CPU s", "`als_spark`, CPU s", "ratio", "`als`, peak memory, GiB"]
    shown = table(header, rows)
    return f"{shown}\n\n{_model([one for one in found if 'stopped' not in one['models']['als_spark']])}\n\n" + origin(
        *(f"als_spark_cost_{one['events']}" for one in found)
    )


def _model(found: list[dict[str, Any]]) -> str:
    """What the lines through the points say, as a paragraph."""
    millions = [one["events"] / 1e6 for one in found]
    als, spark = ([one["models"][model]["median"] for one in found] for model in ("als", "als_spark"))
    (a_each, a_fixed), (s_each, s_fixed) = (_line(millions, seconds) for seconds in (als, spark))
    gib_each, gib_fixed = _line(millions, [one["models"]["als"]["peak_gib"] for one in found])
    at_one, many = (s_fixed + s_each) / (a_fixed + a_each), s_each / a_each
    pays, held = 2 * (s_fixed - a_fixed) / a_each, (MACHINE_GIB - gib_fixed) / gib_each
    return (
        f"Lines through these points: `als` takes {a_fixed:.1f} CPU seconds and {a_each:.1f} for each million events, "
        f"`als_spark` {s_fixed:.0f} and {s_each:.0f}. In CPU seconds Spark never pays: {at_one:.0f} times as many at a "
        f"million events, and still {many:.0f} times at very many. In time it pays on a cluster with more than "
        f"{many:.0f} times the cores of the one machine, if they share the work perfectly and starting takes as long "
        f"as here: with {2 * many:.0f} times the cores from {pays:,.0f} million events on. In memory it pays where "
        f"`als` does not fit any more: it takes {gib_each:.2f} GiB for each million events, so {MACHINE_GIB} GiB hold "
        f"{held:,.0f} million."
    )


def _line(x: list[float], y: list[float]) -> tuple[float, float]:
    """Slope and intercept of the line with the least relative errors."""
    slope, intercept = np.polyfit(x, y, 1, w=1 / np.asarray(y))
    return float(slope), float(intercept)
