"""`callscribe golden`: how far a chat model agrees with people on what calls are worth."""

from __future__ import annotations

from pathlib import Path

import click

import pipeline
from pipeline.cli import WorkFailed
from pipeline.cli.terminal import echo
from pipeline.clients.chat import Chat, read
from pipeline.clients.providers import Unremembered
from pipeline.clients.transport import Transport
from pipeline.domain.errors import BadRequest, SettingsError
from pipeline.domain.lead import Lead
from pipeline.scoring.golden import Case, agreement, judge, read_cases, table
from pipeline.scoring.rubric import read_rubric
from pipeline.settings.installation import Settings, load
from pipeline.settings.portals import Provider

CASES = Path(pipeline.__file__).parent.parent / "fixtures" / "golden"


@click.command()
@click.option("--model", help="The chat model (CALLSCRIBE_CHAT_MODEL).")
@click.option("--rubric", type=Path, help="A rubric file, or `default` in each call's language.")
@click.option("--cases", type=Path, default=CASES, help="The folder of calls with their bands.")
@click.option("--least", default=80.0, show_default=True, help="Per cent of the calls that must agree.")
def golden(model: str | None, rubric: Path | None, cases: Path, least: float) -> None:
    """How far a chat model agrees with the golden set of calls.

    One paid chat call per case, to the chat provider of the settings. Without --rubric it is asked the plain
    question. Exit 1 when fewer than --least per cent of the calls get their band.
    """
    settings = load()
    if not cases.is_dir():
        raise BadRequest(f"--cases: {cases} is no folder; the golden set lies in fixtures/golden")
    calls = read_cases(cases)
    rubrics = {c.language: read_rubric(rubric, language=c.language) if rubric else None for c in calls}
    provider = _provider(settings, model)
    transport = Transport.of(settings)
    chat = Chat(provider, transport, Unremembered())

    def judged(case: Case) -> Lead:
        return judge(
            case.transcript,
            rubrics[case.language],
            case.language,
            ask=lambda messages, schema: (
                read(chat.ask(messages, model=provider.models[0], schema=schema, temperature=0.0)).text
            ),
        )

    try:
        result = agreement(calls, judged)
    finally:
        transport.close()
    echo(f"{provider.models[0]} at {provider.url}")
    echo(table(result))
    if 100 * result.share < least:
        raise WorkFailed(f"fewer than {least:g} % of the calls got their band")


def _provider(settings: Settings, model: str | None) -> Provider:
    key = settings.chat_key or settings.router_key
    if key is None:
        raise SettingsError("no key for chat is set: CALLSCRIBE_ROUTER_KEY, or CALLSCRIBE_CHAT_KEY")
    return Provider(
        url=settings.chat_url or settings.router_url,
        key=key.get_secret_value(),
        models=(model or settings.chat_model,),
    )
