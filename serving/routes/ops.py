"""Routes for operators: liveness, readiness, metrics."""

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from serving import metrics
from serving.api.about import Health, Ready
from serving.api.errors import documented
from serving.routes import service_of

router = APIRouter(tags=["probes"])


@router.get("/healthz", summary="Is the process alive?")
async def health() -> Health:
    """Return that the process is alive; restart it if this fails."""
    return Health()


@router.get("/readyz", responses=documented(503), summary="Can it answer?")
async def ready(request: Request) -> Ready:
    """Return whether the process can answer: send traffic to it while this succeeds. A 503 says what is missing.

    If the store fails after the start, this still succeeds, and `store` is "out of reach": the process answers from the
    bundle, as every other process would.
    """
    return await service_of(request).ready()


@router.get("/metrics", response_class=PlainTextResponse, summary="Figures for Prometheus")
async def figures() -> PlainTextResponse:
    """Return the metrics of all workers of this server in Prometheus' text format."""
    return PlainTextResponse(metrics.page(), media_type=CONTENT_TYPE_LATEST)
