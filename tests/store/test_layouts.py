"""A store whose keys another version wrote."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from pipeline.domain.job import PortalId
from pipeline.domain.kinds import BACKGROUND, MEDIA, QUEUES, UPSTREAM
from pipeline.store import Store
from tests.store.jobs import a_job, accept, due

# Written by the version before layout 2: steps ready, put off, and held by a worker that is gone.
RECORDED = json.loads((Path(__file__).parent / "recorded/layout1.json").read_text())
NAMES = {job: name for name, job in RECORDED["names"].items()}


def restore(store: Store) -> None:
    """Puts the recorded keys into the store, long enough after they were written."""
    put = {
        "string": store._redis.set,
        "hash": lambda key, fields: store._redis.hset(key, mapping=fields),
        "set": lambda key, members: store._redis.sadd(key, *members),
        "list": lambda key, items: store._redis.rpush(key, *items),
        "zset": lambda key, members: store._redis.zadd(key, dict(members)),
    }
    for key, (kind, value) in RECORDED["keys"].items():
        put[kind](key, [(member, 0) for member, _ in value] if key == "cs:later" else value)


def claim_all(store: Store) -> dict[str, list[str]]:
    """Claims whatever is due: queue -> "JOB STEP", by the recorded names, in order."""
    found: dict[str, list[str]] = {}
    for queue in QUEUES:
        while claim := store.claim(queue, "new:t", lease_seconds=60):
            found.setdefault(queue, []).append(f"{NAMES[claim.job]} {claim.step}")
    return found


def test_what_the_version_before_wrote_is_gone_on_with(store: Store) -> None:
    """Each step that waited is claimed from the queue that is its own now; a dead worker's lease is freed."""
    restore(store)
    store.limit(UPSTREAM, {PortalId("acme"): 100})
    ready = store.tick()
    assert ready[MEDIA] == 1
    assert ready[BACKGROUND] >= 1
    assert store.release("upstream-0123456789.", crashed=True) == 1
    assert not store._redis.keys("cs:slots:*")
    found = claim_all(store)
    assert found[MEDIA] == ["media sniff"]
    assert found[BACKGROUND] == ["entry timeline", "link link"]
    assert found[UPSTREAM][0] in ("other fetch", "other expire", "text reply")
    expected = [
        "leased transcribe:0",
        "put_off fetch",
        "new fetch",
        "other fetch",
        "text reply",
        "outcome callback",
    ]
    expires = [f"{name} expire" for name in RECORDED["names"]]
    assert Counter(found[UPSTREAM]) == Counter(expected + expires)
    acme = [step for step in found[UPSTREAM] if not step.startswith("other")]
    assert acme.index("text reply") < acme.index("outcome callback") < acme.index("new fetch")


def test_the_indexes_may_be_made_anew_at_any_time(store: Store) -> None:
    """Again, in the middle of things: every key is as it was."""
    restore(store)
    store.tick()
    store.claim(UPSTREAM, "new:t", lease_seconds=60)
    before = dump(store)
    store.rebuild()
    store.rebuild()
    assert dump(store) == before


def test_what_an_older_process_accepts_beside_us_is_found(store: Store) -> None:
    """While a new version is rolled out, the sweeper's look takes up what the older one wrote."""
    restore(store)
    store.tick()
    claim_all(store)
    job = a_job(store)
    accept(store, job, due("sniff"))
    store._redis.hdel(f"cs:job:{job.id}", "due:sniff")  # as the older version's script leaves it
    for key in ("cs:fair:media", "cs:turns:media", "cs:depth"):
        store._redis.delete(key)
    store._redis.sadd("cs:ready:media", job.portal)
    assert store.tick()[MEDIA] == 1
    claim = store.claim(MEDIA, "new:t", lease_seconds=60)
    assert claim is not None
    assert claim.job == job.id


def dump(store: Store) -> dict[str, Any]:
    """Every key but those that follow the clock."""
    read = {
        "string": store._redis.get,
        "hash": store._redis.hgetall,
        "set": store._redis.smembers,
        "list": lambda key: store._redis.lrange(key, 0, -1),
        "zset": lambda key: store._redis.zrange(key, 0, -1, withscores=True),
    }
    return {
        key: read[store._redis.type(key)](key) for key in store._redis.scan_iter("*") if key != "cs:looked"
    }
