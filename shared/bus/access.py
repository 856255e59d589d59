"""Who may do what on the bus: the least each service needs, as subject lists for the server's configuration."""

from collections.abc import Iterable
from dataclasses import dataclass

from shared.bus import topology as t


@dataclass(frozen=True)
class Access:
    """Subjects a NATS user may publish to and subscribe to."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


# The server lets nobody answer a request it did not get; `_INBOX_<user>` keeps replies apart.
def inbox_prefix(user: str) -> str:
    return f"_INBOX_{user}"


def _consume(*consumers: t.Consumer) -> list[str]:
    subjects = []
    for c in consumers:
        subjects += [
            f"$JS.API.CONSUMER.MSG.NEXT.{c.stream}.{c.name}",
            f"$JS.API.CONSUMER.INFO.{c.stream}.{c.name}",
            f"$JS.ACK.{c.stream}.{c.name}.>",
        ]
    return subjects


def _get(stream: str) -> list[str]:
    return [f"$JS.API.DIRECT.GET.{stream}", f"$JS.API.DIRECT.GET.{stream}.>", f"$JS.API.STREAM.INFO.{stream}"]


def _read_bucket(bucket: str, kind: str = "KV") -> list[str]:
    stream = f"{kind}_{bucket}"
    return [
        *_get(stream),
        f"$JS.API.STREAM.MSG.GET.{stream}",
        f"$JS.API.CONSUMER.CREATE.{stream}",
        f"$JS.API.CONSUMER.CREATE.{stream}.>",
        f"$JS.API.CONSUMER.DELETE.{stream}.>",
        "$JS.FC.>",
    ]


def _write_artifacts() -> list[str]:
    return [
        f"$O.{t.ARTIFACTS_BUCKET}.>",
        f"$JS.API.STREAM.PURGE.OBJ_{t.ARTIFACTS_BUCKET}",
        *_read_bucket(t.ARTIFACTS_BUCKET, "OBJ"),
    ]


def _service(user: str, publish: Iterable[str], subscribe: Iterable[str] = ()) -> Access:
    return Access(
        tuple(dict.fromkeys(("$JS.API.INFO", "wg.*.dead.>", f"{inbox_prefix('gateway')}.>", *publish))),
        tuple(dict.fromkeys((f"{inbox_prefix(user)}.>", t.PING_SUBJECT, *subscribe))),
    )


def users() -> dict[str, Access]:
    """Every NATS user of a platform by name, one a service, with `admin` for provisioning and people."""
    tasks = [t.task_consumer(kind, priority) for kind in t.KINDS for priority in t.PRIORITY_CLASSES]
    suites = t.SUITES_BUCKET
    return {
        "admin": Access((">",), (">",)),
        "scheduler": _service(
            "scheduler",
            [
                *_consume(t.EVENTS_SCHEDULER, t.TICKS_SCHEDULER),
                *_get(t.TICKS.name),
                *_read_bucket(suites),
                "wg.*.request.execute",
                *t.TICKS.subjects,
            ],
        ),
        "dispatcher": _service(
            "dispatcher",
            [
                *_consume(t.REQUESTS_DISPATCHER, t.EVENTS_DISPATCHER, t.LEDGER_DISPATCHER),
                *_get(t.LEDGER.name),
                *_get(t.EVENTS.name),
                *_read_bucket(suites),
                *t.LEDGER.subjects,
                "wg.*.event.execution.>",
                "wg.*.event.case.finished.*",
                "wg.*.signal.stop.*",
            ],
        ),
        "executors": _service(
            "executors",
            [
                *_consume(*tasks),
                *_get(t.LEDGER.name),
                *_get(t.EVENTS.name),
                *_write_artifacts(),
                "wg.*.event.case.>",
                "wg.system.event.skill.offered.*",
            ],
            ["wg.*.signal.stop.*"],
        ),
        "recorder": _service(
            "recorder", [*_consume(t.EVENTS_RECORDER), *_get(t.EVENTS.name), *_read_bucket(suites), *_write_artifacts()]
        ),
        "gateway": _service(
            "gateway",
            [
                "wg.*.request.>",
                "wg.*.event.suite.>",
                f"$KV.{suites}.>",
                *_read_bucket(suites),
                *_write_artifacts(),
                *_get(t.EVENTS.name),
                *_get(t.DEAD.name),
                f"$JS.API.CONSUMER.CREATE.{t.EVENTS.name}.>",
                f"$JS.API.CONSUMER.DELETE.{t.EVENTS.name}.>",
                f"$JS.API.CONSUMER.CREATE.{t.EVENTS.name}",
                "$JS.API.STREAM.INFO.*",
                # To read a file, nats-py looks for the stream of its pieces by their subject.
                "$JS.API.STREAM.NAMES",
                "$JS.API.CONSUMER.INFO.>",
                t.PING_SUBJECT,
            ],
        ),
    }
