"""Trains the content model in two phases. First a regression fits the tower to the SVD vectors of the items. Then
tower and id vectors are trained on whole histories with a softmax loss: a random part of a history is pooled into the
user's vector, which must score the liked items of the rest above sampled negatives.

A penalty on the distance to the SVD vectors keeps their space, in which the tower places new items.
The id vectors, which only items with likes have, are dropped at random, so that the content alone is enough. The
softmax has a logQ correction: a negative that is drawn with the probability p counts 1 / p times, so that the sum
estimates the one over all items.

Source: Yi et al., "Sampling-bias-corrected neural modeling for large corpus item recommendations", 2019 (logQ);
Volkovs, Yu, Poutanen, "DropoutNet: addressing cold start in recommender systems", 2017 (id dropout).
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from recsys.contracts import FloatArray
from recsys.models._content.batches import Batch, ProcessGroup, draw, epoch
from recsys.models._content.tower import Adam, Content, Tower, vectors
from recsys.models._content.training_inputs import Settings, TrainingInputs
from recsys.models._content.validation import score
from recsys.output import replaced_file

REGRESSION_STEPS, REGRESSION_RATE = 20, 3e-3
RATE, ANCHOR = 3e-4, 3.0


@dataclass(frozen=True)
class Trained:
    """The result of a training. weights: the tower's arrays by name; ids: (n, dim) float32, id vectors, which are added
    to the tower's vectors; content: (n, dim) float32, the tower's vectors; scores: validation scores before the second
    phase and after each epoch."""

    weights: dict[str, FloatArray]
    ids: FloatArray
    content: FloatArray
    scores: list[float]

    @property
    def best_epochs(self) -> int:
        """The number of epochs after which the validation score was best."""
        return int(np.argmax(self.scores))


class Model(nn.Module):
    """The parameters: the tower, the id vectors of items, and the logarithm of the softmax's scale."""

    def __init__(self, job: TrainingInputs, settings: Settings) -> None:
        super().__init__()
        self.tower = Tower(job, settings.hidden, settings.seed)
        self.ids = nn.Parameter(torch.zeros(job.targets.shape))
        self.scale = nn.Parameter(torch.log(torch.tensor(3.0)))


def train(job: TrainingInputs, settings: Settings, team: ProcessGroup, name: str) -> Trained:
    """Train on the inputs, as one process of the group `team`; every process returns the same result. name: of the
    training, for the checkpoint and the progress."""
    # the products are small: a second thread gains little, and loses a lot on a busy machine; more processes gain
    torch.set_num_threads(1)
    model = Model(job, settings).to(settings.device)
    _regress(model, job, team, settings.device)
    _start_ids(model, job, settings.device)
    optimizer = Adam(model, RATE)
    scores = [_examine(model, job, settings)]
    checkpoint = Path(settings.checkpoint) / f"{name}.safetensors" if settings.checkpoint else None
    if checkpoint and checkpoint.is_file():
        scores = resume(model, optimizer, checkpoint, job.fingerprint(settings)) or scores
    while len(scores) <= settings.epochs and not _stopped(scores, settings.patience, job):
        number = len(scores)
        for users in epoch(job, settings, number):
            batch = draw(job, settings, users, number, team)
            model.zero_grad()
            _loss(model, job, batch, settings.device).backward()  # type: ignore[no-untyped-call]
            team.add_up(model)
            optimizer.step()
        scores.append(_examine(model, job, settings))
        if team.leads:
            about = f"content: {name}, epoch {number} of at most {settings.epochs}, {_progress(scores, job)}"
            print(about, file=sys.stderr)
            if checkpoint:
                write(model, optimizer, scores, checkpoint, job.fingerprint(settings))
    weights = {key: value.detach().cpu().numpy() for key, value in model.tower.state_dict().items()}
    return Trained(weights, model.ids.detach().cpu().numpy(), vectors(model.tower, job, settings.device), scores)


def _regress(model: Model, job: TrainingInputs, team: ProcessGroup, device: str) -> None:
    known = np.flatnonzero(job.pull > 0).astype(np.int32)
    mine = team.share(known)
    content = Content(job, mine, device)
    targets = torch.from_numpy(job.targets[mine]).to(device)
    pull = torch.from_numpy(job.pull[mine] / job.pull[known].sum()).to(device)
    optimizer = Adam(model.tower, REGRESSION_RATE)
    for _ in range(REGRESSION_STEPS):
        model.zero_grad()
        _distance(model.tower(content), targets, pull).backward()  # type: ignore[no-untyped-call]
        team.add_up(model.tower)
        optimizer.step()


def _distance(vectors: Tensor, targets: Tensor, pull: Tensor) -> Tensor:
    distance: Tensor = (pull * ((vectors - targets) ** 2).sum(dim=1)).sum()
    return distance


@torch.no_grad()
def _start_ids(model: Model, job: TrainingInputs, device: str) -> None:
    """Initialise the id vectors: the SVD vector minus the tower's, smaller for items with few likes."""
    own = job.trust[:, None] * (job.targets - vectors(model.tower, job, device))
    model.ids.copy_(torch.from_numpy(own))


def _loss(model: Model, job: TrainingInputs, batch: Batch, device: str) -> Tensor:
    """Return the loss of a process's share of a batch: weighted cross-entropy of the targets, plus the penalty."""

    def there(array: npt.NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(device)

    placed = model.tower(Content(job, batch.rows, device))
    items = placed + there(batch.keep_ids)[:, None] * model.ids[there(batch.rows.astype(np.int64))]
    users = model.scale.exp() * there(batch.histories) @ items
    logits = users @ items[there(batch.negatives)].T + there(batch.corrections)
    owners = there(batch.owners)
    wanted = (users[owners] * items[there(batch.wanted)]).sum(dim=1)
    total = torch.logsumexp(logits, dim=1)[owners]
    total = torch.where(there(batch.wanted_is_negative), total, torch.logaddexp(total, wanted))
    anchor = _distance(placed, there(job.targets[batch.rows]), there(batch.pull))
    loss: Tensor = (there(batch.weights) * (total - wanted)).sum() + ANCHOR * anchor
    return loss


def _examine(model: Model, job: TrainingInputs, settings: Settings) -> float:
    if not job.asked.shape[0]:
        return 0.0
    content = vectors(model.tower, job, settings.device)
    return score(job, content + model.ids.detach().cpu().numpy())


def _stopped(scores: list[float], patience: int, job: TrainingInputs) -> bool:
    return bool(job.asked.shape[0]) and len(scores) - 1 - int(np.argmax(scores)) >= patience


def _progress(scores: list[float], job: TrainingInputs) -> str:
    return f"NDCG {scores[-1] / scores[0]:.3f} x the first" if job.asked.shape[0] and scores[0] else "no validation"


def write(model: Model, optimizer: Adam, scores: list[float], path: Path, fingerprint: str) -> None:
    """Write a checkpoint: parameters, optimizer and scores. fingerprint: of the inputs, see `TrainingInputs`."""
    tensors = {f"model.{key}": value for key, value in model.state_dict().items()}
    tensors |= {f"optimizer.{key}": value for key, value in optimizer.state.items()}
    with replaced_file(path) as aside:
        save_file(tensors, aside, {"fingerprint": fingerprint, "scores": json.dumps(scores)})


def resume(model: Model, optimizer: Adam, path: Path, fingerprint: str) -> list[float] | None:
    """Load a checkpoint into model and optimizer and return its scores; None if it has another fingerprint."""
    with safe_open(path, framework="pt") as stored:
        if stored.metadata()["fingerprint"] != fingerprint:
            return None
        tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118 (not a dict)
        scores: list[float] = json.loads(stored.metadata()["scores"])
    model.load_state_dict(_under("model.", tensors))
    optimizer.state = _under("optimizer.", tensors)
    return scores


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
