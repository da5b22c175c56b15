"""All that sounds in a file: its audio tracks, each of which may be a speaker of its own.

One track is decoded as it is. Of several, those in which nothing sounds drop out; two that are left are two
channels, more are mixed. Each is read by a pass of its own, in step with the others: a container may hold one
track behind the other, and memory stays constant all the same.
"""

from __future__ import annotations

import audioop
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.audio.body import bodies
from pipeline.audio.decoding import MAX_SKIPPED_SECONDS, Decoding
from pipeline.audio.limits import MAX_SAMPLE_RATE, MAX_TRACKS, MIN_SAMPLE_RATE, heard_rate
from pipeline.audio.opening import opened
from pipeline.domain.errors import NotAudio
from pipeline.domain.recording import Span

SILENT_SAMPLE = 58  # the level of silence: a track with no louder sample has no louder window either
LATE_SECONDS = 0.02


@dataclass
class Tracks(Decoding):
    """A decoding of all tracks; as for one, a second of PCM at a time.

    Two tracks that sound are two channels for mix "channels". A track that cannot be decoded is a hole.
    """

    def blocks(self) -> Iterator[tuple[bytes, ...]]:
        self.bodies = bodies(self.path)
        with opened(self.path, body=self.bodies[0], track=self.track) as first:
            count = len(first[0].streams.audio) if self.track is None else 1
            if count < 2:
                yield from self._all(*first)
                return
        if count > MAX_TRACKS:
            raise NotAudio(f"{count} audio tracks")
        found = [_Track(self, number) for number in range(count)]
        heard = [track for track in found if track.sounds] or [track for track in found if track.decodes]
        if not heard:
            raise NotAudio("nothing in it decodes to sound")
        unread = len(found) - sum(track.decodes for track in found)
        if len(heard) == 1 or not any(track.sounds for track in heard):
            self.track = heard[0].number
            yield from super().blocks()
        else:
            yield from self._together(heard)
        self.uniform = False  # never sent as it came: a recogniser may read another track
        if unread:
            self.holes.append(Span(start=0.0, end=self.seconds))

    def _together(self, tracks: list[_Track]) -> Iterator[tuple[bytes, ...]]:
        fastest = max(track.rate for track in tracks)
        rate = self.wanted_rate or heard_rate(fastest)
        times = [track.first_time for track in tracks if track.first_time is not None]
        for track in tracks:
            track.begin(rate, min(times, default=0.0))
        with opened(self.path, body=self.bodies[0]) as (container, stream):
            self._introduce(container, stream)
            if container.duration and not self.has_video:
                self.declared_seconds = container.duration / 1_000_000
        self.channels, self.sample_rate = sum(track.channels for track in tracks), fastest
        self.codec = tracks[0].decoding.codec or self.codec
        self.out_rate = rate
        self.out_channels = 2 if len(tracks) == 2 and self.mix == "channels" else 1
        size = rate // 50 * 100
        while longest := max(track.filled(size) for track in tracks):
            parts = [track.take(min(size, longest)) for track in tracks]
            self._count(len(parts[0]) // 2)
            yield (
                tuple(parts)
                if self.out_channels == 2
                else (_mixed(parts[:1] if self.mix == "left" else parts),)
            )
        decodings = [track.decoding for track in tracks]
        self.broken = any(each.broken for each in decodings)
        self.skipped_seconds = sum(each.skipped_seconds for each in decodings)
        missing = [
            Span(start=span.start + track.late, end=span.end + track.late)
            for track in tracks
            for span in track.decoding.missing()
        ]
        self.holes = sorted(missing, key=lambda span: span.start)


class _Track:
    """One of several tracks: what a first look finds of it, then its sound from the common start on."""

    def __init__(self, whole: Decoding, number: int) -> None:
        self.number = number
        self.sounds = False
        self._whole = whole
        look = self._decoding(None)
        try:
            for block in look.blocks():
                self.sounds = self.sounds or audioop.max(block[0], 2) > SILENT_SAMPLE
                if self.sounds:
                    break
        except NotAudio:
            pass
        self.decodes = bool(look.samples)
        self.rate = min(max(look.sample_rate, MIN_SAMPLE_RATE), MAX_SAMPLE_RATE)
        self.channels = look.channels
        self.first_time = look.first_time
        self.late = 0.0
        self.decoding = look

    def begin(self, rate: int, zero: float) -> None:
        """From the start; zero: the container's time of the recording's second 0."""
        late = (self.first_time or zero) - zero
        self.late = late if LATE_SECONDS <= late <= MAX_SKIPPED_SECONDS else 0.0
        self.decoding = self._decoding(rate)
        self._silent_bytes = round(self.late * rate) * 2
        self._blocks = self.decoding.blocks()
        self._ready = bytearray()

    def _decoding(self, rate: int | None) -> Decoding:
        whole = self._whole
        return Decoding(
            whole.path,
            mix="mixed",
            wanted_rate=rate,
            max_seconds=whole.max_seconds,
            track=self.number,
            bodies=whole.bodies,
        )

    def filled(self, size: int) -> int:
        """Bytes that are ready, `size` at the least but at the end."""
        while len(self._ready) < size:
            if self._silent_bytes:
                step = min(self._silent_bytes, size)
                self._silent_bytes -= step
                self._ready += bytes(step)
            elif (block := next(self._blocks, None)) is not None:
                self._ready += block[0]
            else:
                break
        return len(self._ready)

    def take(self, size: int) -> bytes:
        """The next bytes; silence behind the end."""
        taken = bytes(self._ready[:size])
        del self._ready[:size]
        return taken.ljust(size, b"\0")


def _mixed(parts: list[bytes]) -> bytes:
    """All at a time; as loud as two of them each at half, since speakers rarely talk at once."""
    if len(parts) == 1:
        return parts[0]
    total = bytes(len(parts[0]))
    for part in parts:
        total = audioop.add(total, audioop.mul(part, 2, 0.5), 2)
    return total
