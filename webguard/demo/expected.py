"""What the demo must find: the planted faults of the shop, and nothing else."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Expected:
    """How a case must end, in which attempt, and what its message must say, all of it."""

    status: str
    says: tuple[str, ...] = ()
    attempt: int = 1
    fault: str | None = None  # its id in FAULTS.md


# Every other case must pass at its first attempt.
EXPECTED: Mapping[tuple[str, str], Expected] = {
    ("shop-api", "prices are numbers"): Expected("failed", ("$.price", "not of type 'number'"), fault="price-text"),
    ("shop-api", "every product can be read"): Expected("failed", ("got 500",), fault="product-13"),
    ("shop-api", "the black cat can be ordered"): Expected("skipped", ("'every product can be read'",)),
    ("shop-api", "the sales report comes in time"): Expected("timeout", ("2 s",), fault="slow-report"),
    ("shop-api", "stock is there on a second try"): Expected("passed", attempt=2, fault="flaky-stock"),
    ("shop-browser", "three mugs cost three times one"): Expected("failed", ("€27.00", "€36.00"), fault="cart-total"),
    ("shop-browser", "gift wrap can be chosen"): Expected("failed", ("wrapping is not defined",), fault="gift-wrap"),
    ("shop-data", "orders are sound"): Expected(
        "failed", ("'customer_id' is null", "id repeat: 11", "-19.9"), fault="orders"
    ),
    ("shop-data", "orders belong to customers"): Expected(
        "failed", ("refers to no 'id': 99",), fault="unknown-customer"
    ),
    ("shop-data", "prices are fresh"): Expected("failed", ("minutes old, more than 1440",), fault="stale-prices"),
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
    results = list(results)
    last = last_attempts(results)
    wanted = list(cases)
    found = []
    for suite, case in wanted:
        result = last.get((suite, case))
        if result is None:
            found.append(f"{suite}: {case!r} has no result")
        elif fault := _difference(EXPECTED.get((suite, case), Expected("passed")), result):
            found.append(f"{suite}: {case!r} {fault}")
    found += [f"{suite}: {case!r} is in no suite" for suite, case in EXPECTED if (suite, case) not in wanted]
    found += [f"{suite}: {case!r} ran and is in no suite" for suite, case in last if (suite, case) not in wanted]
    counts = Counter((r["suite"], r["case"], r["attempt"]) for r in results)
    found += [f"{s}: attempt {n} of {c!r} has {times} results" for (s, c, n), times in counts.items() if times > 1]
    return found


def faults_found(results: Iterable[Mapping[str, Any]]) -> list[str]:
    """Ids of the planted faults that were found, each as it must be: a 500 elsewhere finds nothing."""
    last = last_attempts(results)
    return [
        expected.fault
        for key, expected in EXPECTED.items()
        if expected.fault and key in last and _difference(expected, last[key]) is None
    ]


def _difference(expected: Expected, result: Mapping[str, Any]) -> str | None:
    message = result["error_message"] or ""
    if result["status"] != expected.status:
        return f"must end {expected.status}, it ended {result['status']}: {message}".removesuffix(": ")
    if result["attempt"] != expected.attempt:
        return f"must end in attempt {expected.attempt}, it ended in {result['attempt']}"
    missing = [part for part in expected.says if part not in message]
    return f"must say {missing[0]!r}, it said {message!r}" if missing else None
