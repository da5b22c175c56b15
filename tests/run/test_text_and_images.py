"""Text and image jobs over a real store, against providers that answer oddly: one outcome, paid at most
twice."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline.domain.errors import StoreUnavailable
from pipeline.domain.job import Category, Job, Request, Source
from pipeline.run.leftovers import leftovers
from pipeline.sandbox.app import Sandbox
from pipeline.steps import pictures, retry
from pipeline.steps.tools import Tools
from tests.installation import Open, accept, recording, run

CHAT, DRAW = "*/chat/completions", "*/images/generations"
PNG = b"\x89PNG\r\n\x1a\n and what follows"
CODE = base64.b64encode(PNG).decode()


@pytest.fixture
def tools(opened: Open) -> Tools:
    return opened(
        chat_fallbacks="sandbox-rules", image_model="sandbox-squares", public_url="https://calls.example"
    )


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The schedule in hundredths."""
    monkeypatch.setattr(retry, "AMBIGUOUS_GAPS", (0.05, 0.3, 3.0, 18.0))


def said(text: Any, finish: str | None = "stop", **message: Any) -> dict[str, Any]:
    return {
        "choices": [{"message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}]
    }


def outcome(
    tools: Tools, sandbox: Sandbox, request: Request, category: Category, key: str
) -> tuple[Job, Any]:
    """The job when it has ended, and the body of its one callback."""
    sandbox.script.add(path=f"/hook/{key}", times=None, status=200, body={"status": "success"})
    url = f"{sandbox.base_url}/hook/{key}"
    job = accept(
        tools, Request(**{**request.__dict__, "callback_url": url, "error_callback_url": url}),
        category=category, key=key,
    )  # fmt: skip
    (done,) = run(tools, job, until=lambda job: "callback" in job.facts)
    (sent,) = sandbox.ledger.find(f"/hook/{key}")
    return done, sent["json"]


def text(tools: Tools, sandbox: Sandbox, key: str = "k", **fields: Any) -> tuple[Job, Any]:
    return outcome(tools, sandbox, Request(prompt="Write a letter.", **fields), Category.TEXT, key)


def image(tools: Tools, sandbox: Sandbox, key: str = "k", **fields: Any) -> tuple[Job, Any]:
    return outcome(tools, sandbox, Request(prompt="a cat", **fields), Category.IMAGE, key)


def asked(sandbox: Sandbox, path: str = CHAT) -> list[dict[str, Any]]:
    return [entry["json"] for entry in sandbox.ledger.find(path)]


# -- what cannot be used


UNUSABLE = {
    "a refusal": said(None, refusal="I cannot help with that."),
    "a content filter": said("", "content_filter"),
    "a content filter amid the answer": said("Dear", "content_filter"),
    "google's way": {"candidates": [{"finishReason": "SAFETY", "content": {"parts": []}}]},
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_stays_unusable_ends_at_once(opened: Open, sandbox: Sandbox, name: str) -> None:
    """One paid call, one clear error callback."""
    tools = opened()
    sandbox.script.add(path=CHAT, times=None, status=200, body=UNUSABLE[name])
    done, sent = text(tools, sandbox)
    assert done.facts["failure"]["slug"] == "unusable_answer"
    assert sent["api_request_completed"] is False
    assert "refuses" in sent["message"] or "filter" in sent["message"]
    assert len(asked(sandbox)) == 1


def test_the_next_model_is_asked_at_once(tools: Tools, sandbox: Sandbox) -> None:
    """A refusal of the first model goes to the fallback in the same step."""
    sandbox.script.add(path=CHAT, times=1, status=200, body=UNUSABLE["a refusal"])
    sandbox.script.add(path=CHAT, times=1, status=200, body=said("Dear friend"))
    _, sent = text(tools, sandbox)
    assert sent["result"] == ["Dear friend"]
    assert [body["model"] for body in asked(sandbox)] == ["bitrix/bitrixgpt-5.5", "sandbox-rules"]


@pytest.mark.parametrize("fallbacks", ["", "sandbox-rules"])
def test_an_unreadable_answer_is_paid_twice_at_most(opened: Open, sandbox: Sandbox, fallbacks: str) -> None:
    """What cannot be read by chance is asked for once more, of the same model or the next."""
    tools = opened(chat_fallbacks=fallbacks)
    sandbox.script.add(path=CHAT, times=None, status=200, body="<html>welcome</html>")
    begun = time.monotonic()
    done, sent = text(tools, sandbox)
    assert done.status == "failed"
    assert "not JSON" in sent["message"]
    assert len(asked(sandbox)) == 2
    assert time.monotonic() - begun < 30


def test_a_moderated_prompt_is_asked_once(opened: Open, sandbox: Sandbox) -> None:
    """The refusal is named, and no field is blamed for it."""
    tools = opened(image_model="sandbox-squares")
    refusal = {"error": {"code": "moderation_blocked", "type": "image_generation_user_error",
                         "message": "Your request was rejected by the safety system."}}  # fmt: skip
    sandbox.script.add(path=DRAW, times=None, status=400, body=refusal)
    done, sent = image(tools, sandbox)
    assert done.facts["failure"]["slug"] == "content_refused"
    assert "content rules" in sent["message"]
    assert len(asked(sandbox, DRAW)) == 1


@pytest.mark.parametrize(
    "error",
    [{"code": 503, "message": "overloaded"}, {"code": "model_unavailable"}, {"code": "rate_limit_exceeded"}],
)
def test_a_passing_error_inside_of_a_200_is_retried(opened: Open, sandbox: Sandbox, error: Any) -> None:
    """It counts as its own status: not paid, asked again."""
    tools = opened()
    sandbox.script.add(path=CHAT, times=1, status=200, body={"error": error})
    sandbox.script.add(path=CHAT, times=1, status=200, body=said("Dear friend"))
    done, sent = text(tools, sandbox)
    assert sent["result"] == ["Dear friend"]
    assert not any(tried.ambiguous for tried in done.attempts.values())


def test_a_permanent_error_inside_of_a_200_ends_at_once(opened: Open, sandbox: Sandbox) -> None:
    """An unknown model stays unknown."""
    sandbox.script.add(path=CHAT, times=None, status=200, body={"error": {"code": "ai_model_not_found"}})
    done, sent = text(opened(), sandbox)
    assert done.facts["failure"]["slug"] == "provider_refused"
    assert "does not know the model" in sent["message"]
    assert len(asked(sandbox)) == 1


# -- answers that were cut


def test_a_cut_answer_is_asked_for_with_more_room(opened: Open, sandbox: Sandbox) -> None:
    """The portal's limit is left out once, and the whole answer delivered."""
    sandbox.script.add(path=CHAT, times=1, status=200, body=said("Dear", "length"))
    sandbox.script.add(path=CHAT, times=1, status=200, body=said("Dear friend, all is well."))
    _, sent = text(opened(), sandbox, max_tokens=5)
    assert sent["result"] == ["Dear friend, all is well."]
    assert ["max_tokens" in body for body in asked(sandbox)] == [True, False]


def test_an_answer_that_no_limit_of_ours_cut_is_gone_on_with(opened: Open, sandbox: Sandbox) -> None:
    """The model is shown how far it came; what it says twice stands once."""
    sandbox.script.add(
        path=CHAT, times=1, status=200, body=said("Dear friend, we are glad to tell", "length")
    )
    sandbox.script.add(path=CHAT, times=1, status=200, body=said("we are glad to tell you the price."))
    _, sent = text(opened(), sandbox)
    assert sent["result"] == ["Dear friend, we are glad to tell you the price."]
    assert [message["role"] for message in asked(sandbox)[1]["messages"]] == ["user", "assistant", "user"]


@pytest.mark.parametrize(
    "second", [said("Dear friend, we", "length"), {"error": {"code": "invalid_request"}}]
)
def test_an_answer_that_stays_cut_is_marked(opened: Open, sandbox: Sandbox, second: Any) -> None:
    """It is never passed as whole, and never paid a third time."""
    sandbox.script.add(path=CHAT, times=1, status=200, body=said("Dear friend", "MAX_TOKENS"))
    sandbox.script.add(path=CHAT, times=None, status=200, body=second)
    done, sent = text(opened(portal_language="ru"), sandbox, max_tokens=5)
    assert sent["result"][0].startswith("Dear friend")
    assert "Ответ обрывается" in sent["result"][0]
    assert done.facts["reply"]["is_cut"]
    assert len([body for body in asked(sandbox) if len(body["messages"]) < 3]) <= 3


def test_an_empty_answer_by_length_ends_after_one_more(opened: Open, sandbox: Sandbox) -> None:
    """Thoughts used the limit up: once more without it, then one clear error."""
    sandbox.script.add(path=CHAT, times=None, status=200, body=said("", "length", reasoning_content="hm hm"))
    done, sent = text(opened(), sandbox, max_tokens=50)
    assert done.facts["failure"]["slug"] == "unusable_answer"
    assert "limit of length" in sent["message"]
    assert ["max_tokens" in body for body in asked(sandbox)] == [True, False]


def test_a_second_answer_that_cannot_be_read_ends_it(opened: Open, sandbox: Sandbox) -> None:
    """Two paid calls are all that one question gets."""
    sandbox.script.add(path=CHAT, times=1, status=200, body=said("", "length"))
    sandbox.script.add(path=CHAT, times=None, status=200, body={"odd": True})
    done, _ = text(opened(), sandbox, max_tokens=50)
    assert done.facts["failure"]["slug"] == "unusable_answer"
    assert len(asked(sandbox)) == 2


def test_json_that_was_cut_is_no_answer(opened: Open, sandbox: Sandbox) -> None:
    """A mark would not mend it."""
    sandbox.script.add(
        path=CHAT, times=None, status=200, body=said('{"call_review": {"criteria": [', "length")
    )
    done, _ = text(opened(), sandbox, max_tokens=5)
    assert done.facts["failure"]["slug"] == "unusable_answer"
    assert len(asked(sandbox)) == 2


# -- what a text is about


def test_a_text_about_a_call_of_ours_is_linked_to_it(opened: Open, sandbox: Sandbox) -> None:
    """The summary by the transcript, the fields by the summary: both name the call."""
    tools = opened(timeline="off")
    url = sandbox.crm.link(sandbox.base_url, recording(sandbox))
    call = accept(
        tools, Request(file_url=url, callback_url=f"{sandbox.base_url}/hook/call"), Source.ENGINE, "call"
    )
    (heard,) = run(tools, call, until=lambda job: "merge" in job.facts)
    transcript = heard.facts["merge"]["transcript"]["text"]
    summary = "The client wants a phone system for fifty users, with a budget."
    sandbox.script.add(path=CHAT, times=None, status=200, body=said(summary))
    markers = {"original_message": transcript.replace("\n", "\r\n")}
    first, _ = text(
        tools, sandbox, "a", markers=markers, payload_provider="prompt", payload_raw="summarize_transcript"
    )
    then, _ = text(tools, sandbox, "b", markers={"original_message": summary})
    other, _ = text(
        tools, sandbox, "c", markers={"original_message": "something quite different and long enough"}
    )
    assert (first.facts["reply"]["call"], then.facts["reply"]["call"]) == (call, call)
    assert "call" not in other.facts["reply"]


# -- images


def test_bytes_are_hosted(tools: Tools, sandbox: Sandbox) -> None:
    """A model that gives bytes serves: the portal gets links of ours, of the right type, for a while."""
    sandbox.script.add(
        path=DRAW, times=1, status=200, body={"data": [{"b64_json": CODE}, {"b64_json": CODE}]}
    )
    done, sent = image(tools, sandbox, images_number=2)
    names = [url.removeprefix("https://calls.example/images/") for url in sent["result"]]
    assert len(set(names)) == 2
    assert all(pictures.NAME.fullmatch(name) for name in names)
    assert [pictures.load(name, tools) for name in names] == [("image/png", PNG)] * 2
    assert CODE not in json.dumps(dict(done.facts))
    assert not [
        key for key in tools.store._redis.keys("cs:paid:*") if CODE in str(tools.store._redis.get(key))
    ]
    assert leftovers(tools) == frozenset()
    assert pictures.load(names[0], tools)
    tools.store._redis.delete(f"cs:known:image_{names[0]}")  # its time is over
    leftovers(tools)
    assert not tools.blobs.exists(f"image_{names[0]}")
    assert pictures.load(names[0], tools) is None
    assert pictures.load(names[1], tools)


def test_bytes_without_an_address_of_ours_say_what_to_set(opened: Open, sandbox: Sandbox) -> None:
    """Nothing is passed on that a portal cannot fetch, and it is paid once."""
    sandbox.script.add(path=DRAW, times=None, status=200, body={"data": [{"b64_json": CODE}]})
    done, sent = image(opened(image_model="sandbox-squares"), sandbox)
    assert done.facts["failure"]["slug"] == "unusable_answer"
    assert "CALLSCRIBE_PUBLIC_URL" in sent["message"]
    assert len(asked(sandbox, DRAW)) == 1


@pytest.mark.parametrize(
    "link",
    ["http://10.0.0.7/a.png", "https://192.168.1.1/a.png", "http://localhost:9/a.png", "http://images/a.png",
     "https://render.internal/a.png", "file:///etc/passwd", "//169.254.169.254/x", "ftp://example.com/a.png",
     "javascript:alert(1)", "http://user:pass@example.com/a.png"],
)  # fmt: skip
def test_links_that_lead_nowhere_for_a_portal_are_never_passed_on(
    tools: Tools, sandbox: Sandbox, link: str
) -> None:
    """Private, unreadable and other than http: the job fails and says so."""
    sandbox.script.add(path=DRAW, times=None, status=200, body={"data": [{"url": link}]})
    done, sent = image(tools, sandbox)
    assert done.status == "failed"
    assert "could fetch" in sent["message"]
    assert len(asked(sandbox, DRAW)) == 1


def test_a_relative_link_is_fetched_and_hosted(tools: Tools, sandbox: Sandbox) -> None:
    """It leads to the provider's own server, which the portal does not know."""
    sandbox.script.add(path="/pictures/a.gif", times=None, status=200, body="GIF89a and so on")
    sandbox.script.add(path=DRAW, times=1, status=200, body={"data": [{"url": "/pictures/a.gif"}]})
    _, sent = image(tools, sandbox)
    name = sent["result"][0].removeprefix("https://calls.example/images/")
    assert pictures.load(name, tools) == ("image/gif", b"GIF89a and so on")


def test_one_at_a_time_is_asked_several_times(tools: Tools, sandbox: Sandbox) -> None:
    """A model that draws one image per call draws three by three calls."""
    refusal = {"error": {"code": "invalid_value", "message": "Only n=1 is supported", "param": "n"}}
    for n in (3, 2):
        sandbox.script.add(path=DRAW, contains=f'"n":{n}', times=None, status=400, body=refusal)
    _, sent = image(tools, sandbox, images_number=3)
    assert len(sent["result"]) == 3
    assert len([body for body in asked(sandbox, DRAW) if body.get("n", 1) == 1]) == 3


def test_fewer_images_are_better_than_none(tools: Tools, sandbox: Sandbox) -> None:
    """What was drawn is delivered when the next one fails."""
    sandbox.script.add(path=DRAW, times=1, status=200, body={"data": [{"b64_json": CODE}]})
    sandbox.script.add(
        path=DRAW, times=None, status=400, body={"error": {"code": "content_policy_violation"}}
    )
    _, sent = image(tools, sandbox, images_number=4)
    assert len(sent["result"]) == 1


def test_a_storage_that_fails_costs_no_second_image(
    tools: Tools, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The paid answer is kept, and its bytes are hosted when the storage is back."""
    sandbox.script.add(path=DRAW, times=None, status=200, body={"data": [{"b64_json": CODE}]})
    put, failures = type(tools.blobs).put, iter([True, True])

    def failing(blobs: Any, key: str, path: Path) -> None:
        if next(failures, False):
            raise StoreUnavailable("no room")
        put(blobs, key, path)

    monkeypatch.setattr(type(tools.blobs), "put", failing)
    _, sent = image(tools, sandbox)
    assert len(sent["result"]) == 1
    assert len(asked(sandbox, DRAW)) == 1


@pytest.mark.parametrize("proxied", [True, False])
def test_an_account_without_money_is_no_rate_limit(opened: Open, sandbox: Sandbox, proxied: bool) -> None:
    """A text job fails at once and says so, also where a proxy kept the sentence alone."""
    sentence = "You exceeded your current quota, please check your plan and billing details."
    error = (
        {"message": f"litellm.RateLimitError: RateLimitError: OpenAIException - {sentence}", "code": "429",
         "type": "throttling_error", "param": None}
        if proxied
        else {"message": sentence, "code": "insufficient_quota", "type": "insufficient_quota"}
    )  # fmt: skip
    sandbox.script.add(path=CHAT, times=None, status=429, body={"error": error})
    done, sent = text(opened(), sandbox)
    assert done.facts["failure"]["slug"] == "provider_account"
    assert "balance" in sent["message"]
    assert len(asked(sandbox)) == 1


def test_a_model_that_does_not_draw_is_told_for_a_while(opened: Open, sandbox: Sandbox) -> None:
    """The portal hears an error, and the engine's address says that it is not served; one of two may be."""
    tools = opened(image_model="no-such", image_fallbacks="sandbox-squares")
    sandbox.script.add(path=DRAW, contains="no-such", times=None, status=404, body={"error": {"code": "no"}})
    _, sent = image(tools, sandbox)
    assert sent["result"]
    (portal,) = tools.portals.values()
    assert pictures.why_unserved(portal, tools) is None
    tools = opened(image_model="no-such")
    (portal,) = tools.portals.values()
    assert "404" in (pictures.why_unserved(portal, tools) or "")
