"""browser-flow in a real Chromium, against the site of conftest.py."""

import asyncio
import base64
import contextlib
import json
import time
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from services.executors.browser.pool import BrowserPool
from shared.skill.runner import Outcome

Go = Callable[..., Awaitable[Outcome]]
PNG = b"\x89PNG\r\n\x1a\n"


def file(outcome: Outcome, name: str) -> Path:
    return next(saved.path for saved in outcome.files if saved.name == name)


def names(outcome: Outcome) -> set[str]:
    return {saved.name for saved in outcome.files}


def passed(outcome: Outcome) -> Outcome:
    assert outcome.status == "passed", outcome.error_message
    return outcome


async def test_every_action_does_what_it_says(go: Go, site: str) -> None:
    status = {"role": "status"}
    outcome = await go(
        {"goto": "/shop"},
        {"wait": {"load_state": "load"}},
        {"wait": {"for": {"css": "#late"}}},
        {"wait": {"ms": 1}},
        {"fill": {"label": "Name", "value": "Ada"}},
        {"expect": {"label": "Name", "value": "Ada"}},
        {"select": {"label": "Size", "option_label": "Large"}},
        {"expect": {"label": "Size", "value": "l"}},
        {"select": {"label": "Size", "index": 0}},
        {"select": {"label": "Size", "value": "l"}},
        {"uncheck": {"label": "Gift"}},
        {"expect": {"label": "Gift", "checked": False}},
        {"check": {"label": "Card"}},
        {"expect": {"label": "Card", "checked": True}},
        {"upload": {"label": "Note", "files": [{"name": "a.txt", "text": "A"}, {"name": "b.bin", "base64": "Qg=="}]}},
        {"expect": {**status, "text_equals": "a.txt=A b.bin=B"}},
        {"press": {"key": "Escape"}},
        {"expect": {**status, "text_matches": "^esc"}},
        {"hover": {"role": "link", "name": "Leave"}},
        {"expect": {"role": "link", "name": "Hovered"}},
        {"expect": {"css": "li", "count": 2}},
        {
            "expect": {
                "role": "button",
                "name": "Gone",
                "enabled": False,
                "attribute": {"name": "type", "value": "button"},
            }
        },
        {"expect": {"css": "h1", "text": "Tea", "title": "Tea", "url": {"equals": "/shop"}}},
        {"expect": {"text": "Nobody said this", "hidden": True}},
        {"screenshot": "before buying"},
        {"extract": {"label": "Name", "value": True, "save_as": "who"}},
        {"extract": {"css": "[name=who]", "attribute": "placeholder", "save_as": "hint"}},
        {"press": {"label": "Name", "key": "Enter"}},
        {"wait": {"url": "/thanks"}},
        {"expect": {"text": "Thank you", "url": {"matches": "who=Ada&size=l"}, "title": {"equals": "Thanks"}}},
        {"extract": {"css": "output", "pattern": r"order (\d+)", "save_as": "order"}},
    )
    passed(outcome)
    assert outcome.outputs["extracted"] == {"who": "Ada", "hint": "your name", "order": "4711"}
    assert outcome.outputs["title"] == "Thanks"
    assert outcome.outputs["url"].startswith(f"{site}/thanks?who=Ada")
    assert names(outcome) == {"before buying.png"}
    assert file(outcome, "before buying.png").read_bytes().startswith(PNG)
    assert outcome.steps[0].name == "1. goto /shop"
    assert outcome.steps[4].name == "5. fill label 'Name' with 'Ada'"
    metrics = {metric.name: metric.value for metric in outcome.metrics}
    assert metrics["steps"] == len(outcome.steps) == 31
    assert {"ttfb", "dom_content_loaded", "load", "transfer_size"} <= metrics.keys()


@pytest.mark.parametrize(
    "locator",
    [
        {"role": "button", "name": "Add", "nth": 1},
        {"role": "button", "name": "Add", "within": {"test_id": "black"}},
        {"text": "Add", "exact": True, "nth": -1},
        {"css": "li:nth-child(2) button"},
        {"role": "button", "within": {"role": "listitem", "has_text": "Black"}},
    ],
)
async def test_locators_find_the_one_they_say(go: Go, locator: dict[str, Any]) -> None:
    passed(await go({"goto": "/shop"}, {"click": locator}, {"expect": {"role": "status", "text": "added black"}}))


async def test_placeholders_and_frames_are_found(go: Go) -> None:
    outcome = await go(
        {"goto": "/shop"},
        {"fill": {"placeholder": "your name", "value": 42}},
        {"expect": {"label": "Name", "value": 42}},
        {"click": {"frame": "iframe", "role": "button"}},
        {"expect": {"frame": "iframe", "text": "Paid"}},
    )
    passed(outcome)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"expect": {"text": "Coffee"}}, "expected text 'Coffee' to be visible within 0.3 s, found no such text on"),
        ({"expect": {"text": "Coffee"}}, "it says 'Tea shop"),
        (
            {"expect": {"css": "h1", "text": "Coffee"}},
            "expected css 'h1' to contain 'Coffee' within 0.3 s, found 'Tea shop'",
        ),
        ({"expect": {"css": "li", "count": 3}}, "expected 3 of css 'li' within 0.3 s, found 2"),
        ({"expect": {"label": "Name", "value": "x"}}, "the value of label 'Name' to be 'x' within 0.3 s, found ''"),
        (
            {"expect": {"role": "button", "name": "Gone", "enabled": True}},
            "to be enabled within 0.3 s, found 'dis",
        ),
        ({"expect": {"label": "Gift", "checked": False}}, "to be unchecked within 0.3 s, found 'checked'"),
        ({"expect": {"css": "h1", "hidden": True}}, "expected css 'h1' to be hidden within 0.3 s, found it visible"),
        ({"expect": {"url": "/cart"}}, "expected the URL to contain '/cart' within 0.3 s, found 'http://127.0.0.1"),
        ({"expect": {"title": {"equals": "Tea"}}}, "expected the title to be 'Tea' within 0.3 s, found 'Tea shop'"),
        ({"expect": {"css": "li", "text": "Tea"}}, "found 2 of them; say which: nth"),
        ({"expect": {"role": "button", "name": "Sell"}}, "the page has button 'Buy', 'Gone', 'Add', 'Ask'"),
        ({"click": {"role": "button", "name": "Sell"}}, "found none on http://127.0.0.1"),
        ({"click": {"label": "Sell"}}, "the page has label 'Name"),
        ({"click": {"role": "button", "name": "Gone"}}, "expected button 'Gone' within 0.6 s, found 1 on"),
        ({"click": {"role": "button", "name": "Gone"}}, "is not enabled"),
        ({"click": {"role": "button", "name": "Add"}}, "resolved to 2 elements"),
        ({"wait": {"url": "/cart"}}, "expected the URL to contain '/cart'"),
        ({"wait": {"for": {"css": "h7"}}}, "expected css 'h7' to be visible within 0.6 s, found none"),
        ({"extract": {"css": "h1", "pattern": r"\d", "save_as": "n"}}, r"expected /\d/, found 'Tea shop'"),
        ({"goto": "/nowhere"}, "expected a status below 400, found 404"),
        ({"goto": {"url": "/thanks", "status": 404}}, "expected status 404, found 200"),
    ],
)
async def test_what_does_not_hold_fails_the_case_and_says_what_was_found(
    go: Go, step: dict[str, Any], message: str
) -> None:
    outcome = await go(
        {"goto": "/shop"},
        step,
        action_timeout_seconds=0.6,
        expect_timeout_seconds=0.3,
        trace="never",
        screenshot="never",
    )
    assert (outcome.status, outcome.error_type) == ("failed", "assertion"), outcome.error_message
    assert message in str(outcome.error_message)
    assert str(outcome.error_message).startswith("step 2 (")
    assert [step.status for step in outcome.steps] == ["passed", "failed"]


async def test_a_failure_leaves_a_picture_the_page_and_a_trace(go: Go) -> None:
    outcome = await go({"goto": "/shop"}, {"click": {"role": "link", "name": "None"}}, action_timeout_seconds=0.3)
    assert outcome.status == "failed"
    assert {saved.name: saved.kind for saved in outcome.files} == {
        "failure.png": "screenshot",
        "page.html": "other",
        "trace.zip": "trace",
    }
    assert file(outcome, "failure.png").read_bytes().startswith(PNG)
    assert "Tea shop" in file(outcome, "page.html").read_text()
    with zipfile.ZipFile(file(outcome, "trace.zip")) as trace:
        entries = trace.namelist()
        assert trace.testzip() is None
        assert "trace.trace" in entries
        assert any(entry.endswith(".network") for entry in entries)
        assert any(entry.endswith(".jpeg") for entry in entries)


async def test_a_case_that_passes_leaves_only_what_always_asks_for(go: Go) -> None:
    assert names(passed(await go({"goto": "/shop"}))) == set()
    outcome = passed(await go({"goto": "/shop"}, screenshot="always", trace="always", record_har=True))
    assert names(outcome) == {"end.png", "trace.zip", "network.har"}
    entries = json.loads(file(outcome, "network.har").read_text())["log"]["entries"]
    assert any(entry["request"]["url"].endswith("/shop") for entry in entries)


async def test_a_secret_is_in_no_name_text_har_or_trace(go: Go) -> None:
    outcome = await go(
        {"goto": "/shop"},
        {"fill": {"label": "Password", "value": "${secrets.PASSWORD}"}},
        {"fill": {"label": "Name", "value": "${secrets.PASSWORD}"}},
        {"press": {"label": "Name", "key": "Enter"}},
        {"expect": {"url": {"contains": "${secrets.PASSWORD}"}}},
        http_credentials={"username": "${secrets.USER}", "password": "${secrets.PASSWORD}"},
        headers={"x-token": "${secrets.USER}"},
        record_har=True,
        expect_timeout_seconds=0.3,
    )
    assert outcome.status == "failed"
    assert outcome.steps[1].name == "2. fill label 'Password' with '***'"
    parts = [json.dumps([step.name for step in outcome.steps]), str(outcome.error_message)]
    for saved in outcome.files:
        if saved.name.endswith(".zip"):
            with zipfile.ZipFile(saved.path) as zipped:
                parts += [zipped.read(entry).decode("utf-8", "replace") for entry in zipped.namelist()]
        elif not saved.name.endswith(".png"):
            parts.append(saved.path.read_text())
    text = "\n".join(parts)
    assert "***" in text
    for piece in ("wörd", "w%C3%B6rd", "somebody", base64.b64encode('somebody:pa"ss & wörd'.encode()).decode()):
        assert piece not in text


async def test_an_uncaught_exception_fails_the_case_unless_it_is_ignored(go: Go) -> None:
    outcome = await go({"goto": "/throws"}, {"expect": {"text": "Up"}})
    assert outcome.status == "failed"
    assert outcome.error_message == "every step held, but:\n1 uncaught exception: planted"
    assert {"failure.png", "log.txt"} <= names(outcome)
    passed(await go({"goto": "/throws"}, ignore=["plan.ed"]))
    passed(await go({"goto": "/throws"}, fail_on_page_error=False))


async def test_console_errors_and_failed_requests_are_told_and_count_when_asked_to(go: Go) -> None:
    outcome = passed(await go({"goto": "/complains"}))
    assert "console error: bad news" in file(outcome, "log.txt").read_text()
    outcome = await go({"goto": "/complains"}, fail_on_console_error=True)
    assert (outcome.status, "1 console error: bad news" in str(outcome.error_message)) == ("failed", True)
    passed(await go({"goto": "/broken"}, fail_on_console_error=True))
    outcome = await go({"goto": "/broken"}, fail_on_failed_request=True)
    assert outcome.status == "failed"
    assert "1 failed request: GET http://127.0.0.1" in str(outcome.error_message)
    assert "missing.js: 404" in str(outcome.error_message)
    outcome = await go({"goto": "/broken"}, {"expect": {"text": "Down"}}, expect_timeout_seconds=0.2)
    assert "missing.js: 404" in str(outcome.error_message)
    passed(await go({"goto": {"url": "/nowhere", "status": 404}}, fail_on_failed_request=True))


async def test_a_target_that_nobody_serves_is_an_error_of_the_network(go: Go) -> None:
    outcome = await go({"goto": "http://127.0.0.1:2/"})
    assert (outcome.status, outcome.error_type) == ("error", "network")
    assert "step 1 (goto http://127.0.0.1:2/): net::ERR_CONNECTION_REFUSED" in str(outcome.error_message)


async def test_forbidden_targets_are_refused_in_steps_and_noticed_in_pages(go: Go) -> None:
    outcome = await go({"goto": "http://example.org/"})
    assert (outcome.status, outcome.error_type) == ("error", "definition")
    assert "step 1 (goto http://example.org/): http://example.org/ is forbidden by rule 7" in str(outcome.error_message)
    outcome = await go({"goto": "/inside"}, {"expect": {"text": "Up"}})
    assert (outcome.status, outcome.error_type) == ("error", "definition")
    assert "a page asked for http://127.0.0.9:1: " in str(outcome.error_message)
    assert names(outcome) == {"log.txt"}  # nothing that could show it
    outcome = await go({"goto": "/away"})
    assert (outcome.status, outcome.error_type) == ("error", "definition")
    assert "a page asked for http://127.0.0.9:1: " in str(outcome.error_message)
    outcome = await go({"goto": "file:///etc/passwd"})
    assert (outcome.status, outcome.error_type) == ("error", "definition")


@pytest.mark.parametrize("steps", [[{"goto": "/never"}], [{"goto": "/loops"}, {"click": {"text": "Hang"}}]])
async def test_a_case_out_of_time_leaves_what_it_saw_within_the_grace(go: Go, steps: list[dict[str, Any]]) -> None:
    outcome = await go(*steps, timeout_seconds=1.5, action_timeout_seconds=20)
    assert (outcome.status, outcome.error_type) == ("timeout", "timeout")
    assert (outcome.finished_at - outcome.started_at).total_seconds() < 1.5 + 5
    assert "trace.zip" in names(outcome), [saved.path.read_text() for saved in outcome.files]
    assert outcome.steps[-1].error_message == "cut off here"
    if steps[0]["goto"] == "/never":  # a page in an endless loop gives no picture
        assert file(outcome, "failure.png").read_bytes().startswith(PNG)


async def test_a_failure_stays_a_failure_when_time_ends_while_its_evidence_is_taken(go: Go) -> None:
    hang = {"click": {"text": "Hang"}}
    outcome = await go({"goto": "/loops"}, hang, action_timeout_seconds=0.3, timeout_seconds=4, trace="never")
    assert outcome.status == "failed"
    assert "a page that no longer answers" in str(outcome.error_message)


async def test_a_cancelled_case_stops_and_gives_its_browser_context_back(
    go: Go, asked: list[str], pool: BrowserPool, tmp_path: Path
) -> None:
    task = asyncio.ensure_future(go({"goto": "/shop"}, {"wait": {"for": {"css": "#none"}, "timeout_seconds": 60}}))
    deadline = time.monotonic() + 10
    while not asked:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert pool.in_use == 0
    assert list(tmp_path.rglob("*.*")) == []  # nobody waits for pictures of it


async def test_a_browser_that_dies_under_a_case_is_an_error_of_the_system_and_the_next_case_passes(
    go: Go, asked: list[str]
) -> None:
    case = asyncio.ensure_future(go({"goto": "/shop"}, {"wait": {"for": {"css": "#none"}, "timeout_seconds": 60}}))
    deadline = time.monotonic() + 10
    while not asked:  # its browser context is there then
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # gone with its parent
            if "--headless" in process.cmdline() and "--type=" not in " ".join(process.cmdline()):
                process.kill()
    outcome = await case
    assert (outcome.status, outcome.error_type) == ("error", "system")
    passed(await go({"goto": "/shop"}, {"expect": {"text": "Tea shop"}}))


async def test_eight_cases_at_once_do_not_meet(go: Go) -> None:
    outcomes = await asyncio.gather(
        *(
            go(
                {"goto": "/shop"},
                {"fill": {"label": "Name", "value": f"n{number}"}},
                {"click": {"text": "Buy"}},
                {"expect": {"url": f"who=n{number}&"}},
                expect_timeout_seconds=20,
                action_timeout_seconds=20,
            )
            for number in range(8)
        )
    )
    assert [(outcome.status, outcome.error_message) for outcome in outcomes] == [("passed", None)] * 8


async def test_context_options_reach_the_page(go: Go) -> None:
    outcome = await go(
        {"goto": "/storage"},
        {"expect": {"css": "#s", "text": "session=abcvalue"}},
        {"goto": "/headers"},
        {"expect": {"text": "X-Case: seven"}},
        {"expect": {"text": "User-Agent: probe/1"}},
        {"expect": {"text": "Accept-Language: de-DE"}},
        {"expect": {"text": f"Basic {base64.b64encode(b'u:p').decode()}"}},
        {"goto": "/shop"},
        {"click": {"css": "#ask"}},
        {"expect": {"title": "yes"}},
        cookies={"session": "abc"},
        local_storage={"k": "value"},
        headers={"X-Case": "seven"},
        user_agent="probe/1",
        locale="de-DE",
        timezone="Asia/Taipei",
        http_credentials={"username": "u", "password": "p"},
        dialogs="accept",
        mobile=True,
        viewport={"width": 400, "height": 700},
    )
    passed(outcome)
