"""The parts of the content model, each against a slower twin or a known answer."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from recsys.bundle.items import item_features
from recsys.contracts import IntArray
from recsys.evaluation import metrics
from recsys.evaluation.metrics import Ragged
from recsys.models._content import batches, svd_space, torchrun, training, validation
from recsys.models._content.batches import ProcessGroup
from recsys.models._content.neighbours import means
from recsys.models._content.tower import Adam
from recsys.models._content.training_inputs import Settings, TrainingInputs
from recsys.models.content import Config, _job
from tests.support import tastes

SETTINGS = Settings(
    hidden=16, epochs=2, patience=9, id_dropout=0.5, negatives=30, batch_users=64, seed=7, device="cpu",
    checkpoint=None,
)  # fmt: skip


@pytest.fixture(scope="module")
def job() -> TrainingInputs:
    data = tastes.training()
    held_out = validation.hold_out(data)
    matrix = svd_space.confidence(dataclasses.replace(data, events=held_out.learning.lazy()), 100)
    learned = item_features.fit(data.catalogue, static=False)
    config = Config(factors=8, half_life_days=100)
    asked, wanted = held_out.histories_and_targets(matrix)
    made, _ = _job(matrix, learned, learned.of(data.catalogue), config, 7, None)
    return dataclasses.replace(made, asked=asked, wanted=wanted, hidden=held_out.hidden)


def test_adam_takes_the_steps_of_torch() -> None:
    ours, theirs = torch.nn.Linear(5, 3), torch.nn.Linear(5, 3)
    theirs.load_state_dict(ours.state_dict())
    mine, torchs = Adam(ours, 0.01), torch.optim.Adam(theirs.parameters(), lr=0.01)
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        x = torch.randn(7, 5, generator=generator)
        for module, optimizer in ((ours, mine), (theirs, torchs)):
            module.zero_grad()
            (module(x) ** 2).sum().backward()
            optimizer.step()
    assert torch.allclose(ours.weight, theirs.weight, atol=1e-6)


def test_the_space_is_the_svd_of_its_formula() -> None:
    matrix = csr_matrix(np.random.default_rng(3).poisson(0.4, (40, 25)).astype(np.float32))
    matrix = matrix[np.flatnonzero(np.diff(matrix.indptr))]
    found = svd_space.fit(matrix, 24, 0.3, seed=1)
    dense = matrix.toarray().astype(np.float64)
    likes = dense.sum(axis=0)
    n = (likes + svd_space.SMOOTHING) / (likes.mean() + svd_space.SMOOTHING)
    scaled = dense / np.linalg.norm(dense, axis=1, keepdims=True) / n**0.3
    _, strength, directions = np.linalg.svd(scaled)
    wanted = (directions[:24].T * strength[:24]) @ directions[:24] * np.outer(n**0.3, n**0.3)  # signs are free
    found_products = found.vectors @ found.vectors.T
    assert found_products / np.trace(found_products) == pytest.approx(wanted / np.trace(wanted), abs=1e-5)
    assert found.informativeness.mean() == pytest.approx(1)
    assert np.array_equal(found.users, (dense > 0).sum(axis=0))


def test_neighbours_are_the_mean_over_the_others_by_cubed_cosine(job: TrainingInputs) -> None:
    learned = item_features.fit(tastes.catalogue(), static=False)
    words = learned.of(tastes.catalogue()).words
    full = np.zeros((len(words), len(learned.words)))
    for row in range(len(words)):
        mine = slice(words.indptr[row], words.indptr[row + 1])
        full[row, words.columns[mine]] = words.values[mine]
    rows = np.arange(0, tastes.N_SOLD, 2, dtype=np.int32)
    found = means(words, len(learned.words), rows, job.targets)
    for item in (0, 1, tastes.NEW["sea"], tastes.SILENT):
        weights = np.array([0 if other == item else (full[item] @ full[other]) ** 3 for other in rows])
        wanted = weights @ job.targets[rows] / max(weights.sum(), 1e-9)
        assert found[item] == pytest.approx(wanted, abs=1e-5)


def test_ndcg_is_that_of_the_evaluation() -> None:
    random = np.random.default_rng(4)
    scores, wanted = random.normal(size=(50, 30)).astype(np.float32), random.random((50, 30)) < 0.1
    lists = np.argsort(-scores, axis=1)[:, :10].astype(np.int32)
    owners, rows = np.nonzero(wanted)
    targets = Ragged.of(owners, rows.astype(np.int32), 50)
    theirs = np.nanmean(metrics.ndcg(metrics.hits(lists, targets), targets.lengths))
    assert np.nanmean(validation.ndcg_of_scores(scores, csr_matrix(wanted))) == pytest.approx(theirs, abs=1e-9)


def test_the_exam_asks_for_the_last_likes_and_hides_items() -> None:
    data = tastes.training()
    held_out = validation.hold_out(data)
    assert held_out.hidden.sum() == round(0.1 * (tastes.N_SOLD + 1))
    assert not held_out.hidden[held_out.learning["item_row"].to_numpy()].any()
    last_known = dict(held_out.learning.group_by("user_row").agg(last=held_out.learning["timestamp"].max()).iter_rows())
    assert last_known
    times = {
        (user, item): time for user, item, time in data.interactions.select("user_row", "item_row", "timestamp").rows()
    }
    for user, item in held_out.held.rows():
        learned = held_out.learning.filter(held_out.learning["user_row"] == user)
        assert learned.height == 0 or times[user, item] >= learned["timestamp"].max()


def test_random_vectors_score_like_chance_and_good_ones_better(job: TrainingInputs) -> None:
    random = np.random.default_rng(5).normal(size=job.targets.shape).astype(np.float32)
    known = ~job.hidden[:, None]  # items treated as new have no place of their own, only that of alike texts
    assert validation.score(job, np.where(known, job.targets, job.neighbours)) > 2 * validation.score(job, random) > 0


def test_sampled_negatives_estimate_the_whole_softmax(job: TrainingInputs) -> None:
    """The sum over drawn items, each counting 1 / probability, is right on average: that is what logQ is for."""
    users = np.arange(0, tastes.N_USERS, 4, dtype=np.int32)
    whole = dataclasses.replace(SETTINGS, negatives=10_000)
    truth = estimate(job, whole, users, 1)
    estimates = [estimate(job, SETTINGS, users, number) for number in range(1, 400)]
    assert truth[0] == len(np.unique(job.events.indices))  # all items with a like
    assert np.mean([n for n, _ in estimates]) < tastes.N_SOLD / 1.5
    assert np.mean([total for _, total in estimates]) == pytest.approx(truth[1], rel=0.02)


def estimate(job: TrainingInputs, settings: Settings, users: IntArray, number: int) -> tuple[int, float]:
    """How many negatives were drawn, and the estimate of the sum over all items of exp(length of the item's vector)."""
    batch = batches.draw(job, settings, users, number, ProcessGroup())
    corrections = np.where(np.isinf(batch.corrections), np.nan, batch.corrections)
    per_item = np.exp(np.nanmean(corrections, axis=0))
    values = np.exp(np.linalg.norm(job.targets[batch.rows[batch.negatives]], axis=1))
    return len(batch.negatives), float((per_item * values).sum())


def test_a_batch_pools_one_part_of_a_history_and_asks_for_the_other(job: TrainingInputs) -> None:
    users = np.arange(40, dtype=np.int32)
    batch = batches.draw(job, SETTINGS, users, 1, ProcessGroup())
    assert batch.weights.sum() == pytest.approx(1, abs=1e-6)
    for user in users:
        pooled = set(batch.rows[np.flatnonzero(batch.histories[user])].tolist())
        asked = set(batch.rows[batch.wanted[batch.owners == user]].tolist())
        assert not pooled & asked
        assert not asked or pooled | asked == set(job.events[user].indices.tolist())
        masked = set(batch.rows[batch.negatives[np.isinf(batch.corrections[user])]].tolist())
        assert masked == pooled & set(batch.rows[batch.negatives].tolist())


def test_losses_of_the_shares_add_up_to_that_of_the_batch(job: TrainingInputs) -> None:
    model = training.Model(job, SETTINGS)
    users = np.arange(60, dtype=np.int32)
    parts = [batches.draw(job, SETTINGS, users, 1, ProcessGroup(rank, size)) for rank, size in ((0, 1), (0, 2), (1, 2))]
    whole, one, two = (float(training._loss(model, job, part, "cpu").detach()) for part in parts)
    assert one + two == pytest.approx(whole, rel=1e-5)
    assert min(one, two) > 0.2 * whole


def test_training_lowers_the_loss_and_moves_the_ids(job: TrainingInputs) -> None:
    before = training.train(job, dataclasses.replace(SETTINGS, epochs=0), ProcessGroup(), "test")
    after = training.train(job, dataclasses.replace(SETTINGS, epochs=5), ProcessGroup(), "test")
    assert len(before.scores) == 1
    assert len(after.scores) == 6
    assert not np.allclose(before.ids, after.ids)
    assert not after.ids[job.trust == 0].any()


def test_two_processes_learn_what_one_does(job: TrainingInputs) -> None:
    one, two = (torchrun.run(job, SETTINGS, "test", processes) for processes in (1, 2))
    assert two.scores == pytest.approx(one.scores, abs=1e-3)
    assert two.ids == pytest.approx(one.ids, abs=1e-4)
    assert two.content == pytest.approx(one.content, abs=1e-4)
    assert two.weights["hidden_terms"] == pytest.approx(one.weights["hidden_terms"], abs=1e-3)


def test_a_job_is_the_same_after_a_file(job: TrainingInputs, tmp_path: Path) -> None:
    job.save(tmp_path / "job.npz")
    assert TrainingInputs.load(tmp_path / "job.npz").fingerprint(SETTINGS) == job.fingerprint(SETTINGS)


def test_a_stopped_training_goes_on_where_it_was(
    job: TrainingInputs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = training.train(job, SETTINGS, ProcessGroup(), "test")
    folder = dataclasses.replace(SETTINGS, checkpoint=str(tmp_path))
    training.train(job, dataclasses.replace(folder, epochs=1), ProcessGroup(), "test")
    capsys.readouterr()
    went_on = training.train(job, folder, ProcessGroup(), "test")
    assert capsys.readouterr().err.count("epoch") == 1  # the first one came from the file
    assert went_on.scores == alone.scores
    assert went_on.ids.tobytes() == alone.ids.tobytes()


def test_a_checkpoint_of_other_data_is_left_alone(
    job: TrainingInputs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = dataclasses.replace(SETTINGS, checkpoint=str(tmp_path))
    training.train(job, dataclasses.replace(folder, seed=8), ProcessGroup(), "test")
    capsys.readouterr()
    training.train(job, folder, ProcessGroup(), "test")
    assert capsys.readouterr().err.count("epoch") == 2


def test_it_stops_when_the_exam_gets_no_better(job: TrainingInputs, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([0.3, 0.4, 0.39, 0.38, 0.9])
    monkeypatch.setattr(training, "score", lambda *_: next(scores))
    found = training.train(job, dataclasses.replace(SETTINGS, epochs=9, patience=2), ProcessGroup(), "test")
    assert found.scores == [0.3, 0.4, 0.39, 0.38]
    assert found.best_epochs == 1
