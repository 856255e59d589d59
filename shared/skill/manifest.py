"""`SKILL.md` of the open Agent Skills format: YAML front matter, then a text for people and agents."""

import re
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from shared.events import Kind
from shared.skill.errors import BrokenSkill

_FRONT_MATTER = re.compile(r"\A---\r?\n(.*?)\r?\n---\r?\n?(.*)\Z", re.DOTALL)


class Metadata(BaseModel):
    """What is WebGuard's own, under `metadata:`; other tools' keys are left alone."""

    model_config = ConfigDict(extra="ignore", frozen=True, coerce_numbers_to_str=True)

    kind: Kind
    version: str
    # process: the case gets a process of its own, for code that is CPU-bound, blocking or not trusted
    isolation: Literal["shared", "process"] = "shared"
    timeout: float = Field(300, gt=0, le=86_400, description="seconds a case may take where the suite says nothing")


class Manifest(BaseModel):
    """The front matter of a SKILL.md and the text under it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)]
    description: Annotated[str, StringConstraints(min_length=1, max_length=1024)]
    license: str | None = None
    metadata: Metadata
    documentation: str = ""


def read_manifest(folder: Path) -> Manifest:
    """Read `folder/SKILL.md`.

    Raises:
        BrokenSkill: no such file, no front matter, a wrong field, or a name other than the folder's.
    """
    path = folder / "SKILL.md"
    try:
        match = _FRONT_MATTER.match(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BrokenSkill(f"{path}: {error}") from error
    if match is None:
        raise BrokenSkill(f"{path}: no front matter; it begins with a line --- and ends with a line ---")
    try:
        front = yaml.safe_load(match[1])
        manifest = Manifest.model_validate({**front, "documentation": match[2].strip()})
    except yaml.YAMLError as error:
        raise BrokenSkill(f"{path}: {error}") from error
    except (ValidationError, TypeError) as error:
        raise BrokenSkill(f"{path}: {_first_fault(error)}") from error
    if manifest.name != folder.name:
        raise BrokenSkill(f"{path}: name is {manifest.name!r}, but the folder is {folder.name!r}; they must be equal")
    return manifest


def _first_fault(error: Exception) -> str:
    if isinstance(error, ValidationError):
        fault = error.errors()[0]
        return f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
    return "the front matter is not a mapping"
