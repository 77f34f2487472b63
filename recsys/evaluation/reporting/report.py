"""Writes the offline evaluation as one HTML page that needs no network, and as a compact table for the terminal."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
from markupsafe import Markup

from recsys.bundle.bundle import Manifest
from recsys.bundle.catalogue import FEW_LIKES
from recsys.data.split import Facts
from recsys.evaluation import results
from recsys.evaluation.choices.gate import Decision
from recsys.evaluation.reporting.examples import Example
from recsys.evaluation.sample import Sample
from recsys.evaluation.segments import NEW_USER, Segment
from recsys.output import templates
from recsys.params import Params
from recsys.rankers._learned.artifact import Description

TEMPLATE = "report.html.j2"
FORMATS = {"coverage": ".1%", "novelty": ".2f", "diversity": ".3f", "popularity_bias": ".2f", "new_share": ".1%"}


def table(path: Path) -> str:
    """Return the main figures as aligned text: metrics of all users, then the ranking metric per segment.

    path: intervals.csv of the stage `evaluate`.
    """
    figures = results.read(path)
    figures = results.against(figures, figures["baseline"][0])
    names = figures["metric"].unique(maintain_order=True).to_list()[: len(results.METRICS)]
    ranking = names[1]
    everyone = _grid(figures.filter(segment="all"), "metric", names)
    segments = _grid(
        figures.filter(metric=ranking), "segment", figures["segment"].unique(maintain_order=True).to_list()
    )
    users = figures.filter(segment="all")["users"][0]
    return f"{users:,} users of the test window\n{everyone}\n\n{ranking} by segment\n{segments}"


def page(
    settings: Params,
    facts: Facts,
    manifest: Manifest,
    decision: Decision,
    sample: Sample,
    segments: list[Segment],
    figures: pl.DataFrame,
    tables: Mapping[str, pl.DataFrame],
    reliable: Mapping[str, Mapping[str, float]],
    examples: list[Example],
    learned: Mapping[str, Description],
) -> str:
    """Return the report as HTML. figures: table of `results.measure`; tables: file name -> table of `curves` or others.

    reliable: variant -> calibration metrics; learned: ranker -> the description that its training wrote.
    """
    from recsys.evaluation.reporting import plots  # matplotlib, only where charts are drawn: its import is slow

    environment = templates(Path(__file__).parent)
    gated = results.against(figures, settings.gate.baseline)
    environment.globals.update(shown=_shown, interval=_interval, cell=_cells(figures, settings.gate.baseline))
    environment.filters["thousands"] = lambda number: f"{number:,}"
    apart = gated.filter(~pl.col("segment").str.contains(f"^{NEW_USER}|^age_"))  # these have a chart of their own
    present = figures["segment"].unique(maintain_order=True).to_list()
    return environment.get_template(TEMPLATE).render(
        settings=settings,
        facts=facts,
        manifest=manifest,
        sample=sample,
        segments=[segment for segment in segments if segment.name in present],
        absent=[segment.name for segment in segments if segment.name not in present],
        variants=figures["variant"].unique(maintain_order=True).to_list(),
        default=decision.variant,
        decision=decision,
        accuracy=list(results.ACCURACY),
        metrics=results.METRICS,
        examples=examples,
        learned=learned,
        few_likes=FEW_LIKES,
        wanted_new=float(sample.new[sample.targets.rows].mean()),
        by_segment=Markup(plots.by_segment(apart, settings.gate.metric)),
        by_length=Markup(plots.by_length(tables["curve"])),
        new_users=Markup(plots.new_users(tables["new_users"], f"ndcg@{settings.evaluate.at[0]}"))
        if tables["new_users"].height
        else None,
        reliability=Markup(plots.reliability(tables["calibration"])),
        reliable=reliable,
        by_known=Markup(plots.by_known(tables["ramp"])),
    )


def _cells(figures: pl.DataFrame, gated: str) -> Callable[..., dict[str, Any]]:
    """Return a function that returns the row of the figures for a variant, segment, metric and, by default, `gated`."""
    rows = figures.rows_by_key(("variant", "segment", "metric", "baseline"), named=True, include_key=True, unique=True)
    return lambda variant, segment, metric, baseline=gated: rows[variant, segment, metric, baseline]


def _shown(metric: str, value: float | None, sign: str = "") -> str:
    """Return a value in the format of its metric; None is a dash. sign: "+" to show the sign of positive values too.

    >>> _shown("ndcg@10", 0.05126), _shown("coverage@10", 0.5), _shown("ndcg@10", 0.01, "+"), _shown("novelty@10", None)
    ('0.0513', '50.0%', '+0.0100', '–')
    """
    return "–" if value is None else format(value, sign + FORMATS.get(metric.split("@")[0], ".4f"))


def _interval(metric: str, low: float | None, high: float | None, sign: str = "") -> str:
    between = " to " if sign else "–"
    return "" if low is None else f"{_shown(metric, low, sign)}{between}{_shown(metric, high, sign)}"


def _grid(figures: pl.DataFrame, column: str, heads: list[str]) -> str:
    found = {(row["variant"], row[column]): row for row in figures.iter_rows(named=True)}
    variants = figures["variant"].unique(maintain_order=True).to_list()
    rows = [["", *heads]]
    for variant in variants:
        row = [found.get((variant, head)) for head in heads]
        rows.append([variant, *(_shown(cell["metric"], cell["value"]) if cell else "–" for cell in row)])
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = ["  ".join(text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True)) for row in rows]
    return "\n".join(f"{row[0]:<{widths[0]}}  {line}" for row, line in zip(rows, lines, strict=True))
