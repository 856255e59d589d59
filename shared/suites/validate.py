"""What a definition must keep to beyond its shape: skills that exist, params they accept, an order that ends."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from shared.events import Kind
from shared.suites.definition import CaseDefinition, SuiteDefinition
from shared.suites.template import names


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a definition: where (a path into it) and what to do."""

    path: tuple[str | int, ...]
    message: str

    @property
    def field(self) -> str:
        return ".".join(str(part) for part in self.path)

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


@dataclass(frozen=True)
class SkillInfo:
    """What is known of a skill when a suite is saved. `check_params` yields (path, message) of each fault."""

    name: str
    kind: Kind
    check_params: Callable[[Mapping[str, Any]], Sequence[tuple[tuple[str | int, ...], str]]]


def check(suite: SuiteDefinition, skills: Mapping[str, SkillInfo]) -> list[Fault]:
    """Every fault of a definition, in the order of the file; none: it can be saved."""
    faults: list[Fault] = []
    by_name = {case.name: case for case in suite.cases}
    for index, case in enumerate(suite.cases):
        at: tuple[str | int, ...] = ("cases", index)
        faults += [
            Fault((*at, "depends_on", n), f"there is no case {needed!r}; there are: {_some(by_name)}")
            for n, needed in enumerate(case.depends_on)
            if needed not in by_name
        ]
        skill = skills.get(case.skill)
        if skill is None:
            faults.append(Fault((*at, "skill"), f"skill {case.skill!r} is not installed; found: {_some(skills)}"))
        else:
            if case.kind not in (None, skill.kind):
                faults.append(Fault((*at, "kind"), f"skill {case.skill!r} is of kind {skill.kind}, not {case.kind}"))
            faults += [Fault((*at, "params", *path), text) for path, text in skill.check_params(case.params)]
    cycle = find_cycle(suite.cases)
    if cycle:
        index = next(i for i, case in enumerate(suite.cases) if case.name == cycle[0])
        faults.append(Fault(("cases", index, "depends_on"), f"the cases wait for each other: {' → '.join(cycle)}"))
    else:
        faults += _missing_variables(suite, by_name)
    return faults


def find_cycle(cases: Sequence[CaseDefinition]) -> list[str] | None:
    """Case names around a cycle of `depends_on`, first and last the same; None where there is none."""
    try:
        TopologicalSorter({case.name: case.depends_on for case in cases}).prepare()
    except CycleError as error:
        return [str(name) for name in error.args[1]]
    return None


def _missing_variables(suite: SuiteDefinition, by_name: Mapping[str, CaseDefinition]) -> list[Fault]:
    """A name must be a suite variable, a secret, or saved by a case that is sure to have passed before."""
    faults = []
    for index, case in enumerate(suite.cases):
        known = set(suite.variables)
        waiting, seen = list(case.depends_on), set()
        while waiting:
            name = waiting.pop()
            if name in seen or name not in by_name:
                continue
            seen.add(name)
            known |= set(by_name[name].save)
            waiting += by_name[name].depends_on
        for name in dict.fromkeys(names(case.params)):
            if name.startswith("secrets.") or name in known:
                continue
            saver = next((other.name for other in suite.cases if name in other.save), None)
            hint = (
                f"case {saver!r} saves it: add it to depends_on"
                if saver
                else "add it to the suite's variables, or save it in a case that this one depends on"
            )
            faults.append(Fault(("cases", index, "params"), f"variable ${{{name}}} is not defined; {hint}"))
    return faults


def _some(known: Mapping[str, Any]) -> str:
    listed = sorted(known)
    more = f" and {len(listed) - 20} more" if len(listed) > 20 else ""
    return (", ".join(listed[:20]) + more) or "none"
