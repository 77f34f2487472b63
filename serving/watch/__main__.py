"""Watch the API's answers: `python -m serving.watch`, or `recsys watch`. Of several processes only one is active."""

import logging
import signal
import sys
import time
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer
from prometheus_client import Gauge, start_http_server

from recsys.bundle.shared import shared
from recsys.drift import policies as files
from recsys.drift.policies import Policies
from recsys.errors import ParamsError, RecsysError, reports_errors
from recsys.schemas.store_schema import DEFAULT_URL, URL_VARIABLE
from serving.watch import actions
from serving.watch.cycle import Watcher

log = logging.getLogger("serving.watch")

LEASE_CHECKS = 3  # checks that a leader may miss before another process takes over
LEADER = Gauge("recsys_watch_leader", "1 in the process that watches the store")
FAILED = Gauge("recsys_watch_failed", "1 while the last check failed")


@reports_errors
def main(
    path: Annotated[Path, typer.Option("--policies", envvar="RECSYS_WATCH", help="action per finding")] = Path(
        "watch.yaml"
    ),
    folder: Annotated[Path, typer.Option("--releases", envvar="RECSYS_RELEASES")] = Path("releases"),
    store: Annotated[str, typer.Option(envvar=URL_VARIABLE, help="the store of the API")] = DEFAULT_URL,
    every: Annotated[float, typer.Option(envvar="RECSYS_WATCH_SECONDS", min=0.1, help="seconds between checks")] = 60.0,
    host: Annotated[str, typer.Option(envvar="RECSYS_WATCH_HOST", help="address of /metrics")] = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar="RECSYS_WATCH_PORT", help="port of /metrics; 0: none")] = 9108,
) -> None:
    """Check the recorded answers and events at regular intervals, and act on findings as the policies say."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # as process 1 of a container it would be ignored
    policies, holder, watcher = files.load(path), uuid4().hex, Watcher(store, folder)
    if port:
        start_http_server(port, host)
    while True:
        try:
            policies = files.load(path)
        except ParamsError as error:
            log.error("the file of policies is invalid, the earlier policies stay: %s", error)
        check_once(watcher, policies, holder, store, folder, every)
        time.sleep(every)


def check_once(watcher: Watcher, policies: Policies, holder: str, store: str, folder: Path, every: float) -> None:
    """Check once, if this process holds the lease or can take it; log a failure, so that the next check tries again.
    holder: random id of this process; store: URL; folder: the releases; every: seconds between checks."""
    try:
        leads = actions.lead(store, holder, time.time(), LEASE_CHECKS * every)
        LEADER.set(leads)
        if leads:
            with shared(folder, store, "recsys watch"):
                for found in watcher.check(policies):
                    actions.act(found, policies, store, folder)
                if (judged := watcher.canary(policies)) is not None:
                    actions.ramp(judged, folder)
        FAILED.set(0)
    except RecsysError as error:
        FAILED.set(1)
        log.error("%s", error)
    except Exception:  # such as an unexpected value in a row: the next check may succeed
        FAILED.set(1)
        log.exception("this check failed")


if __name__ == "__main__":
    typer.run(main)
