"""`callscribe doctor` names each fault with the mend that takes it away."""

from __future__ import annotations

import ast
import contextlib
import json
import re
import signal
import socket
from pathlib import Path

import pytest

from pipeline.domain.errors import CallscribeError, UnreadableRecord
from pipeline.store import Store
from tests.cli.conftest import Run
from tests.cli.test_listings import put
from tests.cli.test_with_sandbox import Sandbox, sandbox, served
from tests.system.processes import Process, environment
from tests.transport.listener import TLS, Listener

__all__ = ["sandbox", "served"]  # fixtures
TOKEN = "token-of-a-portal-0123456789"


def checks(run: Run, **settings: str) -> dict[str, dict[str, str]]:
    """Each check by its name; the last one where several have the same."""
    done = run("doctor", "--json", **settings)
    # a provider has one check for all its works: it is looked up by the first of them
    found = {check["name"].partition(",")[0]: check for check in json.loads(done.out)["checks"]}
    assert done.code == any(check["state"] == "failed" for check in found.values())
    return found


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_private_certificate_is_mended_by_ca_file(run: Run, sandbox: Sandbox) -> None:
    """A provider, a webhook and a Redis whose certificate nobody knows: each names CA_FILE, which helps."""
    with contextlib.closing(Listener(lambda connection, _: connection.answer(b"{}"), tls=True)) as server:
        address = f"https://127.0.0.1:{server.port}"
        rest = f"{address}/rest/1/code/"
        faults = {"router_url": f"{address}/v1", "router_key": "k", "bitrix24_webhook": rest,
                  "redis_url": f"rediss://127.0.0.1:{server.port}/0"}  # fmt: skip
        found = checks(run, **faults)
        for name in ("provider of transcription", "portal: webhook", "Redis"):
            assert found[name]["state"] == "failed"
            assert "certificate" in found[name]["says"]
            assert "CALLSCRIBE_CA_FILE" in found[name]["hint"]
        # known now, it is found to be for another name
        found = checks(run, ca_file=str(TLS / "authority.pem"))
        assert "another name" in found["provider of transcription"]["hint"]


def test_a_proxy_that_is_away_or_wants_a_password_is_named(run: Run, sandbox: Sandbox) -> None:
    """Not the provider is blamed but the proxy, and its setting is the mend."""
    outside = {"router_url": "https://provider.example/v1", "router_key": "k"}
    found = checks(run, **outside, provider_proxy=f"http://user:secret@127.0.0.1:{closed_port()}")
    check = found["provider of transcription"]
    assert check["says"].startswith("https://provider.example/v1: The proxy 127.0.0.1:")
    assert "CALLSCRIBE_PROVIDER_PROXY" in check["hint"]
    assert "secret" not in str(found)
    with contextlib.closing(Listener(lambda connection, _: connection.answer(status=407))) as proxy:
        check = checks(run, provider_proxy=f"http://127.0.0.1:{proxy.port}")["provider of transcription"]
    assert "with 407" in check["says"]
    assert "http://user:password@host:port" in check["hint"]


@pytest.mark.parametrize(("status", "mend"), [(401, "the key itself"), (402, "balance"), (403, "scope")])
def test_an_account_that_is_refused_is_mended_where_it_fails(
    run: Run, sandbox: Sandbox, status: int, mend: str
) -> None:
    """Key, balance and scope are told apart, and the settings that hold the key are named."""
    sandbox.script.add(path="/v1/models", status=status, times=None)
    check = checks(run)["provider of transcription"]
    assert mend in check["hint"]
    assert "CALLSCRIBE_TRANSCRIPTION_KEY" in check["hint"]


def test_missing_scopes_are_the_ones_to_tick(run: Run, sandbox: Sandbox) -> None:
    """The mend names the scopes that lack, and no other."""
    sandbox.script.add(path="/rest/1/*/scope*", status=200, body={"result": ["crm", "telephony"]}, times=None)
    assert checks(run)["portal: scopes"]["hint"].endswith("tick disk, ai_admin.")


def test_a_key_for_timeline_entries_is_checked_where_they_go(run: Run, sandbox: Sandbox) -> None:
    """VibeCode's own address and key are asked, and only where scores are written there."""
    theirs = {"vibecode_url": "http://127.0.0.1:1/v1", "vibecode_key": "k"}
    assert checks(run, timeline="vibecode", **theirs)["provider of timeline entries"]["state"] == "failed"
    assert "provider of timeline entries" not in checks(run, timeline="bitrix24")


def test_where_callbacks_go_is_asked(run: Run, sandbox: Sandbox) -> None:
    """A portal at a private address that nobody trusts could take no callback; trusted, it can."""
    assert checks(run)["portal: address"]["state"] == "ok"
    refused = checks(run, portal_url="https://127.0.0.1:1", trusted_hosts="")["portal: address"]
    assert refused["state"] == "failed"


def test_the_audio_storage_is_written_and_read(run: Run) -> None:
    """Where it is there it is tried, and named; where it is not yet, only its parent can be."""
    assert checks(run)["audio storage"]["state"] == "unknown"
    folder = Path("audio")
    folder.mkdir()
    kept = checks(run, storage_url=folder.absolute().as_uri())["audio storage"]
    assert kept["state"] == "ok"
    assert str(folder.absolute()) in kept["says"]


def test_watching_tells_what_changes(sandbox: Sandbox, short_path: Path) -> None:
    """After the first round only what is new is told; Ctrl-C ends it."""
    settings = {"router_url": f"{sandbox.base_url}/v1", "router_key": "sandbox-router-key"}
    watching = Process("doctor", "--watch", "2", env=environment(**settings), cwd=short_path)
    watching.line("provider of transcription")
    sandbox.script.add(path="/v1/models", status=402, times=None)
    assert "402" in watching.line("refuses the key")
    assert watching.output.count("media libraries") == 1
    assert watching.end(signal.SIGINT) == 130
    assert "Traceback" not in watching.output


def hints() -> dict[str, str]:
    """What each error of the service names as its mend."""
    classes, found = [CallscribeError], dict[str, str]()
    while classes:
        one = classes.pop()
        found[one.__name__] = one.hint
        classes += one.__subclasses__()
    return found


def test_no_mend_points_at_the_look_that_shows_it() -> None:
    """`doctor` and `jobs show` print mends: none of them says to ask `doctor` or to look at `jobs show`."""
    for name, hint in hints().items():
        assert "callscribe doctor" not in hint, name
        if name != UnreadableRecord.__name__:  # `jobs show` shows such a record without any mend
            assert "callscribe jobs show" not in hint, name
    checked = Path(__file__).parents[2] / "pipeline"
    for file in (
        "cli/doctor.py",
        "cli/store_checks.py",
        "health/checks.py",
        "health/machine.py",
        "health/portals.py",
        "health/providers.py",
        "health/stands.py",
        "bitrix24/checks.py",
        "bitrix24/rest_errors.py",
    ):
        tree = ast.parse((checked / file).read_text(encoding="utf-8"))
        strings = {
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        docs = {ast.get_docstring(node, clean=False) for node in ast.walk(tree)
                if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef)}  # fmt: skip
        assert [text for text in strings - docs if "callscribe doctor" in text] == []


def test_every_command_that_a_mend_names_is_there(run: Run) -> None:
    """What stands in backquotes can be typed: the command answers --help."""
    named = {match for hint in hints().values() for match in re.findall(r"`callscribe ([a-z ]+[a-z])", hint)}
    assert {"jobs retry", "jobs list"} <= named
    for command in named:
        assert run(*command.split(), "--help").code == 0, command


def test_a_service_that_lacks_a_process_is_told(run: Run, valkey: str) -> None:
    """A Redis on which nobody of ours lives: what to start is named."""
    check = checks(run, redis_url=valkey)["processes"]
    assert check["state"] == "failed"
    assert "api or media or upstream" in check["says"]
    assert "`callscribe worker`" in check["hint"]


def test_held_calls_are_told(run: Run, valkey: str) -> None:
    """Who waits, since when, and what ends it."""
    with contextlib.closing(Store(valkey)) as store:
        job = put(store, "held", {})
        store._redis.zadd("cs:held:portal", {job: store.now() - 90})
    found = checks(run, redis_url=valkey)
    assert "1 calls wait since" in found["portal: held"]["says"]
    assert "balance" in found["portal: held"]["hint"]
