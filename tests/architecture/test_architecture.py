"""The shape of the code: who may import whom, and that each service stands alone."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("scheduler", "dispatcher", "executors", "recorder", "gateway")
LOCKS = ROOT / "deploy" / "requirements"


def run(*command: str | Path, **options: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload, no-any-return]


def test_the_import_contracts_are_kept() -> None:
    done = run(Path(sys.executable).parent / "lint-imports", "--no-cache", cwd=ROOT)
    assert done.returncode == 0, done.stdout
    assert "6 kept, 0 broken" in done.stdout


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_installs_and_imports_with_its_own_lock_alone(service: str, tmp_path: Path) -> None:
    venv, code = tmp_path / "venv", tmp_path / "code"
    uv = Path(sys.executable).parent / "uv"
    made = run(uv, "venv", "--quiet", "--python", sys.executable, venv)
    assert made.returncode == 0, made.stderr
    environment = {**os.environ, "VIRTUAL_ENV": str(venv)}
    lock = LOCKS / f"{service}.txt"
    installed = run(uv, "pip", "sync", "--quiet", "--require-hashes", lock, env=environment)
    assert installed.returncode == 0, installed.stderr
    code.mkdir()
    shutil.copytree(ROOT / "shared", code / "shared")
    (code / "services").mkdir()
    shutil.copy(ROOT / "services" / "__init__.py", code / "services")
    shutil.copytree(ROOT / "services" / service, code / "services" / service)
    names = [
        ".".join(path.relative_to(code).with_suffix("").parts)
        for path in sorted((code / "services" / service).rglob("*.py"))
        if "migrations" not in path.parts and path.stem != "__init__"
    ]
    done = run(venv / "bin" / "python", "-c", f"import {', '.join(names)}", cwd=code, env={"PATH": os.environ["PATH"]})
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("lock", sorted(LOCKS.glob("*.txt")), ids=lambda path: path.stem)
def test_a_lock_has_a_hash_for_everything_and_names_no_registry(lock: Path) -> None:
    text = lock.read_text()
    pinned = re.findall(r"^[A-Za-z0-9_.\[\]-]+==\S+", text, re.MULTILINE)
    assert pinned
    blocks = re.split(r"\n(?=\S)", text)
    assert all("--hash=sha256:" in block for block in blocks if "==" in block.partition(" ")[0])
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text


def test_every_skill_folder_keeps_to_the_agent_skills_format() -> None:
    from shared.skill.discovery import discover

    found = discover()
    assert found.broken == {}
    assert {"http-check", "browser-flow", "dataset-check"} <= set(found.skills)
    for skill in found.skills.values():
        assert skill.manifest.documentation
        assert skill.schema["type"] == "object"


def test_nothing_of_this_machine_is_in_the_repository() -> None:
    listed = run("git", "ls-files", "-z", cwd=ROOT)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    home = str(Path.home()) + "/"
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.is_file():
            assert home not in path.read_bytes().decode(errors="ignore") or home == "//", name
    assert "uv.lock" not in listed.stdout.split("\0")
