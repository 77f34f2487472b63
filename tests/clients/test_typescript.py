"""The TypeScript client in Chromium: a page whose own server passes requests on to a running API, with its key."""

import json
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.support import bundles
from tests.support.programs import needs_chromium
from tests.support.servers import serving

CLIENT = Path(__file__).resolve().parents[2] / "clients" / "typescript"
pytestmark = needs_chromium

PAGE = """<!doctype html><title>shop</title><link rel="icon" href="data:,">
<div id="list"></div><div style="height: 3000px"></div><div id="below"></div>
<script type="module">
import { Recommendations } from "/recommendations.js";
const [list, below] = ["list", "below"].map((id) => document.getElementById(id));
window.shop = new Recommendations({ base: "/recs", fallback: ["a", "b", "c"], timeout: TIMEOUT, every: 600000 });
window.draw = async (fields) => {
  window.answer = await shop.recommend(fields);
  list.replaceChildren();
  below.replaceChildren();
  for (const item of answer.items) {
    const div = document.createElement("div");
    div.id = item.item_id; div.textContent = item.title || item.item_id;
    (item === answer.items.at(-1) ? below : list).append(div);
  }
  return answer;
};
</script>"""


@dataclass
class Shop:
    """The page's own server: the page, the client, and a proxy to the API. `status`: said in place of the API."""

    api: str
    status: int | None = None
    sent: list[tuple[str, Any]] = field(default_factory=list)
    url: str = ""

    def events(self) -> list[dict[str, Any]]:
        return [event for path, body in self.sent if path == "/v1/events" for event in body]


def handler(shop: Shop) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/recommendations.js":
                return self.reply(200, "text/javascript", (CLIENT / "recommendations.js").read_bytes())
            return self.reply(200, "text/html", PAGE.replace("TIMEOUT", "20000").encode())

        def do_POST(self) -> None:
            body, path = self.rfile.read(int(self.headers["content-length"])), self.path.removeprefix("/recs")
            shop.sent.append((path, json.loads(body)))
            if shop.status is not None:
                return self.reply(shop.status, "application/json", b"{}")
            headers = {"content-type": self.headers["content-type"], "authorization": "Bearer of-the-shop"}
            try:
                with urllib.request.urlopen(urllib.request.Request(shop.api + path, body, headers)) as answer:
                    return self.reply(answer.status, "application/json", answer.read())
            except urllib.error.HTTPError as error:
                return self.reply(error.code, "application/json", error.read())

        def reply(self, status: int, kind: str, content: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@pytest.fixture(scope="module")
def api(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("browser")
    bundle = bundles.write(folder / "bundle")
    with serving([sys.executable, "-m", "serving"], bundle, root, folder / "server.log", 1) as (address, _):
        yield address


@pytest.fixture
def shop(api: str) -> Iterator[Shop]:
    shop = Shop(api)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler(shop)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        shop.url = f"http://127.0.0.1:{server.server_port}"
        yield shop
        server.shutdown()


@pytest.fixture
def page(browser: Browser, shop: Shop) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 800, "height": 600})
    context.set_default_timeout(120_000)  # of a loaded machine
    page = context.new_page()
    trouble: list[str] = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.goto(shop.url)
    page.wait_for_function("'draw' in window")
    yield page
    context.close()
    assert not trouble, trouble


def test_a_guest_gets_a_list_and_clicks(page: Page, shop: Shop) -> None:
    answer = page.evaluate("draw({ k: 3, surface: 'home' })")
    assert len(answer["items"]) == 3
    path, asked = shop.sent[0]
    assert path == "/v1/recommend"
    assert asked["anonymous_id"].startswith("guest-")
    page.evaluate("shop.click(answer.items[0].item_id, answer); shop.flush()")
    page.wait_for_function("JSON.parse(localStorage['recommendations.queue']).length === 0")
    (click,) = shop.events()
    assert click["event"] == "click"
    assert click["request_id"] == answer["request_id"]
    assert click["anonymous_id"] == asked["anonymous_id"]


def test_visitor_and_session_stay_over_a_reload_and_a_user_logs_in(page: Page, shop: Shop) -> None:
    page.evaluate("draw({ k: 1 })")
    page.reload()
    page.wait_for_function("'draw' in window")
    page.evaluate("draw({ k: 1 })")
    first, second = (body for path, body in shop.sent if path == "/v1/recommend")
    assert (first["anonymous_id"], first["session_id"]) == (second["anonymous_id"], second["session_id"])
    page.evaluate("shop.userId = 'anna'")
    page.evaluate("draw({ k: 1 })")
    assert shop.sent[-1][1]["user_id"] == "anna"
    assert "anonymous_id" not in shop.sent[-1][1]


def test_what_is_seen_is_sent_when_the_page_is_left(page: Page, shop: Shop) -> None:
    """The last item is below the fold: nobody saw it."""
    answer = page.evaluate("draw({ k: 3 })")
    page.evaluate("shop.watch(answer, (item) => document.getElementById(item.item_id), 'view')")
    page.wait_for_function("JSON.parse(localStorage['recommendations.queue'] ?? '[]').length === 2")
    assert not shop.events()
    page.goto("about:blank")
    for _ in range(2400):  # Playwright does not see the request of a page that is gone
        if shop.events():
            break
        page.wait_for_timeout(50)
    events = shop.events()
    assert {event["item_id"] for event in events} == {item["item_id"] for item in answer["items"][:2]}
    assert {event["event"] for event in events} == {"view"}


def test_events_wait_until_the_api_is_back_and_keep_their_ids(page: Page, shop: Shop) -> None:
    shop.status = 503
    page.evaluate("shop.track('click', 'i0'); shop.flush()")
    page.wait_for_function("!shop.sending")
    assert len(page.evaluate("JSON.parse(localStorage['recommendations.queue'])")) == 1
    shop.status = None
    page.evaluate("shop.flush()")
    page.wait_for_function("JSON.parse(localStorage['recommendations.queue']).length === 0")
    first, second = shop.events()
    assert first == second


def test_what_is_refused_for_good_leaves_the_queue(page: Page, shop: Shop) -> None:
    """A wrong event among good ones is refused by itself and said in the console of the browser; the others count."""
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.evaluate("shop.track('stare', 'i0'); shop.track('click', 'i0'); shop.flush()")
    page.wait_for_function("JSON.parse(localStorage['recommendations.queue']).length === 0")
    page.wait_for_function("!shop.sending")
    assert any("'stare' is not one of" in line for line in said), said
    shop.status = 422
    page.evaluate("shop.track('click', 'i0'); shop.flush()")
    page.wait_for_function("JSON.parse(localStorage['recommendations.queue']).length === 0")


def test_the_own_list_when_the_api_is_away(page: Page, shop: Shop) -> None:
    shop.status = 503
    answer = page.evaluate("shop.recommend({ k: 2, exclude_ids: ['a'] })")
    assert answer["request_id"] is None
    assert [item["item_id"] for item in answer["items"]] == ["b", "c"]
    assert [item["item_id"] for item in page.evaluate("shop.similar('b')")["items"]] == ["a", "c"]


def test_a_browser_without_storage_keeps_one_visitor_for_the_page(page: Page, shop: Shop) -> None:
    page.evaluate(
        "Storage.prototype.setItem = () => { throw new Error('full') }; localStorage.clear(); sessionStorage.clear()"
    )
    page.evaluate("draw({ k: 1 })")
    page.evaluate("draw({ k: 1 })")
    first, second = (body for path, body in shop.sent if path == "/v1/recommend")
    assert (first["anonymous_id"], first["session_id"]) == (second["anonymous_id"], second["session_id"])
    page.evaluate("shop.track('click', 'i0'); shop.flush()")
    page.wait_for_function("!shop.sending")
    assert len(shop.events()) == 1


def test_the_script_is_what_tsc_makes_of_the_source(tmp_path: Path) -> None:
    tsc = shutil.which("tsc")
    if tsc is None:  # also where node itself is missing
        pytest.skip("no tsc here; install it (npm install --global typescript@5)")
    subprocess.run([tsc, "-p", str(CLIENT), "--outDir", str(tmp_path)], check=True)
    assert (tmp_path / "recommendations.js").read_text() == (CLIENT / "recommendations.js").read_text()
