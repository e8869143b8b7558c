"""The manifests are what Kubernetes takes, and name images, commands, settings, routes and each other as they are."""

import base64
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from gantcha import __version__
from pool.settings import load_settings
from server.api import health
from tests.conftest import ROOT
from tests.support.documents import under
from tests.support.images import BIN
from tests.support.programs import needs

KUBERNETES = ROOT / "examples" / "kubernetes"
VERSIONS = ["1.30", "1.37"]  # the oldest of the page, and the latest that the package knows
OVERLAYS = ["s3", "shared-volume", "trial"]
Manifest = dict[str, Any]


def _written() -> Iterator[Manifest]:
    """Return the manifests as they stand in the files."""
    for file in sorted(KUBERNETES.rglob("*.yaml")):
        if file.name != "kustomization.yaml":
            yield from yaml.safe_load_all(file.read_text())


MANIFESTS = {f"{one['kind']} {one['metadata']['name']}": one for one in _written()}
PODS = {name: one["spec"]["template"]["spec"] for name, one in MANIFESTS.items() if "template" in one.get("spec", ())}
OURS = {name: pod for name, pod in PODS.items() if "postgresql" not in name}
BASE = yaml.safe_load((KUBERNETES / "base" / "kustomization.yaml").read_text())


def container_of(pod: Manifest) -> Manifest:
    (container,) = pod["containers"]
    return dict(container)


def test_servers_refill_and_migration_are_there() -> None:
    assert set(OURS) == {"Deployment gantcha-server", "Deployment gantcha-refill", "Job gantcha-migrate"}


@pytest.mark.parametrize("name", MANIFESTS)
def test_kubernetes_takes_a_manifest(name: str) -> None:
    """To the letter: a field that it does not know is refused."""
    for version in VERSIONS:
        kubernetes_validate.validate(MANIFESTS[name], version, strict=True)


@pytest.mark.parametrize("name", PODS)
def test_a_pod_has_no_rights_and_limits(name: str) -> None:
    pod, container = PODS[name], container_of(PODS[name])
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"cpu", "memory"} <= set(container["resources"]["requests"])
    assert "memory" in container["resources"]["limits"]
    assert "/tmp" in {mount["mountPath"] for mount in container["volumeMounts"]}  # noqa: S108


@pytest.mark.parametrize("name", OURS)
def test_a_pod_of_ours_is_of_any_user_and_runs_what_its_image_has(name: str) -> None:
    container = container_of(OURS[name])
    assert "runAsUser" not in OURS[name]["securityContext"]
    assert re.search(
        rf"^FROM \S+ AS {container['image'].removeprefix('gantcha-')}$", (ROOT / "Dockerfile").read_text(), re.MULTILINE
    )
    migrate = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["migrate"]["command"]
    assert container.get("command") == (migrate if name.startswith("Job") else None)
    assert (BIN / migrate[0]).exists()


def test_the_images_have_the_name_and_version_with_which_they_are_built() -> None:
    built = subprocess.check_output(
        ["make", "--dry-run", "images", "REGISTRY=registry.example.com"], cwd=ROOT, text=True
    )
    assert {image["name"] for image in BASE["images"]} == {container_of(pod)["image"] for pod in OURS.values()}
    for image in BASE["images"]:
        assert image["newTag"] == __version__
        assert f"--tag {image['newName']}:{image['newTag']} " in built


def test_the_server_is_asked_where_it_answers() -> None:
    container = container_of(PODS["Deployment gantcha-server"])
    paths = {route.path for route in health.router.routes if hasattr(route, "path")}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["path"] in paths
        assert container[probe]["httpGet"]["port"] == "http"
    (port,) = container["ports"]
    assert port == {"name": "http", "containerPort": 8000}
    assert "EXPOSE 8000\n" in (ROOT / "Dockerfile").read_text()


def test_requests_find_the_server() -> None:
    server = MANIFESTS["Deployment gantcha-server"]["spec"]["template"]["metadata"]["labels"]
    (port,) = MANIFESTS["Service gantcha-server"]["spec"]["ports"]
    (rule,) = MANIFESTS["Ingress gantcha"]["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert path["backend"]["service"] == {"name": "gantcha-server", "port": {"name": port["name"]}}
    assert port["targetPort"] == "http"
    for name in ("Service gantcha-server", "Service gantcha-pods"):
        assert MANIFESTS[name]["spec"]["selector"] == server
    assert MANIFESTS["PodDisruptionBudget gantcha-server"]["spec"]["selector"]["matchLabels"] == server
    policy = MANIFESTS["NetworkPolicy gantcha-server"]["spec"]
    assert policy["podSelector"]["matchLabels"] == server
    (label,) = policy["ingress"][0]["from"][0]["namespaceSelector"]["matchLabels"].items()
    assert f"kubectl label namespace NAME {'='.join(label)}`" in (ROOT / "docs" / "containers.md").read_text()


@needs("promtool")
def test_prometheus_takes_the_file_that_finds_the_pods() -> None:
    file = KUBERNETES / "prometheus.yml"
    checked = subprocess.run(["promtool", "check", "config", file], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    (job,) = yaml.safe_load(file.read_text())["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    assert found["names"] == [f"gantcha-pods.{BASE['namespace']}.svc.cluster.local"]
    assert found["port"] == MANIFESTS["Service gantcha-pods"]["spec"]["ports"][0]["port"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The manifests with the secrets that the page says how to write."""
    place = tmp_path / "examples" / "kubernetes"
    shutil.copytree(KUBERNETES, place, ignore=shutil.ignore_patterns(".env"))
    subprocess.run(["bash", "-euc", under("docs/containers.md", "Kubernetes")], cwd=tmp_path, check=True)
    shutil.copy(place / "shared-volume" / ".env", place / "s3")
    return place


@needs("kubectl")
@needs("openssl")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_comes_to_what_kubernetes_takes(overlay: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = subprocess.check_output(["kubectl", "kustomize", folder / overlay], text=True)
    manifests = list(yaml.safe_load_all(built))
    for manifest in manifests:
        kubernetes_validate.validate(manifest, VERSIONS[-1], strict=True)
    texts = {one["metadata"]["name"]: one["data"] for one in manifests if one["kind"] == "ConfigMap"}
    secrets = {
        one["metadata"]["name"]: {name: base64.b64decode(value).decode() for name, value in one["data"].items()}
        for one in manifests
        if one["kind"] == "Secret"
    }
    claims = {one["metadata"]["name"] for one in manifests if one["kind"] == "PersistentVolumeClaim"}
    pods = {
        one["metadata"]["name"]: one["spec"]["template"]["spec"]
        for one in manifests
        if "template" in one.get("spec", ())
    }
    for name, pod in pods.items():
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert {
            v["persistentVolumeClaim"]["claimName"] for v in volumes.values() if "persistentVolumeClaim" in v
        } <= claims
        has_files = "/var/lib/gantcha" in {mount["mountPath"] for mount in container_of(pod)["volumeMounts"]}
        assert has_files == (name in ("gantcha-server", "gantcha-refill") and overlay != "s3")
        if name == "postgresql":
            (reference,) = (v["valueFrom"]["secretKeyRef"] for v in container_of(pod)["env"] if "valueFrom" in v)
            assert secrets[reference["name"]][reference["key"]]
            continue
        given: dict[str, str] = {}
        for source in container_of(pod)["envFrom"]:
            given |= texts[source["configMapRef"]["name"]] if "configMapRef" in source else {}
            given |= secrets[source["secretRef"]["name"]] if "secretRef" in source else {}
        given |= {variable["name"]: variable["value"] for variable in container_of(pod).get("env", ())}
        with monkeypatch.context() as inside:
            for variable, value in given.items():
                inside.setenv(variable, value)
            settings = load_settings()
        assert {name for name in given if name.startswith("CAPTCHA_")} == {
            f"CAPTCHA_{field.upper()}" for field in settings.model_fields_set
        }
        assert bool(settings.target) == (name != "gantcha-server")
        assert (settings.files_url or "").startswith("s3://") == (overlay == "s3")
        assert settings.api_key and settings.site_secret
