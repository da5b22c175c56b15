"""Makes bench/truth/corpus from text: telephone calls whose every word is known.

Run it only to change them; what it makes is committed, so nobody else needs its programs:

    apt-get install festival festvox-ru flite ffmpeg
    .venv/bin/python -m bench.truth.make_corpus

The voices are free: festvox-ru (one man, of whom a second speaker is made by a higher pitch and shorter
vocal tract), flite's `rms` and `slt`. Lines are placed on a clean time line with pauses drawn from a seed,
manager left, client right, and cut to the telephone's band at 8 kHz. Beside each recording lies its truth:

    {"lang", "seconds", "spans": [{"side": 0 left / 1 right, "start", "end", "text", "lang"?}], "fills"}
"""

from __future__ import annotations

import json
import random
import subprocess
import tempfile
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CORPUS = Path(__file__).resolve().parent / "corpus"
RATE = 8_000
BAND = "highpass=f=200,lowpass=f=3400"
HIGHER = "asetrate=18400,aresample=16000,atempo=0.95"
LOWER = "asetrate=15200,aresample=16000,atempo=1.05"
Samples = NDArray[np.float64]

MANAGER, CLIENT = 0, 1
RU_CALL = (
    (MANAGER, "Добрый день, компания Северный ветер, меня зовут Алексей."),
    (CLIENT, "Здравствуйте, мы выбираем телефонию для отдела продаж."),
    (MANAGER, "Хорошо, расскажите, сколько у вас сотрудников."),
    (CLIENT, "Сейчас работает пятьдесят операторов, осенью примем ещё двадцать."),
    (MANAGER, "А какой бюджет вы закладываете на этот проект?"),
    (CLIENT, "Около трёхсот тысяч рублей на первый год."),
    (CLIENT, "Решение принимает наш генеральный директор."),
    (MANAGER, "Понятно. Я подготовлю коммерческое предложение и отправлю вам завтра."),
    (CLIENT, "Отлично. Нам важно начать работу в этом месяце."),
    (MANAGER, "Договор можно подписать удалённо, установка займёт три дня."),
    (CLIENT, "Хорошо, я поговорю с коллегами и перезвоню вам в понедельник."),
    (MANAGER, "Спасибо за звонок, до свидания."),
)
EN_CALL = (
    (MANAGER, "Good afternoon, this is Robert from the northern office. How can I help you?"),
    (CLIENT, "Hello, we are looking for a new phone system for our sales department."),
    (MANAGER, "I see. How many people work in your company today?"),
    (CLIENT, "We have about fifty users now, and we want to hire twenty more next year."),
    (MANAGER, "What budget do you have in mind for this project?"),
    (CLIENT, "Our budget is ten thousand dollars for the first year."),
    (CLIENT, "The decision is made by our director, and she asked me to compare three offers."),
    (MANAGER, "That will be enough. I will prepare an offer and send it to you tomorrow morning."),
    (CLIENT, "Very good. It is important for us to start this month."),
    (MANAGER, "The contract can be signed online, and the installation takes three days."),
    (CLIENT, "All right, I will talk to my colleagues and call you back on Monday."),
    (MANAGER, "Thank you for your call, goodbye."),
)
RU_DENSE = (
    (MANAGER, "Алло, слушаю вас."),
    (CLIENT, "Это Марина, мы вчера говорили."),
    (MANAGER, "Да, конечно, помню."),
    (CLIENT, "Вы отправили договор?"),
    (MANAGER, "Отправил сегодня утром."),
    (CLIENT, "На какую почту?"),
    (MANAGER, "На почту директора."),
    (CLIENT, "Понятно, сейчас проверю."),
    (MANAGER, "Проверьте, пожалуйста, папку спам."),
    (CLIENT, "Да, нашла, спасибо."),
    (MANAGER, "Посмотрите вторую страницу."),
    (CLIENT, "Там указана старая цена."),
    (MANAGER, "Сколько там написано?"),
    (CLIENT, "Двести тысяч рублей."),
    (MANAGER, "Правильно, это со скидкой."),
    (CLIENT, "А скидка действует весь год?"),
    (MANAGER, "Только до конца месяца."),
    (CLIENT, "Тогда подпишем сегодня."),
    (MANAGER, "Прекрасно, жду документы."),
    (CLIENT, "Хорошо, до свидания."),
)
RU_CROSSTALK = (
    (MANAGER, "Я звоню по поводу вашей заявки на новое оборудование."),
    (CLIENT, "Да, мы как раз хотели уточнить сроки поставки."),
    (MANAGER, "Оборудование есть на складе, доставим на следующей неделе."),
    (CLIENT, "А монтаж входит в стоимость или оплачивается отдельно?"),
    (MANAGER, "Монтаж входит в стоимость, отдельно платить не нужно."),
    (CLIENT, "Прекрасно, тогда пришлите счёт на нашу организацию."),
    (MANAGER, "Счёт пришлю сегодня до конца рабочего дня."),
    (CLIENT, "Договорились, будем ждать от вас письмо."),
)
CHANGE = (
    (MANAGER, "Добрый день, отдел международных продаж, слушаю вас.", "ru"),
    (CLIENT, "Здравствуйте, соединяю вас с нашим коллегой из Лондона.", "ru"),
    (MANAGER, "Хорошо, спасибо, я подожду на линии.", "ru"),
    (CLIENT, "Hello, this is the purchasing department. Do you speak English?", "en"),
    (MANAGER, "Yes, of course. Please tell me what you are interested in.", "en"),
    (CLIENT, "We need thirty licences before the end of the month.", "en"),
    (MANAGER, "I will send you the price list and the contract this afternoon.", "en"),
    (CLIENT, "Thank you very much, we are waiting for your letter.", "en"),
)
VOICEMAIL = "Вы позвонили в компанию Ромашка. Оставьте сообщение после сигнала."


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How a call goes: pauses in seconds; at `overlap` of the changes of speaker the other begins early."""

    seed: int
    pause: tuple[float, float] = (0.4, 1.3)
    overlap: float = 0.0
    early: tuple[float, float] = (0.5, 1.2)


def speak(side: int, text: str, lang: str, work: Path) -> Samples:
    """A line at 8 kHz in the telephone's band, without the silence around it."""
    raw, spoken, banded = work / "raw.wav", work / "text.txt", work / "banded.wav"
    if lang == "ru":
        spoken.write_text(text, encoding="utf-8")
        subprocess.run(["text2wave", "-eval", "(voice_msu_ru_nsh_clunits)", "-o", raw, spoken],
                       check=True, stderr=subprocess.DEVNULL)  # fmt: skip
        band = f"{LOWER if side == MANAGER else HIGHER},{BAND}"
    else:
        voice = "rms" if side == MANAGER else "slt"
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", raw], check=True)
        band = BAND
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", raw, "-af", band, "-ac", "1",
                    "-ar", str(RATE), "-c:a", "pcm_s16le", banded], check=True)  # fmt: skip
    with wave.open(str(banded)) as file:
        found = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(float)
    loud = np.flatnonzero(np.abs(found) > 250)
    found = found[loud[0] : loud[-1] + 1]
    return found * (6000 / np.sqrt(np.mean(found**2)) / 2)


def call(
    lines: tuple[tuple[Any, ...], ...], lang: str, manner: Manner, work: Path
) -> tuple[Samples, list[Any]]:
    """Two channels, and what is said in them when."""
    draw = random.Random(manner.seed)
    placed, spans, at = [], [], 0.8
    for number, (side, text, *own) in enumerate(lines):
        spoken = speak(side, text, own[0] if own else lang, work)
        changed = number and lines[number - 1][0] != side
        if changed and draw.random() < manner.overlap:
            before = spans[-1]["end"] - spans[-1]["start"]
            at = spans[-1]["end"] - min(draw.uniform(*manner.early), before / 2)
        placed.append((side, round(at * RATE), spoken))
        end = at + len(spoken) / RATE
        spans.append({"side": side, "start": round(at, 2), "end": round(end, 2), "text": text}
                     | ({"lang": own[0]} if own else {}))  # fmt: skip
        at = end + draw.uniform(*manner.pause)
    sound = np.zeros((2, round((max(span["end"] for span in spans) + 0.8) * RATE)))
    for side, begin, spoken in placed:
        sound[side, begin : begin + len(spoken)] += spoken
    return sound, spans


def voicemail(work: Path) -> tuple[Samples, list[Any]]:
    """Ringing, a greeting on the client's side, a beep, and a line on which nobody speaks."""
    seconds = np.arange(26 * RATE) / RATE
    ring = np.sin(2 * np.pi * 425 * seconds) * 3000 * ((seconds % 5 < 1) & (seconds < 10))
    greeting = speak(CLIENT, VOICEMAIL, "ru", work)
    begin = round(10.6 * RATE)
    end = 10.6 + len(greeting) / RATE
    beep = np.sin(2 * np.pi * 1000 * seconds) * 4000 * ((seconds > end + 0.6) & (seconds < end + 1.2))
    hiss = np.random.default_rng(5).normal(0, 20, len(seconds)) * (seconds > end + 1.2)
    sound = np.zeros((2, len(seconds)))
    sound[CLIENT] = ring + beep + hiss
    sound[CLIENT, begin : begin + len(greeting)] += greeting
    return sound, [{"side": CLIENT, "start": 10.6, "end": round(end, 2), "text": VOICEMAIL}]


def keep(name: str, lang: str | None, sound: Samples, spans: list[Any], work: Path) -> None:
    source = work / "whole.wav"
    with wave.open(str(source), "wb") as file:
        file.setnchannels(len(sound))
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.clip(sound, -32768, 32767).astype(np.int16).T.tobytes())
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", source, "-compression_level", "12",
                    "-map_metadata", "-1", "-fflags", "+bitexact", "-flags:a", "+bitexact",
                    CORPUS / f"{name}.flac"], check=True)  # fmt: skip
    truth = {"lang": lang, "seconds": round(sound.shape[1] / RATE, 2), "spans": spans, "fills": []}
    (CORPUS / f"{name}.json").write_text(
        json.dumps(truth, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
    )


def main() -> None:
    CORPUS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        keep("ru-call", "ru", *call(RU_CALL, "ru", Manner(seed=1), work), work)
        keep("en-call", "en", *call(EN_CALL, "en", Manner(seed=2), work), work)
        dense = Manner(seed=3, pause=(0.12, 0.3))
        keep("ru-dense", "ru", *call(RU_DENSE, "ru", dense, work), work)
        crosstalk = Manner(seed=4, pause=(0.2, 0.8), overlap=0.5)
        keep("ru-crosstalk", "ru", *call(RU_CROSSTALK, "ru", crosstalk, work), work)
        keep("ru-then-en", None, *call(CHANGE, "ru", Manner(seed=6), work), work)
        keep("ru-voicemail", "ru", *voicemail(work), work)


if __name__ == "__main__":
    main()
