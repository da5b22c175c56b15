"""The sandbox portal's REST: methods, errors, limits and pages as on apidocs.bitrix24.com."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pipeline.sandbox import php
from pipeline.sandbox.crm import CRM, Activity, Unfit, iso
from pipeline.sandbox.engines import Engines
from pipeline.sandbox.entities import Entities, fields_of, integer
from pipeline.sandbox.listing import Named, page

Params = Mapping[str, Any]
MAX_BATCH = 50


class Bucket:
    """The portal's leaky bucket: `burst` requests at once, `per_second` leak out."""

    def __init__(self, per_second: float = 2.0, burst: float = 50.0) -> None:
        self.per_second, self.burst = per_second, burst
        self._level, self._at = 0.0, time.monotonic()

    def add(self) -> bool:
        """Whether one more request fits."""
        now = time.monotonic()
        self._level = max(0.0, self._level - (now - self._at) * self.per_second)
        self._at = now
        if self._level + 1 > self.burst:
            return False
        self._level += 1
        return True


class Rest:
    """`/rest/{user}/{webhook}/{method}` over the CRM."""

    def __init__(self, *, crm: CRM, engines: Engines, webhook: str, bucket: Bucket | None = None) -> None:
        self.crm, self.engines, self.webhook = crm, engines, webhook
        self.bucket = bucket or Bucket()
        self.notified: list[tuple[int, str]] = []  # user, message
        self._methods: dict[str, Callable[[Params, str], Any]] = {
            "profile": self._profile,
            "user.current": self._profile,
            "user.get": self._users,
            "crm.item.get": self._item,
            "server.time": lambda params, base: iso(),
            "methods": lambda params, base: sorted(self._methods),
            "method.get": self._method_get,
            "scope": lambda params, base: ["ai_admin", "crm", "disk", "im", "telephony"],
            "crm.activity.list": self._activity_list,
            "crm.activity.get": self._activity_get,
            "crm.activity.binding.list": self._binding_list,
            "crm.activity.call.gettranscript": self._get_transcript,
            "crm.timeline.logmessage.add": self._log_add,
            "crm.timeline.logmessage.list": self._log_list,
            "crm.timeline.logmessage.get": self._log_get,
            "crm.timeline.comment.add": self._comment_add,
            "crm.timeline.comment.get": self._comment_get,
            "crm.timeline.comment.list": self._comment_list,
            "crm.activity.fields": self._activity_fields,
            "telephony.call.attachtranscription": self._attach_transcription,
            "voximplant.statistic.get": self._statistic,
            "disk.file.get": self._disk_file,
            "im.notify.personal.add": self._notify,
        }
        for kind in ("lead", "deal", "contact", "company"):
            entities = Entities(crm, kind)
            self._methods |= {
                f"crm.{kind}.get": entities.get,
                f"crm.{kind}.list": partial(_listed, entities),
                f"crm.{kind}.fields": entities.fields,
                f"crm.{kind}.add": entities.add,
                f"crm.{kind}.update": entities.update,
            }

    async def endpoint(self, request: Request) -> Response:
        """One REST call; parameters come as JSON, as a form or in the query."""
        started = time.time()
        method = re.sub(r"\.(json|xml)$", "", request.path_params["method"]).lower()
        base = str(request.base_url).rstrip("/")
        try:
            if request.path_params.get("webhook") != self.webhook:
                raise Unfit("NO_AUTH_FOUND", "Wrong authorization data", 401)
            if not self.bucket.add():
                raise Unfit("QUERY_LIMIT_EXCEEDED", "Too many requests", 503)
            params = await _params(request)
            if method == "batch":
                body = {"result": await self._batch(params, base)}
            else:
                body = await self.call(method, params, base)
        except Unfit as problem:
            plain = {"error": problem.code, "error_description": problem.description}
            return JSONResponse(plain, status_code=problem.status)
        return JSONResponse({**body, "time": _time(started)})

    async def call(self, method: str, params: Params, base: str) -> dict[str, Any]:
        """One method: `{"result", "total"?, "next"?}`; raises Unfit."""
        params = Named(params)
        if method.startswith("ai.engine."):
            return {"result": await self.engines.call(method, params)}
        handler = self._methods.get(method)
        if not handler:
            raise Unfit("ERROR_METHOD_NOT_FOUND", "Method not found!", 404)
        answer = handler(params, base)
        return answer if isinstance(answer, Listed) else {"result": answer}

    async def _batch(self, params: Params, base: str) -> dict[str, Any]:
        commands = params.get("cmd") or {}
        if isinstance(commands, list):
            commands = {str(number): command for number, command in enumerate(commands)}
        if len(commands) > MAX_BATCH:
            raise Unfit("ERROR_BATCH_LENGTH_EXCEEDED", "Max batch length exceeded")
        parts: dict[str, dict[str, Any]] = {
            name: {} for name in ("result", "result_error", "result_total", "result_next", "result_time")
        }
        for name, command in commands.items():
            method, _, query = str(command).partition("?")
            filled = _filled(php.parse(query), parts["result"])
            started = time.time()
            try:
                done = await self.call(re.sub(r"\.json$", "", method).lower(), filled, base)
            except Unfit as problem:
                plain = {"error": problem.code, "error_description": problem.description}
                parts["result_error"][name] = plain
                if params.get("halt") not in (None, 0, "0", False, "false"):
                    break
                continue
            parts["result"][name] = done["result"]
            parts["result_time"][name] = _time(started)
            for extra in ("total", "next"):
                if extra in done:
                    parts[f"result_{extra}"][name] = done[extra]
        return {name: php.array(found) for name, found in parts.items()}

    def _profile(self, params: Params, base: str) -> Any:
        return {
            "ID": "1",
            "ADMIN": True,
            "NAME": "Sandbox",
            "LAST_NAME": "Portal",
            "PERSONAL_GENDER": "",
            "TIME_ZONE": "",
            "TIME_ZONE_OFFSET": 0,
        }

    def _users(self, params: Params, base: str) -> Any:
        wanted = integer(params, "id") if "id" in params else None
        known = {number: names for number, names in self.crm.users.items() if wanted in (None, number)}
        rows = [
            {"ID": str(number), "NAME": name, "LAST_NAME": last} for number, (name, last) in known.items()
        ]
        return Listed.of(rows, len(rows), None)

    def _item(self, params: Params, base: str) -> Any:
        """An item of any kind, as the universal methods name its fields."""
        found = self.crm.entities.get((integer(params, "entityTypeId"), integer(params, "id")))
        if found is None:
            raise Unfit("NOT_FOUND", "Element not found")
        names = {"id": "ID", "title": "TITLE", "name": "NAME", "lastName": "LAST_NAME"}
        return {"item": {name: found[field] for name, field in names.items() if field in found}}

    def _method_get(self, params: Params, base: str) -> Any:
        known = str(params.get("name", "")).lower() in self._methods
        return {"isExisting": known, "isAvailable": known}

    def _activity_fields(self, params: Params, base: str) -> Any:
        some = next(iter(self.crm.activities.values()), None)
        return fields_of([*(some.fields if some else ["ID"]), "FILES"])

    def _comment_get(self, params: Params, base: str) -> Any:
        wanted = str(integer(params, "id"))
        found = next((comment for comment in self.crm.comments if comment["ID"] == wanted), None)
        if found is None:
            raise Unfit("", "Not found.")
        return found

    def _activity_list(self, params: Params, base: str) -> Any:
        conditions = dict(params.get("filter") or {})
        wanted = conditions.pop("BINDINGS", None)
        rows = [
            self._activity(activity, base)
            for activity in list(self.crm.activities.values())
            if wanted is None or _bound(activity, wanted)
        ]
        order = params.get("order") or {"START_TIME": "ASC"}
        select = params.get("select") or []
        if "STORAGE_ELEMENT_IDS" in select:  # the documented way to get FILES
            select = [*select, "FILES"]
        return Listed.of(*page(rows, {**params, "filter": conditions, "order": order, "select": select}))

    def _activity_get(self, params: Params, base: str) -> Any:
        return self._activity(self.crm.activity(integer(params, "id")), base)

    def _activity(self, activity: Activity, base: str) -> dict[str, Any]:
        number = activity.fields["ID"]
        show = f"{base}/bitrix/tools/crm_show_file.php"
        files = [
            {"id": file, "url": f"{show}?fileId={file}&ownerTypeId=6&ownerId={number}&auth="}
            for file in activity.files
        ]
        return {"STORAGE_ELEMENT_IDS": activity.files, "FILES": files, **activity.fields}

    def _binding_list(self, params: Params, base: str) -> Any:
        number = integer(params, "activityId")
        if number not in self.crm.activities:
            raise Unfit("NOT_FOUND", "Not found.")
        bindings = self.crm.activities[number].bindings
        return [{"entityTypeId": kind, "entityId": entity} for kind, entity in bindings]

    def _get_transcript(self, params: Params, base: str) -> Any:
        activity = self.crm.activities.get(integer(params, "activityId"))
        if activity is None:
            raise Unfit("NOT_FOUND", "Element not found")
        return {"transcription": activity.transcript} if activity.transcript else None

    def _log_add(self, params: Params, base: str) -> Any:
        fields = params.get("fields")
        if not isinstance(fields, Mapping):
            raise Unfit("100", "Could not find value for parameter {fields}")
        for name in ("entityTypeId", "entityId", "title", "text", "iconCode"):
            if fields.get(name) in (None, ""):
                raise Unfit("100", f"Field: {name} is required.")
        entry = self.crm.log(
            integer(fields, "entityTypeId"),
            integer(fields, "entityId"),
            str(fields["title"]),
            str(fields["text"]),
            str(fields["iconCode"]),
        )
        return {"logMessage": entry}

    def _log_list(self, params: Params, base: str) -> Any:
        entries = self.crm.logs(integer(params, "entityTypeId"), integer(params, "entityId"))
        order = params.get("order") or {"id": "desc"}
        rows, total, following = page(entries, {"order": order, "start": params.get("start")}, size=10)
        return Listed.of(rows, total, following)

    def _log_get(self, params: Params, base: str) -> Any:
        wanted = integer(params, "id")
        for entry in self.crm.log_entries:
            if entry["id"] == wanted:
                hidden = ("entityTypeId", "entityId")
                return {"logMessage": {k: v for k, v in entry.items() if k not in hidden}}
        raise Unfit("NOT_FOUND", "Not found.")

    def _comment_add(self, params: Params, base: str) -> Any:
        fields = params.get("fields")
        if not isinstance(fields, Mapping) or not fields.get("COMMENT"):
            raise Unfit("", "COMMENT is not defined or empty.")
        kind, number = str(fields.get("ENTITY_TYPE", "")).lower(), integer(fields, "ENTITY_ID")
        return self.crm.comment(kind, number, str(fields["COMMENT"]), fields.get("FILES"))

    def _comment_list(self, params: Params, base: str) -> Any:
        conditions = params.get("filter") or {}
        if not {"ENTITY_ID", "ENTITY_TYPE"} <= {key.lstrip("=") for key in conditions}:
            raise Unfit("", "Access denied.")
        select = list(params.get("select") or ["*"])
        order = params.get("order") or {"ID": "DESC"}
        return Listed.of(*page(self.crm.comments, {**params, "order": order, "select": [*select, "FILES"]}))

    def _attach_transcription(self, params: Params, base: str) -> Any:
        call_id, messages = params.get("CALL_ID"), params.get("MESSAGES")
        if not call_id:
            raise Unfit("ERROR_CORE", "CALL_ID should be set")
        if not isinstance(messages, list):
            raise Unfit("ERROR_CORE", "MESSAGES should be an array")
        for number, message in enumerate(messages):
            place = f"MESSAGES[{number}]"
            if message.get("SIDE") not in ("User", "Client"):
                raise Unfit("ERROR_CORE", f"{place}[SIDE] should be either Client or User")
            if integer(message, "START_TIME") < 0:
                raise Unfit("ERROR_CORE", f"{place}[START_TIME] should be greater or equal to zero")
            if integer(message, "STOP_TIME") <= 0:
                raise Unfit("ERROR_CORE", f"{place}[STOP_TIME] should be greater than zero")
            if not message.get("MESSAGE"):
                raise Unfit("ERROR_CORE", f"{place}[MESSAGE] is empty")
        if call_id not in self.crm.calls:
            raise Unfit("ERROR_CORE", f"Call {call_id} is not found. Is it finished?")
        number = len(self.crm.transcriptions) + 1
        self.crm.transcriptions.append({"id": number, "at": iso(), **params})
        self.crm.calls[call_id]["TRANSCRIPT_ID"] = str(number)
        return {"TRANSCRIPT_ID": number}

    def _statistic(self, params: Params, base: str) -> Any:
        order = {str(params.get("SORT") or "ID"): str(params.get("ORDER") or "ASC")}
        return Listed.of(*page(list(self.crm.calls.values()), {**params, "order": order}))

    def _notify(self, params: Params, base: str) -> Any:
        if not params.get("MESSAGE"):
            raise Unfit("MESSAGE_EMPTY", "Message can't be empty")
        self.notified.append((integer(params, "USER_ID"), str(params["MESSAGE"])))
        return len(self.notified)

    def _disk_file(self, params: Params, base: str) -> Any:
        if not params.get("id"):
            raise Unfit("ERROR_ARGUMENT", "Invalid value of parameter {Parameter #0}")
        file = self.crm.files.get(integer(params, "id"))
        if file is None:
            raise Unfit("ERROR_NOT_FOUND", f"Could not find entity with id `{params['id']}`")
        return {
            "ID": str(file.id),
            "NAME": file.name,
            "CODE": None,
            "STORAGE_ID": "1",
            "TYPE": "file",
            "PARENT_ID": "1",
            "DELETED_TYPE": "0",
            "FILE_ID": str(file.id),
            "SIZE": str(len(file.content)),
            "CREATE_TIME": iso(),
            "UPDATE_TIME": iso(),
            "DOWNLOAD_URL": self.crm.link(base, file),
            "DETAIL_URL": f"{base}/company/personal/user/1/disk/file/{file.id}",
        }


def _listed(entities: Entities, params: Params, base: str) -> Any:
    return Listed.of(*entities.list(params))


class Listed(dict[str, Any]):
    """A list's answer: result, total and, where there is more, next."""

    @classmethod
    def of(cls, rows: list[dict[str, Any]], total: int, following: int | None) -> Listed:
        answer = cls(result=rows, total=total)
        if following is not None:
            answer["next"] = following
        return answer


async def _params(request: Request) -> dict[str, Any]:
    params = php.parse(request.url.query)
    body = await request.body()
    if not body:
        return params
    if "json" in request.headers.get("content-type", ""):
        try:
            plain = await request.json()
        except ValueError:
            raise Unfit("INVALID_REQUEST", "Syntax error in JSON") from None
        return {**params, **plain} if isinstance(plain, dict) else params
    return {**params, **php.parse(body.decode("utf-8", "replace"))}


def _bound(activity: Activity, wanted: Any) -> bool:
    options = list(wanted.values()) if isinstance(wanted, Mapping) else wanted
    for option in options:
        kind, number = option.get("OWNER_TYPE_ID"), option.get("OWNER_ID")
        for bound_kind, bound_number in activity.bindings:
            if (kind is None or int(kind) == bound_kind) and (number is None or int(number) == bound_number):
                return True
    return False


def _filled(params: Any, results: Mapping[str, Any]) -> Any:
    """Parameters with `$result[name][field]` replaced by what an earlier command returned, else nothing."""
    if isinstance(params, dict):
        return {key: _filled(item, results) for key, item in params.items()}
    if isinstance(params, list):
        return [_filled(item, results) for item in params]

    def value(found: re.Match[str]) -> str:
        place: Any = results
        for key in re.findall(r"\[([^\]]*)\]", found[0]):
            if isinstance(place, Mapping):
                place = place.get(key, "")
            else:
                place = place[int(key)] if isinstance(place, list) and int(key) < len(place) else ""
        return str(place)

    return re.sub(r"\$result(?:\[[^\]]*\])+", value, params)


def _time(started: float) -> dict[str, Any]:
    finished = time.time()
    return {
        "start": started,
        "finish": finished,
        "duration": finished - started,
        "processing": finished - started,
        "date_start": iso(),
        "date_finish": iso(),
        "operating_reset_at": int(finished) + 600,
        "operating": 0,
    }
