"""Measures every variant on the test window, with the recommender that the API uses.

`python -m recsys.stages.evaluate --split data/split --models models --indexes indexes
--rankers rankers/test --metrics metrics --report reports/offline.html`

    offline/           <variant>.json: metric -> value, for `dvc metrics`, a file per variant
    intervals.csv      the table of `recsys/evaluation/results.py`, for `dvc plots`
    new_items.json     share of slots for new items, learned in the validation window, for the bundle
    gate.json          the variant to release and the reasons
    curve.csv          recall and NDCG for every length of the list, for `dvc plots`
    new_users.csv      NDCG of a fixed set of users by the number of their items in the query, for `dvc plots`
    ramp.csv           share of the slots that items get, by their number of events, for `dvc plots`
    calibration.json   confidence, fitted on the validation window, for the bundle
    calibration.csv    confidence and observed frequency in the test window, for `dvc plots`
"""

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import polars as pl
import typer
from threadpoolctl import threadpool_limits

from recsys import params
from recsys.bundle import bundle, calibration
from recsys.bundle.bundle import Bundle
from recsys.bundle.calibration import Calibration
from recsys.contracts import IntArray, Slot
from recsys.data import split as splits
from recsys.data.split import ScoredFold, Split
from recsys.errors import reports_errors
from recsys.evaluation import answers, fit_calibration, fold_bundle, reliability, results, sample, segments
from recsys.evaluation.choices import gate, learn_new_items, live_choice, new_items
from recsys.evaluation.choices.new_items import NewItems
from recsys.evaluation.intervals import Bootstrap
from recsys.evaluation.metrics import Ragged
from recsys.evaluation.reporting import curves, examples, report
from recsys.evaluation.sample import Sample
from recsys.evaluation.segments import QueryMode, Segment
from recsys.output import replaced, write_text
from recsys.params import Params
from recsys.processes import mapped
from recsys.rankers._learned import artifact
from recsys.recommend.recommender import Recommender

FOLD: ScoredFold = "test"


@reports_errors
def main(
    split: Annotated[Path, typer.Option(help="folder of the split")],
    models: Annotated[Path, typer.Option(help="folder of the models, with the subfolders valid and test")],
    indexes: Annotated[Path, typer.Option(help="folder of their indexes, with the same subfolders")],
    rankers: Annotated[Path, typer.Option(help="folder of the rankers, trained on the validation window")],
    metrics: Annotated[Path, typer.Option(help="folder to write the metrics to")],
    report_file: Annotated[Path, typer.Option("--report", help="HTML file to write the report to")],
    params_file: Annotated[Path, typer.Option("--params", help="the settings file")] = params.PARAMS_FILE,
) -> None:
    """Recommend to the users of the test window with every variant, measure the lists, and write the results."""
    settings = artifact.narrowed(params.load(params_file), rankers)
    data = splits.load(split)
    # arrays are small: threads only wait
    with tempfile.TemporaryDirectory() as temporary, threadpool_limits(1), mapped(settings.threads) as each:
        top = Path(temporary)

        def loaded_of(fold: ScoredFold, fitted: Path | None = None) -> Bundle:
            made = fold_bundle.parts(data, fold, models / fold, indexes / fold, settings, fitted, rankers)
            bundle.write(made, settings, {}, top / fold)
            return bundle.load(top / fold)

        before = loaded_of("valid")
        places, confidence = _on_valid(before, top / "valid", data, split, settings, each)
        settings = new_items.applied(settings, places)
        before = new_items.applied_to(before, {name: found.share for name, found in places.items()})
        confidence.save(top / calibration.FILE)
        loaded = loaded_of(FOLD, top / calibration.FILE)
        asked = sample.draw(data, FOLD, loaded.catalogue.popularity, settings.evaluate.max_users, settings.seed)
        parts = segments.build(asked, settings.evaluate, data.users, settings.data.segment_users_by)
        early = fit_calibration.as_long_as_valid(data, asked, settings.data.split)
        work = partial(_lists, asked=asked, early=early, parts=parts, settings=settings)
        found = answers.of_variants(work, top / FOLD, split, settings.variants, each)
        lists = {name: of_modes for name, (of_modes, _) in found.items()}
        bootstrap = Bootstrap(settings.evaluate.bootstrap, settings.evaluate.confidence, settings.seed)
        figures = results.measure(lists, asked, parts, settings.evaluate.at, settings.evaluate.baselines, bootstrap)
        values = results.per_segment(lists, asked, parts, settings.gate.metric)
        decision = live_choice.choose(before, data, settings, gate.decide(values, settings, places))
        default = Recommender(loaded, decision.without_live or decision.variant)
        shown = examples.some(default, data, asked, parts, settings.seed)
    trusted = fit_calibration.on_test(confidence, {name: slots for name, (_, slots) in found.items()})
    gated = results.against(figures, settings.gate.baseline)
    plain = {name: found[segments.PLAIN] for name, found in lists.items()}
    tables = {
        "curve": curves.by_length(plain, asked),
        "new_users": curves.new_users(gated, f"ndcg@{settings.evaluate.at[0]}"),
        "ramp": curves.ramp(plain, asked, settings.evaluate.at[0]),
        "calibration": reliability.table(trusted),
    }
    reliable = {name: reliability.figures(*found) for name, found in trusted.items()}
    learned = {name: artifact.read(rankers / name) for name in settings.rankers}
    page = report.page(
        settings, data.facts, loaded.manifest, decision, asked, parts, figures, tables, reliable, shown, learned
    )
    _write_tables(metrics, settings, figures, tables, reliable)
    confidence.save(metrics / calibration.FILE)
    new_items.save(places, metrics / new_items.FILE)
    decision.save(metrics / gate.FILE)
    write_text(report_file, page)
    print(report.table(metrics / "intervals.csv"))
    print(decision.reason)


def _on_valid(
    before: Bundle, folder: Path, data: Split, split: Path, settings: Params, each: Callable[..., Iterator[Any]]
) -> tuple[dict[str, NewItems], Calibration]:
    """Return what is learned on the validation window: shares of new items, and confidences with these shares.
    before: the bundle in `folder`; split: the folder of `data`; each: see `answers.of_variants`."""
    most, popularity = settings.evaluate.max_users, before.catalogue.popularity
    few, asked = (
        sample.draw(data, "valid", popularity, users, settings.seed)
        for users in (min(most, learn_new_items.MOST_USERS), most)
    )
    learn = partial(learn_new_items.learn, asked=few, params=settings)
    open_ones = [name for name, variant in settings.variants.items() if variant.new_item_share is None]
    places = answers.of_variants(learn, folder, split, open_ones, each)
    settings = new_items.applied(settings, places)
    calibrate = partial(fit_calibration.on_valid, asked=asked, params=settings, k=max(settings.evaluate.at))
    curves_of = answers.of_variants(calibrate, folder, split, settings.variants, each)
    return places, Calibration(horizon_days=fit_calibration.horizon_days(data), curves=curves_of)


def _lists(
    loaded: Bundle, data: Split, variant: str, asked: Sample, early: Ragged, parts: list[Segment], settings: Params
) -> tuple[dict[QueryMode, IntArray], pl.DataFrame]:
    """Return the lists of a variant by query mode, and the slots for its calibration; early: targets of these slots."""
    start, longest, recommender = perf_counter(), max(settings.evaluate.at), Recommender(loaded, variant)
    plain: list[tuple[int, tuple[Slot, ...]]] = []
    lists = answers.recommend_all(recommender, data, asked, parts, longest, settings.seed, plain)
    slots = fit_calibration.slot_table(loaded, asked, early, plain)
    seconds = perf_counter() - start
    print(f"{variant}: {len(asked.users)} users answered in {seconds:.1f} s", file=sys.stderr, flush=True)
    return lists, slots


def _write_tables(
    metrics: Path,
    settings: Params,
    figures: pl.DataFrame,
    tables: Mapping[str, pl.DataFrame],
    reliable: Mapping[str, Mapping[str, float]],
) -> None:
    gated = results.against(figures, settings.gate.baseline)
    with replaced(metrics / "offline") as folder:
        for name in settings.variants:
            flat = results.flat(gated, name, settings.evaluate.at) | dict(reliable[name])
            write_text(folder / f"{name}.json", json.dumps(flat, indent=1) + "\n")
    write_text(metrics / "intervals.csv", figures.write_csv())
    for name, table in tables.items():
        write_text(metrics / f"{name}.csv", table.write_csv())


if __name__ == "__main__":
    typer.run(main)
