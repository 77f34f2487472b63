"""Serve the current release: `python -m serving`; `python -m serving --help` shows the options."""

import os
import time
from contextlib import suppress
from functools import partial
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
import uvicorn
from uvicorn.config import LOGGING_CONFIG, STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from recsys.errors import ParamsError, quoted, reports_errors
from serving import process
from serving.engine.business_rules import BusinessRulesFile
from serving.http_limits import LimitedHttp
from serving.last_known import LastKnown
from serving.settings import Settings, is_loopback

APP = "serving.app:create_app"
ALIVE_SECONDS = 30  # a worker that does not reply for so long is replaced; on a busy machine its start takes 20 s
DRAIN_SECONDS = 10  # in which running requests may finish when the server stops; mostly about a second is enough


@reports_errors
def main(
    host: Annotated[str, typer.Option(envvar="RECSYS_HOST", help="the address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar="RECSYS_PORT", min=0, max=65535, help="0 takes a free one")] = 8000,
    workers: Annotated[int, typer.Option(envvar="RECSYS_WORKERS", min=1, help="processes; each has one thread")] = 1,
) -> None:
    """Serve the current release of RECSYS_RELEASES (default: releases), or the bundle in the folder RECSYS_BUNDLE."""
    settings = Settings.from_environment()  # an invalid setting is reported once, before the workers start
    if not settings.keys and not is_loopback(host):
        raise ParamsError(
            f"RECSYS_HOST {quoted(host)} can be reached from other machines, and without API keys every request is"
            " allowed: set RECSYS_API_KEYS, or listen on 127.0.0.1"
        )
    BusinessRulesFile(settings.followed("rules"), settings.must_have_rules, LastKnown(settings))
    config = uvicorn.Config(
        APP,
        factory=True,
        host=host,
        port=port,
        workers=workers,
        http=partial(LimitedHttp, settings=settings),  # type: ignore[arg-type]  # called as the class would be
        ws="none",
        timeout_graceful_shutdown=DRAIN_SECONDS,
        timeout_worker_healthcheck=ALIVE_SECONDS,
        log_config=_logging(settings.log_format),
        access_log=False,  # the JSON log says more; both would cost a tenth of a cheap answer
    )
    if workers > 1:
        with TemporaryDirectory(prefix="recsys-metrics-") as shared:  # for `metrics.py` and `middleware/limits.py`
            os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", shared)
            Supervisor(config, settings.leave_seconds).run()
        return
    server = uvicorn.Server(config)
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        raise SystemExit(STARTUP_FAILURE)


class Supervisor(Multiprocess):
    """Runs the workers. leave_s: seconds between the signal to stop and the time when it ignores new connections."""

    def __init__(self, config: uvicorn.Config, leave_s: float) -> None:
        super().__init__(config, [config.bind_socket()])
        self._leave_s = leave_s

    def terminate_all(self) -> None:
        super().terminate_all()
        time.sleep(self._leave_s)
        process.ignore_new_connections()
        for listening in self.sockets:
            listening.close()  # the workers keep it open until they end


def _logging(log_format: str) -> dict[str, Any]:
    """Return uvicorn's logging configuration, extended to the loggers of `serving` and `recsys`."""
    formatters = LOGGING_CONFIG["formatters"]
    if log_format == "json":
        formatters = {**formatters, "default": {"()": "serving.middleware.request_log.JsonLines"}}
    ours = {"handlers": ["default"], "level": "INFO", "propagate": False}
    return {
        **LOGGING_CONFIG,
        "formatters": formatters,
        "loggers": {**LOGGING_CONFIG["loggers"], "serving": ours, "recsys": ours},
    }


if __name__ == "__main__":
    typer.run(main)
