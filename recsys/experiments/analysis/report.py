"""Writes a readout as text, as JSON, and as one HTML page with plots."""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from io import BytesIO
from pathlib import Path

import matplotlib as mpl

from recsys.experiments.analysis.effects import Effect
from recsys.experiments.analysis.join import JOINED
from recsys.experiments.analysis.readout import Readout
from recsys.experiments.analysis.run import Moment
from recsys.output import templates, write_text


def text(readout: Readout) -> str:
    """Return the readout as text for the terminal."""
    return _filled("readout.txt.j2", readout)


def write(readout: Readout, curves: Mapping[str, Sequence[Moment]], folder: Path) -> None:
    """Write `readout.json` and `readout.html`; curves: the effect of each arm over time, for the JSON."""
    content = asdict(readout) | {"over_time": {arm: list(map(asdict, curve)) for arm, curve in curves.items()}}
    write_text(folder / "readout.json", json.dumps(content, indent=1, allow_nan=False) + "\n")
    write_text(folder / "readout.html", page(readout))


def page(readout: Readout) -> str:
    """Return the readout as one self-contained HTML page."""
    return _filled("readout.html.j2", readout, plot=_plot(readout.effects))


def _filled(template: str, readout: Readout, **more: str) -> str:
    environment = templates(Path(__file__).parent)
    environment.filters.update(percent=_percent, interval=_interval, general="{:.4g}".format, p="{:.3f}".format)
    return environment.get_template(template).render(
        readout=readout, units=_units(readout), also=_also(readout), population=_population(readout), **more
    )


def _plot(effects: list[Effect]) -> str:
    mpl.use("agg")
    from matplotlib import pyplot as plt

    shown = [effect for effect in effects if effect.relative is not None]
    figure, axes = plt.subplots(figsize=(8, 0.8 + 0.5 * max(len(shown), 1)))
    for place, effect in enumerate(reversed(shown)):
        scale = abs(effect.control) / 100
        anytime = [effect.anytime_low / scale, effect.anytime_high / scale]
        axes.plot(anytime, [place, place], color="#9db4cf", linewidth=2, label="anytime" if not place else None)
        fixed = [effect.low / scale, effect.high / scale]
        axes.plot(fixed, [place, place], color="#3567a6", linewidth=5, label="one look" if not place else None)
        axes.plot(effect.difference / scale, place, "o", color="#1b1f23")
    axes.set_yticks(range(len(shown)), [f"{effect.arm}, {effect.metric}" for effect in reversed(shown)])
    axes.axvline(0, color="#b42318", linewidth=1)
    axes.set_xlabel("change against the control, %")
    if shown:
        axes.legend(loc="best", frameon=False)
    figure.tight_layout()
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    plt.close(figure)
    return b64encode(buffer.getvalue()).decode()


def _population(readout: Readout) -> list[str]:
    """Return lines on the units and events that are counted and those that are left out."""
    joined = {how: count for how, count in readout.outcomes.items() if how in JOINED}
    others = {how: count for how, count in readout.outcomes.items() if how not in JOINED}
    lines = [
        f"events attributed: {_counts(joined)}; not attributed: {_counts(others)}",
        f"units left out: {_counts(readout.left_out)}",
    ]
    return lines + ([f"changes of the log: {_counts(readout.cleaned)}"] if readout.cleaned else [])


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in counts.items()) or "none"


def _also(readout: Readout) -> list[str]:
    lines = [
        f"{arm}: the bootstrap over units gives {readout.primary} {low:+.4g} to {high:+.4g}"
        for arm, (low, high) in readout.bootstrap.items()
    ]
    if readout.detectable is not None:
        lines.append(f"these units can detect a change of {readout.detectable:.1%} in {readout.primary}")
    return lines + [f"guardrail {'BROKEN' if state.broken else 'ok'}: {state.says}" for state in readout.guardrails]


def _units(readout: Readout) -> str:
    counts = ", ".join(f"{arm} {count:,}" for arm, count in readout.units.items())
    planned = f" of {readout.planned_units:,} planned" if readout.planned_units else ""
    return f"{sum(readout.units.values()):,} units{planned} ({counts})"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:+.1%}"


def _interval(effect: Effect) -> str:
    return f"{_percent(effect.relative_low)} to {_percent(effect.relative_high)}"
