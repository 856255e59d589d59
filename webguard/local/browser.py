"""Finds Chromium, and installs it where that needs no question: `python -m webguard.local.browser --install`."""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

from shared.skill.chromium import find_chromium

PACKAGES = ("chromium-headless-shell", "fonts-liberation")
MISSING = (
    "Chromium is missing: install Debian's chromium-headless-shell (or run `playwright install "
    "chromium-headless-shell`), or set WEBGUARD_CHROMIUM. Until then browser cases end in error."
)


def install() -> bool:
    """Try the ways there are, the quickest first. Says on standard error what it does."""
    ways: list[list[Sequence[str]]] = []
    if os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = ("-qq", "-o", "DPkg::Lock::Timeout=120")
        wanted = ("apt-get", "install", "-y", "--no-install-recommends", *quiet, *PACKAGES)
        ways += [[("apt-get", "update", *quiet), wanted]]
    ways += [[(sys.executable, "-m", "playwright", "install", "chromium-headless-shell")]]
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for way in ways:
        print(f"installing Chromium: {' '.join(way[-1])}", file=sys.stderr)
        done = [subprocess.run(command, env=env, check=False, capture_output=True) for command in way]
        if find_chromium() is not None:
            return True
        print(f"  that did not work: {_last_line(done[-1])}", file=sys.stderr)
    return False


def _last_line(done: "subprocess.CompletedProcess[bytes]") -> str:
    lines = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"exit code {done.returncode}"


def main() -> int:
    parser = argparse.ArgumentParser(description="Find Chromium for browser cases.")
    parser.add_argument("--install", action="store_true", help="install it where it is missing and that is possible")
    parser.add_argument("--require", action="store_true", help="exit code 1 where there is none in the end")
    arguments = parser.parse_args()
    if find_chromium() is None and not (arguments.install and install()):
        print(MISSING, file=sys.stderr)
        return 1 if arguments.require else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
