"""The app: `uvicorn --factory serving.app:create_app`, or `python -m serving`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version

from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline

from serving import errors, security
from serving.live import Live
from serving.request_ids import RequestIds
from serving.routes import probes, v1
from serving.settings import Settings


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the app; it starts at once and is ready as soon as its bundle is loaded."""
    settings = settings or Settings.from_environment()
    live = Live(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        loading = asyncio.create_task(live.follow())
        yield
        loading.cancel()
        with suppress(asyncio.CancelledError):
            await loading

    app = FastAPIOffline(
        title="Recommendations",
        version=version("recsys"),
        description="What to show to whom. Every answer says where each item comes from and what it was made of.",
        redoc_url=None,
        swagger_ui_parameters={"defaultModelsExpandDepth": 0},
        lifespan=lifespan,
        generate_unique_id_function=_function_name,
    )
    app.state.live = live
    security.protect(app, settings)
    app.add_middleware(RequestIds)
    errors.handle(app)
    app.include_router(v1)
    app.include_router(probes)
    return app


def _function_name(route: APIRoute) -> str:
    return route.name
