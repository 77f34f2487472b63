"""Arms through the real API: a unit keeps its arm, the log names it, and what goes wrong costs nobody an answer."""

import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from openfeature.flag_evaluation import FlagResolutionDetails
from starlette.testclient import TestClient

from recsys.bundle import releases
from recsys.errors import ParamsError
from recsys.experiments.analysis import log, run
from recsys.experiments.online.assignment import arm_of, bucket
from recsys.experiments.online.config import Experiment
from serving.app import create_app
from serving.engine.arms import ArmAssigner, ExperimentsFile, HashBucketProvider
from serving.settings import Settings
from serving.stores import migrations
from tests.support import bundles
from tests.support.apps import until_ready

HALVES = {"control": {"variant": "als", "weight": 0.5}, "popular": {"variant": "popular", "weight": 0.5}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    bundles.write(tmp_path / "bundle")
    migrations.migrate(f"sqlite:///{tmp_path}/store.sqlite")
    return tmp_path


def write(folder: Path, **experiments: Any) -> Path:
    path = folder / "experiments.yaml"
    path.write_text(yaml.safe_dump({"experiments": experiments}, sort_keys=False))
    return path


def app(folder: Path, **more: Any) -> TestClient:
    settings = {
        "bundle": folder / "bundle",
        "store_url": f"sqlite:///{folder}/store.sqlite",
        "deadline_ms": 10_000,
        "store_ms": 10_000,
        "experiments": folder / "experiments.yaml",
        **more,
    }
    return TestClient(create_app(Settings.model_validate(settings)))


def ask(client: TestClient, **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/recommend", json={"k": 5, **body})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_user_keeps_the_arm_and_the_log_names_it(folder: Path) -> None:
    write(folder, home={"arms": HALVES})
    with app(folder) as client:
        until_ready(client)
        arms = {user: ask(client, user_id=user)["meta"] for user in (f"user-{number}" for number in range(60))}
        again = {user: ask(client, user_id=user)["meta"]["experiment"] for user in arms}
        assert {user: meta["experiment"] for user, meta in arms.items()} == again
        counts = Counter(meta["experiment"]["variant"] for meta in arms.values())
        assert min(counts.values()) > 15
        for meta in arms.values():
            assert meta["variant"] == HALVES[meta["experiment"]["variant"]]["variant"]
            assert meta["experiment"]["propensity"] == 0.5
        assert ask(client, user_id="user-1", variant="random")["meta"]["experiment"] is None
        assert ask(client)["meta"]["experiment"] is None
    found = log.read(f"sqlite:///{folder}/store.sqlite", "home", Experiment.model_validate({"arms": HALVES}))
    assert found.exposures.height == 120
    logged = dict(found.exposures.select("unit", "arm").unique().iter_rows())
    assert logged == {user: meta["experiment"]["variant"] for user, meta in arms.items()}


def test_an_exploring_arm_says_how_likely_each_item_was(folder: Path) -> None:
    explore = {"epsilon": 0.5, "places": 2, "pool": 4, "max_share": 1.0}
    arms = {"control": HALVES["control"], "explore": {"variant": "als", "weight": 0.5, "explore": explore}}
    write(folder, home={"arms": arms, "forced": {"anna": "explore", "ben": "control"}})
    with app(folder) as client:
        until_ready(client)
        answers = [ask(client, user_id="anna") for _ in range(60)]
        assert {item["propensity"] for item in ask(client, user_id="ben")["items"]} == {None}
    drawn = Counter(item["source"] for answer in answers for item in answer["items"][3:])
    assert 30 < drawn["explore"] < 90
    for answer in answers:
        assert len({item["item_id"] for item in answer["items"]}) == 5
        for item in answer["items"]:
            own = 1.0 if item["rank"] <= 3 else 0.5
            assert item["propensity"] == pytest.approx(0.25 if item["source"] == "explore" else own)


def test_an_interleaved_list_says_whose_pick_each_item_is_and_clicks_decide(folder: Path) -> None:
    arms = {"control": HALVES["control"], "both": {"variant": "als", "weight": 0.5, "interleave": "popular"}}
    experiment = Experiment.model_validate({"arms": arms})
    drawn = [f"user-{number}" for number in range(80)]
    users = [user for user in drawn if arm_of(experiment, bucket("home", user)) == "both"]
    write(folder, home={"arms": arms})
    with app(folder) as client:
        until_ready(client)
        for user in users:
            session = [{"item_id": "kitchen-0"}, {"item_id": "kitchen-1"}]
            answer = ask(client, user_id=user, k=6, session=session)
            teams = Counter(item["team"] for item in answer["items"])
            assert teams == {"a": 3, "b": 3}
            assert len({item["item_id"] for item in answer["items"]}) == 6
            picked = next(item["item_id"] for item in answer["items"] if item["team"] == "b")
            click = {"event_id": user, "user_id": user, "item_id": picked, "event": "click"}
            assert client.post("/v1/events", json={**click, "request_id": answer["request_id"]}).status_code == 200
    found = run.preferences(experiment, log.read(f"sqlite:///{folder}/store.sqlite", "home", experiment))
    assert (found["both"].score, found["both"].units) == (1.0, len(users))
    assert len(users) > 25


@pytest.mark.parametrize(
    ("drawing", "marks"),
    [
        ({"explore": {"epsilon": 0.5, "places": 1, "pool": 4, "max_share": 1.0}}, 2),
        ({"interleave": "popular"}, 2),
    ],
    ids=["explore", "interleave"],
)
def test_an_arm_that_draws_is_drawn_anew_beside_a_cache(folder: Path, drawing: dict[str, Any], marks: int) -> None:
    """Kept, every request would fall the same way, and the control, the same variant, would be given its lists."""
    arms = {"control": HALVES["control"], "drawn": {"variant": "als", "weight": 0.5, **drawing}}
    write(folder, home={"arms": arms, "forced": {"anna": "drawn", "ben": "control"}})
    with app(folder, cache_url="memory") as client:
        until_ready(client)
        answers = [ask(client, user_id="anna") for _ in range(40)]
        assert not any("cache" in answer["meta"]["timings_ms"] for answer in answers)
        assert len({tuple(item["item_id"] for item in answer["items"]) for answer in answers}) >= marks
        plain = [ask(client, user_id="ben") for _ in range(3)]
        assert {(item["propensity"], item["team"]) for answer in plain for item in answer["items"]} == {(None, None)}


def test_the_log_holds_the_whole_time_of_an_answer(folder: Path) -> None:
    write(folder, home={"arms": HALVES})
    with app(folder) as client:
        until_ready(client)
        told = {answer["request_id"]: answer["meta"]["timings_ms"] for answer in [ask(client, user_id="anna")]}
    found = log.read(f"sqlite:///{folder}/store.sqlite", "home", Experiment.model_validate({"arms": HALVES}))
    logged = dict(found.exposures.select("request_id", "latency_ms").iter_rows())
    assert logged == {request_id: timings["total"] for request_id, timings in told.items()}


def test_an_arm_may_be_another_released_bundle(folder: Path) -> None:
    home = folder / "releases"
    old = releases.promote(bundles.write(folder / "old", allow_repeat=True), home)
    new = releases.promote(folder / "bundle", home)
    arms = {"control": HALVES["control"], "old": {"variant": "als", "weight": 0.5, "bundle": old}}
    write(folder, home={"arms": arms, "forced": {"anna": "old", "ben": "control"}})
    with app(folder, bundle=None, releases=home) as client:
        until_ready(client)
        for _ in range(100):
            if ask(client, user_id="anna")["meta"]["bundle_id"] == old:
                break
            time.sleep(0.05)
        assert ask(client, user_id="anna")["meta"]["bundle_id"] == old
        assert ask(client, user_id="ben")["meta"]["bundle_id"] == new


def test_an_arm_that_cannot_be_served_is_the_default(folder: Path) -> None:
    arms = {"control": HALVES["control"], "gone": {"variant": "no such variant", "weight": 0.5}}
    write(folder, home={"arms": arms, "forced": {"anna": "gone"}})
    with app(folder) as client:
        until_ready(client)
        meta = ask(client, user_id="anna")["meta"]
        assert (meta["variant"], meta["experiment"]) == ("als", None)
        assert 'recsys_flag_failures_total{experiment="home"}' in client.get("/metrics").text


@pytest.mark.parametrize(
    "text",
    ["", "# gone\n", "experiments:\n", "experiments: {home: {arms: {a: {variant: als, weight: 1.0}}}}\n",
     "experiments: {}\nexperiments: {}\n", "a: &a [x]\nb: [*a, *a]\n", None],
)  # fmt: skip
def test_a_wrong_or_emptied_file_is_refused_as_a_whole_and_the_old_one_goes_on(folder: Path, text: str | None) -> None:
    path = write(folder, home={"arms": HALVES, "enabled": False})
    experiments_file = ExperimentsFile(path)
    version = experiments_file.version
    path.unlink() if text is None else path.write_text(text)
    settle(experiments_file)
    assert experiments_file.version == version
    assert experiments_file.reason is not None
    assert str(path) in experiments_file.reason
    write(folder, home={"arms": HALVES})
    settle(experiments_file)
    assert experiments_file.reason is None
    assert experiments_file.experiments.experiments["home"].enabled


def test_a_file_that_is_still_written_waits(folder: Path) -> None:
    path = write(folder, home={"arms": HALVES})
    experiments_file = ExperimentsFile(path)
    version = experiments_file.version
    for text in ("experiments: {}\n", "experiments: {}\nholdout: 0.5\n", "experiments: {}\nholdout: 0.25\n"):
        path.write_text(text)
        experiments_file.reload()
        assert experiments_file.version == version
    experiments_file.reload()
    assert experiments_file.experiments.holdout == 0.25


def test_the_api_does_not_start_with_a_wrong_file(folder: Path) -> None:
    path = write(folder)
    path.write_text("experiments: {home: }\n")
    with pytest.raises(ParamsError, match=r"experiments\.yaml: line 1: experiments\.home: "):
        ExperimentsFile(path)


def settle(experiments_file: ExperimentsFile) -> None:
    for _ in range(2):
        experiments_file.reload()


class Broken(HashBucketProvider):
    """A provider that fails, or answers nonsense."""

    answer: str | None = None

    def __init__(self) -> None:
        super().__init__(ExperimentsFile(Path("none.yaml")))

    def resolve_string_details(self, *_: Any, **__: Any) -> FlagResolutionDetails[str]:
        if self.answer is None:
            raise RuntimeError("broken on purpose")
        return FlagResolutionDetails(self.answer)


def nonsense() -> Broken:
    """Made by name, as a setting would."""
    made = Broken()
    made.answer = "no such arm"
    return made


@pytest.mark.parametrize(
    "provider", ["tests.serving.engine.test_arms:Broken", "tests.serving.engine.test_arms:nonsense"]
)
def test_a_provider_that_fails_gives_the_default(folder: Path, provider: str) -> None:
    write(folder, home={"arms": HALVES})
    with app(folder, flag_provider=provider) as client:
        until_ready(client)
        meta = ask(client, user_id="anna")["meta"]
        assert (meta["variant"], meta["experiment"]) == ("als", None)


def test_a_provider_is_named_by_module_and_factory(folder: Path) -> None:
    experiments_file = ExperimentsFile(write(folder, home={"arms": HALVES}))
    with pytest.raises(ParamsError, match=r"expected package.module:factory"):
        ArmAssigner(experiments_file, "no.such.module:thing")
    with pytest.raises(ParamsError, match="expected an OpenFeature provider"):
        ArmAssigner(experiments_file, "builtins:dict")
