"""The usual recipe for the same job, as tutorials have it: Starlette takes the request and sends a Celery
task, pydub cuts the recording into minutes, a chord transcribes them, its end asks the chat model and posts
the callback. It reads RECIPE_REDIS and RECIPE_ROUTER.

No record, no retries, no leases, no fairness: a lost message or a killed worker loses the call.
"""

from __future__ import annotations

import io
import os
import warnings
from typing import Any

import httpx
from celery import Celery, chord
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

REDIS = os.environ.get("RECIPE_REDIS", "redis://127.0.0.1:6379/0")
ROUTER = os.environ.get("RECIPE_ROUTER", "http://127.0.0.1:1/v1")
PIECE_MS = 60_000

tasks = Celery(
    "recipe",
    broker=REDIS.replace("unix://", "redis+socket://"),
    backend=REDIS.replace("unix://", "redis+socket://"),
)
tasks.conf.update(
    task_default_queue="recipe", worker_hijack_root_logger=False, broker_connection_retry_on_startup=True
)


def chat(text: str) -> str:
    asked = {"model": "m", "messages": [{"role": "user", "content": text}]}
    answer = httpx.post(f"{ROUTER}/chat/completions", json=asked, timeout=60).json()
    return str(answer["choices"][0]["message"]["content"])


@tasks.task
def reply(sent: dict[str, Any]) -> None:
    httpx.post(sent["callbackUrl"], json={"result": [chat(sent["prompt"])]}, timeout=15)


@tasks.task
def call(sent: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pydub import AudioSegment

    body = httpx.get(sent["prompt"]["file"], timeout=60).content
    whole = AudioSegment.from_file(io.BytesIO(body), format="wav")
    pieces = []
    for start in range(0, len(whole), PIECE_MS):
        piece = io.BytesIO()
        whole[start : start + PIECE_MS].export(piece, format="wav")
        pieces.append(piece.getvalue().hex())
    chord(transcribe.s(piece) for piece in pieces)(merge.s(sent["callbackUrl"]))


@tasks.task
def transcribe(piece: str) -> str:
    files = {"file": ("piece.wav", bytes.fromhex(piece))}
    answer = httpx.post(f"{ROUTER}/audio/transcriptions", files=files, data={"model": "w"}, timeout=600)
    return str(answer.json()["text"])


@tasks.task
def merge(texts: list[str], callback: str) -> None:
    text = "\n".join(texts)
    chat(f"Score this lead from 0 to 100: {text}")
    httpx.post(callback, json={"result": [text]}, timeout=15)


async def ask(request: Request) -> JSONResponse:
    sent = await request.json()
    (reply if request.path_params["category"] == "text" else call).delay(sent)
    return JSONResponse({"result": "OK"}, 202)


app = Starlette(routes=[Route("/engines/{token}/{category}", ask, methods=["POST"])])
