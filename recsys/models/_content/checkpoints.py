"""Checkpoints: writes the whole state after every epoch into one safetensors file; the next run resumes from it.

A file of other data or settings is not resumed: it has their fingerprint.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from recsys.models._content.optimizer import Adam
from recsys.output import replaced_file


@dataclass
class State:
    """The state of the training: all that an epoch changes."""

    model: nn.Module
    optimizer: Adam
    scores: list[float]


def write(state: State, folder: str, name: str, fingerprint: str) -> None:
    """Write `<folder>/<name>.safetensors`; a reader finds the old file or the new one."""
    path = _path(folder, name)
    tensors = {f"model.{key}": value for key, value in state.model.state_dict().items()}
    tensors |= {f"optimizer.{key}": value for key, value in state.optimizer.state.items()}
    with replaced_file(path) as aside:
        save_file(tensors, aside, {"fingerprint": fingerprint, "scores": json.dumps(state.scores)})


def resume(state: State, folder: str, name: str, fingerprint: str) -> State:
    """Return the state in the file; the given one if there is no file or it is of other data or settings."""
    path = _path(folder, name)
    if not path.is_file():
        return state
    with safe_open(path, framework="pt") as stored:
        if stored.metadata()["fingerprint"] != fingerprint:
            return state
        tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118 (not a dict)
        scores = json.loads(stored.metadata()["scores"])
    state.model.load_state_dict(_under("model.", tensors))
    state.optimizer.state = _under("optimizer.", tensors)
    return State(state.model, state.optimizer, scores)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _path(folder: str, name: str) -> Path:
    return Path(folder) / f"{name}.safetensors"
