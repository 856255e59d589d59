"""Every metric, declared once. Each process makes its own set and uses what concerns it."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

DURATION_BUCKETS = (1, 5, 10, 30, 60, 120, 300, 600)
FAST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
SIZE_BUCKETS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000)


class Metrics:
    """The metrics of one process, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        # What users watch.
        self.executions = Counter(
            "webguard_test_executions", "Executions that ended", ["suite_name", "status"], registry=r
        )
        self.duration = Histogram(
            "webguard_test_duration_seconds",
            "Duration of an execution",
            ["suite_name"],
            buckets=DURATION_BUCKETS,
            registry=r,
        )
        self.active = Gauge("webguard_active_tests", "Cases running now", registry=r)
        # What operators watch.
        self.batch_size = Histogram(
            "webguard_batch_messages", "Messages in a batch", ["consumer"], buckets=SIZE_BUCKETS, registry=r
        )
        self.redelivered = Counter("webguard_redelivered", "Messages delivered again", ["consumer"], registry=r)
        self.dead = Counter("webguard_dead_letters", "Messages sent to DEAD", ["consumer"], registry=r)
        self.cases = Counter("webguard_cases", "Case attempts that ended", ["kind", "status"], registry=r)
        self.slots = Gauge("webguard_executor_slots", "Cases an executor may run at once", ["kind"], registry=r)
        self.recorder_lag = Gauge("webguard_recorder_lag_events", "Events stored and not recorded", registry=r)
        self.recorded = Counter("webguard_recorded_rows", "Rows recorded", ["table"], registry=r)
        self.dispatch_seconds = Histogram(
            "webguard_dispatch_seconds", "Time of one dispatcher round", buckets=FAST_BUCKETS, registry=r
        )
        self.lost_races = Counter("webguard_dispatch_lost_races", "Commits another replica won", registry=r)
        self.tick_lag = Histogram(
            "webguard_tick_lag_seconds", "From a schedule's instant to its request", buckets=FAST_BUCKETS, registry=r
        )
        self.http_seconds = Histogram(
            "webguard_http_request_seconds",
            "Time of a request to the API",
            ["method", "route", "status"],
            buckets=FAST_BUCKETS,
            registry=r,
        )
        self.redis_failures = Counter("webguard_redis_failures", "Redis calls that failed", registry=r)

    def batch(self, consumer: str, size: int, redelivered: int) -> None:
        """The observer of shared.bus.consume."""
        self.batch_size.labels(consumer).observe(size)
        if redelivered:
            self.redelivered.labels(consumer).inc(redelivered)

    def dead_letter(self, consumer: str) -> None:
        self.dead.labels(consumer).inc()
