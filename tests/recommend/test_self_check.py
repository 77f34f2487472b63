"""A bundle that cannot answer is noticed before it serves."""

import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys.bundle import bundle
from recsys.bundle.bundle import Bundle
from recsys.contracts import Candidates, Query
from recsys.errors import BundleError
from recsys.recommend import self_check
from recsys.recommend.recommender import Recommender
from recsys.sources.popular import Popular
from recsys.sources.random import Random
from tests.support import bundles


@pytest.fixture(scope="module")
def bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.write(tmp_path_factory.mktemp("self_check") / "bundle")


@pytest.fixture(scope="module")
def shop(bundle_folder: Path) -> Bundle:
    return bundle.load(bundle_folder)


def only(shop: Bundle, n: int) -> Bundle:
    """The shop with n items to show."""
    available = np.arange(len(shop.catalogue)) < n
    return replace(shop, catalogue=replace(shop.catalogue, available=available))


def test_a_good_bundle_passes(shop: Bundle) -> None:
    self_check.check(shop)


def test_nothing_to_show(shop: Bundle) -> None:
    nothing = replace(shop.catalogue, available=np.zeros(len(shop.catalogue), dtype=np.bool_))
    with pytest.raises(BundleError, match="none of 24 items is available"):
        self_check.check(replace(shop, catalogue=nothing))


def test_a_part_that_raises(shop: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(Random, "propose", broken)
    with pytest.raises(BundleError, match=r"answers a visitor with 10 items, .*\(failed: source random\)"):
        self_check.check(shop)


def test_a_score_that_is_no_number(shop: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = Candidates(np.arange(20, dtype=np.int32), np.full(20, np.nan, dtype=np.float32))
    monkeypatch.setattr(Popular, "propose", lambda *_: odd)
    with pytest.raises(BundleError, match="with the score nan from 'popular'"):
        self_check.check(shop)


def test_a_model_that_says_nothing_about_anyone(bundle_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = bundle.load(bundle_folder)  # its histories were not encoded yet
    monkeypatch.setattr(type(shop.models["als"].encoder), "encode", lambda *_: None)
    with pytest.raises(BundleError, match="variant 'als' answers all known users by the fallback alone"):
        self_check.check(shop)


def test_a_shop_with_one_item_to_show_passes(shop: Bundle) -> None:
    self_check.check(only(shop, 1))


@pytest.mark.parametrize(("n", "k"), [(24, 10), (9, 4), (14, 7)])
def test_visitors_and_a_few_users_are_asked_for_half_of_the_shop_at_most(
    shop: Bundle, monkeypatch: pytest.MonkeyPatch, n: int, k: int
) -> None:
    asked: list[tuple[str, Query]] = []
    explained: list[str] = []
    real = Recommender.recommend

    def recommend(self: Recommender, query: Query) -> Any:
        asked.append((self.variant, query))
        return real(self, query)

    monkeypatch.setattr(Recommender, "recommend", recommend)
    monkeypatch.setattr(self_check, "explain", lambda _, slate: explained.append(slate.variant))
    monkeypatch.setattr(self_check, "USERS", 3)
    self_check.check(only(shop, n))
    assert {query.k for _, query in asked} == {k}
    users = shop.histories.users
    few = [users.external_id(at) for at in range(0, len(users), -(-len(users) // 3))]
    assert 1 < len(few) <= 3 < len(users)
    for variant in shop.manifest.variants:
        assert [query.user_id for name, query in asked if name == variant] == [None, *few]
    assert explained == list(shop.manifest.variants)


def test_items_without_what_a_page_needs_are_refused(shop: Bundle) -> None:
    frame = shop.catalogue.frame.drop("title")
    with pytest.raises(BundleError, match="its items have no title; run `dvc repro`"):
        self_check.check(replace(shop, catalogue=replace(shop.catalogue, frame=frame)))


def test_the_process_limits_its_memory_and_leaves_no_core(bundle_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits: dict[int, tuple[int, int]] = {}
    checked: list[Bundle] = []
    monkeypatch.setattr("resource.setrlimit", limits.__setitem__)
    monkeypatch.setattr(self_check, "check", checked.append)
    self_check.main(str(bundle_folder), "1000")
    assert limits == {resource.RLIMIT_DATA: (1000, 1000), resource.RLIMIT_CORE: (0, 0)}
    assert [each.manifest.bundle_id for each in checked] == [bundle.load(bundle_folder).manifest.bundle_id]


class Done:
    """How the process ended."""

    def __init__(self, returncode: int, stderr: str = "") -> None:
        self.returncode, self.stderr = returncode, stderr


@pytest.mark.parametrize(
    ("done", "says"),
    [
        (Done(0), ""),
        (Done(-9), "was stopped by signal 9, so the bundle is not used"),
        (Done(1), ": it said nothing"),
        (Done(1, "a warning\nerror: a bad file\n"), ": a bad file"),
    ],
)
def test_how_the_process_ended_is_said(
    bundle_folder: Path, monkeypatch: pytest.MonkeyPatch, done: Done, says: str
) -> None:
    calls: list[tuple[list[str], dict[str, Any]]] = []
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "/elsewhere")

    def run(command: list[str], **how: Any) -> Done:
        calls.append((command, how))
        return done

    monkeypatch.setattr("subprocess.run", run)
    if says:
        with pytest.raises(BundleError, match=says):
            self_check.check_apart(bundle_folder)
    else:
        self_check.check_apart(bundle_folder)
    ((command, how),) = calls
    size = sum(path.stat().st_size for path in bundle_folder.rglob("*") if path.is_file())
    assert command[-2:] == [str(bundle_folder), str((4 << 30) + 6 * size)]
    assert how["capture_output"]
    assert how["text"]
    assert how["timeout"] == 120, "a minute more for each GB"
    assert how["env"]["OMP_NUM_THREADS"] == "1"
    assert "PROMETHEUS_MULTIPROC_DIR" not in how["env"]


def test_a_large_bundle_may_take_longer(bundle_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a GB had a few bytes."""
    limits: list[float] = []
    size = sum(path.stat().st_size for path in bundle_folder.rglob("*") if path.is_file())
    monkeypatch.setattr(self_check, "SECONDS_PER_GB", (1 << 30) * 3 / size)

    def run(*_: object, timeout: float, **__: object) -> Done:
        limits.append(timeout)
        return Done(0)

    monkeypatch.setattr("subprocess.run", run)
    self_check.check_apart(bundle_folder)
    assert limits == [123]
