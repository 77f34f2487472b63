"""What stops a bundle before it serves everybody: the replay, and its own live answers."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks.simulator.scrambled import personal, reseal, scramble
from recsys.bundle import bundle, releases
from recsys.drift import canary, promotion, recorded
from recsys.drift.recorded import Recorded
from recsys.errors import BundleError, ParamsError
from recsys.experiments.online.assignment import in_canary
from tests.support import bundles


@pytest.fixture(scope="module")
def released(pipeline: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return personal(pipeline / "bundle", tmp_path_factory.mktemp("released") / "bundle")


def other(source: Path, folder: Path, **changes: object) -> Path:
    """A copy with other content of the manifest, so another release."""
    shutil.copytree(source, folder)
    content = json.loads((folder / bundle.MANIFEST).read_text()) | changes
    return reseal(folder, content)


def test_a_scrambled_bundle_is_refused_and_a_sound_one_becomes_a_canary(released: Path, tmp_path: Path) -> None:
    folder, store = tmp_path / "releases", f"sqlite:///{tmp_path}/none.sqlite"
    first = releases.promote(released, folder)
    with pytest.raises(BundleError, match="in a replay of recorded requests it recommends the hidden newest item"):
        promotion.promote(scramble(released, tmp_path / "scrambled"), folder, None, 0.05, store, "")
    assert releases.read(folder).stack == [first]
    sound = other(released, tmp_path / "sound", metrics={"note": "another"})
    assert "serves 5% of the units" in promotion.promote(sound, folder, None, 0.05, store, "another model")
    state = releases.read(folder)
    assert state.stack == [first]
    assert state.canary is not None
    second = state.canary.bundle_id
    assert json.loads((folder / f"{second}.json").read_text())["notes"] == "another model"
    assert releases.ramp(folder, "looks well") == 0.5
    assert releases.ramp(folder) == 1.0
    releases.ramp(folder)
    assert releases.read(folder).stack == [first, second]
    assert releases.read(folder).canary is None
    assert [entry.action for entry in releases.read(folder).log] == [
        "promote", "canary 5%", "canary 50%", "canary 100%", "promote",
    ]  # fmt: skip
    lines = promotion.lines(folder, first, second)
    assert "metrics.note: absent -> another" in lines
    assert lines[-1].startswith("lists of als: ")
    assert "lists share 100%" in lines[-1]


def test_every_promotion_is_compared_with_the_release_before(released: Path, tmp_path: Path) -> None:
    folder, store = tmp_path / "releases", f"sqlite:///{tmp_path}/none.sqlite"

    def promote(source: Path) -> list[str]:
        return promotion.promote(source, folder, None, 1.0, store, "").splitlines()

    first = promote(released)
    assert len(first) == 1  # there is none before
    assert promote(released) == first
    variants = {"als": {"ndcg@10": 0.25, "few.ndcg@10": 0.125, "recall@10": 1.0}}
    kept = json.loads((released / bundle.MANIFEST).read_text())["metrics"]["variants"]["als"]
    line, items, users, offline, replay = promote(other(released, tmp_path / "other", metrics={"variants": variants}))
    assert line.startswith("current release: ")
    n_items = len(pl.read_parquet(released / "catalogue.parquet"))
    assert items == f"items: {n_items:,} in both, 0 new, 0 gone"
    assert " MB (" in users
    expected = f"few.ndcg@10 0.1250 ({kept['few.ndcg@10']:.4f}), ndcg@10 0.2500 ({kept['ndcg@10']:.4f})"
    assert offline == f"offline, the same window: {expected}"
    assert "lists share 100%" in replay
    for current in folder.glob("*/catalogue.parquet"):
        current.write_bytes(b"damaged")
    line, said = promote(other(released, tmp_path / "third", metrics={"variants": {}}))
    assert line.startswith("current release: ")
    assert said.startswith(f"not compared with {releases.read(folder).stack[-2]}: ")


def test_a_bundle_of_last_year_is_refused(released: Path, tmp_path: Path) -> None:
    old = other(released, tmp_path / "old", trained_until="2020-01-01T00:00:00+00:00")
    found = canary.replay(bundle.load(old), bundle.load(released), {}, [])
    assert found.refused is not None
    assert "trained until 2020-01-01" in found.refused


def test_a_replay_asks_with_what_the_newest_request_of_each_user_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = bundle.load(bundles.write(tmp_path / "bundle"))
    told = [("u:nobody", '{"request": {"attributes": {"team": "red"}}}'), ("u:nobody", None), ("a:visitor", None)]
    shown = [Recorded(f"r{at}", one, 0.0, "als", "b", "", "", [], {}, said) for at, (one, said) in enumerate(told)]
    asked: list[object] = []
    monkeypatch.setattr(recorded, "answers", lambda *_: shown)
    monkeypatch.setattr(recorded, "events", lambda *_: [])
    monkeypatch.setattr(canary, "replay", lambda *given: asked.append(given[2]))
    promotion.replayed(shop, shop, "a store")
    users = shop.histories.users
    everybody: dict[str, object] = {f"u:{users.external_id(at)}": {} for at in range(len(users))}
    assert asked == [{"u:nobody": {"team": "red"}} | everybody]


def test_a_share_only_adds_units() -> None:
    def units(share: float) -> set[str]:
        return {f"u{at}" for at in range(2_000) if in_canary("0" * 16, share, f"u{at}")}

    assert units(0.01) < units(0.1) < units(1.0)
    assert len(units(0.1)) == pytest.approx(200, abs=45)


def answers(n: int, rate: float, seed: int, ms: float = 5.0) -> tuple[list[Recorded], dict[str, bool]]:
    rng = np.random.default_rng(seed)
    made = [
        Recorded(f"{seed}-{at}", f"u{at % (n // 3 + 1)}", 0.0, "als", "b", "home", "warm", [], {"latency_ms": ms})
        for at in range(n)
    ]
    return made, {one.request_id: True for one in made if rng.random() < rate}


@pytest.mark.parametrize(
    ("rates", "ms", "action"),
    [((0.1, 0.1), 5, "go on"), ((0.02, 0.1), 5, "abort"), ((0.1, 0.02), 5, "go on"), ((0.1, 0.1), 500, "abort")],
)
def test_live_answers_decide(rates: tuple[float, float], ms: float, action: str) -> None:
    (new, clicks), (old, more) = answers(1_000, rates[0], 1, ms), answers(3_000, rates[1], 2)
    clicked: Mapping[str, bool] = {**clicks, **more}
    assert canary.judge(new, old, clicked, 500, 0.05).action == action
    assert canary.judge(new[:50], old, clicked, 500, 0.05).action == "wait"


def fallen(n: int, persons: int, share: float, seed: int) -> list[Recorded]:
    """Answers of which each person's all fall back or none."""
    chance = np.random.default_rng(seed)
    unknown = chance.random(persons) < share
    return [
        Recorded(
            f"{seed}-{at}", f"{seed}-{who}", float(at), "als", "b", "home", "warm", [], {"fallback": bool(unknown[who])}
        )
        for at, who in enumerate(chance.integers(0, persons, n))
    ]


def test_fallback_is_judged_by_persons_and_all_of_it_ends_a_canary() -> None:
    before = fallen(2_000, 600, 0.1, 0)
    ended = [
        canary.judge(fallen(120, 30, 0.1, seed), before, {}, 500, 0.05).action == "abort" for seed in range(1, 101)
    ]
    assert sum(ended) <= 5
    assert canary.judge(fallen(600, 200, 0.5, 1), before, {}, 500, 0.05).action == "abort"
    assert canary.judge(fallen(120, 30, 1.0, 1), fallen(2_000, 600, 0.0, 0), {}, 500, 0.05).action == "abort"


def test_a_few_late_answers_of_the_release_before_end_no_canary() -> None:
    (new, clicks), (old, more) = answers(1_000, 0.1, 1), answers(3, 1.0, 2)
    assert canary.judge(new, old, {**clicks, **more}, 500, 0.05).action == "go on"


@pytest.mark.parametrize(("factor", "refused"), [(0.0, True), (100.0, True), (1.2, False)])
def test_prices_of_another_currency_or_of_nothing_are_refused(
    released: Path, tmp_path: Path, factor: float, refused: bool
) -> None:
    shutil.copytree(released, tmp_path / "priced")
    path = tmp_path / "priced" / "catalogue.parquet"
    pl.read_parquet(path).with_columns(pl.col("price") * factor).write_parquet(path)
    priced = bundle.load(reseal(tmp_path / "priced"))
    found = canary.replay(priced, bundle.load(released), {}, [])
    assert ("its prices are" in str(found.refused)) is refused


def test_a_share_is_read_or_refused() -> None:
    with pytest.raises(ParamsError, match="--canary '500%': expected a share"):
        promotion.share_of("500%")
