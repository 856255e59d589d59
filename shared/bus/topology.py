"""Streams, buckets and consumers as data (DESIGN §2). `provision` makes the server look like this."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, get_args

from shared.events import Kind, PriorityClass

KINDS: tuple[Kind, ...] = get_args(Kind)
# In the order in which executors ask.
PRIORITY_CLASSES: tuple[PriorityClass, ...] = get_args(PriorityClass)

ACK_WAIT = timedelta(seconds=30)
MAX_BATCH = 1000  # messages in one atomic batch: the server's limit

Config = Mapping[str, Any]


def _ns(span: timedelta) -> int:
    return int(span.total_seconds() * 1_000_000_000)


@dataclass(frozen=True)
class Consumer:
    """A durable pull consumer. Tries are bounded by whoever consumes, who then says why in DEAD."""

    stream: str
    name: str
    subject: str
    max_ack_pending: int = 20_000

    @property
    def config(self) -> Config:
        return {
            "durable_name": self.name,
            "name": self.name,
            "filter_subject": self.subject,
            "ack_policy": "explicit",
            "ack_wait": _ns(ACK_WAIT),
            "max_deliver": -1,
            "max_ack_pending": self.max_ack_pending,
            "max_waiting": 512,
            "deliver_policy": "all",
            "replay_policy": "instant",
        }


@dataclass(frozen=True)
class Stream:
    """A file stream with limits retention. What is not named here keeps the server's default."""

    name: str
    subjects: tuple[str, ...]
    max_age: timedelta
    options: Config = field(default_factory=dict)

    @property
    def config(self) -> Config:
        return {
            "name": self.name,
            "subjects": list(self.subjects),
            "retention": "limits",
            "storage": "file",
            "discard": "old",
            "max_age": _ns(self.max_age),
            "max_bytes": -1,
            "max_msgs_per_subject": -1,
            "duplicate_window": _ns(timedelta(minutes=2)),
            "allow_direct": True,
            "allow_rollup_hdrs": False,
            "deny_delete": False,
            "deny_purge": False,
            "allow_atomic": False,
            "allow_msg_schedules": False,
            **self.options,
        }


REQUESTS = Stream(
    "REQUESTS",
    ("wg.*.request.>",),
    timedelta(days=7),
    # Full means refused, never forgotten: the gateway answers 429 then.
    {"discard": "new", "max_bytes": 1 << 30, "max_msg_size": 256 * 1024, "deny_purge": True, "deny_delete": True},
)
LEDGER = Stream(
    "LEDGER",
    ("wg.*.state.*", "wg.*.plan.*.*", "wg.*.durations.*", "wg.*.task.>", "wg.*.timer.>", "wg.*.fired.>"),
    timedelta(days=3),
    {
        "allow_atomic": True,
        "allow_msg_schedules": True,
        "allow_rollup_hdrs": True,
        "duplicate_window": _ns(timedelta(minutes=10)),
    },
)
EVENTS = Stream(
    "EVENTS",
    ("wg.*.event.>",),
    timedelta(days=30),
    {"allow_atomic": True, "duplicate_window": _ns(timedelta(minutes=10))},
)
TICKS = Stream(
    "TICKS",
    ("wg.*.schedule.*", "wg.*.unscheduled.*", "wg.*.tick.*"),
    timedelta(days=400),  # a yearly schedule waits here as one message
    {"allow_msg_schedules": True, "allow_rollup_hdrs": True, "max_msgs_per_subject": 100},
)
DEAD = Stream(
    "DEAD",
    (
        "wg.*.dead.>",
        "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>",
        "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.>",
    ),
    timedelta(days=90),
)
STREAMS = (REQUESTS, LEDGER, EVENTS, TICKS, DEAD)

# Definitions. KV buckets allow roll-ups, so only the gateway and the provisioner may write.
SUITES_BUCKET = "suites"
# Where no S3 is configured.
ARTIFACTS_BUCKET = "artifacts"


def task_consumer(kind: str, priority: str) -> Consumer:
    """What executors of a kind take from, one a priority class."""
    # Few unacknowledged at once would bound the executors; the work itself is bounded by their slots.
    return Consumer(LEDGER.name, f"tasks-{kind}-{priority}", f"wg.*.task.{kind}.{priority}.*", 50_000)


REQUESTS_DISPATCHER = Consumer(REQUESTS.name, "dispatcher", "wg.*.request.>")
EVENTS_DISPATCHER = Consumer(EVENTS.name, "dispatcher", "wg.*.event.case.finished.*")
LEDGER_DISPATCHER = Consumer(LEDGER.name, "dispatcher", "wg.*.fired.>")
EVENTS_RECORDER = Consumer(EVENTS.name, "recorder", "wg.*.event.>")
EVENTS_SCHEDULER = Consumer(EVENTS.name, "scheduler", "wg.*.event.suite.>")
TICKS_SCHEDULER = Consumer(TICKS.name, "scheduler", "wg.*.tick.*")
CONSUMERS = (
    REQUESTS_DISPATCHER,
    EVENTS_DISPATCHER,
    LEDGER_DISPATCHER,
    EVENTS_RECORDER,
    EVENTS_SCHEDULER,
    TICKS_SCHEDULER,
    *(task_consumer(kind, priority) for kind in KINDS for priority in PRIORITY_CLASSES),
)


def state_subject(tenant: str, execution_id: str) -> str:
    return f"wg.{tenant}.state.{execution_id}"


def stop_signal_subject(tenant: str, execution_id: str) -> str:
    """Core NATS, for speed: executors that run cases of this execution are told to stop."""
    return f"wg.{tenant}.signal.stop.{execution_id}"


# Core NATS: every service answers with what it is.
PING_SUBJECT = "wg.system.control.ping"
