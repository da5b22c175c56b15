"""What one upload to a recogniser may be, and what a recording may be at all."""

from __future__ import annotations

from dataclasses import dataclass

SAMPLE_RATE = 16_000  # what recognisers hear at; more is thrown away by them
MP3_RATES = (8_000, 11_025, 12_000, SAMPLE_RATE)
MIN_SAMPLE_RATE = 4_000
MAX_SAMPLE_RATE = 192_000
MAX_CHANNELS = 8
MAX_TRACKS = 8
MAX_STREAMS = 64  # a container with more is no call recording

MP3_BYTES_PER_SECOND = 8_000  # 64 kbit/s
COMPRESSED_BYTES_PER_SECOND = MP3_BYTES_PER_SECOND  # as a recording that nobody has decoded is taken to have
HEADER_BYTES = 16_384  # more than any header and padding that we write
ENCODER_PADDING_SECONDS = 0.2  # mp3 frames overhang a piece's end by less


@dataclass(frozen=True, kw_only=True)
class UploadLimits:
    """What a transcription model takes in one call.

    max_bytes: size of the file; max_seconds: its length; formats: file name endings, no dot.
    The default is what OpenAI documents for its transcription models.
    """

    max_bytes: int = 25_000_000
    max_seconds: float = 1500.0
    formats: tuple[str, ...] = ("flac", "mp3", "mp4", "mpeg", "mpga", "m4a", "ogg", "wav", "webm")

    def takes(self, ending: str) -> bool:
        """Whether a file of that name ending is accepted."""
        return ending in self.formats


def heard_rate(sample_rate: int) -> int:
    """At which sound of that rate is written: 16 kHz, or the nearest lower rate that every format knows."""
    return max((rate for rate in MP3_RATES if rate <= sample_rate), default=MP3_RATES[0])


def flac_bytes(seconds: float, sample_rate: int) -> int:
    """The most bytes that 16 bit mono FLAC can take: verbatim frames are a little above raw PCM."""
    return int(seconds * sample_rate * 2 * 1.01) + HEADER_BYTES


def encoding(seconds: float, sample_rate: int, limits: UploadLimits) -> str:
    """The ending of a piece's file: flac while it fits, mp3 above, wav where neither is taken."""
    if limits.takes("flac") and flac_bytes(seconds, sample_rate) <= limits.max_bytes:
        return "flac"
    if limits.takes("mp3"):
        return "mp3"
    if limits.takes("flac"):
        return "flac"
    return "wav"


def longest_piece(sample_rate: int, limits: UploadLimits, chunk_seconds: float) -> float:
    """Seconds that one encoded piece may have, whatever it holds: no piece can break a limit."""
    if limits.takes("mp3"):
        by_bytes = (limits.max_bytes - HEADER_BYTES) / MP3_BYTES_PER_SECOND - ENCODER_PADDING_SECONDS
    elif limits.takes("flac"):
        by_bytes = (limits.max_bytes - HEADER_BYTES) / (sample_rate * 2 * 1.01)
    else:
        by_bytes = (limits.max_bytes - HEADER_BYTES) / (sample_rate * 2)
    allowed = min(by_bytes, limits.max_seconds - ENCODER_PADDING_SECONDS)
    return max(1.0, min(allowed, chunk_seconds))
