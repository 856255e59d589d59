"""What the demo must find: the planted faults of the shop, and nothing else."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Expected:
    """How a case must end, in which attempt, and what its message must say."""

    status: str
    says: str = ""
    attempt: int = 1
    fault: str | None = None  # its id in FAULTS.md


# Every other case must pass at its first attempt.
EXPECTED: Mapping[tuple[str, str], Expected] = {
    ("shop-api", "prices are numbers"): Expected("failed", "$.price", fault="price-text"),
    ("shop-api", "every product can be read"): Expected("failed", "got 500", fault="product-13"),
    ("shop-api", "the black cat can be ordered"): Expected("skipped", "every product can be read"),
    ("shop-api", "the sales report comes in time"): Expected("timeout", "2 s", fault="slow-report"),
    ("shop-api", "stock is there on a second try"): Expected("passed", attempt=2, fault="flaky-stock"),
    ("shop-browser", "three mugs cost three times one"): Expected("failed", "€36.00", fault="cart-total"),
    ("shop-browser", "gift wrap can be chosen"): Expected("failed", "wrapping is not defined", fault="gift-wrap"),
    ("shop-data", "orders are sound"): Expected("failed", "-19.9", fault="orders"),
    ("shop-data", "orders belong to customers"): Expected("failed", "99", fault="unknown-customer"),
    ("shop-data", "prices are fresh"): Expected("failed", "minutes old", fault="stale-prices"),
}
FAULTS = tuple(expected.fault for expected in EXPECTED.values() if expected.fault)


def last_attempts(results: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """(suite, case) → its last attempt."""
    last: dict[tuple[str, str], Mapping[str, Any]] = {}
    for result in sorted(results, key=lambda r: r["attempt"]):
        last[result["suite"], result["case"]] = result
    return last


def differences(cases: Iterable[tuple[str, str]], results: Iterable[Mapping[str, Any]]) -> list[str]:
    """A sentence for each case that did not end as it must; none: exactly the planted faults were found.

    Args:
        cases: (suite, case) of every case that was to run.
        results: with suite, case, attempt, status and error_message.
    """
    last = last_attempts(results)
    wanted = list(cases)
    found = []
    for key in wanted:
        suite, case = key
        expected = EXPECTED.get(key, Expected("passed"))
        result = last.get(key)
        if result is None:
            found.append(f"{suite}: {case!r} has no result")
            continue
        message = result["error_message"] or ""
        if result["status"] != expected.status:
            found.append(f"{suite}: {case!r} must end {expected.status}, it ended {result['status']}: {message}")
        elif result["attempt"] != expected.attempt:
            found.append(f"{suite}: {case!r} must take {expected.attempt} attempts, it took {result['attempt']}")
        elif expected.says not in message:
            found.append(f"{suite}: {case!r} must say {expected.says!r}, it said {message!r}")
    found += [f"{suite}: {case!r} is in no suite" for suite, case in EXPECTED if (suite, case) not in wanted]
    found += [f"{suite}: {case!r} ran and is in no suite" for suite, case in last if (suite, case) not in wanted]
    return found


def faults_found(results: Iterable[Mapping[str, Any]]) -> list[str]:
    """Ids of the planted faults that were found."""
    last = last_attempts(results)
    return [
        expected.fault
        for key, expected in EXPECTED.items()
        if expected.fault and key in last and last[key]["status"] == expected.status
    ]
