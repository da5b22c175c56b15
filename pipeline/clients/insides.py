"""What of a model's insides has no business outside: control tokens, labels, thoughts, harness words.

The one place that takes them out, for transcripts, answers in text, reasons and the CRM's own steps alike: by
form where a model family's tokens have one, else by a list.
"""

from __future__ import annotations

import re

_BARS = r"<[|｜][^<>|｜\n]{0,64}[|｜]>"  # <|endoftext|>, <|0.00|>, <|im_start|>, <｜end▁of▁sentence｜>
_SIGNS = re.compile(r"[<\[]")  # all of them begin with one, or end with a token that does
_MARKS = re.compile(
    rf"{_BARS}"
    r"|</?(?:start|end)_of_(?:turn|speech|text|audio|image)>"
    r"|<(?:bos|eos|pad|unk|sep|cls|mask|eot|blank|noise|nospeech|startofturn|endofturn)>"
    r"|</?(?:asr_text|transcript_text|audio_pad)>"
    r"|\[/?(?:INST|SYS|TRANSCRIBE|AUDIO|BEGIN_AUDIO|TOOL_CALLS|AVAILABLE_TOOLS|SYSTEM_PROMPT)\]|<</?SYS>>"
    r"|\[(?:BOS|EOS|PAD|UNK|CLS|SEP|MASK)\]"
    r"|<unused\d+>|<extra_id_\d+>|<0x[0-9A-Fa-f]{2}>|<special_?\d+>",
)
_EDGES = re.compile(
    r"^(?:\s*</?s>)+|(?<!</s>)(?<!<s>)(?<!\s)(?:\s*</?s>)+\s*$"
)  # inside a text they may be HTML
_LABEL = re.compile(r"(?:^|(?<=\n))[^\S\n]*language\s+[A-Za-z ()-]{1,32}?\s*<asr_text>", re.IGNORECASE)
_LABELS = re.compile(r"language\s+[A-Za-z()-]{1,24}\s*<asr_text>", re.IGNORECASE)
_ROLE = re.compile(
    r"<[|｜](?:im_start|start|start_header_id|User|Assistant)[|｜]>\s*(?:system|user|assistant|model)?\b\s*",
    re.IGNORECASE,
)
_LEAD = re.compile(
    r"^\s*(?:assistant\s*(?::|\n)|model\s*\n|<start_of_turn>\s*model|#{2,3}\s*(?:response|answer|assistant|output)\s*:?\s*\n)\s*",
    re.IGNORECASE,
)
_TIMES = re.compile(r"<\|\d+(?:\.\d+)?\|>")

_THOUGHT = r"(?:think(?:ing)?|thoughts?|reasoning|reflection|seed:think)"
_TAG = re.compile(
    rf"(?P<open><{_THOUGHT}(?:\s[^<>]{{0,80}})?>|\[THINK\]|◁think▷)|</{_THOUGHT}>|\[/THINK\]|◁/think▷",
    re.IGNORECASE,
)
# gpt-oss: <|channel|>analysis<|message|>...<|end|><|start|>assistant<|channel|>final<|message|>...
_FINAL = re.compile(r"<\|channel\|>\s*final\b[^<]*<\|message\|>", re.IGNORECASE)
_BARE_FINAL = re.compile(r"^\s*analysis.*?assistant\s*final(?=\W|[A-ZА-Я])", re.DOTALL)
_CHANNEL = re.compile(r"<\|channel\|>\s*\w+[^<]*<\|message\|>.*?(?:<\|end\|>|<\|return\|>|\Z)", re.DOTALL)
_CALL = re.compile(r"<(tool_call|function_call|tool_response)>.*?(?:</\1>|\Z)", re.DOTALL)
_OUR_MARKS = re.compile(r"</?transcript-[0-9a-f]{12}>[ \t]*\n?")  # between which material is sent


def without_insides(text: str) -> str:
    """A recogniser's text as words alone, without its tokens and labels."""
    if not _SIGNS.search(text):  # as nearly all; it is asked for each word
        return text.strip()
    text = _LABELS.sub(" ", _LABEL.sub("", text))
    if "<|" in text or "<｜" in text:
        text = _ROLE.sub("", text)
    bare = _EDGES.sub("", _MARKS.sub(" " if _TIMES.search(text) else "", text))
    return (re.sub(r"[ \t]{2,}", " ", bare) if len(bare) != len(text) else bare).strip()


def answer_only(text: str) -> str:
    """A chat model's answer without its thoughts, tokens and the words of its harness.

    A closing tag without an opening one ends thoughts that began unseen (a template opened them); an opening
    one without a closing one begins thoughts that were cut off.
    """
    if found := list(_FINAL.finditer(text)):
        text = text[found[-1].end() :]
    else:
        text = _CHANNEL.sub("", _BARE_FINAL.sub("", text, count=1))
    text = _CALL.sub("", _thoughtless(text))
    if "<|" in text or "<｜" in text:
        text = _ROLE.sub("", text)
    return _LEAD.sub("", _OUR_MARKS.sub("", _EDGES.sub("", _MARKS.sub("", text))), count=1).strip()


def _thoughtless(text: str) -> str:
    kept: list[str] = []
    at, thinking = 0, False
    for tag in _TAG.finditer(text):
        if tag["open"]:
            if not thinking:
                kept.append(text[at : tag.start()])
            thinking = True
        else:
            if not thinking:
                kept.clear()  # thoughts from the very beginning
            thinking = False
        at = tag.end()
    return "".join(kept if thinking else [*kept, text[at:]])
