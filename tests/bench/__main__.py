"""`make bench ARGS="--only pipeline --json FILE"`: the numbers we claim."""

import argparse
import asyncio
import json
from pathlib import Path

from tests.bench import pipeline

BENCHES = {"pipeline": pipeline.bench}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", choices=BENCHES, help="one benchmark instead of all")
    parser.add_argument("--json", type=Path, help="write the figures to a file")
    arguments = parser.parse_args()
    found = {}
    for name in [arguments.only] if arguments.only else BENCHES:
        print(f"{name}: {BENCHES[name].__module__}", flush=True)
        found[name] = asyncio.run(BENCHES[name]())
        for key, value in found[name].items():
            print(f"  {key:20} {value}")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
