"""What is in deploy/ is read by the tools that will read it, as far as they run without a container engine."""

import importlib.util
import inspect
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from deploy import lock
from recsys.bundle.shared import URL_VARIABLE
from serving import metrics
from serving.__main__ import main as serving_main
from serving.app import create_app
from serving.settings import PREFIX, Settings
from serving.watch.__main__ import main as watch_main

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
TEXTS = [path for path in sorted(DEPLOY.rglob("*")) if path.is_file() and path.suffix != ".pyc"]
ALERTS = ("alerts.yml", "levels.yml")
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
DOCUMENTS = [
    document
    for path in sorted((DEPLOY / "kubernetes").rglob("*.yaml"))
    if path.name not in ("kustomization.yaml", "spark.yaml")  # of kinds that are not Kubernetes' own
    for document in yaml.safe_load_all(path.read_text())
]
KIND = {document["kind"]: document for document in DOCUMENTS}
ACCOUNT = {"ServiceAccount", "Role", "RoleBinding"}  # of Spark
JOBS = [document["spec"].get("jobTemplate", document) for document in DOCUMENTS if document["kind"] not in ACCOUNT]
PODS = [job["spec"]["template"] for job in JOBS if "template" in job["spec"]]
CONTAINERS = [container for pod in PODS for container in pod["spec"]["containers"]]


def tool(name: str, *arguments: str) -> str:
    """Run a program and return what it prints; without it the test is skipped."""
    found = shutil.which(name, path="/usr/local/bin:/usr/bin:/usr/sbin:/opt/homebrew/bin")
    if found is None:
        pytest.skip(f"no {name} here; .ci/run installs it on Debian")
    done = subprocess.run([found, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_image_has_the_pins_of_the_extra_serve_and_no_others() -> None:
    assert lock.LOCK.read_text() == lock.content(), "run make lock, or python -m deploy.lock"
    assert set(lock.LOCK.read_text().splitlines()[1:]) <= set((ROOT / "requirements.lock").read_text().splitlines())


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document["kind"])
def test_kubernetes_would_take_the_manifests(document: dict[str, Any]) -> None:
    kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


def test_the_manifests_fit_together() -> None:
    kinds = {"Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "Job", "CronJob"}
    assert set(KIND) == kinds | ACCOUNT
    deployment = KIND["Deployment"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert KIND["Service"]["spec"]["selector"].items() <= labels.items()
    assert KIND["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert KIND["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert KIND["PodDisruptionBudget"]["spec"]["minAvailable"] < KIND["HorizontalPodAutoscaler"]["spec"]["minReplicas"]
    (api,) = deployment["spec"]["template"]["spec"]["containers"]
    assert KIND["Service"]["spec"]["ports"][0]["targetPort"] in {port["name"] for port in api["ports"]}
    volumes = {volume["name"] for volume in deployment["spec"]["template"]["spec"]["volumes"]}
    assert {mount["name"] for mount in api["volumeMounts"]} == volumes
    paths = create_app(Settings()).openapi()["paths"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert api[probe]["httpGet"]["path"] in paths


def test_each_pod_of_the_export_has_a_shard_of_its_own() -> None:
    (job,) = (
        document["spec"] for document in DOCUMENTS if document["metadata"].get("generateName") == "recsys-export-"
    )
    assert job["completionMode"] == "Indexed"
    shell = job["template"]["spec"]["containers"][0]["command"]
    shown = [shell[0], shell[1], shell[2].replace("recsys export", "echo")]
    for index in range(job["completions"]):
        done = subprocess.run(
            shown, env={"JOB_COMPLETION_INDEX": str(index)}, capture_output=True, text=True, check=True
        )
        assert done.stdout == f"--shard {index + 1}/{job['completions']} /srv/lists/lists.parquet\n"


@pytest.mark.parametrize("overlay", ["staging", "production"])
def test_an_overlay_changes_what_its_patches_name(overlay: str) -> None:
    folder = DEPLOY / "kubernetes" / overlay
    documents = list(yaml.safe_load_all(tool("kubectl", "kustomize", str(folder))))
    assert {document["kind"] for document in documents} == set(KIND) - ACCOUNT - {"Job"}
    for document in documents:
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
        namespace = document["metadata"]["namespace"]
        assert re.fullmatch("[a-z0-9][a-z0-9-]*", namespace), "Kubernetes takes no other letters"
        assert namespace.endswith("-staging") == (overlay == "staging")
    rendered = {document["kind"]: document["spec"] for document in documents}
    least = rendered["HorizontalPodAutoscaler"]["minReplicas"]
    assert rendered["PodDisruptionBudget"]["minAvailable"] < least <= rendered["HorizontalPodAutoscaler"]["maxReplicas"]
    assert rendered["Deployment"]["replicas"] == least
    assert rendered["CronJob"].get("suspend", False) is (overlay == "staging")


def confined(pod: dict[str, Any]) -> bool:
    """Whether neither the pod nor a container of it may more than it needs."""
    contexts = [container["securityContext"] for container in pod["spec"]["containers"]]
    return pod["spec"]["securityContext"]["runAsNonRoot"] is True and all(
        (context["allowPrivilegeEscalation"], context["readOnlyRootFilesystem"]) == (False, True)
        and context["capabilities"] == {"drop": ["ALL"]}
        for context in contexts
    )


def test_no_container_may_more_than_it_needs() -> None:
    for pod in PODS:
        assert confined(pod)
        assert pod["spec"]["automountServiceAccountToken"] is False
    for container in CONTAINERS:
        assert "memory" in container["resources"]["limits"]
    stages = re.split(r"(?m)^FROM ", (DEPLOY / "Dockerfile").read_text())[1:]
    assert len(stages) == 2
    assert re.search(r"(?m)^USER 10001$", stages[-1])
    assert re.search(r"(?m)^HEALTHCHECK ", stages[-1])
    api = COMPOSE["services"]["api"]
    assert (api["read_only"], api["cap_drop"]) == (True, ["ALL"])


def test_the_image_copies_what_is_there() -> None:
    admitted = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[0] == "!"}
    copied = re.findall(r"(?m)^COPY (?!--from)(.+) \S+$", (DEPLOY / "Dockerfile").read_text())
    sources = {source for line in copied for source in line.split()}
    assert sources == admitted
    assert all((ROOT / source).exists() for source in sources)


def test_no_service_keeps_its_log_for_ever() -> None:
    for name, service in COMPOSE["services"].items():
        assert set(service["logging"]["options"]) == {"max-size", "max-file"}, name


def test_compose_names_only_what_it_defines() -> None:
    services = COMPOSE["services"]
    named = {volume.split(":")[0] for service in services.values() for volume in service.get("volumes", [])}
    assert {name for name in named if "/" not in name} == set(COMPOSE["volumes"])
    for service in services.values():
        assert set(service.get("depends_on", {})) <= set(services)
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])
        assert re.search(r":[\w.-]+$", service["image"]) or "build" in service, "an image is pinned by its tag"
    for name in named - {"../releases"}:
        assert not name.startswith(".") or (DEPLOY / name).exists(), f"compose.yaml mounts {name}"
    assert {"postgres", "prometheus", "alertmanager", "grafana", "nginx", "api", "migrate", "watch"} == set(services)


def test_the_health_check_of_a_service_asks_the_service_itself() -> None:
    """The image asks port 8000, where only the API listens; `migrate` ends by itself."""
    (image_port,) = re.findall(r"http://127.0.0.1:(\d+)/healthz", (DEPLOY / "Dockerfile").read_text())
    assert int(image_port) == inspect.signature(serving_main).parameters["port"].default
    watch_port = inspect.signature(watch_main).parameters["port"].default
    assert f":{watch_port}/metrics" in COMPOSE["services"]["watch"]["healthcheck"]["test"][-1]


def test_every_variable_and_command_exists() -> None:
    commands = (
        "serving/__main__.py",
        "serving/stores/__main__.py",
        "serving/watch/__main__.py",
        "recsys/cli/main.py",
        "recsys/cli/releases.py",
    )
    source = "".join((ROOT / name).read_text() for name in commands)
    known = {PREFIX + name.upper() for name in Settings.model_fields} | set(re.findall(r'envvar="(\w+)"', source))
    known |= {URL_VARIABLE}
    for path in [*TEXTS, ROOT / "docs" / "operations.md"]:
        named = set(re.findall(r"\bRECSYS_[A-Z_]+\b", path.read_text()))
        assert named <= known, f"{path}: no such settings: {sorted(named - known)}"
        modules = re.findall(r'python -m ([a-z][\w.]+)|"-m", "([\w.]+)"', path.read_text())
        for module in filter(None, {name for pair in modules for name in pair}):
            assert importlib.util.find_spec(module), f"{path}: no module {module}"


def test_every_setting_of_production_is_given() -> None:
    """The image is refused without them, so each way to run it must set them."""
    (api,) = KIND["Deployment"]["spec"]["template"]["spec"]["containers"]
    for given in ({entry["name"] for entry in api["env"]}, set(COMPOSE["services"]["api"]["environment"])):
        assert {"RECSYS_API_KEYS", "RECSYS_SECRET", "RECSYS_STORE_URL"} <= given
    assert "RECSYS_ENVIRONMENT=production" in (DEPLOY / "Dockerfile").read_text()


def test_nginx_reads_its_file(tmp_path: Path) -> None:
    """With an address in place of the name `api`, which only the network of compose knows."""
    text = (DEPLOY / "nginx.conf").read_text()
    assert text.count("server api:8000;") == 1
    file = tmp_path / "nginx.conf"
    file.write_text(text.replace("api:8000", "127.0.0.1:8000").replace("/tmp/nginx.pid", str(tmp_path / "pid")))
    tool("nginx", "-t", "-c", str(file))


def test_nginx_takes_as_large_a_body_as_the_api() -> None:
    (megabytes,) = re.findall(r"client_max_body_size (\d+)m;", (DEPLOY / "nginx.conf").read_text())
    assert int(megabytes) * 2**20 >= Settings().max_body_bytes


def test_prometheus_reads_its_files() -> None:
    tool("promtool", "check", "config", "deploy/prometheus/prometheus.yml")


def test_the_alerts_fire_when_they_should_and_only_then() -> None:
    tool("promtool", "test", "rules", "tests/deploy/alerts_test.yml", "tests/deploy/levels_test.yml")


def test_the_alerts_ask_for_figures_that_the_api_has() -> None:
    create_app(Settings())
    importlib.import_module("serving.watch.__main__")  # its metrics
    kinds = re.findall(r"(?m)^# TYPE (recsys_\w+) (\w+)$", metrics.page().decode())
    made = {name + part for name, kind in kinds for part in (("_bucket", "_count") if kind == "histogram" else ("",))}
    alerts = "".join((DEPLOY / "prometheus" / name).read_text() for name in ALERTS)
    assert set(re.findall(r"\brecsys_\w+", alerts)) <= made
    assert set(re.findall(r"\brecsys:[\w:]+", alerts)) == set(re.findall(r"record: (\S+)", alerts))
    source = "".join(path.read_text() for path in (ROOT / "serving").rglob("*.py"))
    for outcome in set(re.findall(r'outcome="(\w+)"', alerts)):
        assert f'"{outcome}"' in source


def test_every_alert_is_explained() -> None:
    files = [yaml.safe_load((DEPLOY / "prometheus" / name).read_text()) for name in ALERTS]
    page = (ROOT / "docs" / "operations.md").read_text()
    for rule in [rule for file in files for group in file["groups"] for rule in group["rules"] if "alert" in rule]:
        assert f"| `{rule['alert']}` |" in page
        assert rule["labels"]["severity"] in ("page", "ticket")
