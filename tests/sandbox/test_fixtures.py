"""The committed recordings are what their manifest says."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import av
import pytest

from fixtures import long_call, make_requests

AUDIO = Path(__file__).parents[2] / "fixtures" / "audio"
MANIFEST = json.loads((AUDIO / "MANIFEST.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", MANIFEST)
def test_recording_is_what_the_manifest_says(name: str) -> None:
    """Bytes, codec and decoded length of each recording are those of the manifest."""
    known = MANIFEST[name]
    path = AUDIO / name
    assert path.suffix == ""
    assert hashlib.sha256(path.read_bytes()).hexdigest() == known["sha256"]
    assert path.stat().st_size == known["size_bytes"]
    if known["codec"] is None:
        with pytest.raises(av.error.InvalidDataError):
            av.open(str(path))
        return
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        samples = sum(frame.samples for frame in container.decode(stream))
        assert stream.codec.canonical_name == known["codec"]
        assert stream.codec_context.channels == known["channels"]
        assert round(samples / stream.codec_context.sample_rate, 2) == known["seconds"]


def test_every_recording_is_in_the_manifest_and_all_are_small() -> None:
    """Nothing lies in the folder that the manifest does not name, and all of it is a few MB."""
    names = {path.name for path in AUDIO.iterdir()} - {"MANIFEST.json"}
    assert names == set(MANIFEST)
    assert sum(path.stat().st_size for path in AUDIO.iterdir()) < 4_000_000


def test_long_call_is_as_long_as_asked_and_its_turns_are_in_order(tmp_path: Path) -> None:
    """The long call is built from the pieces, at least as long as asked, with turns in order of time."""
    path = tmp_path / "long"
    seconds = long_call.build(path, seconds=200, channels=2)
    assert seconds >= 200
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        assert (stream.codec_context.channels, stream.codec_context.sample_rate) == (2, 8000)
        assert sum(frame.samples for frame in container.decode(stream)) == round(seconds * 8000)
    said = long_call.turns(seconds)
    starts = [turn["start"] for turn in said]
    assert starts == sorted(starts)
    assert len(said) == 3 * 16


def test_request_fixtures_are_what_their_script_makes() -> None:
    """The committed engine requests are those of fixtures/make_requests.py, of all four categories."""
    committed = {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in (AUDIO.parent / "requests").glob("*.json")
    }
    assert committed == {request["name"]: request for request in make_requests.REQUESTS}
    assert {request["category"] for request in committed.values()} == {"audio", "call", "text", "image"}
