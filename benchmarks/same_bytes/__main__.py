"""Whether the pipeline writes the same bytes on other CPUs: benchmarks/results/same_bytes_<case>.json

    python -m benchmarks.same_bytes small                  the shop of the tests, here and on emulated CPUs
    python -m benchmarks.same_bytes lists                  20,500 items: indexes with lists
    python -m benchmarks.same_bytes processes              content trained by two processes, here only
    python -m benchmarks.same_bytes movielens              the whole data set, here only; also: online_retail

Every command of dvc.yaml runs once for each machine, in a folder of its own under build/. The last machine is the
control: it does without `recsys.KERNELS`, and where its CPU has AVX-512 it writes other bytes.

Emulation is that of qemu-user 10 or later; 7.2 computes AVX2 wrongly. On Debian 12 add the suite `bookworm-backports`
to the sources of apt, then `apt-get update && apt-get install --target-release bookworm-backports qemu-user`. It does
not follow child processes, so each command is started through it.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dvc.repo import Repo

from benchmarks import provenance
from tests.support.small_shop import SMALL, change

TOP = Path(__file__).resolve().parents[2]
# What somebody may have set before.
AVX512 = {
    "OPENBLAS_CORETYPE": "SkylakeX",
    "MKL_CBWR": "AVX512",
    "NPY_DISABLE_CPU_FEATURES": "",
    "FAISS_SIMD_LEVEL": "AVX512",
    "ATEN_CPU_CAPABILITY": "avx512",
    "ONEDNN_MAX_CPU_ISA": "AVX512_CORE",
}
# Imports recsys, takes its variables back before numpy is loaded, and goes on with the words that Python got.
TAKE_BACK = """
import os, runpy, sys
given = dict(os.environ)
import recsys
os.environ.clear()
os.environ.update(given)
kind, what = sys.argv.pop(1), sys.argv.pop(1)
exec(what) if kind == "-c" else runpy.run_module(what, run_name="__main__", alter_sys=True)
"""
PROBE = """
import json, recsys, numpy, torch, threadpoolctl
from hashlib import sha256

def hashed(tensor):
    return sha256(tensor.detach().numpy().tobytes()).hexdigest()[:16]

def trained(**options):
    layer = torch.nn.utils.skip_init(torch.nn.Linear, 1000, 1)
    layer.weight.data = torch.linspace(0, 1, 1000)[None]
    layer.bias.data = torch.zeros(1)
    optimizer = torch.optim.Adam(layer.parameters(), **options)
    for _ in range(20):
        optimizer.zero_grad()
        layer.weight.pow(3).sum().backward()
        optimizer.step()
    return hashed(layer.weight)

torch.set_num_threads(1)
pools = [pool["architecture"] for pool in threadpoolctl.threadpool_info() if pool["internal_api"] == "openblas"]
avx512 = numpy._core._multiarray_umath.__cpu_features__["X86_V4"]
some = torch.arange(1, 100_001) * 1e-4
roots = {"sqrt": hashed(some.sqrt()), "rsqrt, reciprocal": hashed(some.rsqrt().reciprocal())}
adam = {"torch's Adam": trained(), "torch's Adam, fused": trained(fused=True)}
chosen = {"openblas": pools[0], "torch": torch.backends.cpu.get_cpu_capability(), "numpy_avx512": avx512}
print(json.dumps({"chosen": chosen, "torch": roots | adam}))
"""


@dataclass(frozen=True)
class Machine:
    """Where the commands run: the environment that they start in, and what starts them."""

    name: str
    environment: dict[str, str] = field(default_factory=dict)
    start: tuple[str, ...] = ()
    kernels: bool = True

    def python(self, *words: str) -> list[str]:
        """The words that run Python there."""
        if not self.kernels:
            words = ("-c", TAKE_BACK, *words)
        return [*self.start, sys.executable, *words]


HERE = [
    Machine("this CPU"),
    Machine("this CPU, AVX-512 preset", AVX512),
    Machine("this CPU, one core, Zen preset", {"OPENBLAS_CORETYPE": "Zen", "MKL_CBWR": "AVX2"}, ("taskset", "-c", "0")),
    Machine(
        "this CPU, eight threads, no vectors preset",
        {"OMP_NUM_THREADS": "8", "POLARS_MAX_THREADS": "8", "ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "SSE4_2"},
    ),
]
EMULATED = [
    Machine("emulated Intel Haswell", start=("qemu-x86_64", "-cpu", "Haswell")),
    Machine("emulated AMD EPYC", start=("qemu-x86_64", "-cpu", "EPYC")),
]
CONTROL = Machine("control: this CPU, without recsys.KERNELS", kernels=False)
LISTS = SMALL | {
    "datasets.synthetic.adapter": {"events": 40_000, "users": 1_000, "items": 20_500},
    "datasets.synthetic.models.content": {"factors": 16, "epochs": 0},
}
CASES: dict[str, tuple[str, dict[str, dict[str, Any]], list[Machine]]] = {
    "small": ("synthetic", SMALL, HERE + EMULATED),
    "lists": ("synthetic", LISTS, HERE + EMULATED),
    "processes": ("synthetic", SMALL | {"models.content": {"processes": 2}}, HERE),
    "movielens": ("movielens", {}, HERE),
    "online_retail": ("online_retail", {}, HERE),
}


def main(case: str) -> None:
    """Run a case on all of its machines and write what they wrote."""
    origin = provenance.describe()
    dataset, changes, machines = CASES[case]
    if any(machine.start for machine in machines):
        check_emulator()
    stages, outs = pipeline()
    commands = [command for own in stages.values() for command in own]
    found = {}
    for machine in [*machines, CONTROL]:
        folder = TOP / "build" / "same_bytes" / case / machine.name.replace(" ", "_")
        prepare(folder, dataset, changes)
        found[machine.name] = run(machine, folder, commands, outs)
        print(f"{machine.name}: {found[machine.name]['seconds']} s", file=sys.stderr)
    provenance.write(f"same_bytes_{case}", origin, compared(found))


def check_emulator() -> None:
    """Exit where qemu-user is absent or too old."""
    path = shutil.which("qemu-x86_64")
    said = subprocess.run([path, "--version"], check=True, capture_output=True, text=True).stdout if path else "none"
    version = re.search(r"version (\d+)", said)
    if version is None or int(version[1]) < 10:
        sys.exit(
            f"error: qemu-x86_64 of version 10 or later is needed, there is {said.splitlines()[0]}; see {__file__}"
        )


def pipeline() -> tuple[dict[str, list[str]], list[str]]:
    """The commands of dvc.yaml by stage, in their order, and the paths that they write."""
    stages = Repo(str(TOP)).index.stages
    commands = {stage.addressing: [stage.cmd] if isinstance(stage.cmd, str) else stage.cmd for stage in stages}
    return commands, [out.def_path for stage in stages for out in stage.outs]


def prepare(folder: Path, dataset: str, changes: dict[str, dict[str, Any]]) -> None:
    """Make an empty folder with the settings of a case."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copyfile(TOP / "params.yaml", folder / "params.yaml")
    change(folder / "params.yaml", dataset, changes)


def run(machine: Machine, folder: Path, commands: list[str], outs: list[str]) -> dict[str, Any]:
    """Run the commands one after the other: which code the libraries chose, seconds, digests of all outputs."""
    probed = json.loads(output(machine, folder, "-c", PROBE))
    begun = time.perf_counter()
    for command in commands:
        assert command.startswith("python -m ")
        output(machine, folder, *command.split()[1:])
    seconds = round(time.perf_counter() - begun)
    return probed | {"seconds": seconds, "outputs": {out: digest(folder / out) for out in outs}}


def output(machine: Machine, folder: Path, *words: str) -> str:
    """Run Python on a machine and return what it prints; where it fails, exit with what it says."""
    clean = {name: value for name, value in os.environ.items() if name not in AVX512}
    environment = clean | {"PYTHONPATH": str(TOP)} | machine.environment
    command = machine.python(*words)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"error: on {machine.name!r} {' '.join(words)} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def digest(path: Path) -> str:
    """The first 16 digits of the sha256 of a file, or of the names and contents of all files of a folder."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    whole = hashlib.sha256()
    for file in files:
        whole.update(f"{file.relative_to(path)} {file.stat().st_size}\n".encode())
        whole.update(file.read_bytes())
    return whole.hexdigest()[:16]


def compared(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The table of digests, the first machine's beside those of others that differ; how many do."""
    first = next(iter(found.values()))["outputs"]
    machines = {}
    for name, ran in found.items():
        other = {out: value for out, value in ran.pop("outputs").items() if value != first[out]}
        machines[name] = ran | {"differing": len(other)} | ({"other": other} if other else {})
    same = not any(ran["differing"] for name, ran in machines.items() if name != CONTROL.name)
    return {"same_bytes": same, "machines": machines, "outputs": first}


if __name__ == "__main__":
    if sys.argv[1:] not in ([name] for name in CASES):
        sys.exit(f"error: one of {', '.join(CASES)} is wanted, given {' '.join(sys.argv[1:]) or 'nothing'}")
    main(sys.argv[1])
