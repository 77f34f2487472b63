"""`experiments.yaml` as people write it: weights are normalised or refused, and what is said twice is refused."""

from pathlib import Path

import pytest

from recsys.errors import ParamsError
from recsys.experiments.online import config
from recsys.experiments.online.team_draft import team_draft

TWO = "{a: {variant: als, weight: 0.5}, b: {variant: popular, weight: 0.5}}"


def load(folder: Path, text: str) -> config.Experiments:
    path = folder / "experiments.yaml"
    path.write_text(text)
    return config.load(path)[0]


@pytest.mark.parametrize(
    "weights",
    [
        ("0.3333333", "0.3333333", "0.3333333"),
        ("0.333", "0.333", "0.333"),
        ("0.33", "0.33", "0.34"),
        ("0.1", "0.2", "0.7"),
        ("0.16666667", "0.16666667", "0.66666667"),
    ],
)
def test_weights_are_normalised(tmp_path: Path, weights: tuple[str, str, str]) -> None:
    arms = ", ".join(f"{name}: {{variant: als, weight: {weight}}}" for name, weight in zip("abc", weights, strict=True))
    read = load(tmp_path, f"experiments: {{home: {{arms: {{{arms}}}}}}}").experiments["home"].arms
    assert sum(arm.weight for arm in read.values()) == pytest.approx(1, abs=1e-15)
    for arm, weight in zip(read.values(), weights, strict=True):
        assert arm.weight == pytest.approx(float(weight), abs=5e-4)


@pytest.mark.parametrize("weights", [("0.3", "0.3", "0.3"), ("1", "1", "1"), ("0.5", "0.5", "0.01")])
def test_weights_that_are_no_whole_are_refused(tmp_path: Path, weights: tuple[str, str, str]) -> None:
    arms = ", ".join(f"{name}: {{variant: als, weight: {weight}}}" for name, weight in zip("abc", weights, strict=True))
    with pytest.raises(ParamsError, match="add up to"):
        load(tmp_path, f"experiments: {{home: {{arms: {{{arms}}}}}}}")


@pytest.mark.parametrize(
    "text",
    [
        f"experiments:\n  home:\n    enabled: false\n    arms: {TWO}\n    enabled: true\n",
        f"experiments:\n  home:\n    arms: {TWO}\n  home:\n    arms: {TWO}\n",
        f"holdout: 0.1\nexperiments: {{home: {{arms: {TWO}}}}}\nholdout: 0\n",
        "experiments: {home: {arms: {a: {variant: als, weight: 0.5}, a: {variant: als, weight: 0.5}}}}",
        f"experiments:\n  home: &x\n    arms: {TWO}\n  other: *x\n",
    ],
    ids=["kill switch", "experiment", "top", "arm", "alias"],
)
def test_what_stands_there_twice_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ParamsError, match=r"experiments\.yaml: line \d+: "):
        load(tmp_path, text)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("start: 1717200000", r"expected a date and time with a zone, such as .*, found 1717200000"),
        ("end: '1717200000.5'", r"expected a date and time with a zone"),
        ("coverage: true", r"expected a number, found true"),
        ("targeting: {segments: [wram]}", r"segments.*'warm', 'few' or 'cold_user'"),
        ("targeting: {attributes: {country: []}}", r"country.*at least 1 item"),
        ("forced: {' anna': a}", r"forced: no unit has the id ' anna': white space at an end"),
        ("attribution_hours: 1e300", r"attribution_hours.*less than or equal to"),
    ],
)
def test_a_setting_that_would_be_guessed_or_match_nobody_is_refused(tmp_path: Path, setting: str, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        load(tmp_path, f"experiments: {{home: {{arms: {TWO}, {setting}}}}}")
    with pytest.raises(ParamsError, match="expected a number, found true"):
        load(tmp_path, f"experiments: {{home: {{arms: {TWO.replace('0.5', 'true')}}}}}")
    dated = load(
        tmp_path, f"experiments: {{home: {{arms: {TWO}, start: 2026-03-01T08:00:00Z, end: '2026-04-01 00:00+01:00'}}}}"
    )
    assert dated.experiments["home"].start is not None


@pytest.mark.parametrize("names", [("Home", "home"), ("h\u00f6me", "ho\u0308me")])
def test_names_that_can_be_mistaken_for_each_other_are_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    both = ", ".join(f"{name}: {{arms: {TWO}}}" for name in names)
    with pytest.raises(ParamsError, match=r"can be mistaken for each other|String should match pattern"):
        load(tmp_path, f"experiments: {{{both}}}")


@pytest.mark.parametrize(
    "text", ["", "\n\n", "# all of it is gone\n", "experiments:\n", "experiments: {home: {arms: {a"]
)
def test_an_emptied_or_half_written_file_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ParamsError, match=r"experiments\.yaml"):
        load(tmp_path, text)


def test_what_a_file_says_of_guardrails_and_arms_is_read(tmp_path: Path) -> None:
    drawing = "explore: {epsilon: 0.1, places: 1, pool: 4}"
    arms = f"{{a: {{variant: als, weight: 0.5}}, b: {{variant: als, weight: 0.25, {drawing}}}, "
    arms += "c: {variant: als, weight: 0.25, interleave: popular}}"
    named = load(tmp_path, f"experiments: {{home: {{arms: {arms}, guardrails: [latency_ms, conversion]}}}}")
    home = named.experiments["home"]
    assert home.guardrails == {"latency_ms": config.GUARDRAILS["latency_ms"], "conversion": config.MARGIN}
    assert home.control == "a"
    assert [arm.drawn for arm in home.arms.values()] == [False, True, True]
    own = load(tmp_path, f"experiments: {{home: {{arms: {TWO}, guardrails: {{fallback_rate: {{budget: 0.2}}}}}}}}")
    assert own.experiments["home"].guardrails["fallback_rate"].budget == 0.2
    with pytest.raises(ParamsError, match="conversion cannot have a budget, set a margin"):
        load(tmp_path, f"experiments: {{home: {{arms: {TWO}, guardrails: {{conversion: {{budget: 0.2}}}}}}}}")
    with pytest.raises(ParamsError, match="has either explore or interleave, not both"):
        load(tmp_path, f"experiments: {{home: {{arms: {arms.replace('pool: 4}', 'pool: 4}, interleave: popular')}}}}}")


def test_an_experiment_whose_units_would_change_their_arm_is_named(tmp_path: Path) -> None:
    def of(**experiments: str) -> config.Experiments:
        return load(tmp_path, f"experiments: {{{', '.join(f'{name}: {{{it}}}' for name, it in experiments.items())}}}")

    before = of(a=f"arms: {TWO}", b=f"arms: {TWO}", gone=f"arms: {TWO}")
    assert config.moved(before, before) == []
    after = of(a=f"arms: {TWO.replace('0.5', '0.25', 1).replace('0.5', '0.75')}", b=f"arms: {TWO}", new=f"arms: {TWO}")
    assert config.moved(before, after) == ["a"]
    assert config.moved(before, of(b=f"arms: {TWO}, seed: other", a=f"arms: {TWO}, coverage: 0.5")) == ["b"]


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_a_draft_has_as_many_places_as_were_asked_for(k: int) -> None:
    for seed in range(8):
        assert len(team_draft(["x", "y", "z"], ["q", "r", "s"], k, seed)) == k
