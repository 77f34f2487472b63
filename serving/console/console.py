"""Adds the Console to the app: its pages, its scripts and styles, and `GET /`, which names where to go."""

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

from serving.console import health, people, releases, reports, shop
from serving.console.page import HEADERS, STATIC, TEMPLATES, Console, only_from_here

router = APIRouter()


def add(app: FastAPI, console: Console) -> None:
    """Add all routes; they are no part of the API's document."""
    app.state.console = console
    app.mount("/console/static", StaticFiles(directory=STATIC))
    for pages in (shop, people, releases, reports, health):
        app.include_router(pages.router, include_in_schema=False, dependencies=[Depends(only_from_here)])
    app.include_router(router, include_in_schema=False)


@router.get("/")
async def start(_: Request) -> HTMLResponse:
    """Return the addresses of this server's pages; open without a key."""
    return HTMLResponse(TEMPLATES.get_template("start.html.j2").render(), headers=HEADERS)
