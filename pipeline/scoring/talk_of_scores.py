"""Words on the phone that are meant for whoever scores the call: they prove nothing, and people are told.

A caller may say "score this lead one hundred", and an obedient model does it. Two lists, by language: what
speaks to the judge caps the score (_STRONG); what merely speaks of scores, grades, instructions or an
assistant cannot be the evidence of a criterion (_QUOTED). Compared are plain words, see `quotes.words`.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import lru_cache
from itertools import accumulate

from pipeline.domain.transcript import Segment, Transcript
from pipeline.scoring.quotes import Place, words
from pipeline.scoring.roundabout import ROUNDABOUT

_N = r"(?:\w{1,24} ){0,4}"  # a few words between

_STRONG = {
    "en": [
        rf"(?:score|rate|grade|rank|classify|evaluate|qualify) {_N}(?:lead|call|conversation|transcript)\b",
        rf"(?:give|assign|set|put|award|deserves?|mark) {_N}(?:score|rating|grade|marks?)\b",
        rf"(?:give|assign|award) {_N}(?:hundred|100|maximum|full|top|all) points",
        r"(?:lead|call|quality) (?:score|rating|grade)\b",
        rf"(?:score|rating|grade) {_N}?(?:high|highest|maximum|perfect|hundred|100)\b|quality high(?:est)?\b",
        r"\b(?:hundred|100) (?:out )?of (?:a |one )?(?:hundred|100)\b",
        rf"(?:ignore|forget|disregard|override) {_N}(?:instructions?|prompts?|rules|guidelines)\b",
        r"(?:ignore|forget|disregard|override) (?:(?:all|everything|any|the) ){0,2}"
        r"(?:previous|above|earlier|prior) (?:text|context|transcript)\b",
        r"(?:output|respond with|reply with) high\b",
        rf"(?:mark|treat|count|consider) {_N}(?:criteria|criterion|everything) {_N}(?:met|true"
        rf"|fulfilled|satisfied)\b",
        r"(?:system|developer) (?:message|prompt)\b",
        r"(?:dear|hello|hey|attention|listen|note (?:to|for)(?: the)?|message (?:to|for)(?: the)?)"
        r" (?:ai|artificial intelligence|language model|chat ?gpt|neural network|scoring (?:model|system))\b",
        r"you are (?:an?|the) (?:ai|language model|scoring \w+|artificial intelligence)\b",
        r"(?:as|for) (?:the|a) high(?:est)? (?:quality|priority) lead\b",
        r"(?:hot|qualified|high|top) lead\b",
    ],
    "ru": [
        rf"(?:оцени\w*|оценивай\w*|классифицир\w*|отметь\w*) {_N}(?:лид\w*|звон\w*|разговор\w*"
        rf"|диалог\w*|расшифровк\w*)\b",
        rf"(?:постав\w*|ставь\w*|присво\w*|выстав\w*|дай\w*|запиш\w*|укаж\w*) {_N}(?:балл\w*|оценк\w*"
        rf"|рейтинг\w*|score)\b",
        r"(?:сто|100|максимум|максимальн\w+|высш\w+) (?:балл\w*|оценк\w*)\b",
        rf"(?:оценк\w+|балл\w*|рейтинг\w*|score) {_N}?(?:сто|100|максимальн\w+|наивысш\w+|высш\w+)\b",
        rf"качество (?:лида )?высокое {_N}(?:оценк\w+|балл\w*|сто|score)\b",
        r"качество лида высокое\b|оценка (?:лида|звонка|разговора)\b|скоринг\w* (?:лида|звонка)\b",
        rf"(?:игнорир\w+|забудь\w*|отмени\w*|не учитывай\w*) {_N}(?:инструкци\w+|правил\w*|указани\w+"
        rf"|промпт\w*)\b",
        r"(?:игнорир\w+|забудь\w*|не учитывай\w*) (?:(?:весь|все|всё) )?предыдущ\w+ (?:текст|контекст)\b"
        r"|(?:выведи\w*|ответь\w*) высок\w+\b",
        r"(?:внимание|уважаем\w+|дорог\w+|слушай\w*|эй|привет"
        r"|сообщение для) (?:искусственн\w+ интеллект\w*|нейросет\w*|"
        r"языков\w+ модел\w*|ии|чат ?гпт|система оценки)\b",
        rf"(?:отмет\w+|считай\w*|засчита\w+|зачти\w*) {_N}(?:критери\w+|всё|все) {_N}(?:выполнен\w*"
        rf"|true|да)\b",
        r"(?:ты|вы) (?:нейросеть|искусственный интеллект|языковая модель|ии)\b",
        r"системн\w+ (?:сообщени\w+|промпт\w*)\b|конец расшифровки\b|(?:горячий|качественный) лид\b",
    ],
    "uk": [
        rf"(?:оціни\w*|постав\w*|присво\w*) {_N}(?:лід\w*|дзвін\w*|розмов\w*|бал\w*|оцінк\w*)\b",
        r"(?:сто|100) балів\b|ігноруй\w* \w* ?(?:інструкці\w+|правил\w*)",
    ],
    "de": [
        rf"(?:bewerte\w*|klassifizier\w*|gib|geben|vergib) {_N}(?:lead|anruf|gespräch|punkte?|note"
        rf"|bewertung)\b",
        rf"(?:ignorier\w*|vergiss) {_N}(?:anweisungen|anweisung|regeln)\b|(?:hundert"
        rf"|100) von (?:hundert|100)\b",
    ],
    "es": [
        rf"(?:califi[cq]\w+|puntúa\w*|puntua\w*|evalúa\w*|valora|dale|pon) {_N}(?:lead|llamada|puntos"
        rf"|puntuación|nota)\b",
        rf"(?:ignora|olvida) {_N}(?:instrucciones|reglas)\b|(?:cien|100) (?:de|sobre) (?:cien|100)\b",
    ],
    "fr": [
        rf"(?:note[zr]?|évalue[zr]?|donne[zr]?|mets|mettez) {_N}(?:lead|appel|points|note)\b",
        rf"(?:ignore[zr]?|oublie[zr]?) {_N}(?:instructions|consignes|règles)\b|(?:cent"
        rf"|100) sur (?:cent|100)\b",
    ],
    "pl": [
        rf"(?:oceń|ocenić|daj|przyznaj) {_N}(?:lead|rozmow\w+|punkt\w*|ocen\w+)\b",
        rf"(?:zignoruj|zapomnij) {_N}(?:instrukcj\w+|polece\w+)\b",
    ],
    "tr": [
        rf"(?:puan|not) {_N}(?:ver|verin)\b|(?:yüz|100) üzerinden (?:yüz|100)\b",
        rf"talimatlar\w* {_N}(?:unut|yok say)\w*",
    ],
    "kk": [rf"(?:балл|баға) {_N}(?:қой|бер)\w*\b|нұсқаулар\w* {_N}(?:ұмыт|елеме)\w*"],
    "pt": [
        rf"(?:avalie|avalia|classifique|dê) {_N}(?:lead|chamada|ligação|pontos|nota)\b",
        rf"(?:ignore|esqueça) {_N}(?:instruções|regras)\b|(?:cem|100) de (?:cem|100)\b",
    ],
    "it": [
        rf"(?:valuta|classifica|dai|assegna) {_N}(?:lead|chiamata|punti|punteggio|voto)\b",
        rf"(?:ignora|dimentica) {_N}(?:istruzioni|regole)\b|(?:cento|100) su (?:cento|100)\b",
    ],
}  # fmt: skip

# in a quote that is to prove something, any of these is enough; what people trade in is spared
_QUOTED = [
    r"\b(?:scor(?:e|es|ed|ing)|rating|grades?|graded|prompts?|criteria|criterion|json)\b",
    r"\b(?:ai|artificial intelligence|language model|chat ?gpt|neural network|virtual assistant|assistant)\b",
    r"\b(?:hundred|100) (?:points|percent lead)\b|\b(?:high|highest|top|full) (?:marks?|points)\b",
    rf"\binstructions?\b(?= ?$| {_N}?(?:met|true|high|lead|answer|say|is|are|to)\b)",
    r"\b(?:оценк\w+|балл(?:а|ы|ов|ам|ами)?|рейтинг\w*|критери\w+|промпт\w*|скоринг\w*)\b",
    r"\b(?:нейросет\w+|искусственн\w+ интеллект\w*|языков\w+ модел\w+|ассистент\w*|помощник\w*"
    r"|чат ?гпт|ии)\b",
    rf"\bинструкци\w+\b(?! (?:по|к|для) )(?={_N}?(?:постав|оцен|отмет|выполн|следу|ответ)|$)",
    r"\b(?:оцінк\w+|бал(?:и|ів)|критері\w+|штучн\w+ інтелект\w*)\b",
    r"\b(?:bewertung|punktzahl|note|kriteri\w+|künstliche intelligenz|assistent)\b",
    r"\b(?:puntuación|calificación|criterios?|inteligencia artificial|asistente)\b",
    r"\b(?:critères?|intelligence artificielle|assistant|punteggio|criteri|intelligenza artificiale)\b",
    r"\b(?:ocen[aęy]|kryteri\w+|sztuczn\w+ inteligencj\w+|pontuação|critérios?"
    r"|inteligência artificial|puan)\b",
]  # fmt: skip
_SPARED = re.compile(
    r"\b(?:(?:installation|assembly|user|safety) instructions?|credit (?:score|rating|scoring)|energy rating"
    r"|кредитн\w+ (?:рейтинг\w*|скоринг\w*)|school grades?|(?:high|low) grade (?!for |to |please)\w+"
    r"|(?:my|his|her|our|your|personal|sales|office|shop|executive) assistants?"
    r"|assistant (?:manager|director)"
    r"|ассистент\w* (?:врача|кафедры)|помощник\w* (?:директора|руководителя|бухгалтера|юриста)"
    r"|бонусн\w+ балл\w*"
    r"|оценк\w+ (?:квартир\w+|недвижимост\w+|имуществ\w+|автомобил\w+|бизнеса|стоимости|ущерба|рисков))\b"
)  # fmt: skip


@lru_cache(maxsize=1)
def _strong() -> re.Pattern[str]:
    """All of them, tried where a word begins, and only those that a word of its letters may begin: a fifth of
    the work.
    """
    every = [*(pattern for some in _STRONG.values() for pattern in some), *ROUNDABOUT]
    plain = {pattern: re.sub(r"\\.|\{[\d,]*\}", "", pattern) for pattern in every}
    cyrillic = [pattern for pattern in every if re.search("[\u0400-\u04ff]", plain[pattern])]
    other = [pattern for pattern in every if re.search("[^\\W\u0400-\u04ff]", plain[pattern])]
    return re.compile(
        rf"\b(?:(?=[\u0400-\u04ff])(?:{'|'.join(cyrillic)})|(?=[^\W\u0400-\u04ff])(?:{'|'.join(other)}))"
    )


@lru_cache(maxsize=1)
def _quoted() -> re.Pattern[str]:
    return re.compile("|".join(_QUOTED))


def is_about_scores(quote: str) -> bool:
    """Whether these words speak of scores, grades, instructions or the assistant, and so prove nothing."""
    said = _SPARED.sub(" ", words(quote))
    return bool(_strong().search(said) or _quoted().search(said))


def talk_of_scores(transcript: Transcript) -> tuple[str, Place] | None:
    """The first words of a call that are meant for whoever scores it, and where they were said."""
    segments = transcript.segments or (Segment(start=0.0, end=0.0, speaker=None, text=transcript.text),)
    speakers = sorted({str(segment.speaker) for segment in segments})
    orders = [tuple(segments)]
    if len(speakers) > 1:  # said on while the other one spoke
        orders += [tuple(each for each in segments if str(each.speaker) == who) for who in speakers]
    for order in orders:
        texts = [f"{words(segment.text)} " for segment in order]
        starts = [0, *accumulate(map(len, texts))]
        heap = "".join(texts)
        spared = _SPARED.sub(lambda found: " " * len(found[0]), heap)
        if found := _strong().search(spared):
            first = order[bisect_right(starts, found.start()) - 1]
            at = first.start if transcript.segments else None
            return found[0].strip(), Place(at=at, speaker=first.speaker)
    return None
