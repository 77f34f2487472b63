"""The manifests of Spark fit together, and what they name exists. No schema of the Spark operator is at hand here, so
its fields are listed; the pods, which are most of it, are read with the schemas of Kubernetes."""

import re
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.deploy.test_files import DEPLOY, KIND, ROOT, confined

WORKSPACE = "/srv/recsys"
FIELDS = {  # of v1beta2, those that are used
    "type", "mode", "sparkVersion", "image", "mainApplicationFile", "arguments", "sparkConf", "restartPolicy",
    "timeToLiveSeconds", "dynamicAllocation", "driver", "executor",
}  # fmt: skip
POD_FIELDS = {"cores", "memory", "memoryOverhead", "serviceAccount", "template"}
APPLICATION: dict[str, Any] = yaml.safe_load((DEPLOY / "kubernetes/spark.yaml").read_text())["spec"]
PODS = {role: APPLICATION[role]["template"] for role in ("driver", "executor")}
CONTAINERS = {role: pod["spec"]["containers"][0] for role, pod in PODS.items()}
RETRAIN = KIND["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
DOCUMENT = (ROOT / "docs/spark.md").read_text()


def claims(pod: dict[str, Any]) -> dict[str, str]:
    """Where each claim, or emptyDir, is mounted."""
    places = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    assert set(places) == {volume["name"] for volume in pod["volumes"]}
    return {
        volume.get("persistentVolumeClaim", {"claimName": "empty"})["claimName"]: places[volume["name"]]
        for volume in pod["volumes"]
    }


@pytest.mark.parametrize("role", PODS)
def test_kubernetes_would_take_the_pods_of_spark(role: str) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": role}, "spec": PODS[role]["spec"]}
    kubernetes_validate.validate(pod, kubernetes_validate.latest_version(), strict=True)
    assert CONTAINERS[role]["name"] == f"spark-kubernetes-{role}"  # where the operator and Spark look for it
    assert "resources" not in CONTAINERS[role], "Spark ignores them"
    assert set(APPLICATION[role]) <= POD_FIELDS


def test_the_operator_knows_the_fields() -> None:
    assert set(APPLICATION) == FIELDS
    assert (APPLICATION["type"], APPLICATION["mode"]) == ("Python", "cluster")
    assert all(isinstance(value, str) for value in [*APPLICATION["arguments"], *APPLICATION["sparkConf"].values()])


def test_no_pod_of_spark_may_more_than_it_needs() -> None:
    assert all(confined(pod) for pod in PODS.values())
    assert PODS["executor"]["spec"]["automountServiceAccountToken"] is False
    (subject,) = KIND["RoleBinding"]["subjects"]
    assert APPLICATION["driver"]["serviceAccount"] == subject["name"] == KIND["ServiceAccount"]["metadata"]["name"]
    assert KIND["RoleBinding"]["roleRef"]["name"] == KIND["Role"]["metadata"]["name"]
    assert "secrets" not in KIND["Role"]["rules"][0]["resources"]


def test_spark_has_the_claims_and_settings_of_the_nightly_job() -> None:
    assert claims(PODS["driver"]["spec"]) == claims(RETRAIN)
    assert claims(PODS["executor"]["spec"]) == {"recsys-workspace": WORKSPACE, "empty": "/tmp"}
    given = {entry["name"]: entry for entry in CONTAINERS["driver"]["env"]}
    shared = given.pop("TMPDIR")["value"]
    assert given == {entry["name"]: entry for entry in RETRAIN["containers"][0]["env"]}
    assert shared.startswith(f"{WORKSPACE}/build/"), "for stages and executors, and ignored by git"
    assert APPLICATION["sparkConf"]["spark.checkpoint.dir"].startswith(f"file://{shared}/")


def test_what_the_driver_runs_exists() -> None:
    file = APPLICATION["mainApplicationFile"].removeprefix(f"local://{WORKSPACE}/")
    assert (ROOT / file).is_file()
    assert RETRAIN["containers"][0]["command"][-1] in APPLICATION["arguments"][-1]


@pytest.mark.parametrize(("code", "ends"), [(0, 0), (4, 0), (1, 1), (3, 1)])
def test_nothing_new_is_no_failure(tmp_path: Path, code: int, ends: int) -> None:
    *shell, script = APPLICATION["arguments"]
    assert "recsys retrain --canary 1%" in script
    script = script.replace(WORKSPACE, str(tmp_path)).replace("recsys retrain --canary 1%", f"(exit {code})")
    done = subprocess.run([*shell, script], env={"TMPDIR": str(tmp_path / "a/b")}, check=False)
    assert (done.returncode, (tmp_path / "a/b").is_dir()) == (ends, True)


def test_all_have_one_version_of_spark() -> None:
    (pinned,) = re.findall(r"(?m)^pyspark==(.+)$", (ROOT / "requirements-spark.lock").read_text())
    assert APPLICATION["sparkVersion"] == pinned
    assert f"COPY --from=apache/spark:{pinned} " in DOCUMENT
    assert f"--tag {APPLICATION['image']} ." in DOCUMENT
