"""Opening a recording: FFmpeg's demuxers of real recordings, and no other.

The whitelist matters: a playlist named `.mp3`, or an ffconcat script, would make FFmpeg read other
local files. FFmpeg is handed a local file, never a URL and never a pipe.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path

import av
import av.error
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.codec import Codec
from av.codec.codec import UnknownCodecError
from av.container import InputContainer

from pipeline.audio.body import Body
from pipeline.audio.limits import MAX_STREAMS
from pipeline.domain.errors import NotAudio

DEMUXERS = (
    "wav,w64,mp3,ogg,flac,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,aac,amr,asf,aiff,caf,au,gsm,wv,ac3,eac3,"
    "dts,ape,tta,mpc,mpc8,voc,rm,avi,flv,mpegts,mpeg,oma"
)
INDEXED = {"flac", "mov", "matroska", "ogg", "wav", "w64", "caf", "aiff"}
OPTIONS = {"format_whitelist": DEMUXERS, "protocol_whitelist": "file"}
# Another codec may travel in what a wav's header calls plain samples (S/PDIF: DTS, AC-3), at this rate at
# the least: 32 kHz, two channels. FFmpeg looks for it in the first 32 packets, which takes as long as
# decoding half a minute. Below that rate one is enough, and a second's packet is quicker than sixteen.
WRAPPED_BYTES_PER_SECOND = 128_000
PLAIN_OPTIONS = {"max_size": "16384", "max_probe_packets": "1"}
# what PyAV raises over damaged bytes; IndexError where a stream turns up that was not announced
Broken = (av.error.FFmpegError, ValueError, OverflowError, IndexError)


@cache
def sound_decoders() -> str:
    """FFmpeg's decoders of sound: probing would open those of pictures, the larger part of its code, too."""
    found = []
    for name in sorted(av.codecs_available):
        with suppress(UnknownCodecError):  # one that only encodes
            if Codec(name, "r").type == "audio":
                found.append(name)
    return ",".join(found)


@contextmanager
def opened(
    path: Path, *, body: Body, track: int | None = None
) -> Iterator[tuple[InputContainer, AudioStream]]:
    """The container and its audio stream; closed at the end.

    body: which bytes of the file. track: which of the audio streams, else what
    FFmpeg takes for the main one. Raises NotAudio when no allowed demuxer reads it, or it holds no sound.
    """
    options = {**OPTIONS, "codec_whitelist": sound_decoders()}
    if 0 < body.bytes_per_second < WRAPPED_BYTES_PER_SECOND:
        options |= PLAIN_OPTIONS
    with ExitStack() as stack:
        source = str(path.absolute()) if body.as_it_came else stack.enter_context(body.open(path))
        try:
            # tags are in whatever encoding the telephone system's author liked
            container = av.open(source, "r", options=options, metadata_errors="replace")
        except Broken:
            raise NotAudio("no known recording format") from None
        stack.enter_context(container)
        if len(container.streams) > MAX_STREAMS:
            raise NotAudio(f"a container of {len(container.streams)} streams")
        audio = container.streams.audio
        stream = (
            audio[track] if track is not None else container.streams.best("audio") or next(iter(audio), None)
        )
        if not isinstance(stream, AudioStream):
            raise NotAudio(
                "a picture or a video without sound" if container.streams.video else "no sound in it"
            )
        if stream.codec_context is None:  # PyAV makes none where FFmpeg has no decoder
            raise NotAudio("sound in a form that nothing here decodes")
        yield container, stream


def goes_beyond(path: Path, body: Body, seconds: float) -> bool:
    """Whether sound is found past that time, by looking there: hours of silence in a small file are
    refused without decoding them. Only of formats that know where each second lies (INDEXED).
    """
    with opened(path, body=body) as (container, _):
        begin = (container.start_time or 0) / 1_000_000
        try:
            container.seek(int((begin + seconds + 1) * 1_000_000))
            sound = [each for each in container.streams.audio if each.codec_context]
            for count, frame in enumerate(container.decode(sound)):
                if isinstance(frame, AudioFrame) and frame.time is not None and frame.time - begin > seconds:
                    return True
                if count > 1000:
                    break
        except Broken:
            pass
        return False
