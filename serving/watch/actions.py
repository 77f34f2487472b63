"""Runs the policy's action for a new finding, and writes the finding into the store and the log."""

import logging
import subprocess
import time
from pathlib import Path
from threading import Thread

from prometheus_client import Counter

from recsys.bundle import releases
from recsys.drift.canary import Verdict
from recsys.drift.policies import Policies
from recsys.errors import BundleError
from serving.watch import findings
from serving.watch.cycle import Finding

log = logging.getLogger(__name__)

FINDINGS = Counter("recsys_watch_findings", "Findings by kind and what was done", ["kind", "did"])
POPULAR = "popular"


def act(found: Finding, policies: Policies, store: str, folder: Path, now: float | None = None) -> str:
    """Write a finding, and act on it if it is new. Returns the action.

    Raises:
        StoreError: it cannot be written; nothing was done.
    """
    action = policies.of(found.kind).action
    at = time.time() if now is None else now
    if not findings.add(store, found.once, at, found.kind, found.what, found.bundle_id, action):
        return "known"
    did = _do(action, found, policies, folder)
    FINDINGS.labels(found.kind, did).inc()
    log.error("%s: %s (bundle %s): %s", found.kind, found.what, found.bundle_id, did)
    return did


def ramp(verdict: Verdict, folder: Path) -> None:
    """Raise the share of the canary, or end it."""
    if verdict.action == "go on":
        releases.ramp(folder, verdict.why)
        log.info("canary goes on: %s", verdict.why)
    elif verdict.action == "abort":
        bundle_id = releases.abort(folder, verdict.why)
        FINDINGS.labels("canary", "abort").inc()
        log.error("canary %s ended: %s", bundle_id, verdict.why)


def _do(action: str, found: Finding, policies: Policies, folder: Path) -> str:
    why = f"{found.kind}: {found.what}"
    if action == "roll back":
        moves = [entry for entry in releases.read(folder).log if entry.action in ("promote", "rollback")]
        if moves[-1:] and moves[-1].action == "promote" and moves[-1].bundle_id == found.bundle_id:
            try:
                releases.rollback(folder, why=why)
            except BundleError as error:  # it is the only one, or the one before is damaged
                log.error("%s", error)
                action = POPULAR
            else:
                return "roll back"
        else:
            return "tell"
    if action == POPULAR:
        releases.serve_variant(folder, POPULAR, why)
    elif action == "retrain":
        # it holds a lock of its own, and promotes by the gate; nobody waits for it here
        Thread(target=subprocess.run, args=(policies.retrain,), name="retrain", daemon=True).start()
    return action
