"""Scrapes the API and the watcher at the shop's time into a file that Prometheus reads in at the end of the month."""

import re
from pathlib import Path
from types import TracebackType
from typing import Self

import yaml
from prometheus_client import REGISTRY, generate_latest

from benchmarks.monitoring.servers import FOLDER
from benchmarks.rehearsal.client import Api

EVERY = 120.0  # seconds; the committed interval is 15 s
RULES = ("alerts.yml", "levels.yml")
SAMPLE = re.compile(r"^(recsys_\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


def rules() -> list[dict[str, str]]:
    """Return the committed rules, recorded ones too."""
    files = [yaml.safe_load((FOLDER / name).read_text()) for name in RULES]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]


NAMES = frozenset(re.findall(r"\brecsys_\w+", " ".join(rule["expr"] for rule in rules())))


class Scraper:
    """Writes the samples that the rules read. A page is only fetched again after something happened."""

    def __init__(self, api: Api, path: Path) -> None:
        self._api, self._file = api, path.open("w")
        self.stale = True
        self._page: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._file.write("# EOF\n")
        self._file.close()

    def scrape(self, now: float) -> None:
        """Write one scrape of both processes."""
        if self.stale:
            status, body = self._api.ask("GET", "/metrics")
            self._page, self.stale = (body.decode() if status == 200 else None), False
        watch = generate_latest(REGISTRY).decode()
        for job, page in (("recsys", self._page), ("recsys-watch", watch)):
            own = f'job="{job}",instance="{job}"'
            self._file.write(f"up{{{own}}} {int(page is not None)} {now:.0f}\n")
            for name, labels, value in SAMPLE.findall(page or ""):
                if name in NAMES and name.startswith(("recsys_watch", "recsys_retrain")) == (job == "recsys-watch"):
                    if name.startswith("recsys_request_seconds") and "/v1/recommend" not in labels:
                        continue
                    self._file.write(f"{name}{{{','.join(filter(None, (labels, own)))}}} {value} {now:.0f}\n")
