"""The supervisor and the data folder, on small programs in place of the services."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from webguard.local.datadir import AlreadyRunning, DataDir, began
from webguard.local.environment import Process
from webguard.local.process import Child, StartFailed, free_ports
from webguard.local.supervisor import Supervisor, is_ready

SERVE = """
import http.server, os, sys
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self): self.send_response(200); self.end_headers()
    def log_message(self, *_): pass
print("serving", flush=True)
http.server.HTTPServer(("127.0.0.1", int(os.environ["WEBGUARD_HTTP_PORT"])), H).serve_forever()
"""
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVE
BROKEN = "import sys; print('no settings'); sys.exit(3)"


def program(name: str, code: str, port: int) -> Process:
    env = {"PATH": os.environ["PATH"], "WEBGUARD_HTTP_PORT": str(port)}
    return Process(name, name, (sys.executable, "-I", "-c", code), env, port)


def until(true: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


class Fixture:
    def __init__(self, folder: Path) -> None:
        self.said: list[str] = []
        self.changes = 0
        self.supervisor = Supervisor(folder, self.said.append, lambda: False, self._changed)

    def _changed(self) -> None:
        self.changes += 1


@pytest.fixture
def supervised(tmp_path: Path) -> Fixture:
    return Fixture(tmp_path)


def test_a_service_that_is_killed_is_started_again_on_its_port(supervised: Fixture) -> None:
    [port] = free_ports(1)
    supervisor = supervised.supervisor
    supervisor.start([program("a", SERVE, port)])
    try:
        [a] = supervisor.running
        first = a.child.pid
        os.kill(first, signal.SIGKILL)
        until(lambda: a.child.pid != first and is_ready(port))
        until(lambda: supervised.changes == 2)  # told of the first and of the second
        assert a.starts == 2
        assert any("a ended with -9" in line for line in supervised.said)
        second = a.child.pid
        time.sleep(0.3)
        assert not gone(second)  # it outlives the moment in which it was started by another thread
    finally:
        supervisor.stop()
    assert gone(second)


def test_stopping_ends_a_service_that_ignores_it(supervised: Fixture) -> None:
    [port] = free_ports(1)
    supervised.supervisor.start([program("stubborn", STUBBORN, port)])
    pid = supervised.supervisor.running[0].child.pid
    supervised.supervisor.stop(seconds=0.5)
    assert gone(pid)


def test_a_service_that_cannot_start_is_named_with_its_last_words(supervised: Fixture) -> None:
    one, two = free_ports(2)
    with pytest.raises(StartFailed, match=r"(?s)b ended with 3.*no settings"):
        supervised.supervisor.start([program("a", SERVE, one), program("b", BROKEN, two)])
    supervised.supervisor.stop()


def test_a_failing_neighbour_does_not_end_supervision(tmp_path: Path) -> None:
    said: list[str] = []
    failed = threading.Event()

    def tend() -> bool:
        failed.set()
        raise OSError("disk full")

    [port] = free_ports(1)
    supervisor = Supervisor(tmp_path, said.append, tend, lambda: None)
    supervisor.start([program("a", SERVE, port)])
    try:
        assert failed.wait(10)
        pid = supervisor.running[0].child.pid
        os.kill(pid, signal.SIGKILL)
        until(lambda: supervisor.running[0].child.pid != pid and is_ready(port))
        assert any("disk full" in line for line in said)
    finally:
        supervisor.stop()


def test_what_a_service_left_in_its_process_group_ends_with_it(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)'])\n"
        "print(child.pid, flush=True); child.wait()"
    )
    parent = Child("parent", [sys.executable, "-c", code], tmp_path / "log")
    until(lambda: (tmp_path / "log").read_text().strip())
    grandchild = int((tmp_path / "log").read_text())
    parent.stop()
    until(lambda: gone(grandchild))


def test_a_data_folder_has_one_launcher(tmp_path: Path) -> None:
    first, second = DataDir(tmp_path), DataDir(tmp_path)
    first.hold()
    with pytest.raises(AlreadyRunning, match=rf"{os.getpid()}.*--data-dir"):
        second.hold()
    first.release()
    second.hold()
    second.release()


def test_a_new_launcher_waits_for_what_a_killed_one_left_and_spares_others(tmp_path: Path) -> None:
    """A process number may be another's by now: the time at which it began tells."""
    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1)"])
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    runtime = {
        "services": {"a": {"pid": left.pid, "began": began(left.pid)}},
        "servers": {"b": {"pid": other.pid, "began": "1"}},
    }
    (tmp_path / "runtime.json").write_text(json.dumps(runtime))
    data = DataDir(tmp_path)
    data.hold()
    try:
        assert began(left.pid) is None
        assert other.poll() is None
    finally:
        data.release()
        other.kill()
        other.wait()
        left.wait()


def test_a_server_keeps_its_port_while_it_is_free(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    data.hold()
    try:
        assert data.port("nats") == DataDir(tmp_path).port("nats")
    finally:
        data.release()
