"""Where a recording may hold speech, as against tones, music on hold and noise, by how its sound changes.

A voice is never the same for long: from one 20 ms to the next its level jumps, or its spectrum, which the
rate of zero crossings follows. Ring and busy tones, a fax, a held note, hiss and hum stay. Measured on calls
in Russian and English through several codecs, in noise and 30 dB down, about half of the windows of an
utterance are steady at the most; of tones, tunes, chords with drums and noise it is two thirds and more. What
is short is taken for a word in doubt: only a tone of one pitch that is long, or comes again, is none, nor is
a signal that the telephone system makes. And every voice has a pitch.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from operator import gt, or_

# lengths, in windows of 20 ms
REST = 10  # a rest this long parts two sounds
CLICK = 3  # a shorter sound is no word by itself
SHORTEST = 5  # of a shorter sound it cannot be told whether it is a tone
LOUD = 0.33  # of a sound's loudest moment (10 dB under it): what is above counts as loud
TONE = 30  # no word keeps one pitch for so long
LONG = 100  # from here on a sound is judged block by block: it may be a voice over music
BLOCK = 50
SOME = 5  # every fifth window is looked at where looking at all of them would take too long
NEAR = 75  # a faint sound this close to speech is taken for part of it
FEWEST_WINDOWS = 5  # less than a tenth of a second is too short to tell a pitch by
NEIGHBOURHOOD = 500

LEVEL_RATIO = 1.19  # 1.5 dB
CROSSINGS_RATIO, CROSSINGS_LEAST = 0.2, 2
STEADY, STEADY_SHORT = 0.6, 0.8  # the share from which on a sound is no speech
VOICE_CROSSINGS = 10  # zero crossings per window at 250 Hz; a lower steady pitch may be a voice's
SIGNAL = 0.6  # the share of a short sound's loud part that is a signal of the telephone system
ABOVE_NOISE = 2.0  # a sound is 6 dB louder than the noise
ONE_PITCH = 0.06  # pitches that differ by this share are one, about a half tone
SAME = 0.2  # tones of a cadence differ in length by this share at the most


@dataclass
class _Sound:
    """A stretch [first, last) above the noise; pitch: its crossings per window; signal: it is one."""

    first: int
    last: int
    steady: float = 0.0
    pitch: int = 0
    uniform: bool = False
    signal: bool = False

    @property
    def length(self) -> int:
        return self.last - self.first

    @property
    def is_tone(self) -> bool:
        return self.uniform and self.steady >= STEADY_SHORT and self.pitch >= VOICE_CROSSINGS

    def same_pitch(self, other: _Sound) -> bool:
        return abs(self.pitch - other.pitch) <= max(1, ONE_PITCH * self.pitch)

    def again(self, other: _Sound) -> bool:
        """Whether the other is the same tone once more."""
        alike = abs(self.length - other.length) <= max(4, SAME * self.length)
        return alike and self.is_tone and other.is_tone and self.same_pitch(other)


def speechlike(
    windows: Sequence[int], crossings: Sequence[int], signals: bytearray, pitched: bytearray, floor: int
) -> bytearray:
    """Per window 1 where speech may be, 0 where nothing sounds or surely nobody speaks.

    windows: root mean square of each 20 ms; crossings: how often the sound crosses zero in it; signals and
    pitched: see signalling.
    """
    sounds = bytearray(map(floor.__lt__, windows))
    clear = bytearray(_clear(windows, floor))
    steady = bytearray(map(or_, _steady(windows, crossings, sounds), signals))
    steadies = array("l", accumulate(steady, initial=0))
    heard = array("l", accumulate(sounds, initial=0))
    found = bytearray(len(sounds))
    apart = [_judged(sound, windows, crossings, steady, signals) for sound in _sounds(clear)]
    tones = set(_tones(apart))
    for number, sound in enumerate(apart):
        if sound.length >= LONG and _buzzes(sound, windows, crossings):
            found[sound.first : sound.last] = sounds[sound.first : sound.last]
        elif sound.length >= LONG:
            _keep_voices(found, sounds, sound, steadies, heard)
        elif sound.length >= CLICK and number not in tones:
            found[sound.first : sound.last] = sounds[sound.first : sound.last]
    _keep_near(found, sounds, clear, apart)
    _drop_unpitched(found, pitched)
    return found


def _clear(windows: Sequence[int], floor: int) -> Iterator[bool]:
    """Whether each window is above the noise around it."""
    for begin in range(0, len(windows), NEIGHBOURHOOD):
        some = windows[begin : begin + NEIGHBOURHOOD]
        gate = max(float(floor), ABOVE_NOISE * sorted(some)[len(some) // 10])
        if gate > ABOVE_NOISE * floor and max(some) <= gate:
            gate = float(floor)  # all of it is alike: noise, a fax, or music
        yield from map(int(gate).__lt__, some)


def _steady(windows: Sequence[int], crossings: Sequence[int], sounds: bytearray) -> list[bool]:
    """Whether each window sounds like the one before it."""
    pairs = zip(sounds, sounds[1:], windows, windows[1:], crossings, crossings[1:], strict=False)
    return [
        False,
        *(
            bool(sounded and sounding)
            and level <= before * LEVEL_RATIO
            and before <= level * LEVEL_RATIO
            and (
                (change := abs(crossed - crossed_before)) <= CROSSINGS_LEAST
                or change <= crossed * CROSSINGS_RATIO
            )
            for sounded, sounding, before, level, crossed_before, crossed in pairs
        ),
    ]


def _sounds(clear: bytearray) -> Iterator[_Sound]:
    """Stretches that are clear, with rests of REST windows and more between them."""
    first = clear.find(1)
    while first >= 0:
        last = clear.find(bytes(REST), first)
        if last < 0:
            yield _Sound(first, clear.rfind(1) + 1)
            return
        yield _Sound(first, last)
        first = clear.find(1, last)


def _judged(
    sound: _Sound, windows: Sequence[int], crossings: Sequence[int], steady: bytearray, signals: bytearray
) -> _Sound:
    """With what its loud part is like: codecs smear the edges of a tone."""
    if sound.length >= LONG:
        return sound
    loud = max(windows[sound.first : sound.last]) * LOUD
    inside = [at for at in range(sound.first, sound.last) if windows[at] >= loud]
    sound.signal = sum(signals[at] for at in inside) >= SIGNAL * len(inside)
    if sound.length >= SHORTEST:
        rates = sorted(crossings[at] for at in inside)
        sound.steady = sum(steady[at] for at in inside[1:]) / max(1, len(inside) - 1)
        sound.pitch = rates[len(rates) // 2]
        spread = rates[len(rates) * 4 // 5] - rates[len(rates) // 5]
        sound.uniform = spread <= max(CROSSINGS_LEAST, ONE_PITCH * sound.pitch)
    return sound


def _tones(apart: Sequence[_Sound]) -> Iterator[int]:
    """Which of the short sounds are tones: long ones of one pitch, and those that come again and again."""
    again = [one.again(other) for one, other in pairwise(apart)]
    cadence = [any(again[max(0, at - 1) : at + 1]) for at in range(len(apart))]
    for at, sound in enumerate(apart):
        beside = (near for near in (at - 1, at + 1) if 0 <= near < len(apart) and cadence[near])
        cut_off = any(sound.same_pitch(apart[near]) for near in beside)
        if sound.signal or (sound.is_tone and (sound.length >= TONE or cadence[at] or cut_off)):
            yield at


def _buzzes(sound: _Sound, windows: Sequence[int], crossings: Sequence[int]) -> bool:
    """Whether a long sound is as low as a voice, and comes and goes: no telephone system sounds so."""
    if sorted(crossings[sound.first : sound.last])[sound.length // 2] >= VOICE_CROSSINGS:
        return False
    levels = sorted(windows[sound.first : sound.last])
    return levels[sound.length * 9 // 10] > 2 * levels[sound.length // 10]


def _keep_voices(
    found: bytearray, sounds: bytearray, sound: _Sound, steady: Sequence[int], heard: Sequence[int]
) -> None:
    """Where a long sound changes as a voice does, with what is near."""
    done = sound.first
    for at in range(sound.first, sound.last, SOME):
        begin = min(max(at - BLOCK // 2, sound.first), sound.last - BLOCK)
        end = begin + BLOCK
        if done < sound.last and steady[end] - steady[begin] < STEADY * (heard[end] - heard[begin]):
            start, done = max(done, at - NEAR), min(sound.last, at + NEAR)
            found[start:done] = sounds[start:done]


def _keep_near(found: bytearray, sounds: bytearray, clear: bytearray, apart: Sequence[_Sound]) -> None:
    """What is faint, or as short as a click, belongs to the speech beside it: the ends of its words."""
    faint = bytearray(map(gt, sounds, clear))
    for sound in apart:
        if sound.length < CLICK:
            faint[sound.first : sound.last] = sounds[sound.first : sound.last]
    first = found.find(1)
    while first >= 0:
        last = found.find(0, first)
        last = len(found) if last < 0 else last
        following = found.find(1, last)
        for begin, end in ((first - NEAR, first), (last, last + NEAR)):
            place = slice(max(0, begin), min(len(found), end))
            if faint.find(1, place.start, place.stop) >= 0:
                found[place] = bytes(map(or_, found[place], faint[place]))
        first = following


def _drop_unpitched(found: bytearray, pitched: bytearray) -> None:
    """Where for seconds nothing has a pitch, nobody speaks, but for the beginnings and ends of words."""
    if len(pitched) < FEWEST_WINDOWS:
        return
    first = pitched.find(0)
    while first >= 0:
        last = pitched.find(1, first)
        last = len(pitched) if last < 0 else last
        begin = first + NEAR if first else 0
        end = last - NEAR if last < len(pitched) else last
        if begin < end:
            found[begin:end] = bytes(end - begin)
        first = pitched.find(0, last)
