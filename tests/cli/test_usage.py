"""`callscribe usage`: what was counted, and what it costs by the table of prices."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.domain.job import PortalId
from pipeline.settings.prices import Price, read_prices
from pipeline.store import Store
from tests.cli.conftest import Run

EXAMPLE = Path(__file__).parents[2] / "docs/prices.example.toml"


def rows(out: str) -> list[list[str]]:
    return [line.split() for line in out.splitlines()[1:]]


def test_usage_of_a_fresh_installation_is_nothing(run: Run) -> None:
    """Each portal has its row, of zeros; there is no cost where nothing has a price."""
    done = run("usage")
    assert done.code == 0
    assert rows(done.out) == [["portal", "all", "0", "0", "0", "0", "0", "-"]]
    assert run("usage", "--portal", "other").code == 2


def test_cost_is_worked_out_by_model(run: Run, valkey: str) -> None:
    """Each model by its own price, the others by the default one; jobs count for the portal."""
    portal, store = PortalId("portal"), Store(valkey)
    store.usage.add(portal, {"jobs_done": 3, "jobs_failed": 1})
    store.usage.add(portal, {"paid_calls": 2, "paid_seconds": 600})
    store.usage.add(portal, {"paid_calls": 1, "paid_seconds": 60}, model="whisper-1")
    used = {"paid_calls": 1, "prompt_tokens": 2_000_000, "completion_tokens": 100_000}
    store.usage.add(portal, used, model="bitrix/bitrixgpt-5.5")
    store.usage.add(portal, {"paid_calls": 1, "images": 3}, model="gpt-image-1")
    store.close()
    done = run("usage", redis_url=valkey, prices_file=str(EXAMPLE))
    assert rows(done.out) == [
        ["portal", "(unnamed)", "-", "600", "0", "0", "0", "0.06"],
        ["portal", "bitrix/bitrixgpt-5.5", "-", "0", "2000000", "100000", "0", "3.50"],
        ["portal", "gpt-image-1", "-", "0", "0", "0", "3", "0.12"],
        ["portal", "whisper-1", "-", "60", "0", "0", "0", "0.01"],
        ["portal", "all", "4", "660", "2000000", "100000", "3", "3.69"],
    ]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("[whisper-1]\nhour = 1", "whisper-1: hour: Extra inputs are not permitted"),
        ("[whisper-1]\nminute = -1", "whisper-1: minute: Input should be greater than or equal to 0"),
        ("whisper-1 = 1", "whisper-1: Input should be a valid dictionary"),
        ("[whisper-1", "Expected"),
    ],
)
def test_a_wrong_table_of_prices_is_named(run: Run, tmp_path: Path, text: str, wrong: str) -> None:
    """The file, the model and the field."""
    path = tmp_path / "prices.toml"
    path.write_text(text)
    done = run("usage", prices_file=str(path))
    assert done.code == 2
    assert f"CALLSCRIBE_PRICES_FILE: {path}" in done.err
    assert wrong in done.err


def test_the_example_is_read_as_it_stands() -> None:
    """The committed example names every price there is."""
    prices = read_prices(EXAMPLE).values()
    assert {name for price in prices for name in price.model_fields_set} == set(Price.model_fields)
