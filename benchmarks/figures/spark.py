"""What docs/spark.md shows of Spark's ALS beside that of implicit."""

from benchmarks.figures.markdown import read, table
from benchmarks.figures.training import TITLES


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
