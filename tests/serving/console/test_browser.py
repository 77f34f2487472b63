"""Every page in a real browser: no script error, no request to elsewhere, no fault that axe finds.

`RECSYS_SCREENSHOTS=docs/console pytest tests/serving/console/test_browser.py` makes the pictures of docs/console.md.
"""

import os
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import httpx
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page

from recsys.bundle import releases
from tests.support import bundles
from tests.support.programs import needs_chromium
from tests.support.servers import serving

pytestmark = needs_chromium

Theme = Literal["light", "dark"]
AXE = Path(__file__).with_name("vendor") / "axe.min.js"
PAGES = {
    "shop": "/console?b=variant%20popular",
    "stranger": "/console?who=stranger",
    "wrong-filter": "/console?filter=prize%20%3C%203",
    "user": "/console/users?user_id=u0000003",
    "nobody": "/console/users?user_id=nobody",
    "items": "/console/items",
    "releases": "/console/releases",
    "diff": "",  # of the two releases, set by the fixture
    "experiments": "/console/experiments",
    "health": "/console/health",
    "data": "/console/data",
    "why": "",  # of an answer that the fixture asked for
    "start": "/",
}
PICTURES = {"shop": "light", "user": "light", "diff": "light", "health": "dark"}
WIDE, NARROW = (1280, 900), (360, 740)


@pytest.fixture(scope="module")
def url(pipeline: Path, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of the pipeline's release, with one of another kind before it."""
    folder = tmp_path_factory.mktemp("console")
    older = releases.promote(bundles.write(folder / "older"), folder / "releases")
    newer = releases.promote(pipeline / "bundle", folder / "releases")
    PAGES["diff"] = f"/console/releases/diff?a={older}&b={newer}"
    named = {"RECSYS_RELEASES": str(folder / "releases")}
    command = [sys.executable, "-m", "serving"]
    arms = "{control: {variant: popular, weight: 0.5}, other: {variant: random, weight: 0.5}}"
    (folder / "experiments.yaml").write_text(f"experiments: {{chance: {{coverage: 0.5, arms: {arms}}}}}\n")
    named["RECSYS_EXPERIMENTS"] = str(folder / "experiments.yaml")
    with serving(command, None, root, folder / "server.log", 1, **named) as (address, _):
        _use(address)
        yield address


def _use(address: str) -> None:
    """Some lists, and clicks on them."""
    for number in range(30):
        asked = {"user_id": f"u000000{number % 10}", "surface": "home", "k": 8}
        answer = httpx.post(f"{address}/v1/recommend", json=asked).json()
        clicked = {"user_id": asked["user_id"], "item_id": answer["items"][number % 5]["item_id"], "event": "view"}
        httpx.post(f"{address}/v1/events", json=clicked | {"request_id": answer["request_id"]})
        PAGES["why"] = f"/console/why?request_id={answer['request_id']}"


@pytest.fixture(params=["light", "dark"])
def theme(request: pytest.FixtureRequest) -> Theme:
    theme: Theme = request.param
    return theme


@pytest.fixture
def page(browser: Browser, url: str, theme: Theme) -> Iterator[Page]:
    """A page that fails the test if a script fails or anything but the server is asked."""
    width, height = WIDE
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
    page = context.new_page()
    trouble: list[str] = []
    page.on("console", lambda said: trouble.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on(
        "request",
        lambda asked: (
            trouble.append(asked.url)
            if not asked.url.startswith("data:") and urlsplit(asked.url).netloc != urlsplit(url).netloc
            else None
        ),
    )
    yield page
    context.close()
    assert not trouble, trouble


def faults(page: Page) -> list[str]:
    page.evaluate(AXE.read_text() + ";0")  # by the debugger: the page's own policy would refuse it
    found = page.evaluate("axe.run(document, {rules: {region: {enabled: true}}})")
    return [f"{fault['id']}: {fault['help']} {fault['nodes'][0]['target']}" for fault in found["violations"]]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_sound(page: Page, url: str, theme: Theme, name: str, tmp_path: Path) -> None:
    page.goto(url + PAGES[name])
    page.wait_for_load_state("networkidle")
    assert faults(page) == []
    picture = page.screenshot()
    folder = os.environ.get("RECSYS_SCREENSHOTS")
    if folder and PICTURES.get(name) == theme:
        Path(folder).mkdir(exist_ok=True)
        Image.open(BytesIO(picture)).save(Path(folder, f"{name}.webp"), quality=85)
    page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
    assert faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW[0]


def test_a_click_changes_the_list_before_your_eyes(page: Page, url: str) -> None:
    page.goto(f"{url}/console?who=stranger")
    before = page.locator(".card h3").all_inner_texts()
    page.get_by_role("button", name="Buy").nth(2).focus()
    page.keyboard.press("Enter")
    page.get_by_role("status").filter(has_text="Stored as an event").wait_for()
    after = page.locator(".card h3").all_inner_texts()
    assert before[2] not in after
    assert page.locator(".strip li").count() == 1
    assert page.evaluate("document.activeElement.id") == "purchase-0-3"  # the keyboard stays where it was
    assert faults(page) == []


def test_the_controls_change_the_list_without_a_new_page(page: Page, url: str) -> None:
    page.goto(f"{url}/console")
    page.evaluate("window.same = true")
    page.get_by_label("Left list").select_option("variant popular")
    page.get_by_role("heading", name="popular", exact=True).wait_for()
    assert page.evaluate("window.same")
    assert "variant+popular" in page.url or "variant%20popular" in page.url
    page.reload()
    page.get_by_role("heading", name="popular", exact=True).wait_for()


def test_the_keyboard_can_skip_to_the_content(page: Page, url: str) -> None:
    page.goto(f"{url}/console")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"


def test_the_pictures_of_the_docs_are_small(root: Path) -> None:
    for name in PICTURES:
        assert (root / "docs" / "console" / f"{name}.webp").stat().st_size < 150_000
