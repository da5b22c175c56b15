"""What identifies a person is masked, and figures of the business are not."""

from __future__ import annotations

import pytest

from pipeline.contract.redact import mask_phone, redact


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Call +7 (495) 123-45-67.", "Call [phone]."),
        ("позвоните 8 800 555 35 35 завтра", "позвоните [phone] завтра"),
        ("her number is 123-45-67", "her number is [phone]"),
        ("it is 555-0199, thanks", "it is [phone], thanks"),
        ("+14155550100", "[phone]"),
        ("card 4111 1111 1111 1111 please", "card [card] please"),
        ("4111111111111111", "[card]"),
        ("write to anna.k+crm@mail.example.com today", "write to [email] today"),
    ],
)
def test_personal_numbers_and_addresses_are_masked(text: str, masked: str) -> None:
    """Phones as they are written and spoken, cards that pass Luhn's check, e-mails."""
    assert redact(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "a budget of 50 000 and 1 000 000 next year",
        "1 500 000 000",
        "25 users from 2026-04-03, or 03.04.2026",
        "score 88/100 at 12:30",
        "order 12345678",
        "3.14159265",
        "",
    ],
)
def test_figures_of_the_business_stay(text: str) -> None:
    """Amounts in groups of three, dates, small numbers."""
    assert redact(text) == text


@pytest.mark.parametrize(
    ("phone", "masked"),
    [
        ("+7 912 345-67-89", "+7 ••• •••-••-89"),
        ("84951234567", "8••••••••67"),
        ("112", "•••"),
        ("+7 (495) 1", "+7 (••5) 1"),
        (None, None),
        ("", ""),
    ],
)
def test_a_masked_phone_shows_its_ends_alone(phone: str | None, masked: str | None) -> None:
    """Enough to tell two apart, too little to dial."""
    assert mask_phone(phone) == masked
