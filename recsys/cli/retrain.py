"""`recsys retrain`: fetches, trains, evaluates and promotes, for cron, a timer or `recsys watch`.

The current release stays unless everything succeeds. After a run was killed, the next one continues, because DVC keeps
every finished stage. Each step writes one line to the log.
"""

import fcntl
import json
import logging
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from recsys.bundle import releases
from recsys.bundle.bundle import read_manifest
from recsys.bundle.shared import shared
from recsys.drift import promotion
from recsys.errors import RecsysError
from recsys.output import write_text

log = logging.getLogger(__name__)

RELEASED, FAILED, REFUSED, NOTHING_NEW, BUSY = 0, 1, 3, 4, 75  # exit codes; 75 is EX_TEMPFAIL
STEPS: Sequence[Sequence[str]] = (
    ("recsys", "lock"),
    ("dvc", "repro", "--force", "--single-item", "fetch"),
    ("dvc", "repro"),
)
CHECKS = (*STEPS[:2], ("dvc", "repro", "prepare"))  # run each time, so that a broken data source is noticed


def retrain(folder: Path, public_key: str | None, share: float, store: str, fetch: bool, log_file: Path) -> int:
    """Run all steps in the current folder. Return the exit code: 0 released, 3 refused, 4 nothing new, 75 another run
    has not ended yet, 1 failed. folder: of the releases; share: of the users that a new release serves first, below 1
    for a canary; store: url of the API's store; fetch: whether to fetch the data even if no setting changed; log_file:
    gets one line per step."""
    log_file.parent.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [logging.FileHandler(log_file), logging.StreamHandler()]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", handlers=handlers, force=True)
    with log_file.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            log.error("another `recsys retrain` is still running; nothing was done")
            return BUSY
        code = _run(folder, public_key, share, store, fetch)
        ended = {"at": datetime.now(UTC).timestamp(), "code": code}
        write_text(folder / releases.RETRAINED, json.dumps(ended) + "\n")  # `recsys watch` shows it as a metric
        return code


def _run(folder: Path, public_key: str | None, share: float, store: str, fetch: bool) -> int:
    try:
        tried = releases.read(folder).canary if share < 1 else None
    except RecsysError as error:
        log.error("%s", error)
        return FAILED
    for step in CHECKS if tried else STEPS:
        if "fetch" in step and not fetch:
            continue
        log.info("%s", " ".join(step))
        module = "recsys.cli" if step[0] == "recsys" else step[0]
        done = subprocess.run([sys.executable, "-m", module, *step[1:]], capture_output=True, text=True, check=False)
        if done.returncode:
            last_lines = (done.stderr or done.stdout).strip().splitlines()[-5:]
            log.error(
                "%s failed (%d), the current release stays: %s", " ".join(step), done.returncode, " | ".join(last_lines)
            )
            return FAILED
    if tried:
        log.info("canary %s is being tried; nothing was trained: wait for its end, or abort it", tried.bundle_id)
        return NOTHING_NEW
    try:
        manifest = read_manifest(Path("bundle"))
        notes = f"retrained: {manifest.metrics.get('gate', '')}"
        with shared(folder, store, notes, public_key):
            state = releases.read(folder)
            if manifest.bundle_id in [*state.stack[-1:], state.canary.bundle_id if state.canary else ""]:
                log.info("nothing new: bundle %s is already served", manifest.bundle_id)
                return NOTHING_NEW
            log.info("%s", promotion.promote(Path("bundle"), folder, public_key, share, store, notes))
    except RecsysError as error:
        log.error("refused, the current release stays: %s", error)
        return REFUSED
    return RELEASED
