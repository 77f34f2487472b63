"""Writes the bundle: models fitted on all data, with the variant that the gate chose:

`python -m recsys.stages.release --split ... --out bundle`
"""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from recsys import params
from recsys.bundle import bundle
from recsys.data import split as splits
from recsys.drift import reference
from recsys.errors import reports_errors
from recsys.evaluation import fold_bundle, results
from recsys.evaluation.choices import gate, new_items
from recsys.rankers._learned import artifact


@reports_errors
def main(
    split: Annotated[Path, typer.Option(help="folder of the split")],
    models: Annotated[Path, typer.Option(help="folder of the models fitted on all data")],
    indexes: Annotated[Path, typer.Option(help="folder of their indexes")],
    rankers: Annotated[Path, typer.Option(help="folder of the rankers, trained on the newest window")],
    offline: Annotated[Path, typer.Option(help="intervals.csv of the stage evaluate")],
    decision: Annotated[Path, typer.Option("--gate", help="gate.json of the stage evaluate")],
    places: Annotated[Path, typer.Option("--new-items", help="new_items.json of the stage evaluate")],
    confidence: Annotated[Path, typer.Option("--calibration", help="calibration.json of the stage evaluate")],
    out: Annotated[Path, typer.Option(help="folder of the bundle")],
    params_file: Annotated[Path, typer.Option("--params", help="the settings file")] = params.PARAMS_FILE,
) -> None:
    """Write the bundle of the variant that the gate chose."""
    data = splits.load(split)
    shares, why = new_items.for_release(new_items.load(places), data)
    settings = new_items.applied(params.load(params_file), shares)
    released, table = gate.load(decision), results.against(results.read(offline), settings.gate.baseline)
    shown = {name: results.flat(table, name, settings.evaluate.at) for name in settings.variants}
    metrics = {"gate": released.reason, "candidates": released.candidates, "variants": shown}
    settings = gate.applied(settings, released)
    served = without_idle_pairs(artifact.narrowed(settings, rankers), released.without_live or released.variant)
    parts = fold_bundle.parts(data, "all", models, indexes, served, confidence, rankers)
    parts = replace(parts, data_hash=bundle.hash_of(split))
    with TemporaryDirectory() as name:  # the reference is measured with a first bundle without one
        first, measured = Path(name, "bundle"), Path(name, "reference")
        bundle.write(parts, served, metrics, first, released.variant)
        reference.write(bundle.load(first), measured)
        manifest = bundle.write(replace(parts, reference=measured), served, metrics, out, released.variant)
    for reason in [*why, *released.candidates.values()]:
        print(reason)
    print(released.reason)
    print(f"bundle {manifest.bundle_id}: {released.variant}, {manifest.counts}", flush=True)


def without_idle_pairs(settings: params.Params, released: str) -> params.Params:
    """Remove the item-item models that neither the released variant nor any variant with a ranker uses, and then the
    variants that use a removed model."""
    serving = [each for name, each in settings.variants.items() if each.ranker or name == released]
    used = {model for each in serving for model in each.models}
    idle = {pair for variant in settings.variants.values() for pair in variant.pairs} - used
    variants = {name: each for name, each in settings.variants.items() if not idle.intersection(each.models)}
    models = {name: each for name, each in settings.models.items() if name not in idle}
    return settings.model_copy(update={"variants": variants, "models": models})


if __name__ == "__main__":
    typer.run(main)
