"""Trains in this process, or in several processes under torchrun (backend gloo, or nccl on GPUs)."""

import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import torch.distributed as dist
from safetensors.numpy import load_file, save_file

from recsys.models._content.batches import ProcessGroup
from recsys.models._content.training import Trained, train
from recsys.models._content.training_inputs import Settings, TrainingInputs

JOB, SETTINGS, RESULT = "job.npz", "settings.json", "result.safetensors"


def run(job: TrainingInputs, settings: Settings, name: str, processes: int) -> Trained:
    """Train on these inputs in this many processes. name: of the training, for the checkpoint and the progress."""
    if processes == 1:
        return train(job, settings, ProcessGroup(), name)
    with tempfile.TemporaryDirectory(prefix="content-") as made:
        folder = Path(made)
        job.save(folder / JOB)
        (folder / SETTINGS).write_text(json.dumps({**asdict(settings), "name": name}), encoding="utf-8")
        torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        subprocess.run([sys.executable, *torchrun, "-m", "recsys.models._content.torchrun", str(folder)], check=True)
        arrays = load_file(folder / RESULT)
        scores = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))["scores"]
    ids, content = arrays.pop("ids"), arrays.pop("content")
    return Trained(arrays, ids, content, scores)


def _member(folder: Path) -> None:
    content = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    name = content.pop("name")
    settings = Settings(**content)
    dist.init_process_group("nccl" if settings.device.startswith("cuda") else "gloo")
    team = ProcessGroup(dist.get_rank(), dist.get_world_size())
    trained = train(TrainingInputs.load(folder / JOB), settings, team, name)
    if team.leads:
        save_file({**trained.weights, "ids": trained.ids, "content": trained.content}, folder / RESULT)
        (folder / SETTINGS).write_text(json.dumps({"scores": trained.scores}), encoding="utf-8")
    dist.destroy_process_group()


if __name__ == "__main__":
    _member(Path(sys.argv[1]))
