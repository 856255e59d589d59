"""The bytes of every message stay readable for ever. A file under golden/ is never changed, only added."""

import contextlib
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.bus import envelope
from shared.errors import Malformed
from shared.events import (
    Artifact,
    CancelRequest,
    CaseAttempt,
    CaseFinished,
    CaseStarted,
    ExecuteRequest,
    ExecutionFinished,
    ExecutionRefused,
    ExecutionStarted,
    Message,
    Metric,
    SkillOffered,
    Step,
    SuiteDeleted,
    SuiteSaved,
    Task,
    Tick,
    decode,
    encode,
)
from shared.events.ids import case_id, execution_id, suite_id

GOLDEN = Path(__file__).parent / "golden"
AT = datetime(2026, 11, 23, 19, 0, 0, 250_000, tzinfo=UTC)
EXECUTION = UUID("8e4c7f9a-9d5e-5c0e-9a57-2a1b3c4d5e6f")
SUITE = UUID("1f2e3d4c-5b6a-5978-8796-a5b4c3d2e1f0")

MESSAGES: dict[str, Message] = {
    "execute.requested.v1": ExecuteRequest(
        tenant="t1",
        suite="checkout",
        idempotency_key="k-1",
        triggered_by="ci",
        requested_by="ada",
        requested_at=AT,
        variables={"base_url": "http://127.0.0.1"},
        ci_commit_sha="abc123",
        ci_branch="main",
    ),
    "cancel.requested.v1": CancelRequest(
        tenant="t1", execution_id=EXECUTION, reason="wrong branch", requested_by="ada"
    ),
    "tick.v1": Tick(tenant="t1", suite="checkout", revision=3, at=AT),
    "task.v1": Task(
        tenant="t1",
        execution_id=EXECUTION,
        suite="checkout",
        executed_at=AT,
        kind="api",
        priority="high",
        attempts=[
            CaseAttempt(
                case="sign in",
                skill="http-check",
                attempt=2,
                params={"url": "${base_url}/login"},
                variables={"base_url": "http://127.0.0.1"},
                save={"token": "json.token"},
                timeout_seconds=30,
            )
        ],
    ),
    "case.started.v1": CaseStarted(
        tenant="t1", execution_id=EXECUTION, case="sign in", attempt=1, epoch=1, executor="e-1", started_at=AT
    ),
    "case.finished.v1": CaseFinished(
        tenant="t1",
        execution_id=EXECUTION,
        suite="checkout",
        executed_at=AT,
        case="sign in",
        skill="http-check",
        kind="api",
        attempt=1,
        status="failed",
        started_at=AT,
        finished_at=AT,
        epoch=2,
        error_type="assertion",
        error_message="expected status 200, got 500",
        stack_trace="…",
        executor="e-1",
        saved={"token": "x"},
        metrics=[Metric(name="total", value=12.5, unit="ms")],
        steps=[Step(name="GET", status="failed", offset_ms=0.5, duration_ms=12, error_message="no", parent=None)],
        artifacts=[
            Artifact(name="log.txt", kind="log", key="t1/x/log.txt", content_type="text/plain", size=3, sha256="00")
        ],
    ),
    "execution.started.v1": ExecutionStarted(
        tenant="t1",
        execution_id=EXECUTION,
        suite="checkout",
        suite_id=SUITE,
        revision=3,
        total=2,
        triggered_by="manual",
        executed_at=AT,
        started_at=AT,
        requested_by="ada",
        ci_commit_sha="abc123",
        ci_branch="main",
    ),
    "execution.finished.v1": ExecutionFinished(
        tenant="t1",
        execution_id=EXECUTION,
        suite="checkout",
        suite_id=SUITE,
        status="failed",
        executed_at=AT,
        started_at=AT,
        finished_at=AT,
        total=2,
        passed=1,
        failed=1,
        skipped=0,
        flaky=1,
        error_message="…",
    ),
    "execution.refused.v1": ExecutionRefused(
        tenant="t1",
        execution_id=EXECUTION,
        suite="checkout",
        suite_id=SUITE,
        reason="there is no suite 'checkout'",
        triggered_by="api",
        executed_at=AT,
    ),
    "suite.saved.v1": SuiteSaved(
        tenant="t1",
        suite="checkout",
        suite_id=SUITE,
        revision=3,
        definition={"suite": "checkout", "cases": [{"name": "a", "skill": "noop", "kind": "api"}]},
        created_at=AT,
        saved_at=AT,
        saved_by="ada",
    ),
    "suite.deleted.v1": SuiteDeleted(
        tenant="t1", suite="checkout", suite_id=SUITE, revision=4, deleted_at=AT, deleted_by="ada"
    ),
    "skill.offered.v1": SkillOffered(
        tenant="system",
        name="http-check",
        kind="api",
        description="Send one request",
        version="1.0",
        params_schema={"type": "object"},
        digest="0011",
        offered_at=AT,
        timeout_seconds=30,
        documentation="# http-check",
    ),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_the_bytes_of_a_message_are_those_of_its_version(name: str) -> None:
    message = MESSAGES[name]
    assert message.__struct_config__.tag == f"webguard.{name}"
    golden = (GOLDEN / f"{name}.json").read_bytes()
    assert encode(message) == golden
    assert decode(golden, type(message)) == message


@pytest.mark.parametrize("name", MESSAGES)
def test_fields_of_tomorrow_are_ignored_and_a_missing_type_is_no_fault(name: str) -> None:
    body = msgspec.json.decode(encode(MESSAGES[name]))
    del body["type"]
    later = msgspec.json.encode({**body, "a field of tomorrow": {"x": [1]}})
    assert decode(later, type(MESSAGES[name])) == MESSAGES[name]


@pytest.mark.parametrize("name", MESSAGES)
def test_the_envelope_is_a_cloud_event_with_a_natural_id(name: str) -> None:
    message = MESSAGES[name]
    found = envelope.headers(message, "webguard/test", AT)
    assert found == envelope.headers(message, "webguard/test", AT)
    assert found["ce-id"] == found["Nats-Msg-Id"] == message.event_id
    assert found["ce-type"] == f"webguard.{name}"
    assert found["ce-specversion"] == "1.0"
    assert found["ce-subject"] == message.subject
    assert message.subject.split(".")[:2] == ["wg", message.tenant]
    if message.trace_id is not None:
        version, trace, span, flags = found["traceparent"].split("-")
        assert (version, trace, flags) == ("00", EXECUTION.hex, "01")
        assert len(span) == 16


@given(st.binary(max_size=200))
def test_no_bytes_whatever_get_past_the_decoder_but_as_malformed(data: bytes) -> None:
    for message in MESSAGES.values():
        with contextlib.suppress(Malformed):
            assert isinstance(decode(data, type(message)), type(message))


def test_ids_come_from_natural_keys_and_never_change() -> None:
    assert str(execution_id("t1", "k-1")) == "79d72755-87d1-5412-b940-4620f03dc3af"
    assert str(suite_id("t1", "checkout")) == "a2b1ee4e-e864-5746-95ea-5d33033d35e3"
    assert str(case_id(SUITE, "sign in")) == "3531765d-8171-5da1-b684-a0b35bc6dc93"
    assert MESSAGES["tick.v1"].event_id == "tick:t1/checkout@2026-11-23T19:00:00.250000Z#3"
    assert MESSAGES["case.finished.v1"].event_id == f"finished:{EXECUTION}/sign in/1/2"
