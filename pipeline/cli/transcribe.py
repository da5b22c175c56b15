"""`callscribe transcribe`: local files through the same steps, nothing sent to any portal.

The record lives in a store of its own, in a folder that goes with the command; the steps run in this
process, by the same runner as in the workers.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click

from pipeline.audio.arrival import likely_seconds
from pipeline.cli import WorkFailed, attached, parts
from pipeline.cli.recogniser import LOAD_SECONDS, Recogniser, chosen, local
from pipeline.cli.service import await_answer
from pipeline.cli.supervise import Supervisor
from pipeline.cli.terminal import echo, echo_lines
from pipeline.contract import subtitles
from pipeline.contract.sinks import to_terminal
from pipeline.domain.errors import BadRequest, SettingsError, StoreUnavailable
from pipeline.domain.job import Category, Claim, Event, Job, Request, Source
from pipeline.domain.languages import iso639
from pipeline.domain.plain import to_plain
from pipeline.domain.recording import Fetched
from pipeline.domain.transcript import Transcript
from pipeline.run import new_jobs
from pipeline.run.new_jobs import new_job
from pipeline.run.runner import Runner
from pipeline.run.turns import Turn
from pipeline.settings.installation import Settings, load
from pipeline.settings.portals import LivePortals, Portal, Portals, load_portals
from pipeline.steps import flow
from pipeline.steps.tools import Tools, open_tools
from pipeline.store import job_id
from pipeline.telemetry.logs import configure, secrets_of

PATIENCE_MINUTES = 15.0
STDIN = Path("-")
PARALLEL = 4  # parts asked for at a time
LOOK_SECONDS = 0.05
# how far a job is by what is known of it, per cent; the parts share what lies between split and merge
SNIFFED, CUT, HEARD, MERGED = 5, 15, 95, 100


def _formats(ctx: click.Context, param: click.Parameter, value: str) -> list[str]:
    chosen = [name.strip() for name in value.split(",") if name.strip()]
    if not chosen or set(chosen) - set(subtitles.FORMATS):
        raise click.BadParameter(f"expected some of {','.join(subtitles.FORMATS)}")
    return list(dict.fromkeys(chosen))


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True,
                type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))  # fmt: skip
@click.option("--format", "formats", default="txt", show_default=True, callback=_formats, metavar="LIST",
              help="Some of txt,srt,vtt,json.")  # fmt: skip
@click.option("--to", type=click.Path(file_okay=False, path_type=Path), help="Folder for FILE.FORMAT.")
@click.option("--language", help="Spoken in it, code or name; else it is detected.")
@click.option("--prompt", help="Words that occur in it, a hint for the recogniser.")
@click.option("--offline", is_flag=True,
              help="Recognise on this machine: by Whisper where callscribe[whisper] is installed, "
              "else by PocketSphinx, English only.")  # fmt: skip
@click.option("--portal", "portal_id", help="By whose settings, where there are many portals.")
@click.option("--patience", default=PATIENCE_MINUTES, show_default=True,
              type=click.FloatRange(min=0, min_open=True),
              help="Minutes to wait without any progress.")  # fmt: skip
def transcribe(
    files: tuple[Path, ...], formats: list[str], to: Path | None, language: str | None, prompt: str | None,
    offline: bool, portal_id: str | None, patience: float,
) -> None:  # fmt: skip
    """Transcribes local FILEs, `-` is the standard input; a progress bar goes to stderr.

    One file in one format is printed; more are written, as FILE.FORMAT.
    """
    if language and not iso639(language):
        raise click.BadParameter(f"not a language that is known: {language}", param_hint="--language")
    written = to is not None or len(formats) > 1 or len(files) > 1
    if written:
        _check_targets(files, to or Path())
    settings = load()
    portal = load_portals(settings).one(portal_id)
    request = Request(language=iso639(language) if language else None, prompt=prompt)
    failed = 0
    with contextlib.ExitStack() as stack:
        stack.enter_context(attached.interrupted_by(signal.SIGTERM))
        hears = None
        if offline:
            spoken = request.language or portal.speech_language
            name = chosen(None, model=settings.whisper_model, language=spoken, say=_say)
            hears = stack.enter_context(local(name, model=settings.whisper_model))
        elif not portal.transcription.key:
            raise SettingsError(
                "no recogniser's key is set: CALLSCRIBE_TRANSCRIPTION_KEY, or CALLSCRIBE_ROUTER_KEY; "
                "--offline recognises on this machine"
            )
        tools = stack.enter_context(private_tools(hears))
        for file in files:
            try:
                made = accept(tools, portal, file, request)
                found = work(tools, made, patience_seconds=60 * patience)
            except (WorkFailed, BadRequest) as error:
                if len(files) == 1:
                    raise
                _say(f"{file}: {error.message}")
                failed += 1
                continue
            _put(found, file, formats, (to or Path()) if written else None, language=portal.language)
    if failed:
        raise WorkFailed(f"{failed} of {len(files)} files were not transcribed")


def _check_targets(files: Sequence[Path], folder: Path) -> None:
    """Raises BadRequest where a transcript could not be written: recognition would be paid by then."""
    names = [_name(file) for file in files]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise BadRequest(f"{twice}: several files of this name would be written to {folder}")
    if why := parts.unwritable(folder):
        raise BadRequest(f"{folder}: cannot be written: {why}")


def _put(
    found: Transcript, file: Path, formats: Sequence[str], folder: Path | None, *, language: str
) -> None:
    """The transcript into the folder, a file per format, or onto the terminal; and what it lacks."""
    for form in formats:
        text = subtitles.export(found, form, language=language)
        if folder is None:
            echo_lines(text.splitlines())
        else:
            path = folder / f"{_name(file)}.{form}"
            path.write_text(text, encoding="utf-8")
            echo(path)
    if found.partial:
        gaps = ", ".join(f"{span.start:.1f}-{span.end:.1f} s" for span in found.missing)
        _say(f"{_name(file)}: the recording decodes only in part; missing: {gaps}")


def _name(file: Path) -> str:
    return "stdin" if file == STDIN else file.name


def _say(line: str) -> None:
    echo(line, err=True)


class _Offline(LivePortals):
    """The portals, whose recordings go to the recogniser of this machine and nowhere else."""

    def __init__(self, settings: Settings, hears: Recogniser) -> None:
        self._hears = hears
        super().__init__(settings)

    def _load(self) -> Portals:
        return Portals(tuple(map(self._hears.serving, load_portals(self._settings).values())))


@contextlib.contextmanager
def private_tools(hears: Recogniser | None = None) -> Iterator[Tools]:
    """The operator's settings over a private store, with nothing that leads to a portal.

    hears: a recogniser of this machine, which is started for it.
    """
    with (
        tempfile.TemporaryDirectory(prefix="callscribe-", dir=attached.short_folder()) as folder,
        _temporary_files_in(folder),
    ):
        settings = load(
            data_dir=Path(folder),
            redis_url=None,
            storage_url=None,
            timeline="off",
            bitrix24_webhook=None,
            account_hold_seconds=0,
            **({"provider_proxy": None} if hears else {}),
        )
        # what goes wrong is told by the command, once
        configure("text", secrets=secrets_of(settings, load_portals(settings)), level=logging.CRITICAL)
        logs = Path(folder) / "log"
        supervisor = Supervisor(
            [attached.store_child(settings), *([hears.child] if hears else ())], logs=logs if hears else None
        )
        try:
            supervisor.start()
            if hears:
                _say(f"loading {hears.name} ...")
                await_answer(supervisor, hears.address, hears.looks, seconds=LOAD_SECONDS)
            live = _Offline(settings, hears) if hears else None
            with contextlib.closing(open_tools(settings, live)) as tools:
                yield tools
        finally:
            supervisor.kill()


@contextlib.contextmanager
def _temporary_files_in(folder: str) -> Iterator[None]:
    """Whatever the steps write goes with the command, also when it is interrupted."""
    before, tempfile.tempdir = tempfile.tempdir, folder
    try:
        yield
    finally:
        tempfile.tempdir = before


def accept(tools: Tools, portal: Portal, file: Path, request: Request) -> Job:
    """The file as a job whose recording is fetched already; raises BadRequest."""
    job = job_id(portal.id, None)
    blob = f"{job}/recording"
    with tempfile.TemporaryDirectory(dir=tools.settings.data_dir) as folder:
        copy = Path(folder) / "recording"  # storage takes over what it is given; the file stays its owner's
        try:
            if file == STDIN:
                if sys.stdin.isatty():
                    _say("reading a recording from the standard input; Ctrl-D ends it")
                with copy.open("wb") as target:
                    shutil.copyfileobj(sys.stdin.buffer, target)
            else:
                shutil.copyfile(file, copy)
        except OSError as error:
            raise BadRequest(f"{file}: {error.strerror}") from None
        with copy.open("rb") as content:
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
        size_bytes, seconds = copy.stat().st_size, likely_seconds(copy)
        tools.blobs.put(blob, copy)
    fetched = Fetched(blob=blob, size_bytes=size_bytes, sha256=sha256, likely_seconds=seconds)
    made = new_job(
        portal,
        job,
        category=Category.AUDIO,
        source=Source.API,
        request=request,
        now=tools.store.now(),
        facts={"fetch": to_plain(fetched)},
    )
    new_jobs.accept(tools.store, portal, made)
    return made


class _ToTheTranscript(Runner):
    """Beyond the transcript nothing is wanted: no score, no callback."""

    def run(self, claim: Claim, turn: Turn | None = None) -> Claim | None:
        """Runs the step, unless another thread has put the transcript together since it was looked for."""
        if flow.has_outcome(self.tools.store.load(claim.job)):
            return None
        return super().run(claim, turn)


def work(tools: Tools, job: Job, *, patience_seconds: float = 60 * PATIENCE_MINUTES) -> Transcript:
    """Runs the steps up to the transcript, which it returns; raises WorkFailed with what went wrong.

    patience_seconds: how long it waits without any progress.
    """
    runner, leave = _ToTheTranscript(tools), threading.Event()

    def ended() -> bool:
        return leave.is_set() or flow.has_outcome(tools.store.load(job.id))

    threads = [
        threading.Thread(target=_upstream, args=(runner, f"upstream-{number}:", ended, leave), daemon=True)
        for number in range(PARALLEL)
    ]
    for thread in threads:
        thread.start()
    try:
        with click.progressbar(
            length=MERGED, label="transcribing", file=sys.stderr, item_show_func=lambda why: why
        ) as bar:
            known, until, why = -1, 0.0, None
            while not flow.has_outcome(now := tools.store.load(job.id)):
                if len(now.facts) > known:
                    known, until, why = len(now.facts), time.monotonic() + patience_seconds, None
                before, why = why, to_terminal(waits_for(tools.store.events(job.id)) or why or "") or None
                if why != before and not sys.stderr.isatty():
                    echo(f"waiting: {why}", err=True)
                if time.monotonic() > until:
                    raise WorkFailed(
                        f"no progress for {patience_seconds / 60:g} minutes: {why or 'it goes on'}"
                    )
                bar.update(progress(now) - bar.pos, why)
                tools.store.tick()
                if not runner.drain("media", "media:", seconds=1.0, stop=ended):
                    time.sleep(LOOK_SECONDS)
            bar.update(MERGED - bar.pos)
    finally:
        leave.set()
        for thread in threads:
            thread.join(timeout=1.0)  # a thread that waits for a provider's answer is left to the exit
    if failure := flow.failure(now):
        raise WorkFailed("\n  ".join(filter(None, (f"{failure.message} ({failure.slug})", failure.hint))))
    found = flow.transcript(now)
    assert found
    return found


def waits_for(events: Sequence[Event]) -> str | None:
    """Why the last step that could not be done yet was put off, if that is the last thing that happened."""
    last = events[-1] if events else None
    return last.why if last and last.what == "deferred" else None


def progress(job: Job) -> int:
    """How far the job is, per cent."""
    heard, parts = flow.progress(job)
    if parts:
        return CUT + int((HEARD - CUT) * heard / parts)
    return SNIFFED if "sniff" in job.facts else 0


def _upstream(runner: Runner, owner: str, ended: Callable[[], bool], leave: threading.Event) -> None:
    while not leave.is_set():
        try:
            if not runner.drain("upstream", owner, seconds=5.0, stop=ended):
                leave.wait(LOOK_SECONDS)
        except StoreUnavailable:  # the command ends, and its store with it
            return
