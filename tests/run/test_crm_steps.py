"""CRM's steps after a transcript, over a real store and a scripted provider: what the CRM parses is right, or
one error callback says why."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.contract.engine import read_engine_request
from pipeline.domain.job import Category, Job
from pipeline.sandbox.app import Sandbox
from pipeline.steps import retry
from pipeline.steps.tools import Tools
from tests.installation import Open, accept, run
from tests.scoring.crm import parsed

CHAT = "*/chat/completions"
TURNS = "Анна [2026-11-26T10:00:00+03:00]: Добрый день! Иван [2026-11-26T10:01:00+03:00]: Нужны стулья."
CRITERIA = [f"{n}. Критерий про дело номер {n}" for n in range(1, 27)]
REVIEW = {
    "call_review": {
        "criteria": [{"criterion": name, "status": True, "explanation": "да"} for name in CRITERIA]
    },
    "overall_summary": "Хорошо.",
    "recommendations": "",
}
SCORING = {"transcript": "[Client] hi", "criteria": "\n".join(CRITERIA)}


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The schedule in hundredths."""
    monkeypatch.setattr(retry, "AMBIGUOUS_GAPS", (0.05, 0.3, 3.0, 18.0))


def said(text: Any, finish: str = "stop", **message: Any) -> dict[str, Any]:
    content = text if isinstance(text, str | None) else json.dumps(text, ensure_ascii=False)
    return {
        "choices": [
            {"message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}
        ]
    }


def step(
    tools: Tools, sandbox: Sandbox, code: Any, markers: Any, *answers: Any, **fields: Any
) -> tuple[Job, Any]:
    """The job when it has ended and the body of its one callback; the last answer stays."""
    for number, answer in enumerate(answers):
        times = None if number == len(answers) - 1 else 1
        sandbox.script.add(path=CHAT, times=times, status=200, body=answer)
    sandbox.script.add(path="/hook/step", times=None, status=200, body={"status": "success"})
    url = f"{sandbox.base_url}/hook/step"
    body = {"prompt": "labels", "payload_provider": "prompt", "payload_raw": code, "payload_markers": markers,
            "callbackUrl": url, "errorCallbackUrl": url, **fields}  # fmt: skip
    sent = read_engine_request(json.dumps(body).encode(), Category.TEXT)
    job = accept(tools, sent.request, category=Category.TEXT, key="step")
    (done,) = run(tools, job, until=lambda job: "callback" in job.facts)
    (callback,) = sandbox.ledger.find("/hook/step")
    return done, callback["json"]


def asked(sandbox: Sandbox) -> list[dict[str, Any]]:
    return [entry["json"] for entry in sandbox.ledger.find(CHAT)]


def test_a_step_is_asked_for_in_its_form_and_with_room(opened: Open, sandbox: Sandbox) -> None:
    """A schema, and tokens enough for 26 criteria, whatever the portal allows for prose."""
    _, sent = step(opened(), sandbox, "call_scoring", SCORING, said(REVIEW), max_tokens=300)
    assert parsed(sent["result"][0]) == REVIEW
    (body,) = asked(sandbox)
    assert body["response_format"]["type"] == "json_schema"
    assert body["max_tokens"] >= 26 * 200
    assert body["messages"][-1] == {"role": "user", "content": "labels"}


def test_what_was_wrong_is_told_once(opened: Open, sandbox: Sandbox) -> None:
    """The second question holds the answer and the name of what it lacks."""
    short = {**REVIEW, "call_review": {"criteria": REVIEW["call_review"]["criteria"][:25]}}  # type: ignore[index]
    _, sent = step(opened(), sandbox, "call_scoring", SCORING, said(short), said(REVIEW))
    assert parsed(sent["result"][0]) == REVIEW
    first, second = asked(sandbox)
    assert [message["role"] for message in second["messages"][len(first["messages"]) :]] == [
        "assistant",
        "user",
    ]
    assert CRITERIA[25] in second["messages"][-1]["content"]


def test_two_answers_of_no_use_end_in_one_error(opened: Open, sandbox: Sandbox) -> None:
    """Without another model: two paid answers, and the portal hears what was wrong."""
    done, sent = step(opened(), sandbox, "call_scoring", SCORING, said("I am glad to help."))
    assert done.facts["failure"]["slug"] == "unusable_answer"
    assert "JSON" in sent["message"]
    assert sent["api_request_completed"] is False
    assert len(asked(sandbox)) == 2


def test_then_the_next_model_is_asked(opened: Open, sandbox: Sandbox) -> None:
    """Each model is paid at most twice, and the last that is asked may still serve."""
    tools = opened(chat_fallbacks="other,third")
    _, sent = step(tools, sandbox, "call_scoring", SCORING, said("no"), said("no again"), said(REVIEW))
    assert parsed(sent["result"][0]) == REVIEW
    assert [body["model"] for body in asked(sandbox)][1:] == ["bitrix/bitrixgpt-5.5", "other"]


def test_no_more_than_three_answers_are_paid(opened: Open, sandbox: Sandbox) -> None:
    """However many fallbacks there are."""
    tools = opened(chat_fallbacks="other,third,fourth")
    done, _ = step(tools, sandbox, "call_scoring", SCORING, said("no"))
    assert done.status == "failed"
    assert len(asked(sandbox)) == 3


def test_a_cut_answer_is_asked_for_without_a_limit(opened: Open, sandbox: Sandbox) -> None:
    """What is there of it is not shown: it was not wrong."""
    cut = json.dumps(REVIEW, ensure_ascii=False)[:900]
    _, sent = step(opened(), sandbox, "call_scoring", SCORING, said(cut, "length"), said(REVIEW))
    assert parsed(sent["result"][0]) == REVIEW
    assert ["max_tokens" in body for body in asked(sandbox)] == [True, False]
    assert len(asked(sandbox)[1]["messages"]) == 1


def test_an_answer_in_the_reasoning_field_is_found(opened: Open, sandbox: Sandbox) -> None:
    """Where a server's parser took it for a thought."""
    answer = said(None, reasoning_content=json.dumps(REVIEW, ensure_ascii=False))
    _, sent = step(opened(), sandbox, "call_scoring", SCORING, answer)
    assert parsed(sent["result"][0]) == REVIEW


@pytest.mark.parametrize(
    "provider", ["prompt", "Prompt", " PROMPT ", "Bitrix\\AI\\Payload\\Prompt", None, ""]
)
@pytest.mark.parametrize("code", ["call_scoring", "CALL_SCORING", " call-scoring ", "ScoreCall"])
def test_a_step_is_known_however_it_is_written(
    opened: Open, sandbox: Sandbox, provider: Any, code: str
) -> None:
    """By another case of its letters, by its class, or without a provider."""
    sloppy = f"Here: ```{json.dumps(REVIEW)}```"
    _, sent = step(opened(), sandbox, code, SCORING, said(sloppy), payload_provider=provider)
    assert parsed(sent["result"][0]) == REVIEW


def test_markers_in_a_string(opened: Open, sandbox: Sandbox) -> None:
    """JSON in JSON."""
    _, sent = step(opened(own_prompts=True), sandbox, "call_scoring", json.dumps(SCORING), said(REVIEW))
    assert parsed(sent["result"][0]) == REVIEW
    assert CRITERIA[0] in asked(sandbox)[0]["messages"][0]["content"]


@pytest.mark.parametrize(
    ("code", "markers"),
    [("dialog_quality_scorer", {"dialogue": TURNS}), ("translate", []), ("call_scoring", []),
     ("call_scoring", {"transcript": TURNS, "criteria": ""}),
     ("extract_form_fields", {"original_message": "x", "fields": []}),
     ("summarize_transcript", {"original_message": " "}), ("analyze_communication", {})],
)  # fmt: skip
def test_with_own_prompts_labels_alone_are_refused(
    opened: Open, sandbox: Sandbox, code: str, markers: Any
) -> None:
    """Nothing is paid for; the error names the field."""
    done, sent = step(opened(own_prompts=True), sandbox, code, markers, said("chatter"))
    assert done.facts["failure"]["slug"] == "bad_request"
    assert sent["message"].startswith("payload_")
    assert asked(sandbox) == []


def test_without_own_prompts_the_portals_prompt_serves(opened: Open, sandbox: Sandbox) -> None:
    """An unknown code is none of ours to refuse."""
    _, sent = step(opened(), sandbox, "dialog_quality_scorer", [], said("As you asked."))
    assert sent["result"] == ["As you asked."]


def test_with_own_prompts_people_are_still_answered(opened: Open, sandbox: Sandbox) -> None:
    """What a person writes is no code of a prompt."""
    _, sent = step(
        opened(own_prompts=True), sandbox, "Write a letter.", [], said("Dear"), payload_provider="text"
    )
    assert sent["result"] == ["Dear"]


@pytest.mark.parametrize(
    ("code", "markers", "answer"),
    [("summarize_transcript", {"original_message": TURNS, "manager_name": "Анна"}, "Клиенту нужны стулья."),
     ("client_dialogue_action_extraction", {"dialogue": TURNS, "employee_name": "Анна"},
      {"is_client": True, "actions": []}),
     ("call_scoring", {**SCORING, "transcript": TURNS}, REVIEW)],
)  # fmt: skip
@pytest.mark.parametrize(("language", "words"), [("ru", "переписка"), ("en", "chat")])
def test_a_chat_is_called_a_chat(
    opened: Open, sandbox: Sandbox, code: str, markers: Any, answer: Any, language: str, words: str
) -> None:
    """In own prompts, in the portal's language; its turns stand between marks."""
    tools = opened(own_prompts=True, portal_language=language)
    step(tools, sandbox, code, markers, said(answer))
    task, material = (message["content"] for message in asked(sandbox)[0]["messages"])
    assert words in task
    assert "phone" not in task.replace("by phone or in a chat", "")
    assert "телефонного" not in task
    assert TURNS in material
    assert "$" not in task


def test_a_summary_in_chatter_is_asked_for_again(opened: Open, sandbox: Sandbox) -> None:
    """A refusal would stand in the CRM as what was said."""
    markers = {"original_message": "[Client] hi"}
    _, sent = step(opened(), sandbox, "summarize_transcript", markers,
                   said("I'm sorry, I can't help."), said("```\nThe client called.\n```"))  # fmt: skip
    assert sent["result"] == ["The client called."]


def test_the_portals_limit_stays_for_prose(opened: Open, sandbox: Sandbox) -> None:
    """A summary is as long as the portal allows, and no form is asked of it."""
    markers = {"original_message": "[Client] hi"}
    step(opened(), sandbox, "summarize_transcript", markers, said("The client called."), max_tokens=300)
    (body,) = asked(sandbox)
    assert body["max_tokens"] == 300
    assert "response_format" not in body
