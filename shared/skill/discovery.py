"""Finding and loading skill folders. They are loaded by path: their names have hyphens and they are no packages."""

import hashlib
import importlib.util
import inspect
import json
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from shared.skill.context import Context
from shared.skill.errors import BrokenSkill, SkillNotFound
from shared.skill.manifest import Manifest, read_manifest

ROOT = Path(__file__).resolve().parents[2]
# In a checkout the repo's folder; in an installed wheel the copy that it carries.
BUNDLED = next((p for p in (ROOT / "skills", ROOT / "webguard" / "skills") if p.is_dir()), ROOT / "skills")

Run = Callable[[Context, Any], Awaitable[Mapping[str, Any] | None]]


@dataclass(frozen=True)
class Skill:
    """A loaded skill folder."""

    folder: Path
    manifest: Manifest
    params: type[BaseModel]
    run: Run

    @property
    def name(self) -> str:
        return self.manifest.name

    @cached_property
    def schema(self) -> dict[str, Any]:
        """JSON Schema 2020-12 of the params, as they are written in a suite file."""
        return self.params.model_json_schema(by_alias=True, mode="validation")

    @cached_property
    def digest(self) -> str:
        offer = [self.manifest.model_dump(mode="json"), self.schema]
        return hashlib.sha256(json.dumps(offer, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Found:
    """What a search found: the skills by name, and for each broken folder what is wrong with it."""

    skills: dict[str, Skill]
    broken: dict[str, str]

    def get(self, name: str) -> Skill:
        """The skill of that name.

        Raises:
            SkillNotFound: there is none, or its folder is broken.
        """
        if name in self.skills:
            return self.skills[name]
        if name in self.broken:
            raise SkillNotFound(f"skill {name!r} is broken: {self.broken[name]}")
        raise SkillNotFound(f"skill {name!r} is not installed; found: {', '.join(sorted(self.skills)) or 'none'}")


def discover(folders: Iterable[Path] = (), *, kind: str | None = None) -> Found:
    """Load every skill in `folders` and in the bundled one; of two with one name the first found counts.

    A broken folder is reported by name and hurts no other.
    """
    skills: dict[str, Skill] = {}
    broken: dict[str, str] = {}
    for parent in (*folders, BUNDLED):
        for folder in sorted(p for p in parent.glob("*") if (p / "SKILL.md").is_file()):
            if folder.name in skills:
                continue
            try:
                manifest = read_manifest(folder)
                if kind is None or manifest.metadata.kind == kind:
                    skills[manifest.name] = load(folder, manifest)
            except BrokenSkill as error:
                broken.setdefault(folder.name, str(error))
    return Found(skills, {name: fault for name, fault in broken.items() if name not in skills})


def load(folder: Path, manifest: Manifest | None = None) -> Skill:
    """Load one skill folder.

    A skill too long for one file keeps the rest in a package named like itself with underscores
    (`skills/browser-flow/browser_flow/`): one name a skill, so that no two meet, and type checkers find it.

    Raises:
        BrokenSkill: its manifest or its code cannot be used.
    """
    manifest = manifest or read_manifest(folder)
    path = folder / "skill.py"
    name = f"webguard_skill_{manifest.name.replace('-', '_')}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise BrokenSkill(f"{path}: there is no such file")
    module = importlib.util.module_from_spec(spec)
    try:
        _load_package(folder, manifest.name.replace("-", "_"))
        sys.modules[name] = module  # pydantic looks up annotations there
        spec.loader.exec_module(module)
    except Exception as error:
        sys.modules.pop(name, None)
        raise BrokenSkill(f"{path}: {type(error).__name__}: {error}") from error
    params, run = getattr(module, "Params", None), getattr(module, "run", None)
    if not (isinstance(params, type) and issubclass(params, BaseModel)):
        raise BrokenSkill(f"{path}: there is no pydantic model named Params")
    if not inspect.iscoroutinefunction(run):
        raise BrokenSkill(f"{path}: there is no `async def run(ctx, params)`")
    return Skill(folder, manifest, params, run)


def _load_package(folder: Path, name: str) -> None:
    """Make the skill's own package importable without a way in for the other files of its folder."""
    init = folder / name / "__init__.py"
    if not init.is_file():
        return
    loaded = sys.modules.get(name)
    foreign = importlib.util.find_spec(name) if loaded is None else None
    if (foreign is not None and foreign.origin != str(init)) or not getattr(
        loaded, "__webguard_skill__", loaded is None
    ):
        raise ImportError(f"package {name!r} is already there from elsewhere; give the skill another name")
    for stale in [key for key in sys.modules if key == name or key.startswith(f"{name}.")]:
        del sys.modules[stale]  # of another folder with a skill of this name
    spec = importlib.util.spec_from_file_location(name, init, submodule_search_locations=[str(init.parent)])
    if spec is None or spec.loader is None:
        raise ImportError(f"{init} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    module.__dict__["__webguard_skill__"] = True
    sys.modules[name] = module
    spec.loader.exec_module(module)
