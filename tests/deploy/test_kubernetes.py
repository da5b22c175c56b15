"""The manifests of Kubernetes, by its own schemas and by what they ask of callscribe."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import kubernetes_validate
import pytest
import yaml

from pipeline.cli import callscribe
from pipeline.settings.installation import Settings
from pipeline.telemetry.metrics import WAIT
from pipeline.web.app import FIRST
from pipeline.web.routes import ROUTES

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
MANIFESTS: list[dict[str, Any]] = list(yaml.safe_load_all((FOLDER / "callscribe.yaml").read_text()))
SCALING: list[dict[str, Any]] = list(yaml.safe_load_all((FOLDER / "autoscaling.yaml").read_text()))
DEPLOYMENTS = {m["metadata"]["name"]: m["spec"] for m in MANIFESTS if m["kind"] == "Deployment"}


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda m: f"{m['kind']}-{m['metadata']['name']}")
def test_manifests_are_as_the_schemas_say(manifest: dict[str, Any]) -> None:
    """Strictly: an unknown field is an error too."""
    kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_pods_run_commands_that_there_are_and_drain(name: str) -> None:
    """The arguments are a command of ours, its settings exist, and a pod has the time that a drain takes."""
    pod = DEPLOYMENTS[name]["template"]["spec"]
    (container,) = pod["containers"]
    command = callscribe.get_command(click.Context(callscribe), container["args"][0])
    assert command
    command.make_context("x", container["args"][1:]).close()
    hook = int(container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", [0, 0])[1])
    drain = Settings.model_fields["drain_seconds"].default if "upstream" in name else 5
    assert pod["terminationGracePeriodSeconds"] >= hook + drain + 10
    labels = DEPLOYMENTS[name]["selector"]["matchLabels"]
    assert labels.items() <= DEPLOYMENTS[name]["template"]["metadata"]["labels"].items()


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_pods_have_the_least_of_rights(name: str) -> None:
    """No root, no privilege, no capability, no writable root, no token of the cluster, bounded memory."""
    pod = DEPLOYMENTS[name]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {v["name"] for v in pod["volumes"]}


def test_the_api_is_asked_before_it_is_sent_requests() -> None:
    """Probes ask addresses that answer anybody; a store that is away ends no process."""
    (container,) = DEPLOYMENTS["callscribe-api"]["template"]["spec"]["containers"]
    paths = {route.path for route in [*FIRST, *ROUTES]}
    probes = {
        name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")
    }
    assert probes == {"startup": "/health", "readiness": "/ready", "liveness": "/health"}
    assert set(probes.values()) <= paths
    assert container["lifecycle"]["preStop"]


def test_settings_exist_and_secrets_are_apart() -> None:
    """Every variable is a setting, and what is secret stands in the Secret alone."""
    plain = next(m for m in MANIFESTS if m["kind"] == "ConfigMap")["data"]
    secret = next(m for m in MANIFESTS if m["kind"] == "Secret")["stringData"]
    for name in {*plain, *secret}:
        if name.startswith("CALLSCRIBE_"):
            field = Settings.model_fields[name.removeprefix("CALLSCRIBE_").lower()]
            assert ("Secret" in str(field.annotation)) is (name in secret), name
    assert plain["CALLSCRIBE_STORAGE_URL"].startswith("s3://")
    assert not set(plain) & set(secret)


def test_the_ingress_leads_to_what_portals_need() -> None:
    """Engines, events, images, /v1; not the metrics."""
    ingress = next(m for m in MANIFESTS if m["kind"] == "Ingress")
    paths = [path["path"] for path in ingress["spec"]["rules"][0]["http"]["paths"]]
    assert {"/engines", "/events", "/images", "/v1"} <= set(paths)
    assert not [path for path in paths if "/metrics".startswith(path)]


def test_workers_follow_the_age_of_their_queue() -> None:
    """Each worker's deployment is scaled by the metric that there is, of its own queue."""
    for scaled in SCALING:
        name = scaled["spec"]["scaleTargetRef"]["name"]
        assert name in DEPLOYMENTS
        (trigger,) = scaled["spec"]["triggers"]
        found = re.fullmatch(r'max\((\w+)\{queue="(\w+)"\}\) or vector\(0\)', trigger["metadata"]["query"])
        assert found
        assert found[1] == WAIT.name
        assert name.endswith(found[2])
        assert scaled["spec"]["minReplicaCount"] >= 1
    assert {s["spec"]["scaleTargetRef"]["name"] for s in SCALING} == set(DEPLOYMENTS) - {"callscribe-api"}
