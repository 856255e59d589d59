"""Suite files: reading them, with faults that name file, line and field, and writing them."""

import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches, unified_diff
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML

from shared.suites import CaseDefinition, Fault, Retry, SkillInfo, SuiteDefinition, check
from webguard.errors import UsageFault
from webguard.yamlfile import YamlDocument, YamlFault, read_yaml

SUFFIXES = (".yaml", ".yml")
_FIELD_IN_TEXT = re.compile(r"((?:\w+\.)*\w+): (.*)", re.DOTALL)
_MODELS: dict[str, type[BaseModel]] = {"cases": CaseDefinition, "retry": Retry}


@dataclass(frozen=True)
class FileFault:
    """One thing wrong with a suite file."""

    file: Path
    line: int
    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.field + ': ' if self.field else ''}{self.message}"


class BadFiles(UsageFault):
    """Files that cannot be applied; every fault of every file is named, a line each."""

    def __init__(self, faults: Iterable[FileFault]) -> None:
        self.faults = list(faults)
        super().__init__("\n".join(map(str, self.faults)))


@dataclass(frozen=True)
class SuiteFile:
    """A suite and where it was read."""

    file: Path
    suite: SuiteDefinition
    source: YamlDocument

    @property
    def name(self) -> str:
        return self.suite.suite

    def fault(self, field: str, message: str) -> FileFault:
        """A fault somebody else found (the server's `cases.3.params.url`), at its line of this file."""
        path = tuple(int(part) if part.isdecimal() else part for part in field.split(".") if part)
        return FileFault(self.file, self.source.line_of(path), field, message)


def find_files(path: Path) -> list[Path]:
    """The file itself, or every suite file under a folder, in order; hidden folders are left out.

    Raises:
        UsageFault: there is no such file, or none in the folder.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UsageFault(f"{path}: there is no such file or folder")
    found = sorted(
        p for suffix in SUFFIXES for p in path.rglob(f"*{suffix}") if not _hidden(p.relative_to(path)) and p.is_file()
    )
    if not found:
        raise UsageFault(f"{path}: there is no suite file here; they end in {' or '.join(SUFFIXES)}")
    return found


def read_files(path: Path) -> list[SuiteFile]:
    """Every suite in a file, or in a folder and those below it.

    Raises:
        UsageFault: there is no file.
        BadFiles: one of them has a fault of shape; all faults are named.
    """
    suites, faults = read_suites(find_files(path))
    if faults:
        raise BadFiles(faults)
    return suites


def read_suites(files: Iterable[Path]) -> tuple[list[SuiteFile], list[FileFault]]:
    """Every suite of the files, and every fault of their shape. A suite with a fault is not among the suites."""
    suites: list[SuiteFile] = []
    faults: list[FileFault] = []
    first: dict[str, SuiteFile] = {}
    for file in files:
        found, wrong = _read_file(file)
        faults += wrong
        for suite in found:
            other = first.setdefault(suite.name, suite)
            if other is suite:
                suites.append(suite)
            else:
                there = f"{other.file}:{other.source.line_of(('suite',))}"
                faults.append(suite.fault("suite", f"there is already a suite {suite.name!r}, at {there}"))
    return suites, faults


def check_suites(suites: Iterable[SuiteFile], skills: Mapping[str, SkillInfo]) -> list[FileFault]:
    """Every fault beyond the shape: skills, params, order, variables."""
    return [suite.fault(fault.field, fault.message) for suite in suites for fault in check(suite.suite, skills)]


def shape_faults(error: ValidationError) -> list[Fault]:
    """What pydantic says, as faults in our words."""
    faults = []
    for detail in error.errors():
        path = tuple(part for part in detail["loc"] if part != "[key]")
        text = detail["msg"].removeprefix("Value error, ")
        named = _FIELD_IN_TEXT.fullmatch(text) if not path else None
        if named:  # the suite's own validators put the field into their text
            path = tuple(int(part) if part.isdecimal() else part for part in named[1].split("."))
            text = named[2]
        elif detail["type"] == "extra_forbidden":
            text = _unknown_field(path)
        elif detail["type"] == "missing":
            text = "is missing"
        faults.append(Fault(path, text))
    return faults


def to_yaml(document: Mapping[str, Any]) -> str:
    """A definition as a suite file, its fields in the order of the model."""
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 110
    yaml.indent(mapping=2, sequence=4, offset=2)
    text = io.StringIO()
    yaml.dump(dict(document), text)
    return text.getvalue()


def diff(name: str, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> str:
    """A unified diff of two definitions of a suite as YAML; empty where they say the same."""
    before = to_yaml(old).splitlines() if old else []
    after = to_yaml(new).splitlines() if new else []
    return "\n".join(unified_diff(before, after, f"{name} (there)", f"{name} (file)", lineterm=""))


def _read_file(file: Path) -> tuple[list[SuiteFile], list[FileFault]]:
    suites: list[SuiteFile] = []
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        return [], [FileFault(file, 1, "", f"cannot be read: {error}")]
    faults: list[FileFault] = []
    documents = 0
    try:
        for document in read_yaml(text):
            documents += 1
            try:
                suites.append(SuiteFile(file, SuiteDefinition.model_validate(document.value), document))
            except ValidationError as error:
                faults += [FileFault(file, document.line_of(f.path), f.field, f.message) for f in shape_faults(error)]
    except YamlFault as fault:
        faults.append(FileFault(file, fault.line, fault.field, str(fault)))
    if not documents and not faults:
        faults.append(FileFault(file, 1, "", "is empty; a suite begins like `suite: checkout`"))
    return suites, sorted(faults, key=lambda fault: fault.line)


def _unknown_field(path: tuple[str | int, ...]) -> str:
    parents = [part for part in path[:-1] if isinstance(part, str)]
    known = list(_MODELS.get(parents[-1] if parents else "", SuiteDefinition).model_fields)
    close = get_close_matches(str(path[-1]), known, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
    return f"there is no such field; {hint}"


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
