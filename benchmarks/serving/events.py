"""Events a second through the API, one at a time and in batches of 100; every one is durable before it is acknowledged.

    python -m benchmarks.serving.events    writes benchmarks/results/serving_events.json

Closed-loop (wrk, 32 connections) on the same cores as the server. An event counts when its answer was a success; at the
end the rows of the store are counted and must be as many.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import apsw

from benchmarks import provenance
from benchmarks.serving import shop
from benchmarks.serving.load import ROUND_SECONDS, prepared, wrk
from benchmarks.serving.server import running
from recsys.schemas.store_schema import SQLITE

CONNECTIONS, ROUNDS = 32, 3
SCRIPT = """
local batch, number = %d, 0
wrk.method = 'POST'
wrk.path = '/v1/events'
wrk.headers['content-type'] = 'application/json'
request = function()
  local events = {}
  for at = 1, batch do
    number = number + 1
    events[at] = string.format('{"event_id":"%%s-%%d","user_id":"u%%07d","item_id":"p%%07d","event":"view"}',
      '%s', number, number %% 20000, number %% 10000)
  end
  return wrk.format(nil, nil, nil, '[' .. table.concat(events, ',') .. ']')
end
"""


def main(numbers: tuple[int, ...] = (1, 2), rounds: int = ROUNDS, seconds: int = ROUND_SECONDS) -> None:
    """Measure with each number of workers and write."""
    origin, found = provenance.describe(), {}
    for workers in numbers:
        with tempfile.TemporaryDirectory() as name:
            found[str(workers)] = measure(Path(name), workers, rounds, seconds)
    provenance.write("serving_events", origin, {"workers": found})
    print(json.dumps(found, indent=1))


def measure(folder: Path, workers: int, rounds: int, seconds: int) -> dict[str, Any]:
    """Rates with so many workers, and whether the store holds what was acknowledged."""
    environment = {"RECSYS_RELEASES": str(shop.releases()), "RECSYS_STORE_MS": "10000", **prepared(folder)}
    rates: dict[str, list[float]] = {}
    script, acknowledged = folder / "events.lua", 0
    with running("serving", folder, workers, **environment) as server:
        for round_ in range(rounds):
            for batch in (1, 100):
                script.write_text(SCRIPT % (batch, f"{round_}-{batch}"))
                done = wrk(server.port, ["-s", str(script)], CONNECTIONS, seconds)
                rates.setdefault(f"batches_of_{batch}", []).append(round(done.per_second * batch))
                acknowledged += done.requests * batch
    file = environment["RECSYS_STORE_URL"].removeprefix(SQLITE)
    stored = next(apsw.Connection(file, flags=apsw.SQLITE_OPEN_READONLY).execute("SELECT count(*) FROM events"))[0]
    return {"events_per_second": rates, "acknowledged": acknowledged, "in_store": stored}


if __name__ == "__main__":
    main()
