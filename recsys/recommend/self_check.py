"""Checks a bundle before users see it: every variant must answer in full, and no part may fail.

`check_apart` runs `python -m recsys.recommend.self_check`, which opens and checks a bundle, in a process with limits:
there a faulty file that takes all memory, never ends or crashes the process does no harm.
"""

import math
import os
import resource
import subprocess
import sys
from pathlib import Path

from recsys.bundle import bundle as bundles
from recsys.bundle.bundle import Bundle
from recsys.bundle.catalogue import CONTENT
from recsys.bundle.items import item_tower
from recsys.contracts import EMPTY_HISTORY, Query
from recsys.errors import BundleError, RecsysError, one_line, reports_errors
from recsys.recommend.explanations import explain
from recsys.recommend.recommender import Recommender, Slate

LENGTH = 10
USERS = 10
SECONDS, SECONDS_PER_GB = 120, 60
MEMORY, MEMORY_PER_BYTE = 4 << 30, 6  # bytes, and bytes more for each byte of the bundle
NOT_USED = "so the bundle is not used; try again when the machine is less busy, or run `dvc repro` to build another"
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}


def check(bundle: Bundle) -> None:
    """Request lists of every variant for a visitor and a few users of the bundle, and items similar to one item.

    This also loads the memory-mapped pages that every answer needs.

    Raises:
        BundleError: "bundle 1f...: variant 'als' answers a visitor with 3 items, expected at least 10 (failed: ..."
    """
    try:
        _check(bundle)
    except BundleError:
        raise
    except Exception as error:
        kind = "" if isinstance(error, RecsysError) else f"{type(error).__name__}: "
        reason = f"cannot answer ({kind}{one_line(str(error))}); run `dvc repro`"
        raise BundleError(f"bundle {bundle.manifest.bundle_id}: {reason}") from error


def _check(bundle: Bundle) -> None:
    catalogue, now = bundle.catalogue, bundle.manifest.trained_until.timestamp()
    n_available = int(catalogue.available.sum())
    if n_available == 0:
        raise BundleError(
            f"bundle {bundle.manifest.bundle_id}: none of {len(catalogue)} items is available; correct the column "
            "`available` in the data of the items and run `dvc repro`"
        )
    if missing := sorted({*CONTENT} - set(catalogue.frame.columns)):
        raise BundleError(f"bundle {bundle.manifest.bundle_id}: its items have no {missing[0]}; run `dvc repro`")
    k = max(1, min(LENGTH, n_available // 2))
    users = bundle.histories.users
    recommenders = {variant: Recommender(bundle, variant) for variant in bundle.manifest.variants}
    for variant, recommender in recommenders.items():
        _expect(bundle, recommender.recommend(Query(EMPTY_HISTORY, k, now)), "a visitor", k)
        own = []
        for position in range(0, len(users), -(-len(users) // USERS) or 1):
            user_id = users.external_id(position)
            answer = recommender.recommend(Query(bundle.histories.at(position), k, now, user_id))
            _expect(bundle, answer, "a known user", 0)  # a user who has seen all items rightly gets fewer
            if position == 0:
                explain(recommenders, answer)
            own += [not slot.fallback for slot in answer.slots]
        models = any("model" in source.config for source in bundle.manifest.variants[variant].sources)
        if models and own and not any(own):  # a variant without models, such as `repeat`, may rightly find nothing
            raise BundleError(_refusal(bundle, variant, "all known users by the fallback alone"))
    row = int((catalogue.popularity * catalogue.available).argmax())
    asked = f"items like {catalogue.ids.external_id(row)!r}"
    _expect(bundle, Recommender(bundle).similar(row, Query(EMPTY_HISTORY, k, now)), asked, min(k, n_available - 1))
    for model in bundle.models.values():
        if tower := item_tower.of(model.embeddings):
            tower.embed(catalogue.frame.head(LENGTH))


def check_apart(folder: Path) -> None:
    """Open and check the bundle of a folder in another process.

    Raises:
        BundleError: the error of the process, or "bundle: its check was stopped by signal 11, so it is not used; ..."
    """
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    seconds, memory = SECONDS + SECONDS_PER_GB * size // (1 << 30), MEMORY + MEMORY_PER_BYTE * size
    command = [sys.executable, "-m", __name__, str(folder), str(memory)]
    environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    environment.pop("PROMETHEUS_MULTIPROC_DIR", None)
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, errors="replace", timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise BundleError(f"{folder}: its check did not end within {seconds} s, {NOT_USED}") from None
    if done.returncode < 0:
        raise BundleError(f"{folder}: its check was stopped by signal {-done.returncode}, {NOT_USED}")
    if done.returncode:
        message = (done.stderr.strip().splitlines() or ["it said nothing"])[-1].removeprefix("error: ")
        raise BundleError(message if str(folder) in message else f"{folder}: {message}")


def _expect(bundle: Bundle, answer: Slate, asked: str, least: int) -> None:
    if answer.failed or len(answer.slots) < least:
        failed = f" (failed: {', '.join(answer.failed)})" if answer.failed else ""
        found = f"{asked} with {len(answer.slots)} items, expected at least {least}{failed}"
        raise BundleError(_refusal(bundle, answer.variant, found))
    if odd := [slot for slot in answer.slots if not math.isfinite(slot.score)]:
        found = f"{asked} with the score {odd[0].score} from {odd[0].source!r}"
        raise BundleError(_refusal(bundle, answer.variant, found))


def _refusal(bundle: Bundle, variant: str, found: str) -> str:
    return f"bundle {bundle.manifest.bundle_id}: variant {variant!r} answers {found}; run `dvc repro`"


@reports_errors
def main(folder: str, memory: str) -> None:
    """Check the bundle in a folder. memory: the limit of the process in bytes."""
    resource.setrlimit(resource.RLIMIT_DATA, (int(memory), int(memory)))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    check(bundles.load(Path(folder)))


if __name__ == "__main__":
    main(*sys.argv[1:])
