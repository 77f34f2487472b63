"""Trains in this process, or in several processes under torchrun (backend gloo, or nccl on GPUs).

torchrun reads its options from the environment: where PET_NNODES is set, the processes of that many hosts train
together. Each host runs the same stage on the same data, and each gets the result. See docs/operations.md.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import torch.distributed as dist
from safetensors.numpy import load_file, save_file

from recsys.errors import RecsysError
from recsys.models._content.batches import ProcessGroup
from recsys.models._content.training import Trained, train
from recsys.models._content.training_inputs import Settings, TrainingInputs

JOB, SETTINGS, RESULT = "job.npz", "settings.json", "result.safetensors"


def run(job: TrainingInputs, settings: Settings, name: str, processes: int) -> Trained:
    """Train on these inputs in this many processes of a host. name: of the training, for the checkpoint and progress.

    Raises:
        RecsysError: "content: torchrun ended with exit code 1; its messages above say on which host, and why"
    """
    several_hosts = "PET_NNODES" in os.environ
    if processes == 1 and not several_hosts:
        return train(job, settings, ProcessGroup(), name)
    with tempfile.TemporaryDirectory(prefix="content-") as made:
        folder = Path(made)
        job.save(folder / JOB)
        (folder / SETTINGS).write_text(json.dumps({**asdict(settings), "name": name}), encoding="utf-8")
        torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
        torchrun += [] if several_hosts else ["--standalone"]
        member = ["-m", "recsys.models._content.torchrun", str(folder)]
        if code := subprocess.run([sys.executable, *torchrun, *member], check=False).returncode:
            raise RecsysError(
                f"content: torchrun ended with exit code {code}; its messages above say on which host, and why"
            )
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
    if os.environ["LOCAL_RANK"] == "0":  # of torchrun: the first process of each host
        save_file({**trained.weights, "ids": trained.ids, "content": trained.content}, folder / RESULT)
        (folder / SETTINGS).write_text(json.dumps({"scores": trained.scores}), encoding="utf-8")
    dist.destroy_process_group()


if __name__ == "__main__":
    _member(Path(sys.argv[1]))
