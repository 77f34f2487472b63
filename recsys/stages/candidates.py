"""Logs the candidates that the recommender ranks for the users of a window, as training data of a ranker:

`python -m recsys.stages.candidates --ranker learned --split data/split --fold valid --models models/valid
--indexes indexes/valid --out candidates/valid/learned.parquet --fold test ...`
"""

import tempfile
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from threadpoolctl import threadpool_limits

from recsys import params
from recsys.bundle import bundle
from recsys.data import split as splits
from recsys.errors import reports_errors
from recsys.evaluation import candidate_log, fold_bundle, sample
from recsys.params import Params
from recsys.processes import mapped
from recsys.rankers._learned.features import RankingFeatures, names
from recsys.recommend.recommender import Recommender


@reports_errors
def main(
    ranker: Annotated[str, typer.Option(help="name of a section of `rankers` in params.yaml")],
    fold: Annotated[list[str], typer.Option(help="window whose choices the ranker learns")],
    split: Annotated[Path, typer.Option(help="folder of the split")],
    models: Annotated[list[Path], typer.Option(help="folder of the models, fitted on everything before the window")],
    indexes: Annotated[list[Path], typer.Option(help="folder of their indexes")],
    out: Annotated[list[Path], typer.Option(help="the Parquet file to write, one for each --fold")],
    params_file: Annotated[Path, typer.Option("--params", help="the settings file")] = params.PARAMS_FILE,
) -> None:
    """Recommend to sampled users of each window; write the candidates, and which of them the user chose in it."""
    settings = params.load(params_file)
    work = partial(_log, ranker, split, settings)
    with mapped(min(settings.threads, len(fold))) as each:
        folds = splits.folds(fold, splits.ScoredFold, models=models, indexes=indexes, out=out)
        for line in each(work, folds, models, indexes, out):
            print(line)


def _log(
    ranker: str, split: Path, settings: Params, fold: splits.ScoredFold, models: Path, indexes: Path, out: Path
) -> str:
    data, config = splits.load(split), settings.rankers[ranker]
    # several threads add up in another order, so that the log would differ between machines
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        bundle.write(fold_bundle.parts(data, fold, models, indexes, settings), settings, {}, Path(folder) / "bundle")
        loaded = bundle.load(Path(folder) / "bundle")
        asked = sample.draw(data, fold, loaded.catalogue.popularity, config.max_users, settings.seed)
        variant = settings.variants[config.variant]
        vectors = [model for model in variant.models if model not in variant.pairs]
        of_users = loaded.histories.attribute_names
        disliked = bool((loaded.catalogue.liked_share < 1).any())
        wanted = names(vectors, variant.pairs, repeat=True, attributes=of_users, liked_share=disliked)
        features = RankingFeatures(loaded, list(wanted))
        recorder = candidate_log.Recorder(features)
        recommender = Recommender(loaded, config.variant, ranker=recorder)
        log = candidate_log.collect(
            recommender, recorder, data, asked, config, max(settings.evaluate.at), settings.seed
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    log.write_parquet(out, compression="zstd")
    return f"{out}: {log.height} candidates in {log['case'].n_unique()} cases, {log['wanted'].sum()} of them targets"


if __name__ == "__main__":
    typer.run(main)
