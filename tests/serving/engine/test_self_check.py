"""A bundle that cannot answer is noticed before it serves."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys.bundle import bundle
from recsys.bundle.bundle import Bundle
from recsys.contracts import Candidates
from recsys.errors import BundleError
from recsys.recommend import self_check
from recsys.sources.popular import Popular
from recsys.sources.random import Random


@pytest.fixture(scope="module")
def shop(bundle_folder: Path) -> Bundle:
    return bundle.load(bundle_folder)


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
    with pytest.raises(BundleError, match="variant 'als' answers known users from the fallback alone"):
        self_check.check(shop)
