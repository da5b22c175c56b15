"""GET /images/{name}: images that we host for a while."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pipeline.settings.installation import Settings
from pipeline.steps import pictures
from pipeline.steps.tools import open_tools
from tests.web.conftest import TOKEN, running

PNG = b"\x89PNG\r\n\x1a\n and what follows"


def test_an_image_is_served_as_what_it_is_and_for_a_while(make_settings: Callable[..., Settings]) -> None:
    """Its name opens it, without a key; its type is that of its bytes, and no browser runs it."""
    settings = make_settings()
    tools = open_tools(settings)
    name = pictures.keep(PNG, "png", tools)
    with running(settings) as client:
        found = client.get(f"/images/{name}")
        assert (found.status_code, found.content) == (200, PNG)
        assert found.headers["content-type"] == "image/png"
        assert found.headers["x-content-type-options"] == "nosniff"
        assert client.send("HEAD", f"/images/{name}").status_code == 200
        tools.store._redis.delete(f"cs:known:image_{name}")  # its time is over
        assert client.get(f"/images/{name}").status_code == 404
    tools.close()


@pytest.mark.parametrize(
    "name",
    ["0" * 32 + ".png", "x", "..%2f..%2fetc%2fpasswd", "0" * 32 + ".svg", "0" * 31 + "%00.png", "A" * 5000],
)
def test_other_names_lead_to_nothing(make_settings: Callable[..., Settings], name: str) -> None:
    """Wrong, guessed and hostile ones alike."""
    with running(make_settings()) as client:
        assert client.get(f"/images/{name}").status_code == 404


def test_images_that_no_portal_could_fetch_are_not_served(make_settings: Callable[..., Settings]) -> None:
    """A model that gives bytes, without an address of ours, has no engine; with one it has."""
    with running(make_settings(image_model="gpt-image-2.6-flare")) as client:
        assert client.get(f"/engines/{TOKEN}/image").status_code == 404
        assert client.engine("image", {"prompt": {"prompt": "x"}}).status_code == 404
    with running(make_settings(image_model="gpt-image-2.6-flare", public_url="https://c.example")) as client:
        assert client.get(f"/engines/{TOKEN}/image").status_code == 200
