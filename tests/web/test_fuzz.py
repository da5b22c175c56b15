"""Whatever is sent to an engine, it is taken, refused or too large; never a fault of ours."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode
from zlib import crc32

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.store import Store
from tests.web.conftest import TOKEN, Client, audio_request

KEYS = [
    *audio_request(),
    "payload_role",
    "payload_prompt_text",
    "collect_context",
    "max_tokens",
    "temperature",
]
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(
        ["\ud800", "\x00", "1e999", "-1", "Русский", "https://portal.example/x?hash=2", "[]", "9" * 5000]
    )
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
NESTED = st.integers(1, 100_000).map(lambda depth: b'{"prompt":' + b"[" * depth + b"]" * depth + b"}")

ALWAYS = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@ALWAYS
@given(
    category=st.sampled_from(["audio", "call", "text"]),
    changes=st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=5),
    dropped=st.sets(st.sampled_from(KEYS), max_size=3),
)
def test_any_values(
    client: Client, store: Store, category: str, changes: dict[str, Any], dropped: set[str]
) -> None:
    """Any value in any key: 202 or 400, and what was taken can be read back."""
    body = {"text": {"prompt": "x"}}.get(category, {}) | audio_request(category=category)
    if category == "text":
        body["prompt"] = "Say hello"
    body = {key: value for key, value in (body | changes).items() if key not in dropped}
    answer = client.engine(category, json.dumps(body).encode())
    assert answer.status_code in (202, 400)
    if answer.status_code == 400:
        assert answer.json()["error"]["fields"]
    for job, _, _ in store.page(limit=1):
        assert client.v1("GET", f"/v1/jobs/{job}", client="192.0.2.9").status_code in (200, 429)


@ALWAYS
@given(body=st.binary(max_size=300) | st.text().map(lambda text: text.encode("utf-16")) | NESTED)
def test_any_bytes(client: Client, body: bytes) -> None:
    """Any bytes at all: 400."""
    assert client.engine("audio", body).status_code == 400


@ALWAYS
@given(
    body=st.binary(max_size=300),
    content_type=st.sampled_from(["application/json", "multipart/form-data; boundary=b"]),
)
def test_any_call(client: Client, body: bytes, content_type: str) -> None:
    """Any bytes as a call from elsewhere: 400."""
    answer = client.v1("POST", "/v1/calls", content=b"--b\r\n" + body, headers={"Content-Type": content_type})
    assert answer.status_code in (400, 429)


FORMS = st.dictionaries(
    st.sampled_from(
        [
            "event",
            "data[FIELDS][ID]",
            "data[CALL_ID]",
            "data[]",
            "auth",
            "auth[application_token]",
            "ts",
            "][",
        ]
    ),
    st.text() | st.sampled_from(["ONCRMACTIVITYADD", "ONVOXIMPLANTCALLEND", "9" * 400, "-1"]),
)


@ALWAYS
@given(body=st.binary(max_size=200) | FORMS.map(lambda form: urlencode(form, errors="replace").encode()))
def test_any_event(hearing: Client, body: bytes) -> None:
    """Any event: read and not believed, or refused; it never carries the application token here."""
    sender = f"192.0.2.{crc32(body) % 250}"  # wrong application tokens are limited by address
    assert hearing.post(f"/events/{TOKEN}", content=body, client=sender).status_code in (400, 403, 429)


@ALWAYS
@given(path=st.text(alphabet=st.characters(codec="utf-8", exclude_characters="?#\\"), max_size=40))
def test_any_path(client: Client, path: str) -> None:
    """Any path: an answer below 500."""
    for root in ("/", "/v1/jobs/", "/engines/", f"/engines/{TOKEN}/"):
        try:
            answer = client.v1("GET", root + path.replace("\x00", ""))
        except (ValueError, httpx.InvalidURL):  # the client itself refuses to send such a URL
            continue
        assert answer.status_code < 500
