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
    """The process is alive: restart it when this fails."""
    return Health()


@router.get("/readyz", responses=documented(503), summary="Can it answer?")
async def ready(request: Request) -> Ready:
    """A bundle is loaded and the store was reached: send traffic when this succeeds; a 503 says what is missing.

    A store that fails later is named in `store`. That is no reason to take the process out of traffic: it goes on
    answering from the bundle, and the other processes would not do better.
    """
    return await service_of(request).ready()


@router.get("/metrics", response_class=PlainTextResponse, summary="Figures for Prometheus")
async def figures() -> PlainTextResponse:
    """Metrics of all workers of this server, in Prometheus' format: requests, latency, fallbacks, events, exposures."""
    return PlainTextResponse(metrics.page(), media_type=CONTENT_TYPE_LATEST)
