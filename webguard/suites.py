"""Suite files: YAML with the line of every field, so that a fault names file, line and field."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from shared.errors import WebGuardError
from shared.suites import SuiteDefinition

ENDINGS = (".yaml", ".yml", ".json")


@dataclass(frozen=True)
class FileFault:
    """One thing wrong with a file."""

    file: Path
    line: int
    field: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}: "
        return where + (f"{self.field}: {self.message}" if self.field else self.message)


class BadFiles(WebGuardError):
    """Files that cannot be applied; every fault is named."""

    def __init__(self, faults: Sequence[FileFault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = list(faults)


@dataclass(frozen=True)
class SuiteFile:
    """A suite as it stands in a file."""

    file: Path
    document: Any  # ruamel's mapping, which knows its lines
    suite: SuiteDefinition

    def fault(self, field: str, message: str) -> FileFault:
        """A fault at a dotted path such as cases.3.params.url."""
        return FileFault(self.file, line_of(self.document, field.split(".") if field else []), field, message)


def read_files(path: Path) -> list[SuiteFile]:
    """Every suite in a file, or in a folder and those below it, by name.

    Raises:
        BadFiles: one of them cannot be read; every fault of every file is named.
    """
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix in ENDINGS and p.is_file())
        if not files:
            raise BadFiles([FileFault(path, 1, "", "there is no .yaml or .json file here")])
    elif path.is_file():
        files = [path]
    else:
        raise BadFiles([FileFault(path, 1, "", "there is no such file or folder")])
    suites: list[SuiteFile] = []
    faults: list[FileFault] = []
    for file in files:
        try:
            suites += read_file(file)
        except BadFiles as error:
            faults += error.faults
    faults += _repeats(suites)
    if faults:
        raise BadFiles(faults)
    return suites


def read_file(file: Path) -> list[SuiteFile]:
    """The suites of one file; several stand apart by `---`.

    Raises:
        BadFiles: with every fault.
    """
    yaml = YAML(typ="rt")
    try:
        documents = list(yaml.load_all(file.read_text(encoding="utf-8")))
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise BadFiles([FileFault(file, line, "", f"not YAML: {error.problem}")]) from error
    except (YAMLError, UnicodeDecodeError, OSError, ValueError) as error:
        raise BadFiles([FileFault(file, 1, "", f"cannot be read: {error}")]) from error
    found: list[SuiteFile] = []
    faults: list[FileFault] = []
    for document in documents:
        if document is None:
            continue
        if not isinstance(document, dict):
            faults.append(FileFault(file, 1, "", "a suite is a mapping that begins with `suite: NAME`"))
            continue
        try:
            found.append(SuiteFile(file, document, SuiteDefinition.model_validate(plain(document))))
        except ValidationError as error:
            for fault in error.errors():
                path = [str(part) for part in fault["loc"]]
                message = fault["msg"].removeprefix("Value error, ")
                if fault["type"] == "extra_forbidden":
                    message = "there is no such field here"
                if not path and ": " in message:  # a validator of the whole names the field in its text
                    field, message = message.split(": ", 1)
                    path = field.split(".")
                faults.append(FileFault(file, line_of(document, path), ".".join(path), message))
    if not documents or (not found and not faults):
        faults.append(FileFault(file, 1, "", "the file is empty"))
    if faults:
        raise BadFiles(faults)
    return found


def line_of(document: Any, path: Iterable[str]) -> int:
    """The line (from 1) of a path in a document, or of the nearest thing above it that is there."""
    line = getattr(getattr(document, "lc", None), "line", 0) or 0
    here = document
    for part in path:
        if isinstance(here, CommentedMap) and part in here:
            line = here.lc.key(part)[0]
            here = here[part]
        elif isinstance(here, CommentedSeq) and part.isdigit() and int(part) < len(here):
            line = here.lc.item(int(part))[0]
            here = here[int(part)]
        else:
            break
    return int(line) + 1


def plain(value: Any) -> Any:
    """ruamel's values as JSON's."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, bool) or value is None:
        return value
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return str(value)  # a date, which YAML makes of 2026-01-01


def _repeats(suites: Sequence[SuiteFile]) -> list[FileFault]:
    seen: dict[str, SuiteFile] = {}
    faults = []
    for item in suites:
        first = seen.setdefault(item.suite.suite, item)
        if first is not item:
            faults.append(item.fault("suite", f"suite {item.suite.suite!r} is also defined in {first.file}"))
    return faults
