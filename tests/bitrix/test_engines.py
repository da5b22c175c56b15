"""Our engines on a portal."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner, Result

from pipeline.bitrix24.engines import (
    UnfitURL,
    Wish,
    check,
    completions_url,
    listing,
    read_filter,
    register,
    unregister,
)
from pipeline.bitrix24.rest import Bitrix24
from pipeline.cli.engines import engines
from pipeline.clients.transport import Transport
from pipeline.domain.errors import PortalRefused, PortalUnavailable, SettingsError
from pipeline.domain.job import Category
from tests.bitrix.portal import CODE, Portal, serving

TOKEN = "t" * 24
PUBLIC = "https://callscribe.example"


def wish(category: Category = Category.AUDIO, public: str = PUBLIC, **more: Any) -> Wish:
    return Wish(category=category, completions_url=completions_url(public, TOKEN, category), **more)


def test_each_category_gets_a_code_of_its_own(portal: Portal, rest: Bitrix24) -> None:
    """Text comes first; settings only where they were chosen."""
    outcomes = register(rest, [wish(), wish(Category.TEXT, alias="GPT", context_limit=9000)])
    assert [(o.code, o.what) for o in outcomes] == [
        ("callscribe_text", "registered"), ("callscribe_audio", "registered"),
    ]  # fmt: skip
    text, audio = portal.sent("ai.engine.register")
    assert audio["completions_url"] == f"{PUBLIC}/engines/{TOKEN}/audio"
    assert "settings" not in audio
    assert text["settings"] == {"code_alias": "GPT", "model_context_limit": 9000}


def test_registering_again_changes_nothing(portal: Portal, rest: Bitrix24) -> None:
    """What stands as wished is left alone, so that no job in flight is orphaned."""
    register(rest, [wish()])
    assert register(rest, [wish()])[0].what == "unchanged"
    assert portal.asked.count("ai.engine.register") == 1


def test_moving_is_unregister_and_register_with_a_warning(portal: Portal, rest: Bitrix24) -> None:
    """A new address, with the jobs in flight named."""
    register(rest, [wish()])
    (outcome,) = register(rest, [wish(public="https://new.example")])
    assert (outcome.what, outcome.note) == ("moved", "jobs in flight at the old address lose their engine")
    assert portal.engines["callscribe_audio"]["completions_url"].startswith("https://new.example/")


def test_an_engine_that_cannot_be_moved_is_put_back(portal: Portal, rest: Bitrix24) -> None:
    """The portal refuses the new address: the old engine stands again, and the refusal is told."""
    register(rest, [wish()])
    portal.fails(None, None, (400, {"error": "ENGINE_REGISTER_ERROR_COMPLETIONS_URL_FAIL"}))
    with pytest.raises(PortalRefused, match="did not get a 200"):
        register(rest, [wish(public="https://new.example")])
    assert portal.engines["callscribe_audio"]["completions_url"].startswith(PUBLIC)
    portal.fails(None, None, *[(400, {"error": "ENGINE_REGISTER_ERROR_COMPLETIONS_URL_FAIL"})] * 2)
    with pytest.raises(PortalRefused, match="it is gone now"):
        register(rest, [wish(public="https://new.example")])


FOR_A_MOMENT = (503, {"error": "QUERY_LIMIT_EXCEEDED"})


@pytest.mark.parametrize("fault", [FOR_A_MOMENT, (500, b"<html>"), (200, b"<html>"), "drop"])
@pytest.mark.parametrize("step", [0, 1, 2, 3])
def test_a_move_survives_what_passes(step: int, fault: Any, portal: Portal, rest: Bitrix24) -> None:
    """In whichever of its requests, once or several times, served unseen or not: the new address stands."""
    register(rest, [wish(), wish(Category.TEXT)])
    slept: list[float] = []
    portal.fails(*[None] * step, *[fault] * 3)
    outcomes = register(rest, [wish(public="https://new.example")], sleep=slept.append)
    assert outcomes[0].what == "moved"
    assert portal.engines["callscribe_audio"]["completions_url"].startswith("https://new.example/")
    assert len(portal.engines) == 2
    assert len(slept) in ((2, 3) if step < 3 else (0,))


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("fault", [FOR_A_MOMENT, (500, b""), "drop", KeyboardInterrupt()])
def test_a_move_that_fails_for_good_ends_with_the_engine_as_it_was(
    step: int, fault: Any, portal: Portal, rest: Bitrix24
) -> None:
    """The portal is ill for longer than a minute, or the operator stops waiting: never with none."""
    register(rest, [wish()])
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if isinstance(fault, KeyboardInterrupt):
            portal.fails()
            raise fault

    portal.fails(*[None] * step, *[FOR_A_MOMENT if isinstance(fault, KeyboardInterrupt) else fault] * 7)
    try:
        register(rest, [wish(public="https://new.example")], sleep=sleep)
    except (PortalUnavailable, KeyboardInterrupt):
        assert sum(slept) <= 70
    (standing,) = portal.engines.values()
    expected = "https://new.example" if fault == "drop" and step == 2 else PUBLIC
    assert standing["completions_url"].startswith(expected)


def test_an_older_portal_goes_without_call(portal: Portal, rest: Bitrix24) -> None:
    """A category that was not asked for by name is left out where the portal does not know it."""
    fault = (400, {"error": "ENGINE_REGISTER_ERROR_CATEGORY_FORMAT"})
    portal.fails(None, fault)
    assert register(rest, [wish(Category.CALL)], required=False)[0].what == "left out"
    portal.fails(None, fault)
    with pytest.raises(PortalRefused, match="no such category"):
        register(rest, [wish(Category.CALL)])


def test_a_boxed_portal_is_explained(portal: Portal, rest: Bitrix24) -> None:
    """No such method: a missing scope, or a boxed portal."""
    portal.lacks("ai.engine.list")
    with pytest.raises(PortalRefused, match="boxed portal"):
        listing(rest)


def test_listing_filters_and_masks(portal: Portal, rest: Bitrix24) -> None:
    """The token in an address does not show."""
    register(rest, [wish(), wish(Category.TEXT)])
    (found,) = listing(rest, {"CATEGORY": "audio"})
    assert (found.code, found.category) == ("callscribe_audio", "audio")
    assert found.masked_url == f"{PUBLIC}/engines/***/audio"
    assert TOKEN not in repr(found)
    assert len(listing(rest, limit=1)) == 1


def test_filters_are_read() -> None:
    """Every documented prefix over every documented key."""
    assert read_filter(">=id", "5") == (">=ID", "5")
    assert read_filter("@CODE", "a, b") == ("@CODE", ["a", "b"])
    assert read_filter("!%name", "x") == ("!%NAME", "x")
    for prefix in (">=", ">", "<=", "<", "@", "!@", "%", "=%", "%=", "=", "!=", "!", "!%"):
        assert read_filter(prefix + "DATE_CREATE", "1")[0] == prefix + "DATE_CREATE"
    for wrong in ("AGE", "~ID", ""):
        with pytest.raises(ValueError, match="expected one of"):
            read_filter(wrong, "1")


def test_unregistering_takes_ours_and_no_others(portal: Portal, rest: Bitrix24) -> None:
    """Without a code: those with our prefix; an unknown code is told."""
    register(rest, [wish()])
    portal.sandbox.engines.registered.append({"id": 9, "code": "other", "name": "x", "category": "text"})
    assert [(o.code, o.what) for o in unregister(rest)] == [("callscribe_audio", "unregistered")]
    assert list(portal.engines) == ["other"]
    assert [(o.code, o.what) for o in unregister(rest, ["nobody"])] == [("nobody", "unknown")]


def test_the_completions_url_is_checked_as_the_portal_will(portal: Portal, transport: Transport) -> None:
    """A private address fails, or passes with a warning where it is trusted; it must answer exactly 200."""
    origin = portal.url.partition("/rest/")[0]
    url = completions_url(origin, TOKEN, Category.AUDIO)
    with pytest.raises(UnfitURL):
        check(url, outside=transport, inside=transport)
    trusting = Transport(trusted=["127.0.0.1"])
    warning = check(url, outside=transport, inside=trusting)
    assert warning is not None
    assert "refuse" in warning
    for status in (204, 302, 404, 503):
        portal.completions(status)
        with pytest.raises(UnfitURL, match=str(status)):
            check(url, outside=transport, inside=trusting)
    with serving(lambda *_: None) as dead, pytest.raises(UnfitURL, match="does not answer") as caught:
        check(completions_url(dead, TOKEN, Category.AUDIO), outside=transport, inside=trusting)
    assert TOKEN not in caught.value.message
    trusting.close()


@pytest.fixture
def run(portal: Portal, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Any:
    """The command with settings that lead to the portal."""
    monkeypatch.chdir(tmp_path)
    origin = portal.url.partition("/rest/")[0]
    for name, value in {
        "PUBLIC_URL": origin, "PORTAL_TOKEN": f"{TOKEN},{'o' * 24}", "BITRIX24_WEBHOOK": portal.url,
        "TRUSTED_HOSTS": "127.0.0.1",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"CALLSCRIBE_{name}", value)

    def invoke(*args: str) -> Result:
        return CliRunner().invoke(engines, list(args))

    return invoke


def test_the_command_registers_lists_and_takes_back(run: Any, portal: Portal) -> None:
    """What was done, the warnings, the reminders; images are left out while no provider makes them."""
    done = run("register", "--name", "Scribe")
    assert done.exit_code == 0, done.output
    for line in (
        "callscribe_text: registered",
        "callscribe_audio: registered",
        "callscribe_call: registered",
    ):
        assert line in done.output
    assert "image" not in done.output.split("An administrator")[0]
    assert "warning: " in done.output
    assert "An administrator must still choose the engine" in done.output
    assert "invisible" not in done.output  # there is a text engine
    shown = run("list", "--filter", "CATEGORY", "audio")
    assert "/engines/***/audio" in shown.output
    assert TOKEN not in shown.output + done.output
    assert CODE not in shown.output + done.output
    assert "callscribe_audio: unregistered" in run("unregister").output
    assert "none of ours" in run("unregister").output
    assert portal.engines == {}


@pytest.mark.parametrize(
    ("args", "ends"),
    [(("register", "--category", "audio"), "callscribe_audio: registered"), (("list",), "category")],
)
def test_the_command_tells_that_it_waits(
    run: Any, portal: Portal, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], ends: str
) -> None:
    """Nobody looks at a silent terminal for a minute."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    portal.fails(FOR_A_MOMENT, FOR_A_MOMENT)
    done = run(*args)
    assert done.exit_code == 0, done.output
    assert done.output.count("the portal is not ready: trying again in 5 s") == 2
    assert ends in done.output


def test_audio_alone_brings_the_reminder(run: Any) -> None:
    """Audio needs a text engine on the portal."""
    assert "invisible to the CRM" in run("register", "--category", "audio").output


def test_wrong_usage_is_told(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images without a provider, an unknown portal or filter, no webhook, no public URL."""
    for args, error in (
        (("register", "--category", "image"), "image is not served"),
        (("list", "--portal", "nobody"), "no such portal"),
    ):
        found = run(*args)
        assert isinstance(found.exception, SettingsError)
        assert error in found.exception.message
    assert run("list", "--filter", "AGE", "5").exit_code == 2
    monkeypatch.delenv("CALLSCRIBE_PUBLIC_URL")
    assert "PUBLIC_URL" in str(run("register").exception)
    monkeypatch.delenv("CALLSCRIBE_BITRIX24_WEBHOOK")
    assert "BITRIX24_WEBHOOK" in str(run("list").exception)
