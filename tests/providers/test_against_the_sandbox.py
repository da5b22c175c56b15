"""The clients against the sandbox's router, which really serves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.clients import images as image_client
from pipeline.clients import recognitions
from pipeline.clients.chat import Chat, read
from pipeline.clients.images import Images
from pipeline.clients.providers import Unremembered
from pipeline.clients.transcriptions import Transcriptions
from pipeline.clients.transport import Transport
from pipeline.domain.errors import ProviderAccount, ProviderRefused, ProviderUnavailable
from pipeline.domain.job import Reply, Request
from pipeline.sandbox.app import KEY, Sandbox
from pipeline.scoring.classify import Wrong, classify, scored
from pipeline.scoring.golden import Case, read_cases
from pipeline.scoring.rubric import Rubric, default_rubric
from pipeline.settings.portals import Provider

FIXTURES = Path(__file__).parents[2] / "fixtures"
RECORDING = FIXTURES / "audio" / "opus"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def router(sandbox: Sandbox) -> Iterator[Provider]:
    yield Provider(url=sandbox.router_url, key=KEY, models=(None,))
    sandbox.script.clear()


def transcribe(client: Transcriptions, **more: Any) -> dict[str, Any]:
    wanted = {"filename": "chunk-000.ogg", "content_type": "audio/ogg", "model": None, **more}
    return client.ask(RECORDING, **wanted, timeout_seconds=30)


def test_recognition(sandbox: Sandbox, router: Provider, transport: Transport) -> None:
    """A real recording comes back with text, segments in order, the language and its paid seconds."""
    client = Transcriptions(router, transport, Unremembered())
    said = [{"start": 0.0, "end": 1.0, "text": "hello there"}, {"start": 1.5, "end": 2.0, "text": "goodbye"}]
    sandbox.script.add(path="/v1/audio/*", segments=said)
    heard = recognitions.read(transcribe(client, language="en"))
    assert heard.text == "hello there goodbye"
    assert [(s.start, s.end) for s in heard.segments] == [(0.0, 1.0), (1.5, 2.0)]
    assert heard.language == "english"
    assert heard.paid_seconds > 1


def test_errors_of_the_router(sandbox: Sandbox, router: Provider, transport: Transport) -> None:
    """A wrong key, an unknown model, a busy router and a lost answer are what they are."""
    wrong = Provider(url=router.url, key="wrong", models=(None,))
    with pytest.raises(ProviderAccount, match="INVALID_API_KEY"):
        transcribe(Transcriptions(wrong, transport, Unremembered()))
    client = Transcriptions(router, transport, Unremembered())
    with pytest.raises(ProviderRefused, match="ai_model_not_found"):
        transcribe(client, model="no-such-model")
    sandbox.script.add(path="/v1/audio/*", status=429, headers={"retry-after": "2"})
    with pytest.raises(ProviderUnavailable) as busy:
        transcribe(client)
    assert (busy.value.retry_after_seconds, busy.value.ambiguous) == (2.0, False)
    for reset in ("after", "midway"):
        sandbox.script.add(path="/v1/audio/*", reset=reset, text="paid for")
        with pytest.raises(ProviderUnavailable) as lost:
            transcribe(client)
        assert lost.value.ambiguous


@pytest.mark.parametrize("with_rubric", [False, True])
def test_scores_of_the_golden_set(router: Provider, transport: Transport, with_rubric: bool) -> None:
    """The sandbox's rules, asked in our words, tell every low call from every high one."""
    chat = Chat(router, transport, Unremembered())

    scores: dict[str, list[int]] = {"low": [], "medium": [], "high": []}
    for case in read_cases(FIXTURES / "golden"):
        rubric = default_rubric(case.language) if with_rubric else None

        def ask(wrong: Wrong | None, case: Case = case, rubric: Rubric | None = rubric) -> Reply:
            return read(
                classify(case.transcript, rubric, chat=chat, model=None, language=case.language, wrong=wrong)
            )

        lead, _ = scored(case.transcript, rubric, language=case.language, ask=ask)
        scores[case.expected].append(lead.score)
        assert all(criterion.quote for criterion in lead.criteria if criterion.met)
    assert max(scores["low"]) < min(scores["high"])


def test_images(router: Provider, transport: Transport) -> None:
    """As many links as images were asked for, and they lead to images."""
    images = Images(router, transport, Unremembered())
    asked = Request(prompt="a red square", image_format="portrait", images_number=2)
    urls = image_client.read(images.draw(asked, model=None))
    assert len(urls) == 2
    picture = transport.request("GET", urls[0], timeout_seconds=5, operator=True)
    assert picture.headers["content-type"] == "image/png"
