"""`python -m deploy.demo`: start the API on the current release, send the requests of a shop, print the answers.

The exit code is not 0 if an answer is wrong.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from recsys.bundle import bundle, releases
from recsys.bundle.bundle import Bundle
from recsys.errors import RecsysError, reports_errors
from serving.settings import Settings
from serving.stores.migrations import migrate

START_SECONDS = 60.0
K = 5
WIDTH = 100
STRANGER = "somebody new"
SHOWN_METRICS = ("recall", "ndcg", "coverage", "new_share")
EVENT = "purchase"


@reports_errors
def main() -> None:
    """Run the demonstration from start to end."""
    settings = Settings.from_environment()
    shop = bundle.load(settings.bundle or releases.current(settings.releases))
    user_id, rows = known_user(shop)
    seen = [shop.catalogue.ids.external_id(row) for row in rows]
    with server() as url:
        about = ask(url, "/v1/about")
        counts = {name: f"{count:,}" for name, count in about["counts"].items()}
        print(f"\nbundle {about['bundle_id']} of {about['dataset']}, trained until {about['trained_until']:.16} UTC")
        print(f"{counts['items']} items, {counts['users']} users, {counts['interactions']} interactions")

        print(f"\nA known user, {user_id}. The last of {len(seen)} items in the history:")
        for row in rows[-5:]:
            print(f"     {shop.catalogue.frame['title'][row]:.{WIDTH - 5}}")
        answer = ask(url, "/v1/recommend", {"user_id": user_id, "k": K})
        show(answer)
        expect(not answer["meta"]["fallback"], "a known user was answered by the fallback")
        repeated = {item["item_id"] for item in answer["items"]} & set(seen)
        expect(about["allow_repeat"] or not repeated, f"items of the history were recommended: {sorted(repeated)}")

        like = answer["items"][0]
        print(f"\nAn unknown user, {STRANGER!r}:")
        before = ask(url, "/v1/recommend", {"user_id": STRANGER, "k": K})
        show(before)

        print(f"\nThe same user after one event, {EVENT} of {like['title']:.{WIDTH - 50}}:")
        event = {"event_id": "demo", "user_id": STRANGER, "item_id": like["item_id"], "event": EVENT}
        told = ask(url, "/v1/events", event)
        expect(told["accepted"] == 1, f"the event was not accepted: {told}")
        after = ask(url, "/v1/recommend", {"user_id": STRANGER, "k": K})
        show(after)
        expect(after["items"] != before["items"], "an event did not change the next answer")
        expect(ask(url, "/v1/events", event)["duplicates"] == 1, "the same event counted twice")

        print(f"\nItems like the first one of the known user, {like['title']:.{WIDTH - 43}}:")
        answer = ask(url, "/v1/similar", {"item_id": like["item_id"], "k": K})
        show(answer)
        expect(like["item_id"] not in {item["item_id"] for item in answer["items"]}, "an item is similar to itself")

        print("\nOffline evaluation of this release, all users of the test window:")
        show_metrics(about["metrics"], about["default_variant"])
    print("\nThe server has stopped. Start it with `make serve`, and look at http://127.0.0.1:8000/console")


def known_user(shop: Bundle) -> tuple[str, list[int]]:
    """Return the first user with 10 different items, or the one with most, and the items' rows, oldest first."""
    users = shop.histories.users
    best: list[int] = []
    chosen = 0
    for position in range(len(users)):
        rows = list(dict.fromkeys(shop.histories.at(position).rows.tolist()))
        if len(rows) > len(best):
            chosen, best = position, rows
        if len(best) >= 10:
            break
    expect(bool(best), "no user of the bundle has a history")
    return users.external_id(chosen), best


@contextmanager
def server() -> Iterator[str]:
    """Start a server process on a free port with a store of its own, wait until it is ready, stop it at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as log:
        store_url = f"sqlite:///{folder}/events.sqlite"
        migrate(store_url)
        command = [sys.executable, "-m", "serving", "--host", "127.0.0.1", "--port", str(port)]
        process = subprocess.Popen(command, env={**os.environ, "RECSYS_STORE_URL": store_url}, stdout=log, stderr=log)
        try:
            wait_until_ready(process, url)
            yield url
        except RecsysError:
            log.seek(0)
            print("".join(log.readlines()[-20:]), file=sys.stderr)
            raise
        finally:
            process.terminate()
            code = process.wait(timeout=30)
    expect(code in (0, -signal.SIGTERM), f"the server ended with exit code {code}")


def wait_until_ready(process: "subprocess.Popen[bytes]", url: str) -> None:
    """Poll /readyz until it answers 200."""
    reason = "it does not answer"
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        expect(
            process.poll() is None, f"the server ended with exit code {process.returncode}; its last lines are above"
        )
        try:
            ask(url, "/readyz")
            return
        except (RecsysError, OSError) as error:
            reason = str(error)
        time.sleep(0.05)
    expect(False, f"the server is not ready after {START_SECONDS:.0f} s: {reason}")


def ask(url: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Send one request; with a body it is a POST.

    Raises:
        RecsysError: "/v1/recommend: answered 500: ..."
    """
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url + path, data, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            answer: dict[str, Any] = json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            raise RecsysError(f"{path}: answered {error.code}: {error.read().decode()}") from error
    return answer


def show(answer: dict[str, Any]) -> None:
    """Print one line per item and one of `meta`; a list that is short or degraded is an error."""
    meta = answer["meta"]
    for item in answer["items"]:
        start = f"{item['rank']:>3}  {item['score']:>8.3f}  {item['source']:<10.10}  "
        print(f"{start}{item['title']:.{WIDTH - len(start)}}")
    why = f"fallback because of {meta['fallback_reason']}" if meta["fallback"] else "no fallback"
    print(f"     variant {meta['variant']}, {why}, {meta['timings_ms']['total']:.1f} ms")
    expect(len(answer["items"]) == K, f"{K} items were asked for: {meta['shortfall']}")
    expect(not meta["degraded"], f"these parts failed: {', '.join(meta['failed'])}")


def show_metrics(metrics: dict[str, Any], default_variant: str) -> None:
    """Print the reasons of the gate, and one line of offline metrics per variant."""
    variants = metrics["variants"]
    at = next(name for name in variants[default_variant] if "." not in name).partition("@")[2]
    print(textwrap.fill(metrics["gate"], WIDTH, initial_indent="     ", subsequent_indent="     "))
    print(" " * 25 + "".join(f"{f'{name}@{at}':>14}" for name in SHOWN_METRICS))
    for variant, figures in variants.items():
        print(f"     {variant:<20.19}" + "".join(f"{figures[f'{name}@{at}']:>14.4f}" for name in SHOWN_METRICS))


def expect(condition: bool, otherwise: str) -> None:
    """Raise RecsysError with the message `otherwise` unless the condition holds."""
    if not condition:
        raise RecsysError(otherwise)


if __name__ == "__main__":
    main()
