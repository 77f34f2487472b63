"""Draws the charts of the report as SVG text for an HTML page: no network, no script, equal bytes for equal data."""

import io
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import matplotlib as mpl
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

COLOURS = ("#9aa3ad", "#d98a29", "#2f6db5", "#2a8a5f", "#8a4fa3", "#b5473c", "#4b5563", "#1a9aa8")
TITLES = {"shown": "share of targets (wanted) and of slots", "found": "share of these targets that is found"}
TITLE: dict[str, Any] = {"loc": "left", "fontsize": 10, "color": "#1f2933"}
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "recsys",
    "svg.fonttype": "none",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#c5ccd3",
    "axes.labelcolor": "#4b5563",
    "xtick.color": "#4b5563",
    "ytick.color": "#4b5563",
    "axes.axisbelow": True,
    "grid.color": "#e8ecf0",
}


def by_segment(table: pl.DataFrame, metric: str) -> str:
    """Draw one metric of every variant in every segment, with its interval. table: result of `results.against`."""
    shown = table.filter(metric=metric)
    segments, variants = _names(shown, "segment"), _names(shown, "variant")
    apart = min(0.17, 0.85 / len(variants))

    def draw(axes: Axes) -> None:
        for v, variant in enumerate(variants):
            rows, colour = shown.filter(variant=variant), COLOURS[v % len(COLOURS)]
            # variants of a segment lie around its line, the first one on top
            places = [segments.index(name) + (v - (len(variants) - 1) / 2) * apart for name in rows["segment"]]
            low, high = rows["low"].fill_null(strategy="zero"), rows["high"].fill_null(strategy="zero")
            axes.hlines(places, low, high, color=colour, linewidth=2.5, alpha=0.45)
            axes.plot(rows["value"], places, "o", color=colour, markersize=5.5, label=variant)
        axes.set_yticks(range(len(segments)), segments, parse_math=False)  # a value may have dollar signs
        axes.set_ylim(len(segments) - 0.5, -0.5)
        axes.set_xlim(left=-0.01 * axes.get_xlim()[1])  # a dot at zero is seen whole
        axes.set_xlabel(metric)
        axes.grid(axis="x")

    height = 0.7 + len(segments) * (0.3 + 0.16 * len(variants))
    return _chart(f"{metric} of each variant in each segment", draw, height=height)


def by_length(curve: pl.DataFrame) -> str:
    """Draw recall and NDCG of every variant for each length of the list. curve: of `curves.by_length`."""

    def draw(axes: Axes, metric: str) -> None:
        for v, variant in enumerate(_names(curve, "variant")):
            rows = curve.filter(variant=variant)
            axes.plot(rows["k"], rows[metric], color=COLOURS[v % len(COLOURS)], linewidth=2, label=variant)
        axes.margins(x=0)
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("k, length of the list")
        axes.set_title(f"{metric}@k", **TITLE)
        axes.grid()

    return _chart("recall and NDCG by length of the list", partial(draw, metric="recall"), partial(draw, metric="ndcg"))


def new_users(curve: pl.DataFrame, metric: str) -> str:
    """Draw one metric of a fixed set of users by the number of their items in the query. curve: `curves.new_users`."""

    def draw(axes: Axes) -> None:
        for v, variant in enumerate(_names(curve, "variant")):
            rows, colour = curve.filter(variant=variant), COLOURS[v % len(COLOURS)]
            axes.fill_between(rows["known_items"], rows["low"], rows["high"], color=colour, alpha=0.12, linewidth=0)
            axes.plot(rows["known_items"], rows["value"], "o-", color=colour, linewidth=2, markersize=4, label=variant)
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("known items of the user")
        axes.set_ylabel(metric)
        axes.grid()

    return _chart(f"{metric} by known items of new users", draw)


def by_known(ramp: pl.DataFrame) -> str:
    """Draw the shares `wanted`, `shown` and `found` of `curves.ramp`, by the number of known events of items."""
    variants, labels = _names(ramp, "variant"), _names(ramp, "known_events")
    width = 0.8 / (len(variants) + 1)

    def draw(axes: Axes, column: str, n: int) -> None:
        places = [place - 0.4 + width / 2 for place in range(n)]
        if column == "shown":
            axes.bar(places, ramp.filter(variant=variants[0])["wanted"][:n], width, color="#1f2933", label="wanted")
        for v, variant in enumerate(variants):
            rows, colour = ramp.filter(variant=variant)[column][:n].fill_null(0), COLOURS[v % len(COLOURS)]
            axes.bar([place + (v + 1) * width for place in places], rows, width, color=colour, label=variant)
        axes.set_xticks(range(n), labels[:n])
        axes.set_xlabel("known events of the item")
        axes.set_title(TITLES[column], **TITLE)
        axes.grid(axis="y")

    # on one axis the small shares of new items could not be seen
    panels = partial(draw, column="shown", n=len(labels) - 1), partial(draw, column="found", n=len(labels))
    return _chart("shares of targets, slots and found targets by known events", *panels)


def reliability(calibration: pl.DataFrame) -> str:
    """Draw the share of relevant slots by confidence; the dashed line is perfect. calibration: `reliability.table`."""

    def draw(axes: Axes) -> None:
        most = float(calibration.select(pl.max_horizontal("confidence", "wanted").max()).item() or 1.0) * 1.05
        axes.plot([0, most], [0, most], "--", color="#9aa3ad", linewidth=1)
        for v, variant in enumerate(_names(calibration, "variant")):
            rows, colour = calibration.filter(variant=variant), COLOURS[v % len(COLOURS)]
            axes.plot(rows["confidence"], rows["wanted"], "o-", color=colour, linewidth=2, markersize=4, label=variant)
        axes.set_xlim(0, most)
        axes.set_ylim(0, most)
        axes.set_xlabel("confidence")
        axes.set_ylabel("share wanted")
        axes.grid()

    return _chart("share of relevant slots by confidence", draw, height=3.6)


def _chart(title: str, *panels: Callable[[Axes], None], height: float = 3.2) -> str:
    """Draw panels side by side, with the legend of the first one above them."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.6, height), layout="constrained")
        places = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, draw in zip(places, panels, strict=True):
            draw(axes)
            axes.tick_params(length=0)
        handles, labels = places[0].get_legend_handles_labels()
        columns = min(len(labels), 6)
        figure.legend(handles, labels, loc="outside upper left", ncols=columns, frameon=False, handlelength=1.2)
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    inline = text.getvalue()[text.getvalue().index("<svg") :]
    # the page, not the file, decides the size
    return re.sub(r'<svg ([^>]*?)width="[^"]*"', rf'<svg role="img" aria-label="{title}" \1', inline, count=1)


def _names(frame: pl.DataFrame, column: str) -> list[str]:
    return frame[column].unique(maintain_order=True).to_list()
