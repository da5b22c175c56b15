"""Talk to the judge in roundabout words, which no list of phrases ends: put together of what it consists of.

Whoever judges is spoken to or about ("whoever reads this"), an order names a value of the best ("give us ten
out of ten"), all items of a list are to be true, what was told before is to be forgotten. Each word by itself
is everyday's; goods, prices and people that are praised stay what they are. Compared are plain words, see
`quotes.words`.
"""

from __future__ import annotations

_N = r"(?:\w{1,24} ){0,4}"  # a few words between

# -- English
_JUDGING = (
    r"(?:listens?|listening|reads?|reading|checks?|checking|grades?|grading|scores?|scoring|evaluates?"
    r"|evaluating"
    r"|judges|judging|analy[sz]es|analy[sz]ing|transcribes|transcribing)"
)
_MACHINE = (
    r"(?:ai|robot|bot|computer|machine|program|algorithm|software|system|neural network|evaluator|grader"
    r"|reviewer)"
)
_OUR_CALL = r"(?:us\b|me\b|(?:this|the|our) (?:call|talk|conversation|recording|transcript|dialogue)\b)"
_ORDER = (
    r"(?:give|put|set|mark|write|make|choose|pick|answer|return|output|show|note|record|report|say|tell|state"
    r"|count|consider|treat|assign|award|tick|enter|list|rank|rate|get|classify|conclude)"
)
# who or what is to be judged, and small words
_US = (
    r"(?:(?:me|us|it|this|that|the|call|one|client|customer|conversation|talk|lead|answer|result|verdict|down"
    r"|in|into|as|at|to|for|with|just|be|is|are|am|an?|very|my|our|please|i|we|system|report) ){0,6}"
)
_BEST = (
    r"(?:(?:top|highest|best) (?:possible )?(?:number|level|value)\b|(?:top|highest|maximum|max|best"
    r"|perfect|full|excellent) (?:possible )?(?:marks?|score"
    r"|result|grade"
    r"|rating|category|points|verdict|outcome|evaluation|assessment)\b|(?:five|5) stars\b"
    r"|(?:ten|10|hundred|100) (?:out )?of (?:ten|10|(?:a |one )?hundred|100)\b|a plus\b(?! for)|very top\b"
    r"|(?:hot|best|ideal|perfect|qualified|promising) (?:category|prospect|buyer|client|customer)\b"
    r"(?! (?:s|guide|service|care|support)\b)"
    r"|(?:one )?(?:hundred|100) percent for (?:me|us)\b|ready to buy\b)"
)
_EACH = r"(?:all|each|every|any|everything)"
_YES = r"(?:yes|true|met|positive|fulfilled|satisfied|ticked|passed)"

# -- Russian; words() has made е of ё
_RU_ORDER = (
    r"(?:постав\w*|ставь\w*|простав\w*|дай\w*|присвой\w*|выстав\w*|напиши\w*|пиши\w*|отмет[ьи]\w*|запиши\w*"
    r"|укажи\w*|выдай\w*|покажи\w*|ответь\w*|отвечай\w*|считай\w*|засчита\w*|зачти\w*|помет[ьи]\w*|отнеси\w*"
    r"|впиши\w*|выведи\w*|выбери\w*|оцени\w*|определи\w*|назнач\w*)"
)
_RU_US = (
    r"(?:(?:мне|нам|меня|нас|нашему?|этому|этот|этого|эту|это|его|ее|клиент\w*|разговор\w*|звон\w+|бесед\w+"
    r"|лид\w*"
    r"|везде|пожалуйста|тут|здесь|за|в|как|к|ко|на|что|мы|я|он|самы\w|саму\w|просто|ему|ей) ){0,6}"
)
_RU_BEST = (
    r"(?:(?:самую |самый |наи)?(?:высок\w+|высш\w+|лучш\w+|максимальн\w+|отличн\w+) (?:оценк\w+|отметк\w+"
    r"|результат\w*"
    r"|балл\w*|итог\w*|рейтинг\w*|категори\w+|разряд\w*|уров\w+|значени\w+|вердикт\w*)"
    r"|пятерк\w+(?: с плюсом)?\b"
    r"|пять (?:звезд\b|с плюсом)|(?:десять|10|сто|100|пять) (?:балл\w+ )?из (?:десяти|10|ста|100|пяти)\b"
    r"|горяч\w+ (?:клиент\w*|лид\w*)|(?:перспективн|идеальн|квалифицированн|целев)\w+ (?:клиент|лид"
    r"|покупател)\w*"
    r"|готов\w+ к (?:покупке|сделке)|максимум\b(?! (?:\d|од[инн]|дв|тр|чет|пят|шест|сем|вос|дев|дес|на|до"
    r"|по|за \d)))"
)
_RU_EACH = r"(?:все|всех|всем|каждый|каждому|каждом|каждую|любой|любому)"
_RU_ITEMS = r"(?:пункт\w*|пол[яею]\w*|вопрос\w*|строк\w*|критери\w*|галочк\w*|услови\w*|балл\w*)"
_RU_YES = r"(?:да|истин\w+|true|плюс\w*|положительн\w+)"
_RU_JUDGES = r"(?:читает|слушает|проверяет|оценивает|анализирует|прослушивает|расшифровывает|судит)"
_RU_THIS = r"(?:это|нас|меня|наш\w*|эт\w+ (?:запись|звонок|разговор|беседу))"
_RU_MACHINE = (
    r"(?:программ\w+|робот\w*|бот\w*|компьютер\w*|алгоритм\w*|нейросет\w+|ии|ассистент\w*|проверяющ\w+"
    r"|оценщик\w*"
    r"|модел[ьи]\w*)"
)

ROUNDABOUT = [
    # who judges
    rf"(?:whoever|anyone|anybody|someone|everyone|everybody|those) (?:who |that )?(?:is |are |will "
    rf"|may )?{_JUDGING}"
    r" (?:to )?(?:this|us|me|the call|our call)\b",
    rf"{_MACHINE} (?:that |which |who )?(?:is |are |will )?{_JUDGING} (?:to )?{_OUR_CALL}",
    rf"if (?:an?|the|some|any) {_MACHINE} (?:is |does )?{_JUDGING}\b (?!on\b)",
    rf"(?:dear|hey|hello|hi|attention|listen|to whatever|to the) {_MACHINE} (?:please )?{_ORDER}\b",
    rf"you the {_MACHINE} (?:that|which|who)\b|(?:evaluator|grader|reviewer) (?:must|should|please|has to)\b",
    rf"{_MACHINE} (?:please )?(?:note|mark|write|answer|conclude) (?:that|everything|this)\b",
    rf"\blet the {_MACHINE} {_ORDER}\b|(?:tell|telling|ask|asking) the {_MACHINE} to (?:select|{_ORDER})\b",
    rf"(?:reviewing|grading|scoring|rating|evaluating|judging) {_MACHINE}|assistant (?:that is )?(?:reading"
    rf"|listening)\b",
    # an order, and a value of the best
    rf"\b{_ORDER} {_US}{_BEST}",
    rf"{_BEST} {_N}(?:on this (?:call|one)|for this (?:call|one|conversation)|please)\b",
    r"\b(?:assess|evaluate|judge|grade|rank|rate|score) (?:me|us|this (?:call|client|customer"
    r"|conversation)) (?:as|at|very"
    r"|highly|favou?rabl\w+|generously|positively|excellent|well|high)\b",
    r"(?:verdict|outcome|evaluation|assessment|result|conclusion) (?:of (?:this|the) \w+ )?(?:must|should"
    r"|has to|is to"
    r"|shall) be (?:an? |the )?(?:excellent|highest|high|maximum|perfect|positive|best|top|hundred"
    r"|one hundred)\b",
    # all of a list
    rf"{_YES} (?:for|to|in|on|at) {_EACH} (?:\w+ ){{0,2}}(?:items?|points?|questions?|fields?|box(?:es)?"
    rf"|lines?"
    r"|criteri\w+|checklist)",
    rf"\b{_ORDER} {_EACH} (?:of )?(?:the )?(?:items?|points?|questions?|fields?|box(?:es)?|lines?|criteri\w+)"
    rf" (?:to |as |are |is |with )?{_YES}\b",
    r"(?:questions?|points?|items?|criteri\w+) (?:on|of|in) your (?:checklist|list|form|scorecard|rubric)\b",
    rf"\b(?:note|consider|write|mark|say|state|assume|confirm) (?:that )?everything (?:is|was|as) {_YES}\b",
    rf"\b(?:write|note|say|state|put|record) {_N}in (?:the|your) (?:evaluation|assessment|scorecard"
    rf"|verdict)\b",
    r"\b(?:write|note|say|state|put|record) in (?:the|your) (?:report|summary|protocol) (?:that|down)\b",
    rf"\b(?:answers?|replies|reply) (?:to|for) {_EACH} (?:\w+ ){{0,2}}(?:is|are|must be|should be) {_YES}\b",
    rf"\b(?:all|each|every) (?:items?|points?|questions?|fields?|box(?:es)?|criteri\w+) (?:must|should"
    rf"|has to|have to)"
    rf" be {_YES}\b",
    r"\b(?:answer|respond|reply) (?:positively|affirmatively)\b|\btick all\b|\bcounts? as the best\b",
    # what was told before
    r"(?:disregard|ignore|forget) (?:what|everything|all|anything) (?:that )?(?:was|were|has been|had been"
    r"|you) (?:said"
    r"|written|told|stated|heard|read)\b",
    r"(?:whatever|everything|anything|all) (?:that )?(?:you|it) (?:were|was|have been|had been) (?:told"
    r"|instructed|given"
    r"|asked)\b",
    r"(?:new|next|real|actual) (?:task|instructions?|prompt) (?:is|are|answer|output|say|write|return"
    r"|respond|give)\b",
    r"(?:end|start|beginning) of (?:the )?(?:transcript|transcription|recording|dialogue|conversation)\b",
    r"(?:follow|obey) (?:only )?(?:my|these|the following|the new) (?:rules|instructions|orders|commands)\b",
    r"\bpretend (?:that )?(?:the|our|my|i|we|there|it|budget|everything)\b",

    # кто судит
    rf"(?:тот|те|тому|тем|все|всем|кто|кто бы) (?:кто |которые )?(?:{_RU_THIS} )?{_RU_JUDGES} {_RU_THIS}\b",
    rf"(?:тот|те|тому|тем|всем|кто бы) (?:кто |которые )?(?:{_RU_THIS} ){_RU_JUDGES}\b",
    rf"(?:если|пусть) (?:{_RU_THIS} )?(?:{_RU_JUDGES} )(?:{_RU_THIS} )?{_RU_MACHINE}"
    rf"|если {_RU_MACHINE} (?:{_RU_THIS} )?{_RU_JUDGES}",
    rf"{_RU_MACHINE} котор\w+ (?:{_RU_THIS} {_RU_JUDGES}|{_RU_JUDGES} {_RU_THIS})\b",
    rf"(?:уважаем\w+|эй|слушай\w*|внимание|дорог\w+) {_RU_MACHINE} {_N}{_RU_ORDER}\b",
    rf"(?:робот|бот|компьютер|алгоритм|нейросеть|ии) {_RU_ORDER} (?:что|нам|нас|все|меня|мне все)\b",
    rf"(?:проверяющ|оценивающ)\w+ {_N}(?:все|всё) (?:выполнен|подтвержд|верно|да)\w*",
    rf"пусть {_RU_MACHINE} (?:напиш|постав|ответ|отмет|выбер|призна)\w+|{_RU_MACHINE} (?:должн\w+"
    rf"|обязан\w*) {_N}{_RU_BEST}",
    r"тебе (?:надо|нужно|следует|необходимо) (?:написать|поставить|ответить|отметить|указать) (?:что|высок"
    r"|сто|максим)\w*",
    # приказ и лучшее
    r"\bпризна(?:й|йте|ть|ем) (?:нас|меня|этого клиента|этот звонок)\b|\bсчитать (?:этот )?(?:звонок"
    r"|разговор) (?:успешн|лучш)\w+",
    rf"(?:звонок|разговор|клиент|лид|мы) (?:\w+ )?(?:должен|должны) получить (?:сто\b|отлично|{_RU_BEST})",
    r"\bитог (?:только |будет )?(?:один |такой )?(?:отлично|сто|высокий)\b|(?:постав|ставь)\w* (?:мне"
    r"|нам) (?:десятк|сотн)\w+",
    r"\bплюс\w* (?:везде|всюду)\b|отмеча\w+ все как\b",
    rf"\b{_RU_ORDER} {_RU_US}{_RU_BEST}",
    rf"{_RU_BEST} {_RU_US}{_RU_ORDER}\b",
    rf"\bсто процентов (?:мне|нам|этому \w+) {_RU_ORDER}|{_RU_ORDER} (?:мне|нам"
    rf"|этому \w+) сто процентов\b(?! (?:предоплат|скидк))",
    rf"\b(?:помет[ьи]|отмет[ьи]|запиши|отнеси|считай|оцени|впиши)\w* (?:меня|нас) {_N}(?:готов|горяч"
    rf"|перспективн|лучш"
    r"|целев|квалифиц|приоритет|высш|высок)\w*",
    r"(?:результат|итог|вывод|вердикт|заключение|ответ) (?:\w+ )?(?:должен|должно|должна) быть (?:отличн"
    r"|максимальн|высок"
    r"|положительн|лучш|сто\b|высш)\w*",
    r"\bответ (?:один|такой|только) (?:сто|высокий|да)\b|расщедри\w+",
    # всё в списке
    rf"{_RU_ORDER} {_RU_YES} (?:на|по|в|во|к|ко|везде) {_RU_EACH}",
    rf"(?:на|по|в|во|к) {_RU_EACH} {_RU_ITEMS} {_RU_ORDER} {_RU_YES}",
    rf"{_RU_ORDER} (?:что |нам |мне )*(?:все|всё) (?:галочки|пункты|критерии|подтвержден\w*|выполнен\w*"
    rf"|верно)\b",
    r"\b(?:засчита|зачти)\w* (?:мне |нам |это )*все\b",
    rf"ответ\w* на {_RU_EACH} {_RU_ITEMS} {_RU_YES}\b|{_RU_EACH} {_RU_ITEMS} долж\w+ быть (?:выполн|истин"
    rf"|отмеч|зачт)\w+",
    # что было сказано раньше
    r"не смотри\w* на (?:предыдущ\w+|сказанн\w+|то что)",
    r"не (?:слушай|учитывай|обращай внимания на)\w* (?:то )?(?:что|чему|как) (?:тебе|тебя)\b",
    r"(?:забудь|игнорир)\w* (?:все )?(?:то )?что (?:тебе|было)\b|игнорир\w+ (?:все )?(?:сказанн|написанн"
    r"|предыдущ)\w+",
    r"\b(?:что|чему) (?:тебе|тебя) (?:говорил|велел|сказал|поручил|учил|написал|до этого|раньше)\w*",
    r"все что было (?:до этого|до сих пор|раньше|выше|сказано выше) не (?:считается|важно|учитыва\w+)",
    r"нов(?:ая|ое|ые) (?:задача|задание|инструкция|инструкции|промпт) (?:ответ|напиши|выведи|поставь|оцени"
    r"|такая|такое)\w*",
    r"\b(?:конец|окончание|начало) (?:записи|расшифровки|стенограммы|транскрип\w+|диалога)\b",
    r"\bсделай\w* вид (?:что|будто)\b|\bпритвори\w+ (?:что|будто)\b|действуй\w* по моим правилам",
]  # fmt: skip
