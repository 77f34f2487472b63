"""Buckets agree with GrowthBook's own SDK, and nobody moves when coverage rises."""

import random
import string
from datetime import UTC, datetime
from pathlib import Path

import pytest
from growthbook import core

from recsys.errors import ParamsError
from recsys.experiments.online.assignment import Assignment, Subject, arm_of, assign_one, bucket, fnv1a32, place
from recsys.experiments.online.config import Arm, Experiment, Experiments, Explore, Namespace, Targeting, load

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ALPHABET = string.printable + "äöüßéñ中文字🐢🎉é"


def experiment(**changes: object) -> Experiment:
    content = {"arms": {"a": Arm(variant="als", weight=0.5), "b": Arm(variant="popular", weight=0.5)}, **changes}
    return Experiment.model_validate(content)


def assign(config: Experiments, subject: Subject, now: datetime) -> list[Assignment]:
    """Every assignment of the subject, in the order of the file."""
    found = (assign_one(config, name, subject, now) for name in config.experiments)
    return [assignment for assignment in found if assignment is not None]


def user(name: str, **about: object) -> Subject:
    return Subject({"user": name}, **about)  # type: ignore[arg-type]


def test_buckets_are_those_of_growthbook() -> None:
    """100,000 random inputs of every length and script."""
    chance = random.Random(7)
    for _ in range(100_000):
        seed = "".join(chance.choices(ALPHABET, k=chance.randrange(12)))
        unit = "".join(chance.choices(ALPHABET, k=chance.randrange(1, 20)))
        assert bucket(seed, unit) == core.gbhash(seed, unit, 2)


def test_namespaces_and_ranges_are_those_of_growthbook() -> None:
    chance = random.Random(8)
    for _ in range(5_000):
        unit = "".join(chance.choices(ALPHABET, k=chance.randrange(1, 20)))
        assert place("layer", unit) == core.gbhash("__layer", unit, 1)
        cut, coverage = round(chance.uniform(0.05, 0.95), 2), round(chance.random(), 2)
        arms = {"a": Arm(variant="x", weight=cut), "b": Arm(variant="y", weight=1 - cut)}
        ours = arm_of(experiment(arms=arms, coverage=coverage), bucket("s", unit))
        theirs = core.chooseVariation(bucket("s", unit), core.getBucketRanges(2, coverage, [cut, 1 - cut]))
        assert ours == {0: "a", 1: "b", -1: None}[theirs]


# growthbook-python, tests/cases.json: seed, value, version, hash; and unit, layer, start, end, whether it is inside
VECTORS = [
    ("b", "a", 1, 0.946), ("ef", "d", 1, 0.652), ("asdf", "8952klfjas09ujk", 1, 0.549), ("seed", "a", 2, 0.0505),
    ("seed", "b", 2, 0.2696), ("foo", "ab", 2, 0.2575), ("foo", "def", 2, 0.2019),
    ("89123klj", "8952klfjas09ujkasdf", 2, 0.124), ("90850943850283058242805", "123", 2, 0.7516),
]  # fmt: skip
INSIDE = [("1", 1, False), ("1", 2, False), ("2", 1, False), ("2", 2, False), ("3", 1, False), ("3", 2, True)]
INSIDE += [("4", 1, False), ("4", 2, True)]


def test_published_hashes() -> None:
    for seed, value, version, expected in VECTORS:
        found = bucket(seed, value) if version == 2 else fnv1a32(value + seed) % 1_000 / 1_000
        assert found == pytest.approx(expected, abs=1e-9)


def test_published_namespaces_decide_who_takes_part() -> None:
    """Through the assignment that serves: who is not in the first part of a layer is in the rest."""
    for unit, layer, inside in INSIDE:
        for start, end, expected in ((0.0, 0.4, inside), (0.4, 1.0, not inside)):
            part = Namespace(layer=f"namespace{layer}", start=start, end=end)
            found = assign(Experiments(experiments={"e": experiment(namespace=part)}), user(unit), NOW)
            assert bool(found) == expected


def test_the_seed_draws_the_arms() -> None:
    """By the published buckets: with the seed `seed` a is at 0.0505, b at 0.2696; without a seed the name draws."""
    arms = {name: Arm(variant="x", weight=weight) for name, weight in (("a", 0.1), ("b", 0.2), ("c", 0.7))}
    for name, changes in (("any-name", {"seed": "seed"}), ("seed", {})):
        config = Experiments(experiments={name: experiment(arms=arms, **changes)})
        assert [assign(config, user(unit), NOW)[0].arm for unit in ("a", "b")] == ["a", "b"]
    other = Experiments(experiments={"seed": experiment(seed="foo")})
    drawn = [[assign(config, user(str(u)), NOW)[0].arm for u in range(200)] for config in (config, other)]
    assert drawn[0] != drawn[1]


def test_the_probability_is_the_weight_and_that_of_a_forced_unit_is_one() -> None:
    arms = {"a": Arm(variant="x", weight=0.8), "b": Arm(variant="y", weight=0.2)}
    config = Experiments(experiments={"e": experiment(arms=arms, coverage=0.5, forced={"tester": "b"})})
    drawn = [found for number in range(500) for found in assign(config, user(str(number)), NOW)]
    assert {(found.arm, found.probability) for found in drawn} == {("a", 0.8), ("b", 0.2)}
    assert [found.probability for found in assign(config, user("tester"), NOW)] == [1.0]


def test_a_higher_coverage_moves_nobody() -> None:
    small, large = (Experiments(experiments={"e": experiment(coverage=share)}) for share in (0.2, 0.7))
    before = {name: assign(small, user(name), NOW) for name in map(str, range(3000))}
    taking_part = {name: found[0].arm for name, found in before.items() if found}
    assert 450 < len(taking_part) < 750
    for name, arm in taking_part.items():
        assert assign(large, user(name), NOW)[0].arm == arm


def test_experiments_of_one_layer_share_no_unit_and_the_holdout_is_in_none() -> None:
    parts = {
        name: experiment(namespace=Namespace(layer="home", start=start, end=end))
        for name, start, end in (("first", 0.0, 0.4), ("second", 0.4, 1.0))
    }
    config = Experiments(holdout=0.1, experiments=parts)
    found = [[each.experiment for each in assign(config, user(str(number)), NOW)] for number in range(4000)]
    assert all(len(names) <= 1 for names in found)
    shares = {name: sum(names == [name] for names in found) / 4000 for name in parts}
    assert shares["first"] == pytest.approx(0.9 * 0.4, abs=0.04)
    assert shares["second"] == pytest.approx(0.9 * 0.6, abs=0.04)
    assert sum(not names for names in found) / 4000 == pytest.approx(0.1, abs=0.02)


def test_who_takes_part() -> None:
    targeted = experiment(targeting=Targeting(segments=["warm"], surfaces=["home"], attributes={"country": ["DE"]}))
    config = Experiments(experiments={"e": targeted})
    assert assign(config, user("u", segment="warm", surface="home", attributes={"country": "DE"}), NOW)
    assert not assign(config, user("u", segment="cold", surface="home", attributes={"country": "DE"}), NOW)
    assert not assign(config, user("u", segment="warm", surface="home", attributes={}), NOW)
    assert not assign(config, Subject({"session": "u"}, "warm", "home", {"country": "DE"}), NOW)


def test_time_and_the_kill_switch() -> None:
    later = datetime(2026, 2, 1, tzinfo=UTC)
    config = Experiments(experiments={"e": experiment(start=NOW, end=later)})
    assert assign(config, user("u"), NOW)
    assert not assign(config, user("u"), later)
    assert not assign(Experiments(experiments={"e": experiment(enabled=False, forced={"u": "b"})}), user("u"), NOW)


def test_a_forced_unit_gets_its_arm() -> None:
    config = Experiments(holdout=1.0, experiments={"e": experiment(forced={"u": "b", "v": "a"})})
    assert [(found.arm, found.forced) for found in assign(config, user("u"), NOW)] == [("b", True)]
    assert [(found.arm, found.forced) for found in assign(config, user("v"), NOW)] == [("a", True)]


def test_arms_get_their_weights() -> None:
    arms = {"a": Arm(variant="x", weight=0.8), "b": Arm(variant="y", weight=0.2)}
    config = Experiments(experiments={"e": experiment(arms=arms)})
    share = sum(assign(config, user(str(number)), NOW)[0].arm == "b" for number in range(20_000)) / 20_000
    assert share == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arms": {"a": Arm(variant="x", weight=0.5), "b": Arm(variant="y", weight=0.4)}}, "add up to 0.9"),
        ({"forced": {"u": "c"}}, "'c' is not an arm"),
        ({"start": NOW, "end": NOW}, "end must be after start"),
        ({"arms": {"a": Arm(variant="x", weight=1.0)}}, "at least 2"),
        ({"surprise": 1}, "Extra inputs"),
    ],
)
def test_what_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        experiment(**changes)


@pytest.mark.parametrize(
    "weights",
    [
        (0.3333333, 0.3333333, 0.3333333),
        (0.333, 0.333, 0.333),
        (0.33, 0.33, 0.3395),
        (0.334, 0.333, 0.334),
        (0.1, 0.2, 0.7),
    ],
)
def test_weights_that_nearly_add_up_to_one_are_normalised(weights: tuple[float, ...], tmp_path: Path) -> None:
    arms = ", ".join(f"arm{at}: {{variant: als, weight: {weight}}}" for at, weight in enumerate(weights))
    path = tmp_path / "experiments.yaml"
    path.write_text(f"experiments: {{home: {{arms: {{{arms}}}}}}}")
    read = [arm.weight for arm in load(path)[0].experiments["home"].arms.values()]
    assert sum(read) == pytest.approx(1, abs=1e-12)
    assert read == pytest.approx([weight / sum(weights) for weight in weights], abs=1e-12)


@pytest.mark.parametrize("weights", [(0.33, 0.33, 0.33), (0.5, 0.5, 0.1), (0.5, 0.4, 0.05), (0.334, 0.334, 0.334)])
def test_other_weights_are_refused_when_the_file_is_read(weights: tuple[float, ...], tmp_path: Path) -> None:
    arms = "\n".join(f"      arm{at}: {{variant: als, weight: {weight}}}" for at, weight in enumerate(weights))
    path = tmp_path / "experiments.yaml"
    path.write_text(f"experiments:\n  home:\n    arms:\n{arms}\n")
    with pytest.raises(ParamsError, match=rf"line 3: experiments.home.arms: .*add up to {sum(weights):g}, expected 1"):
        load(path)


def test_overlapping_parts_of_a_layer_are_refused() -> None:
    one, two = (experiment(namespace=Namespace(layer="l", start=start, end=1.0)) for start in (0.0, 0.5))
    with pytest.raises(ValueError, match="'one' and 'two' overlap in layer 'l'"):
        Experiments(experiments={"one": one, "two": two})


def test_explore_is_part_of_an_arm() -> None:
    arms = {
        "a": Arm(variant="x", weight=0.5),
        "b": Arm(variant="x", weight=0.5, explore=Explore(epsilon=0.1, places=2)),
    }
    assert experiment(arms=arms).arms["b"].explore is not None
