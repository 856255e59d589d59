"""`webguard up` as a process: it is told to stop, killed, started twice, started again."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from tests.servers import server_folder
from webguard.local.launcher import Launcher, StartFailed


def command(folder: Path) -> list[str]:
    return [sys.executable, "-m", "webguard", "up", "--data-dir", str(folder), "--port", "0"]


@contextmanager
def up(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(command(folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def read_until(process: "subprocess.Popen[str]", start: str) -> str:
    """The first line that begins so. The whole test has a time limit."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if line.startswith(start):
            return line.removeprefix(start).strip()
    raise AssertionError(f"it ended without {start!r}: {''.join(seen)}")


def children_of(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def until(true: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def suites(url: str, api_key: str) -> httpx.Response:
    return httpx.get(f"{url}/api/v1/suites", headers={"X-API-Key": api_key}, timeout=10)


def test_a_platform_survives_the_killing_of_its_launcher_and_is_stopped_by_a_signal() -> None:
    with server_folder("up") as folder:
        with up(folder) as first:
            url = read_until(first, "ready ")
            file = folder / "credentials.json"
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            made = json.loads(file.read_text())
            assert made.keys() >= {"url", "api_key", "tenant", "username", "password"}
            assert made["url"] == url
            assert suites(url, made["api_key"]).status_code == 200
            assert suites(url, "wrong").status_code == 401

            again = subprocess.run(command(folder), capture_output=True, text=True, timeout=60, check=False)
            assert again.returncode == 3
            assert f"process {first.pid}" in again.stderr

            children = children_of(first)
            assert len(children) >= 11
            first.kill()
            until(lambda: all(gone(child) for child in children))
        with up(folder) as second:
            url = read_until(second, "ready ")
            kept = json.loads(file.read_text())
            assert {**kept, "url": ""} == {**made, "url": ""}
            assert suites(url, kept["api_key"]).status_code == 200  # the account is still there
            children = children_of(second)
            second.send_signal(signal.SIGTERM)
            assert second.wait(60) == 0
            until(lambda: all(gone(child) for child in children))
            assert not (folder / "runtime.json").exists()


def test_a_signal_during_the_start_leaves_nothing_running() -> None:
    with server_folder("up") as folder, up(folder) as process:
        read_until(process, "preparing")
        children = children_of(process)
        assert children
        process.send_signal(signal.SIGINT)
        process.wait(60)
        until(lambda: all(gone(child) for child in children))


def test_each_service_and_server_that_is_killed_comes_back(platform: Launcher) -> None:
    def runtime() -> dict[str, dict[str, dict[str, int]]]:
        found: dict[str, dict[str, dict[str, int]]] = json.loads((platform.folder / "runtime.json").read_text())
        return found

    def ready(port: int) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5).is_success
        except httpx.TransportError:
            return False

    before = runtime()
    for part in ("services", "servers"):
        for entry in before[part].values():
            os.kill(entry["pid"], signal.SIGKILL)

    def all_new() -> bool:
        now = runtime()
        return all(now[p][name]["pid"] != before[p][name]["pid"] for p in ("services", "servers") for name in before[p])

    until(all_new, 60)
    until(lambda: all(ready(entry["port"]) for entry in runtime()["services"].values()), 60)
    made = json.loads(platform.credentials_file.read_text())
    assert suites(platform.url, made["api_key"]).status_code == 200


def test_a_port_that_is_taken_is_said_so(platform: Launcher, tmp_path: Path) -> None:
    port = int(platform.url.rpartition(":")[2])
    with pytest.raises(StartFailed, match=f"port {port} is in use"):
        Launcher(tmp_path / "data", port=port).start()
