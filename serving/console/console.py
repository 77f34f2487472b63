"""Adds the Console to the app: its pages, its scripts and styles, and `GET /`, which links to all pages."""

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

from serving.console import health, people, releases, reports, shop
from serving.console.page import HEADERS, STATIC, TEMPLATES, Console, only_from_here

router = APIRouter()


def add(app: FastAPI, console: Console) -> None:
    """Add all routes of the Console; the OpenAPI document does not include them."""
    app.state.console = console
    app.mount("/console/static", StaticFiles(directory=STATIC))
    for pages in (shop, people, releases, reports, health):
        app.include_router(pages.router, include_in_schema=False, dependencies=[Depends(only_from_here)])
    app.include_router(router, include_in_schema=False)


@router.get("/")
async def start(_: Request) -> HTMLResponse:
    """Show links to the pages of this server. It needs no API key."""
    return HTMLResponse(TEMPLATES.get_template("start.html.j2").render(), headers=HEADERS)
