"""What portals send to an engine, read tolerantly."""

from __future__ import annotations

import contextlib
import hashlib
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from pipeline.contract import EngineRequest, callback_key, read_engine_request
from pipeline.domain.errors import BadRequest
from pipeline.domain.job import Category, Message
from pipeline.domain.plain import from_plain, to_plain

CALLBACK = "https://acme.example/bitrix/tools/ai/callback.php?hash=4f1d2c&rid=77"
ERROR = "https://acme.example/bitrix/tools/ai/error.php?hash=4f1d2c"


def audio(**changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "prompt": {"file": "https://acme.example/f/12?sign=s", "fields": [], "fileExtension": ""},
        "payload_raw": None,
        "payload_provider": "audio",
        "payload_role": "",
        "payload_prompt_text": "RAW {template}",
        "payload_markers": [],
        "context": [],
        "auth": None,
        "category": "audio",
        "ttl": "14400",
        "callbackUrl": CALLBACK,
        "errorCallbackUrl": ERROR,
    }
    return {**body, **changes}


def read(body: dict[str, Any], category: str = "audio") -> EngineRequest:
    return read_engine_request(json.dumps(body).encode(), category)


def test_a_request_with_php_empty_arrays_for_objects_is_read() -> None:
    """`[]` where an object is expected, a null auth and a ttl as a string are all what PHP makes."""
    found = read(audio())
    assert found.request.file_url == "https://acme.example/f/12?sign=s"
    assert found.request.markers == {}
    assert found.request.callback_url == CALLBACK
    assert found.request.error_callback_url == ERROR
    assert (found.ttl_seconds, found.key, found.category) == (14400, "4f1d2c", Category.AUDIO)


def test_expected_words_come_from_fields() -> None:
    """fields.prompt names words for the recogniser; fields.type is not asked: decoding tells the format."""
    fields = {"type": "audio/ogg", "prompt": "Acme, Bitrix24"}
    own = read(audio(prompt={"file": "https://a.example/1", "fields": fields})).request
    assert own.prompt == "Acme, Bitrix24"
    assert read(audio(payload_markers={"type": "video/mp4"})).request.prompt is None


@pytest.mark.parametrize(
    ("name", "code"), [("Русский", "ru"), ("English", "en"), ("de", "de"), ("Klingon", None), ("", None)]
)
def test_language_names_become_iso_codes(name: str, code: str | None) -> None:
    """payload_markers.language may be a code or a name in any language; unknown ones are no language."""
    assert read(audio(payload_markers={"language": name})).request.language == code


@pytest.mark.parametrize(
    ("ttl", "seconds"),
    [(None, 14400), ("", 14400), (840, 840), ("3600", 3600), (10**9, 86400), (-5, 1), (0, 1), ("60.5", 60)],
)
def test_ttl_has_a_default_and_bounds(ttl: Any, seconds: int) -> None:
    """Seconds between 1 and 86400; 14400 where none is named."""
    assert read(audio(ttl=ttl)).ttl_seconds == seconds


def test_context_counts_only_when_it_is_wanted() -> None:
    """Earlier turns are kept only where collect_context is true, whatever true looks like."""
    turns = [{"role": "assistant", "content": "Hello"}, {"role": "odd", "content": "Hi"}, {"content": None}]
    body = audio(category="text", prompt="Sum it up", context=turns)
    for wanted in (True, "true", "1", 1, "Y"):
        assert read({**body, "collect_context": wanted}, "text").request.context == (
            Message(role="assistant", content="Hello"),
            Message(role="user", content="Hi"),
        )
    unwanted: Any
    for unwanted in (False, "false", "0", 0, "N", None, []):
        assert read({**body, "collect_context": unwanted}, "text").request.context == ()


def test_context_with_holes_arrives_as_an_object() -> None:
    """PHP sends a list with holes as an object: its values are the turns."""
    body = audio(category="text", prompt="x", collect_context=True, context={"3": {"content": "a"}})
    assert read(body, "text").request.context == (Message(role="user", content="a"),)


def test_a_text_request_keeps_its_settings_and_never_the_raw_template() -> None:
    """Role, tokens, temperature, markers are read; payload_prompt_text and auth are nowhere."""
    body = audio(
        category="text", prompt="Rendered", payload_role="You are a clerk", max_tokens="512",
        temperature="0.7", payload_provider="prompt", payload_raw="summarize_transcript",
        payload_markers={"original_message": "text"}, auth={"access_token": "SECRET"},
    )  # fmt: skip
    found = read(body, "text").request
    assert (found.prompt, found.role, found.max_tokens) == ("Rendered", "You are a clerk", 512)
    assert found.temperature == pytest.approx(0.7)
    assert (found.payload_provider, found.payload_raw) == ("prompt", "summarize_transcript")
    kept = json.dumps(to_plain(found))
    assert "RAW {template}" not in kept
    assert "SECRET" not in kept
    assert from_plain(type(found), json.loads(kept)) == found


def test_an_image_request_is_read() -> None:
    """Style, format and number may be missing, null or strings."""
    full = {"prompt": "a cat", "style": "oil", "format": "Portrait", "images_number": "2"}
    found = read(audio(category="image", prompt=full), "image").request
    assert (found.prompt, found.image_style, found.image_format, found.images_number) == (
        "a cat", "oil", "portrait", 2,
    )  # fmt: skip
    bare = read(audio(category="image", prompt={"prompt": "a cat", "format": None}), "image").request
    assert (bare.image_style, bare.image_format, bare.images_number) == (None, None, 1)


@pytest.mark.parametrize(
    ("category", "changes", "field"),
    [
        ("audio", {"category": "text"}, "category"),
        ("audio", {"prompt": "https://a.example/1"}, "prompt"),
        ("audio", {"prompt": []}, "prompt"),
        ("audio", {"prompt": {"file": None}}, "prompt.file"),
        ("call", {"category": "call", "prompt": {"file": "ftp://a.example/1"}}, "prompt.file"),
        ("text", {"category": "text", "prompt": {"a": 1}}, "prompt"),
        ("text", {"category": "text", "prompt": "  "}, "prompt"),
        ("image", {"category": "image", "prompt": {"style": "oil"}}, "prompt.prompt"),
        ("audio", {"callbackUrl": None}, "callbackUrl"),
        ("audio", {"callbackUrl": "file:///etc/passwd"}, "callbackUrl"),
        ("audio", {"callbackUrl": "https://[bad/"}, "callbackUrl"),
        ("audio", {"callbackUrl": ["https://a.example"]}, "callbackUrl"),
        ("audio", {"errorCallbackUrl": "javascript:alert(1)"}, "errorCallbackUrl"),
    ],
)
def test_what_can_never_be_served_names_its_field(category: str, changes: Any, field: str) -> None:
    """A 400 says which field, and never repeats what was in it."""
    with pytest.raises(BadRequest) as caught:
        read(audio(**changes), category)
    assert caught.value.field == field
    assert field in caught.value.message
    assert "example" not in caught.value.message


@pytest.mark.parametrize("nonsense", ["soon", {"a": 1}, True, ["7"], "NaN", "1e999", "7 tokens"])
def test_nonsense_in_an_optional_number_counts_as_absent(nonsense: Any) -> None:
    """No job is lost for a wish: the default is taken, and the log names the field, not what was in it."""
    with capture_logs() as logs:
        numbers = dict.fromkeys(("ttl", "max_tokens", "temperature"), nonsense)
        found = read(audio(category="text", prompt="x", **numbers), "text")
        drawn = read(audio(category="image", prompt={"prompt": "x", "images_number": nonsense}), "image")
    assert found.ttl_seconds == 14400
    assert (found.request.max_tokens, found.request.temperature) == (None, None)
    assert drawn.request.images_number == 1
    named = [entry["field"] for entry in logs if entry["event"] == "optional_number_ignored"]
    assert sorted(named) == ["max_tokens", "prompt.images_number", "temperature", "ttl"]
    assert "tokens" not in str([entry["kind"] for entry in logs])


@pytest.mark.parametrize(
    "body", [b"", b"null", b"42", b'"x"', b"{", b"\xff\xfe", b'{"ttl": NaN}', b"[" * 100_000, b"[1]"]
)
def test_no_object_no_request(body: bytes) -> None:
    """A body that is no JSON object is a bad request, whatever it is instead."""
    with pytest.raises(BadRequest):
        read_engine_request(body, "audio")


def test_deep_markers_are_refused() -> None:
    """An object that nests without end cannot exhaust the stack."""
    deep: Any = {}
    for _ in range(200):
        deep = {"a": deep}
    step = audio(category="text", prompt="x", payload_raw="summarize_transcript")
    with pytest.raises(BadRequest, match="nests"):
        read({**step, "payload_markers": deep}, "text")


def test_markers_are_kept_where_they_are_read() -> None:
    """Only CRM's own text steps are made of their markers; of a recording's nothing is kept."""
    markers = {"type": "audio/ogg", "language": "de", "transcript": "x" * 1000}
    spoken = read(audio(payload_markers=markers)).request
    assert (spoken.language, spoken.markers) == ("de", {})
    step = audio(category="text", prompt="x", payload_markers=markers)
    assert read(step, "text").request.markers == {}
    assert read({**step, "payload_raw": "score_call"}, "text").request.markers == markers


def test_lone_surrogates_do_not_break_storage() -> None:
    """A broken surrogate in a string is replaced, since no store takes it."""
    found = read_engine_request(
        json.dumps(
            audio(category="text", prompt="a\ud800b", payload_raw="x", payload_markers={"k\udfff": "\ud800"})
        ).encode(),
        "text",
    )
    assert json.dumps(to_plain(found.request), ensure_ascii=False).encode()


def test_the_key_is_the_hash_or_the_digest_of_the_whole_url() -> None:
    """The callback's hash identifies the portal's job; without one its URL does."""
    bare = "https://acme.example/callback?id=5"
    assert callback_key(CALLBACK) == "4f1d2c"
    assert callback_key(bare) == hashlib.sha256(bare.encode()).hexdigest()
    assert callback_key("https://a.example/?hash=") != callback_key("https://b.example/?hash=")
    assert len(callback_key("https://a.example/?hash=" + "x" * 500)) == 64


words = st.text("ab1:/й\ud800 ", max_size=6)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    category=st.sampled_from([*Category]),
    changes=st.dictionaries(st.sampled_from([*audio(), "max_tokens", "temperature"]), json_values),
)
def test_any_json_is_read_or_refused(category: Category, changes: dict[str, Any]) -> None:
    """Whatever the fields hold, the outcome is a request fit to be stored, or a BadRequest."""
    with contextlib.suppress(BadRequest):
        found = read_engine_request({**audio(category=category), **changes}, category)
        assert 1 <= found.ttl_seconds <= 86400
        stored = json.dumps(to_plain(found.request), ensure_ascii=False).encode()
        assert from_plain(type(found.request), json.loads(stored)) == found.request
