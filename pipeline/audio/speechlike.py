"""Where a recording may hold speech, as against tones, music on hold and noise, by how its sound changes.

A voice is never the same for long: from one 20 ms to the next its level jumps, or its spectrum, which the
rate of zero crossings follows. Ring and busy tones, a fax, a held note, hiss and hum stay. Measured on calls
in Russian and English through several codecs, in noise and 30 dB down, about half of the windows of an
utterance are steady at the most; of tones, tunes, chords with drums and noise it is two thirds and more. What
is short is taken for a word in doubt: only a tone of one pitch that is long, or comes again, is none, nor is
a signal that the telephone system makes. And every voice has a pitch.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.audio.arrays import Flags, Ints, np

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


@dataclass(frozen=True, kw_only=True)
class _Sounds:
    """Stretches [first, last) above the noise, and what their loud part is like: codecs smear the edges of a
    tone. pitch: crossings per window; signal: it is one of the telephone system; tone: it is of one pitch.
    """

    first: Ints
    last: Ints
    pitch: Ints
    signal: Flags
    tone: Flags

    @property
    def length(self) -> Ints:
        found: Ints = self.last - self.first
        return found


def speechlike(windows: Ints, crossings: Ints, signals: Flags, pitched: Flags, floor: int) -> Flags:
    """Per window, whether speech may be there: not where nothing sounds or surely nobody speaks.

    windows: root mean square of each 20 ms; crossings: how often the sound crosses zero in it; signals and
    pitched: see signalling.
    """
    sounds = windows > floor
    clear = _clear(windows, floor)
    steady = _steady(windows, crossings, sounds) | signals
    apart = _judged(*_apart(clear), windows, crossings, steady, signals)
    long = apart.length >= LONG
    kept = (apart.length >= CLICK) & ~long & ~_tones(apart)
    kept[long] = [
        _buzzes(windows[first:last], crossings[first:last])
        for first, last in zip(apart.first[long], apart.last[long], strict=True)
    ]
    judged = long & ~kept
    found = _within(apart.first[kept], apart.last[kept], len(windows))
    found |= _voices(apart.first[judged], apart.last[judged], steady, sounds)
    found &= sounds
    clicks = apart.length < CLICK
    faint = sounds & (~clear | _within(apart.first[clicks], apart.last[clicks], len(windows)))
    # what is faint, or as short as a click, belongs to the speech beside it: the ends of its words
    first, last = edges(found)
    found |= faint & _within(first - NEAR, last + NEAR, len(windows))
    if len(pitched) >= FEWEST_WINDOWS:
        found &= ~_unpitched(pitched)
    return found


def edges(flags: Flags) -> tuple[Ints, Ints]:
    """Where runs begin, and where they end."""
    changes = np.flatnonzero(np.diff(flags, prepend=False, append=False))
    return changes[::2], changes[1::2]


def joined(first: Ints, last: Ints, parted: Flags) -> tuple[Ints, Ints]:
    """Ascending stretches, each together with the one before it where those two are not parted."""
    whole = np.ones(min(1, len(first)), dtype=bool)
    return first[np.concatenate([whole, parted])], last[np.concatenate([parted, whole])]


def _within(first: Ints, last: Ints, total: int) -> Flags:
    """Per window, whether it lies in one of the stretches [first, last), however they overlap."""
    changes = np.zeros(total + 1, np.int32)
    np.add.at(changes, np.clip(first, 0, total), 1)
    np.add.at(changes, np.clip(last, 0, total), -1)
    found: Flags = np.cumsum(changes[:-1]) > 0
    return found


def _clear(windows: Ints, floor: int) -> Flags:
    """Whether each window is above the noise around it."""
    gates = np.empty(len(windows))
    for begin in range(0, len(windows), NEIGHBOURHOOD):
        some = windows[begin : begin + NEIGHBOURHOOD]
        gate = max(floor, ABOVE_NOISE * int(np.partition(some, len(some) // 10)[len(some) // 10]))
        if gate > ABOVE_NOISE * floor and some.max() <= gate:
            gate = floor  # all of it is alike: noise, a fax, or music
        gates[begin : begin + NEIGHBOURHOOD] = gate
    return windows > gates


def _steady(windows: Ints, crossings: Ints, sounds: Flags) -> Flags:
    """Whether each window sounds like the one before it."""
    level, before = windows[1:], windows[:-1]
    change = np.abs(crossings[1:] - crossings[:-1])
    alike = (change <= CROSSINGS_LEAST) | (change <= crossings[1:] * CROSSINGS_RATIO)
    found = np.zeros(len(windows), dtype=bool)
    found[1:] = (
        sounds[1:] & sounds[:-1] & (level <= before * LEVEL_RATIO) & (before <= level * LEVEL_RATIO) & alike
    )
    return found


def _apart(clear: Flags) -> tuple[Ints, Ints]:
    """Stretches that are clear, with rests of REST windows and more between them."""
    first, last = edges(clear)
    return joined(first, last, first[1:] - last[:-1] >= REST)


def _judged(
    first: Ints, last: Ints, windows: Ints, crossings: Ints, steady: Flags, signals: Flags
) -> _Sounds:
    """What each sound's loud part is like; of long ones it does not count."""
    count = len(first)
    length = last - first
    sound = np.repeat(np.arange(count), length)
    at = np.arange(len(sound)) + np.repeat(first - np.cumsum(length) + length, length)
    loudest = np.maximum.reduceat(windows[at], np.cumsum(length) - length) if count else first
    loud = windows[at] >= loudest[sound] * LOUD
    sound, at = sound[loud], at[loud]
    inside = np.bincount(sound, minlength=count)
    start = np.cumsum(inside) - inside
    rates = crossings[at][np.lexsort((crossings[at], sound))]

    def rate(place: Ints) -> Ints:
        found: Ints = rates[start + place]
        return found

    pitch = rate(inside // 2)
    uniform = rate(inside * 4 // 5) - rate(inside // 5) <= np.maximum(CROSSINGS_LEAST, ONE_PITCH * pitch)
    following = np.bincount(sound, steady[at], minlength=count) - steady[at][start]
    told = length >= SHORTEST
    return _Sounds(
        first=first,
        last=last,
        pitch=np.where(told, pitch, 0),
        signal=np.bincount(sound, signals[at], minlength=count) >= SIGNAL * inside,
        tone=told
        & uniform
        & (following >= STEADY_SHORT * np.maximum(1, inside - 1))
        & (pitch >= VOICE_CROSSINGS),
    )


def _tones(apart: _Sounds) -> Flags:
    """Which of the short sounds are tones: long ones of one pitch, and those that come again and again."""
    short = apart.length < LONG
    tone = apart.tone & short
    length, pitch = apart.length, np.where(short, apart.pitch, 0)
    one_pitch = np.abs(np.diff(pitch)) <= np.maximum(1, ONE_PITCH * pitch[:-1])
    as_long = np.abs(np.diff(length)) <= np.maximum(4, SAME * length[:-1])
    again = np.append(tone[:-1] & tone[1:] & one_pitch & as_long, False)[: len(pitch)]
    cadence = again | np.append(False, again[:-1])[: len(pitch)]
    # of the one behind: its own pitch is what the other may differ from
    ahead = np.append(one_pitch & cadence[1:], False)[: len(pitch)]
    back = np.abs(np.diff(pitch)) <= np.maximum(1, ONE_PITCH * pitch[1:])
    behind = np.append(False, back & cadence[:-1])[: len(pitch)]
    found: Flags = short & (apart.signal | (tone & ((length >= TONE) | cadence | ahead | behind)))
    return found


def _buzzes(windows: Ints, crossings: Ints) -> bool:
    """Whether a long sound is as low as a voice, and comes and goes: no telephone system sounds so."""
    middle = len(windows) // 2
    if np.partition(crossings, middle)[middle] >= VOICE_CROSSINGS:
        return False
    quiet, loud = len(windows) // 10, len(windows) * 9 // 10
    levels = np.partition(windows, (quiet, loud))
    return bool(levels[loud] > 2 * levels[quiet])


def _voices(first: Ints, last: Ints, steady: Flags, sounds: Flags) -> Flags:
    """Where long sounds change as a voice does, with what is near."""
    looks = -(-(last - first) // SOME)
    sound = np.repeat(np.arange(len(first)), looks)
    at = first[sound] + SOME * (np.arange(len(sound)) - np.repeat(np.cumsum(looks) - looks, looks))
    begin = np.clip(at - BLOCK // 2, first[sound], last[sound] - BLOCK)
    steadies, heard = (np.append(0, np.cumsum(each)) for each in (steady, sounds))
    changes = steadies[begin + BLOCK] - steadies[begin] < STEADY * (heard[begin + BLOCK] - heard[begin])
    at, sound = at[changes], sound[changes]
    return _within(np.maximum(first[sound], at - NEAR), np.minimum(last[sound], at + NEAR), len(sounds))


def _unpitched(pitched: Flags) -> Flags:
    """Where for seconds nothing has a pitch, nobody speaks, but for the beginnings and ends of words."""
    first, last = edges(~pitched)
    begin = np.where(first > 0, first + NEAR, first)
    end = np.where(last < len(pitched), last - NEAR, last)
    some = begin < end
    return _within(begin[some], end[some], len(pitched))
