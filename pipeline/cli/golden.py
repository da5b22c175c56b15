"""`callscribe golden`: how far a chat model agrees with people on what calls are worth."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from pipeline.cli import WorkFailed
from pipeline.cli.terminal import echo, echo_lines
from pipeline.clients.chat import Chat, read
from pipeline.clients.providers import Unremembered
from pipeline.clients.transport import Transport
from pipeline.domain.errors import BadRequest, SettingsError
from pipeline.domain.job import Reply
from pipeline.domain.lead import Lead
from pipeline.sandbox.fixtures import GOLDEN
from pipeline.scoring.classify import Wrong, classify, scored
from pipeline.scoring.golden import Case, agreement, read_cases, table
from pipeline.scoring.rubric import read_rubric
from pipeline.settings.installation import load
from pipeline.steps.tools import checked_portals


@click.command()
@click.option("--portal", "named", help="Whose provider, model and rubric; only needed with several portals.")
@click.option("--model", help="Another chat model than the portal's.")
@click.option("--rubric", type=Path, help="Another rubric file, or `default`; each in its call's language.")
@click.option(
    "--cases", type=Path, default=GOLDEN, help="Calls with their bands: a folder, or the console's file."
)
@click.option("--least", default=80.0, show_default=True, help="Per cent of the calls that must agree.")
def golden(named: str | None, model: str | None, rubric: Path | None, cases: Path, least: float) -> None:
    """How far a chat model agrees with the golden set of calls.

    One paid chat call per case, asked and read as the service does for that portal. Exit 1 when fewer than
    --least per cent of the calls get their band.
    """
    settings = load()
    if not cases.exists():
        raise BadRequest(f"--cases: {cases} is not there; without it the set that comes along is asked")
    calls = read_cases(cases)
    portal = checked_portals(settings).one(named)
    chosen = rubric or portal.rubric
    rubrics = {c.language: read_rubric(chosen, language=c.language) if chosen else None for c in calls}
    if portal.chat.key is None:
        raise SettingsError("no key for chat is set: CALLSCRIBE_ROUTER_KEY, or CALLSCRIBE_CHAT_KEY")
    model = model or portal.chat.models[0]
    with closing(Transport.of(settings)) as transport:
        chat = Chat(portal.chat, transport, Unremembered())

        def judged(case: Case) -> Lead:
            echo(f"asking about {case.name} ...", err=True)
            asked = (case.transcript, rubrics[case.language])

            def ask(wrong: Wrong | None) -> Reply:
                return read(classify(*asked, chat=chat, model=model, language=case.language, wrong=wrong))

            return scored(*asked, language=case.language, ask=ask)[0]

        result = agreement(calls, judged)
    echo(f"{model} at {portal.chat.url}")
    echo_lines(table(result).splitlines())
    if 100 * result.share < least:
        raise WorkFailed(f"fewer than {least:g} % of the calls got their band")
