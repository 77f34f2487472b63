"""The ASGI app of `python -m serving`. `uvicorn --factory serving.app:create_app` runs it without `http_limits.py`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from multiprocessing import parent_process
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline

from serving import process
from serving.api import errors, examples
from serving.console import console
from serving.console.page import Console
from serving.front import FrontController
from serving.live.background import Background
from serving.middleware import auth
from serving.routes import gorse, ingest, ops, recommend
from serving.service.service import Service
from serving.settings import Settings

FIRST_LOOK_SECONDS = 30.0


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the app (settings: by default the environment's). `/readyz` succeeds as soon as its bundle is loaded."""
    settings = settings or Settings.from_environment()
    background = Background(settings)
    service = Service(settings, background)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        process.prepare(background.assigner.provider)
        process.stop_in_two_steps(background.leave, settings.leave_seconds)
        running = asyncio.create_task(background.run())
        if parent_process() is not None:  # accept no connection before the bundle is loaded: other workers can answer
            with suppress(TimeoutError):
                await asyncio.wait_for(background.live.looked.wait(), FIRST_LOOK_SECONDS)
        yield
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await service.close()

    app = FastAPIOffline(
        title="Recommendations",
        version=version("recsys"),
        description="Recommendations. Every answer names the source of each item and the versions of all inputs.",
        redoc_url=None,
        redirect_slashes=False,  # a redirect would go to the host in the header Host, which anybody can set
        swagger_ui_parameters={"defaultModelsExpandDepth": 0},
        lifespan=lifespan,
        generate_unique_id_function=_function_name,
        telemetry={"tracing": settings.traces, "auto_configure": settings.traces, "metrics": False, "logs": False},
    )
    app.state.service = service
    # in front of Starlette's own layers, because most answers need none of them; it answers its errors itself
    behind = app.build_middleware_stack
    app.build_middleware_stack = lambda: FrontController(  # type: ignore[method-assign]
        behind(), settings, background.load, background.memory, recommend.router.routes, lambda: background.leaving
    )
    auth.document(app)
    errors.handle(app)
    for routes in (recommend, ingest, ops, *([gorse] if settings.gorse else [])):
        app.include_router(routes.router)
    console.add(app, Console(settings, background, service))
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        engine = background.live.engine
        return plain() if engine is None else examples.with_items(plain(), engine.some_item_ids(len(examples.MADE_UP)))

    app.openapi = openapi  # type: ignore[method-assign]
    return app


def _function_name(route: APIRoute) -> str:
    return route.name
