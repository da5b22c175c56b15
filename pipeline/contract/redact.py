"""What identifies a person, masked: phones, payment cards, e-mail addresses."""

from __future__ import annotations

import re

# bounded, so that long runs without an end cost no more than their length
_EMAIL = re.compile(r"[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+")
_DIGITS = re.compile(r"(?<![\w.,])\+?\(?\d(?:[ \u00a0().-]{0,3}\d){5,18}(?![\d])")
_AMOUNT = re.compile(r"\d{1,3}(?:[ \u00a0.]\d{3})+")  # 1 000 000
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}|\d{1,2}[.-]\d{1,2}[.-]\d{4}|\d{2}\.\d{2}\.\d{2}")
LOCAL_PHONE = re.compile(r"\d{3}-\d{2}-?\d{2}|\d{3}-\d{4}|\d{2}-\d{2}-\d{2}")


def redact(text: str) -> str:
    """The text with phones, cards and e-mails as [phone], [card], [email].

    A run of digits is a card when 13 to 19 of them pass Luhn's check, a phone when it starts with `+`, has
    10 to 15 digits, or is written as a local number (123-45-67). Amounts in groups of three and dates stay.
    """
    return _DIGITS.sub(_mask, _EMAIL.sub("[email]", text))


def mask_phone(phone: str | None) -> str | None:
    """A phone whose ends alone can be read: "+7 912 345-67-89" -> "+7 ••• •••-••-89"."""
    if not phone:
        return phone
    total, seen, masked = sum(map(str.isdigit, phone)), 0, []
    for letter in phone:
        seen += letter.isdigit()
        hidden = letter.isdigit() and (total < 5 or 1 < seen <= total - 2)
        masked.append("•" if hidden else letter)
    return "".join(masked)


def _mask(match: re.Match[str]) -> str:
    found = match[0]
    digits = re.sub(r"\D", "", found)
    if len(digits) >= 13 and _luhn(digits):
        return "[card]"
    if found.startswith("+") and len(digits) >= 7:
        return "[phone]"
    if _AMOUNT.fullmatch(found) or _DATE.match(found):
        return found
    if 10 <= len(digits) <= 15 or LOCAL_PHONE.fullmatch(found):
        return "[phone]"
    return found


def _luhn(digits: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
