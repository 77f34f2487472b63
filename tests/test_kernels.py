"""Importing recsys selects the same CPU kernels in every process, whatever the environment says."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from recsys import KERNELS, select_kernels

pytestmark = pytest.mark.skipif(sys.platform != "linux" or platform.machine() != "x86_64", reason="nothing to select")

BLAS = """
import json, threadpoolctl, numpy
pools = [pool["architecture"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
print(json.dumps({"blas": pools, "avx512": numpy._core._multiarray_umath.__cpu_features__["X86_V4"]}))
"""
TORCH = "import recsys, torch; print(torch.backends.cpu.get_cpu_capability())"
PRESETS: list[dict[str, str]] = [
    {},
    {"OPENBLAS_CORETYPE": "Haswell"},
    {"OPENBLAS_CORETYPE": "SkylakeX", "MKL_CBWR": "AVX512", "NPY_DISABLE_CPU_FEATURES": ""},
    {"OPENBLAS_CORETYPE": "Zen", "ATEN_CPU_CAPABILITY": "avx512", "FAISS_SIMD_LEVEL": "AVX512"},
]


def child(code: str, root: Path, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run code in a process of its own, whose environment has no kernels but those given."""
    others = {name: value for name, value in os.environ.items() if name not in KERNELS}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=root, env=others | environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("start", ["import recsys, implicit.als", "import recsys.cli, faiss", "import serving.app"])
@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.get("OPENBLAS_CORETYPE", "unset"))
def test_every_blas_has_the_same_kernel(root: Path, start: str, preset: dict[str, str]) -> None:
    done = child(f"{start}{BLAS}", root, preset)
    assert done.returncode == 0, done.stderr
    selected = json.loads(done.stdout)
    assert set(selected["blas"]) == {"Haswell"}
    assert not selected["avx512"]


@pytest.mark.parametrize("preset", [{}, {"ATEN_CPU_CAPABILITY": "avx512"}, {"ATEN_CPU_CAPABILITY": "default"}])
def test_torch_has_the_same_kernel(root: Path, preset: dict[str, str]) -> None:
    assert child(TORCH, root, preset).stdout == "AVX2\n"


def test_this_process_and_its_children_have_it() -> None:
    assert {name: os.environ[name] for name in KERNELS} == KERNELS


def test_numpy_first_is_too_late(root: Path) -> None:
    done = child("import numpy, recsys", root, {})
    assert done.returncode == 1
    assert "ImportError: numpy was imported before recsys" in done.stderr.splitlines()[-1]
    assert "OPENBLAS_CORETYPE='Haswell'" in done.stderr.splitlines()[-1]


def test_numpy_first_is_no_trouble_where_the_environment_has_the_kernels(root: Path) -> None:
    assert child("import numpy, recsys", root, KERNELS).returncode == 0


def test_cpu_without_avx2_is_refused(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nflags\t\t: fpu sse sse2 avx\n")
    with pytest.raises(SystemExit, match=f"needs a CPU with AVX2, and {cpuinfo} does not list it"):
        select_kernels(cpuinfo)


@pytest.mark.parametrize("text", ["flags\t\t: fpu avx avx2\n", "processor\t: 0\n"])
def test_cpu_with_avx2_or_of_unknown_kind_is_taken(tmp_path: Path, text: str) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    select_kernels(tmp_path / "cpuinfo")
