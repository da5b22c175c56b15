"""Portals spread over two stores: two groups of the same processes, with nothing shared between them."""

from __future__ import annotations

import httpx

from tests.faults.harness import Service

AFTER_SECONDS = 20.0  # in which one group's calls are answered while the other group's store is away


def test_each_group_keeps_its_promises_while_the_other_ones_store_is_away() -> None:
    """A group's calls are answered, each once, while the other's store is killed; those that the other has
    accepted before are answered, each once, when it is back.
    """
    with Service() as one, Service() as two:
        one.start()
        two.start()
        before = one.calls(10) + two.calls(10)
        assert all(job.accepted for job in before)
        one.kill("store")
        later = two.calls(20)
        assert all(job.accepted for job in later)
        two.settle(AFTER_SECONDS)
        assert not one.call().accepted, "what cannot be made durable is not accepted"
        one.start_store()
        after = one.calls(10)
        assert all(job.accepted for job in after)
        one.settle(60)
        for group in (one, two):
            group.check()
            assert group.usage("repeated_calls") == 0


def test_a_portal_belongs_to_one_group() -> None:
    """One group does not know the other's engines, and neither store knows a job of the other's."""
    with Service() as one, Service() as two:
        one.start()
        two.start()
        callback = f"{one.sandbox.base_url}/cb"
        body = {"prompt": "Hello", "category": "text", "ttl": 600, "callbackUrl": callback}
        answer = httpx.post(f"{two.api_url}/engines/{one.token}/text", json=body, trust_env=False)
        assert answer.status_code == 404
        one.calls(3)
        two.calls(3)
        for group in (one, two):
            group.settle()
            group.check()
        known = [set(group.redis.zrange("cs:jobs", 0, -1)) for group in (one, two)]
        assert [len(jobs) for jobs in known] == [3, 3]
        assert not known[0] & known[1]
