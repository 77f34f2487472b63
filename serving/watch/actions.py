"""Stores and logs new findings and performs the policy's actions for them, in the process with the store's lease."""

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
from serving.stores import migrations
from serving.watch.cycle import Finding

log = logging.getLogger(__name__)

FINDINGS = Counter("recsys_watch_findings", "Findings by kind and performed action", ["kind", "did"])
POPULAR = "popular"


def act(found: Finding, policies: Policies, store: str, folder: Path) -> str:
    """Store a finding, and perform its action if it is new. Return the performed action, or "known" if it is not new.

    Raises:
        StoreError: the finding cannot be stored; nothing was done.
    """
    action = policies.of(found.kind).action
    if not add(store, found.once, time.time(), found.kind, found.what, found.bundle_id, action):
        return "known"
    did = _do(action, found, policies, folder)
    FINDINGS.labels(found.kind, did).inc()
    log.error("%s: %s (bundle %s): %s", found.kind, found.what, found.bundle_id, did)
    return did


def ramp(verdict: Verdict, folder: Path) -> None:
    """Raise the canary's share of the traffic, end the canary, or do nothing, as the verdict says."""
    if verdict.action == "go on":
        releases.ramp(folder, verdict.why)
        log.info("canary: its share was raised: %s", verdict.why)
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
            except BundleError as error:  # there is no release before it, or that one is damaged
                log.error("%s", error)
                action = POPULAR
            else:
                return "roll back"
        else:
            return "tell"
    if action == POPULAR:
        releases.serve_variant(folder, POPULAR, why)
    elif action == "retrain":
        # the command takes a lock itself, and promotes its release if the gate allows it
        Thread(target=subprocess.run, args=(policies.retrain,), name="retrain", daemon=True).start()
    return action


LEAD = """INSERT INTO leases (name, holder, until) VALUES ($1, $2, $3)
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
    WHERE leases.holder = excluded.holder OR leases.until < CAST($4 AS DOUBLE PRECISION) RETURNING holder"""
ADD = """INSERT INTO findings (finding_id, at, kind, what, bundle_id, policy) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (finding_id) DO NOTHING RETURNING finding_id"""


def lead(url: str, holder: str, now: float, seconds: float) -> bool:
    """Take or extend the lease until `now` + `seconds`; return whether this holder has it. url: the store.

    Raises:
        StoreError: the store cannot be written.
    """
    with migrations.transaction(url) as run:
        return bool(run(LEAD, "watch", holder, now + seconds, now))


def add(url: str, finding_id: str, now: float, kind: str, what: str, bundle_id: str, policy: str) -> bool:
    """Store a finding; return False if one with this id is stored already. Raises as `lead` does."""
    with migrations.transaction(url) as run:
        return bool(run(ADD, finding_id, now, kind, what, bundle_id, policy))
