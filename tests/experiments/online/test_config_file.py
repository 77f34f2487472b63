"""`experiments.yaml` as people write it: weights are normalised or refused, and what is said twice is refused."""

from pathlib import Path

import pytest

from recsys.errors import ParamsError
from recsys.experiments.online import config

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
    "text", ["", "\n\n", "# all of it is gone\n", "experiments:\n", "experiments: {home: {arms: {a"]
)
def test_an_emptied_or_half_written_file_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ParamsError, match=r"experiments\.yaml"):
        load(tmp_path, text)
