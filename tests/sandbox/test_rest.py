"""REST of the sandbox portal, driven by a plain client as the documentation shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline.sandbox.app import KEY, Sandbox
from pipeline.sandbox.rest import Bucket

AUDIO = Path(__file__).parents[2] / "fixtures" / "audio"


@pytest.fixture(autouse=True)
def roomy(sandbox: Sandbox) -> None:
    sandbox.rest.bucket = Bucket(burst=10_000)


def result(rest: httpx.Client, method: str, **params: Any) -> Any:
    answer = rest.post(method, json=params)
    assert answer.status_code == 200, answer.text
    return answer.json()["result"]


def refused(rest: httpx.Client, method: str, **params: Any) -> tuple[int, str]:
    answer = rest.post(method, json=params)
    return answer.status_code, answer.json()["error"]


def test_engines_are_registered_listed_and_unregistered(sandbox: Sandbox, rest: httpx.Client) -> None:
    """ai.engine.*: an id, a filtered list, true, and false for what is not there."""
    good = {
        "name": "Ours",
        "code": "callscribe_audio",
        "category": "audio",
        "completions_url": sandbox.base_url,
    }
    number = result(rest, "ai.engine.register", **good, settings={"code_alias": "Ours"})
    assert isinstance(number, int)
    (listed,) = result(rest, "ai.engine.list", filter={"CODE": "callscribe_audio"}, limit=5)
    assert listed["settings"] == {
        "code_alias": "Ours", "model_context_type": "token", "model_context_limit": 15666,
    }  # fmt: skip
    assert {"id", "app_code", "name", "code", "category", "completions_url", "date_create"} <= set(listed)
    assert result(rest, "ai.engine.list", filter={"!CATEGORY": "audio"}) == []
    assert result(rest, "ai.engine.list", filter={"%CODE": "scribe"}) == [listed]
    assert result(rest, "ai.engine.unregister", code="callscribe_audio") is True
    assert result(rest, "ai.engine.unregister", code="callscribe_audio") is False


def test_the_webhook_tells_its_scopes(rest: httpx.Client) -> None:
    """`scope` answers all that callscribe needs."""
    assert set(result(rest, "scope")) == {"ai_admin", "crm", "disk", "im", "telephony"}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"name": ""}, "NAME"),
        ({"name": 7}, "NAME"),
        ({"code": None}, "CODE"),
        ({"code": "a b"}, "CODE_FORMAT"),
        ({"code": "taken"}, "CODE_UNIQUE"),
        ({"category": None}, "CATEGORY"),
        ({"category": "video"}, "CATEGORY_FORMAT"),
        ({"completions_url": ""}, "COMPLETIONS_URL"),
        ({"completions_url": "http://127.0.0.1:9/none"}, "COMPLETIONS_URL_FAIL"),
        ({"completions_url": "{base}/v1/models"}, "COMPLETIONS_URL_FAIL"),
        ({"settings": "x"}, "SETTINGS_FORMAT"),
    ],
)
def test_registration_is_refused_by_the_documented_codes(
    sandbox: Sandbox, rest: httpx.Client, change: dict[str, Any], code: str
) -> None:
    """Each wrong field has the documented code; the URL is asked and has to answer exactly 200."""
    good = {"name": "n", "code": "taken", "category": "text", "completions_url": sandbox.base_url}
    result(rest, "ai.engine.register", **good)
    wanted = {**good, "code": "new", **change}
    wanted["completions_url"] = str(wanted["completions_url"]).format(base=sandbox.base_url)
    assert refused(rest, "ai.engine.register", **wanted) == (400, f"ENGINE_REGISTER_ERROR_{code}")


def test_boxed_portal_has_no_engines_in_rest(sandbox: Sandbox, rest: httpx.Client) -> None:
    """On a boxed portal ai.engine.* is no method."""
    sandbox.engines.boxed = True
    try:
        assert refused(rest, "ai.engine.list") == (404, "ERROR_METHOD_NOT_FOUND")
    finally:
        sandbox.engines.boxed = False


def test_wrong_webhook_and_unknown_method(sandbox: Sandbox, rest: httpx.Client) -> None:
    """A wrong webhook is 401 NO_AUTH_FOUND, an unknown method 404."""
    wrong = httpx.get(f"{sandbox.base_url}/rest/1/wrong/profile", trust_env=False, verify=False)
    assert (wrong.status_code, wrong.json()["error"]) == (401, "NO_AUTH_FOUND")
    assert refused(rest, "crm.nothing") == (404, "ERROR_METHOD_NOT_FOUND")


def test_parameters_come_as_json_form_or_query(sandbox: Sandbox, rest: httpx.Client) -> None:
    """One call in three spellings, with and without `.json`, is one answer."""
    sandbox.crm.add_entity("deal", 40, TITLE="Forty")
    by_json = rest.post("crm.deal.list", json={"filter": {"ID": 40}, "select": ["ID", "TITLE"]}).json()
    form = {"filter[ID]": "40", "select[0]": "ID", "select[1]": "TITLE"}
    by_form = rest.post("crm.deal.list.json", data=form).json()
    by_query = rest.get("crm.deal.list.json", params=form).json()
    assert by_json["result"] == by_form["result"] == by_query["result"] == [{"ID": "40", "TITLE": "Forty"}]
    assert {"start", "finish", "duration", "operating_reset_at"} <= set(by_json["time"])


def test_from_an_activity_to_its_deal_and_recording(sandbox: Sandbox, rest: httpx.Client) -> None:
    """An activity leads to its bindings, its call, and by disk.file.get to the recording's bytes."""
    recording = sandbox.crm.store(AUDIO / "silence", content_type="audio/mpeg")
    made = sandbox.crm.add_call(
        owner=("contact", 30), bindings=(("deal", 31),), call_id="call.one", recording=recording
    )
    number = int(made.fields["ID"])
    activity = result(rest, "crm.activity.get", id=number)
    assert (activity["PROVIDER_ID"], activity["ORIGIN_ID"]) == ("VOXIMPLANT_CALL", "VI_call.one")
    assert (activity["OWNER_TYPE_ID"], activity["OWNER_ID"]) == ("3", "30")
    bindings = result(rest, "crm.activity.binding.list", activityId=number)
    assert {"entityTypeId": 2, "entityId": 31} in bindings
    (file,) = activity["FILES"]
    page = httpx.get(file["url"], trust_env=False, verify=False)
    assert page.headers["content-type"].startswith("text/html")
    link = result(rest, "disk.file.get", id=file["id"])["DOWNLOAD_URL"]
    assert httpx.get(link, trust_env=False, verify=False).content == (AUDIO / "silence").read_bytes()
    (call,) = result(rest, "voximplant.statistic.get", FILTER={"CALL_ID": "call.one"})
    assert (call["CRM_ACTIVITY_ID"], call["RECORD_FILE_ID"]) == (str(number), recording.id)
    assert refused(rest, "crm.activity.get", id=999_999) == (400, "")
    assert refused(rest, "crm.activity.binding.list", activityId=999_999) == (400, "NOT_FOUND")
    assert refused(rest, "disk.file.get", id=999_999) == (400, "ERROR_NOT_FOUND")


def test_activities_are_listed_by_filters_and_pages(sandbox: Sandbox, rest: httpx.Client) -> None:
    """crm.activity.list filters by time, provider and binding, 50 a page, FILES only when selected."""
    sandbox.crm.activities.clear()
    now = datetime.now(UTC)
    for hours in range(60):
        sandbox.crm.add_call(owner=("deal", 50 + hours % 2), ended_at=now - timedelta(hours=hours))
    recent = {
        ">=END_TIME": (now - timedelta(hours=9, minutes=30)).isoformat(),
        "PROVIDER_ID": "VOXIMPLANT_CALL",
    }
    found = rest.post("crm.activity.list", json={"filter": recent, "order": {"ID": "DESC"}}).json()
    assert (found["total"], len(found["result"]), "next" in found) == (10, 10, False)
    assert "FILES" not in found["result"][0]
    first = rest.post("crm.activity.list", json={"select": ["ID", "FILES"]}).json()
    assert (first["total"], first["next"], len(first["result"])) == (60, 50, 50)
    assert set(first["result"][0]) == {"ID", "FILES"}
    rest_of_them = rest.post("crm.activity.list", json={"start": first["next"]}).json()
    assert len(rest_of_them["result"]) == 10
    bound = {"BINDINGS": [{"OWNER_TYPE_ID": 2, "OWNER_ID": 51}]}
    assert rest.post("crm.activity.list", json={"filter": bound}).json()["total"] == 30


def test_timeline_is_written_and_read(sandbox: Sandbox, rest: httpx.Client) -> None:
    """Log entries and comments are added with their documented answers, listed, and refused when wrong."""
    sandbox.crm.add_entity("deal", 60)
    fields = {"entityTypeId": 2, "entityId": 60, "title": "T", "text": "words", "iconCode": "info"}
    made = result(rest, "crm.timeline.logmessage.add", fields=fields)["logMessage"]
    assert (made["title"], made["iconCode"]) == ("T", "info")
    assert result(rest, "crm.timeline.logmessage.list", entityTypeId=2, entityId=60) == [made]
    assert result(rest, "crm.timeline.logmessage.get", id=made["id"])["logMessage"] == made
    assert refused(rest, "crm.timeline.logmessage.add", fields={**fields, "entityId": 61}) == (
        400, "OWNER_NOT_FOUND",
    )  # fmt: skip
    assert refused(rest, "crm.timeline.logmessage.add", fields={**fields, "iconCode": ""}) == (400, "100")
    comment = {"ENTITY_ID": 60, "ENTITY_TYPE": "deal", "COMMENT": "said", "FILES": [["a.txt", "YQ=="]]}
    number = result(rest, "crm.timeline.comment.add", fields=comment)
    (listed,) = result(rest, "crm.timeline.comment.list", filter={"ENTITY_ID": 60, "ENTITY_TYPE": "deal"})
    assert (listed["ID"], listed["COMMENT"]) == (str(number), "said")
    assert [file["name"] for file in listed["FILES"].values()] == ["a.txt"]


def test_log_entries_come_ten_a_page(sandbox: Sandbox, rest: httpx.Client) -> None:
    """crm.timeline.logmessage.list gives ten a page, newest first."""
    sandbox.crm.add_entity("deal", 62)
    for number in range(12):
        sandbox.crm.log(2, 62, f"entry {number}", "x")
    first = rest.post("crm.timeline.logmessage.list", json={"entityTypeId": 2, "entityId": 62}).json()
    assert (first["total"], first["next"], first["result"][0]["title"]) == (12, 10, "entry 11")
    ask = {"entityTypeId": 2, "entityId": 62, "start": 10}
    assert len(rest.post("crm.timeline.logmessage.list", json=ask).json()["result"]) == 2


@pytest.mark.parametrize(
    "message",
    [
        {"SIDE": "Agent", "START_TIME": 0, "STOP_TIME": 1, "MESSAGE": "x"},
        {"SIDE": "User", "START_TIME": -1, "STOP_TIME": 1, "MESSAGE": "x"},
        {"SIDE": "User", "START_TIME": 0, "STOP_TIME": 0, "MESSAGE": "x"},
        {"SIDE": "User", "START_TIME": 0, "STOP_TIME": 1, "MESSAGE": ""},
    ],
)
def test_transcription_is_attached_to_a_call(
    sandbox: Sandbox, rest: httpx.Client, message: dict[str, Any]
) -> None:
    """A good transcription gets an id; wrong sides, times and texts, and unknown calls, are ERROR_CORE."""
    sandbox.crm.add_call(owner=("deal", 63), call_id="call.two")
    good = {"SIDE": "Client", "START_TIME": 0, "STOP_TIME": 1, "MESSAGE": "hello"}
    method = "telephony.call.attachTranscription"
    assert result(rest, method, CALL_ID="call.two", MESSAGES=[good])["TRANSCRIPT_ID"] > 0
    assert refused(rest, method, CALL_ID="call.two", MESSAGES=[good, message]) == (400, "ERROR_CORE")
    assert refused(rest, method, CALL_ID="call.none", MESSAGES=[good]) == (400, "ERROR_CORE")


def test_batch_runs_many_and_refers_back(sandbox: Sandbox, rest: httpx.Client) -> None:
    """batch answers by name, puts errors apart, and fills in results of earlier commands."""
    made = sandbox.crm.add_call(owner=("deal", 64))
    commands = {
        "deal": "crm.deal.get?id=64",
        "calls": f"crm.activity.list?filter[ID]={made.fields['ID']}&select[]=ID",
        "bindings": "crm.activity.binding.list?activityId=$result[calls][0][ID]",
        "again": "crm.activity.list?filter[%3EID]=%24result%5Bcalls%5D%5B0%5D%5BID%5D",
        "none": "crm.activity.list?filter[%3EID]=$result[again][9][ID]",
        "wrong": "crm.activity.get?id=999999",
    }
    done = result(rest, "batch", halt=0, cmd=commands)
    assert done["result"]["deal"]["ID"] == "64"
    assert done["result"]["bindings"] == [{"entityTypeId": 2, "entityId": 64}]
    assert done["result_error"]["wrong"]["error_description"] == "Activity is not found."
    assert done["result_total"] == {"calls": 1, "again": 0, "none": 0}
    assert done["result_next"] == []


def test_bucket_overflows_and_leaks(sandbox: Sandbox, rest: httpx.Client) -> None:
    """After the burst comes 503 QUERY_LIMIT_EXCEEDED; what leaks out makes room."""
    sandbox.rest.bucket = Bucket(per_second=0.0, burst=3)
    statuses = [rest.get("profile").status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 503]
    assert rest.get("profile").json()["error"] == "QUERY_LIMIT_EXCEEDED"
    sandbox.rest.bucket.per_second = 1e6
    assert rest.get("profile").status_code == 200


def test_rest_faults_are_scripted(sandbox: Sandbox, rest: httpx.Client) -> None:
    """A method may be told to answer with any system error, once or for ever."""
    sandbox.script.add(path="*/crm.deal.get*", status=429, body={"error": "OPERATION_TIME_LIMIT"}, times=None)
    assert refused(rest, "crm.deal.get", id=1) == (429, "OPERATION_TIME_LIMIT")
    assert refused(rest, "crm.deal.get.json", id=1) == (429, "OPERATION_TIME_LIMIT")
    assert rest.get("profile").status_code == 200


def test_an_entry_of_the_router_stands_in_the_portal(sandbox: Sandbox, rest: httpx.Client) -> None:
    """What is written by /v1/timeline-logs is read by crm.timeline.logmessage.list."""
    sandbox.crm.add_entity("lead", 65)
    entry = {"entityType": "lead", "entityId": 65, "title": "AI classification", "text": "x"}
    headers = {"x-api-key": KEY}
    httpx.post(
        f"{sandbox.router_url}/timeline-logs", json=entry, headers=headers, trust_env=False, verify=False
    )
    (listed,) = result(rest, "crm.timeline.logmessage.list", entityTypeId=1, entityId=65)
    assert listed["title"] == "AI classification"


def test_crm_is_set_up_from_outside(sandbox: Sandbox, rest: httpx.Client) -> None:
    """POST /_crm adds entities and calls, attaches recordings late, and sets the limits."""
    given = {"entities": [{"type": "deal", "id": 66, "TITLE": "X"}], "calls": [{"owner": ["deal", 66]}]}
    made = httpx.post(f"{sandbox.base_url}/_crm", json=given, trust_env=False, verify=False).json()
    number = int(made["activities"][0]["ID"])
    assert result(rest, "crm.activity.get", id=number)["FILES"] == []
    late = {"attach": [{"activity": number, "recording": "silence"}], "limits": {"burst": 1}}
    assert httpx.post(f"{sandbox.base_url}/_crm", json=late, trust_env=False, verify=False).status_code == 200
    assert len(result(rest, "crm.activity.get", id=number)["FILES"]) == 1
    assert rest.get("profile").status_code == 503


def test_names_and_dates_come_in_any_form(sandbox: Sandbox, rest: httpx.Client) -> None:
    """`ID` and `id` are one, dates are ISO with or without a zone, Russian, or compared with unix seconds."""
    sandbox.crm.add_entity("deal", 5, DATE_CREATE="2026-03-01T12:00:00+03:00")
    for name in ("id", "ID", "Id"):
        assert rest.post("crm.deal.get", json={name: 5}).json()["result"]["ID"] == "5"
    listed = {"FILTER": {"id": "5"}, "SELECT": ["title"], "ORDER": {"id": "desc"}}
    assert rest.post("crm.deal.list", json=listed).json()["result"] == [{"ID": "5", "TITLE": "deal 5"}]
    for since, found in (
        ("2026-03-01T09:00:00Z", 1),
        ("2026-03-01 09:00:00", 1),
        ("2026-03-01", 1),
        ("01.03.2026 09:00:01", 0),
        ("02.03.2026", 0),
        ("2026-03-01T12:00:01+03:00", 0),
    ):
        answer = rest.post("crm.deal.list", json={"filter": {"ID": 5, ">=DATE_CREATE": since}}).json()
        assert len(answer["result"]) == found, since
    sandbox.engines.registered.append({"id": 1, "code": "a", "date_create": 1_700_000_000})
    for since, found in (("2023-01-01T00:00:00+00:00", 1), ("2024-01-01", 0), ("1600000000", 1)):
        listing = rest.post("ai.engine.list", json={"filter": {">DATE_CREATE": since}}).json()
        assert len(listing["result"]) == found, since


def test_clients_find_what_they_ask_first(sandbox: Sandbox, rest: httpx.Client) -> None:
    """The user, the time, the methods and fields; deals are made and changed."""
    assert rest.post("user.current").json()["result"]["ID"] == "1"
    assert rest.post("user.get").json()["total"] == 1
    assert rest.post("server.time").json()["result"].endswith("+00:00")
    assert rest.post("method.get", json={"name": "crm.deal.list"}).json()["result"]["isExisting"] is True
    assert "crm.deal.list" in rest.post("methods").json()["result"]
    assert rest.post("crm.deal.fields").json()["result"]["ID"]["type"] == "integer"
    assert "FILES" in rest.post("crm.activity.fields").json()["result"]
    made = rest.post("crm.deal.add", json={"fields": {"TITLE": "new"}}).json()["result"]
    assert rest.post("crm.deal.update", json={"id": made, "fields": {"TITLE": "newer"}}).json()["result"]
    assert rest.post("crm.deal.get", json={"id": made}).json()["result"]["TITLE"] == "newer"
    assert rest.post("crm.deal.update", json={"id": 999, "fields": {}}).status_code == 400
    fields = {"ENTITY_ID": made, "ENTITY_TYPE": "deal", "COMMENT": "hi"}
    comment = rest.post("crm.timeline.comment.add", json={"fields": fields}).json()["result"]
    assert rest.post("crm.timeline.comment.get", json={"id": comment}).json()["result"]["COMMENT"] == "hi"
