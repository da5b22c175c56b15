"""Language names as portals send them ("Русский", "English", "pt-br") to ISO 639-1 codes.

Portals name a language by code or by its name in any of their own languages; recognisers want ISO 639-1.
The names are data: `languages.toml` beside this file.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files


@cache
def _index() -> dict[str, str]:
    names = tomllib.loads(files("pipeline.domain").joinpath("languages.toml").read_text(encoding="utf-8"))
    index = {name.casefold(): code for code, each in names.items() for name in each}
    index.update({code: code for code in names})
    return index


def iso639(name: str) -> str | None:
    """The ISO 639-1 code of a language's name in any of Bitrix24's languages, of a code or of a locale.

    None where the name is not known: then the recogniser had better find out for itself.
    """
    text = " ".join(name.replace("_", "-").casefold().split()).strip(".,;:")
    index = _index()
    for ending in ("", " язык", " language", " мова"):
        code = index.get(text.removesuffix(ending))
        if code:
            return code
    return index.get(text.split("-")[0].split("(")[0].strip())
