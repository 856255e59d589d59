"""A skill's own package beside its skill.py, and what is said and hidden around params."""

import base64
import json
import sys
from html import escape
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.skill.discovery import load
from shared.skill.errors import BrokenSkill
from shared.skill.masking import SHORTEST, Masker
from shared.suites.params import check_params

SKILL = """
from pydantic import BaseModel
from {package}.parts import WORD
class Params(BaseModel):
    word: str = WORD
async def run(ctx, params):
    return {{"word": params.word}}
"""


def write(parent: Path, name: str, word: str) -> Path:
    folder, package = parent / name, name.replace("-", "_")
    (folder / package).mkdir(parents=True)
    front = f"---\nname: {name}\ndescription: test\nmetadata: {{kind: api, version: '1'}}\n---\n"
    (folder / "SKILL.md").write_text(front)
    (folder / "skill.py").write_text(SKILL.format(package=package))
    (folder / package / "__init__.py").write_text("")
    (folder / package / "parts.py").write_text(f"WORD = {word!r}\n")
    return folder


def test_a_skill_imports_its_own_package_and_puts_nothing_on_the_path(tmp_path: Path) -> None:
    path = list(sys.path)
    assert load(write(tmp_path, "wgtest-one", "one")).params().model_dump() == {"word": "one"}
    assert load(write(tmp_path, "wgtest-two", "two")).params().model_dump() == {"word": "two"}
    assert sys.path == path


def test_of_two_folders_with_one_name_each_gets_its_own_package(tmp_path: Path) -> None:
    first = load(write(tmp_path / "a", "wgtest-same", "first"))
    second = load(write(tmp_path / "b", "wgtest-same", "second"))
    assert first.params().model_dump() == {"word": "first"}
    assert second.params().model_dump() == {"word": "second"}


def test_a_package_named_like_a_library_is_refused_and_the_library_stays(tmp_path: Path) -> None:
    with pytest.raises(BrokenSkill, match="package 'json' is already there from elsewhere"):
        load(write(tmp_path, "json", "mine"))
    assert sys.modules["json"] is json
    assert not hasattr(json, "WORD")


@given(st.text(min_size=SHORTEST, max_size=30))
def test_a_secret_is_masked_in_every_form_it_travels_in(secret: str) -> None:
    masker = Masker()
    masker.add(secret)
    inner = json.dumps({"password": secret})
    for text in (
        f"<{secret}>",
        inner,
        json.dumps({"body": inner}),
        json.dumps({"body": inner}, ensure_ascii=False),
        f"?q={quote(secret, safe='')}&",
        f"q={quote_plus(secret)}",
        f"<p>{escape(secret)}</p>",
    ):
        assert "***" in masker.text(text)
    assert masker.text(base64.b64encode(b"nothing of it").decode()) == "bm90aGluZyBvZiBpdA=="


CHOICE = {
    "type": "object",
    "properties": {
        "one": {"oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
        "short": {"anyOf": [{"type": "string"}, {"type": "object", "properties": {"u": {"enum": ["load", "idle"]}}}]},
        "steps": {"type": "object", "properties": {"x": {}, "y": {}}, "minProperties": 1, "maxProperties": 1},
    },
}


def test_a_choice_of_keys_is_told_as_one() -> None:
    assert check_params(CHOICE, {"one": {}}) == [(("one",), "exactly one of a, b is needed")]
    assert check_params(CHOICE, {"one": {"a": 1, "b": 2}}) == [(("one",), "exactly one of a, b is needed")]
    assert check_params(CHOICE, {"one": {"a": 1}}) == []
    assert check_params(CHOICE, {"one": "a"}) == []  # nothing here says that it is an object
    assert check_params(CHOICE, {"steps": {}}) == [(("steps",), "at least 1 of these keys: x, y")]
    assert check_params(CHOICE, {"steps": {"x": 1, "y": 1}}) == [(("steps",), "at most 1 of these keys: x, y")]


def test_of_several_types_the_fault_of_the_fitting_one_is_told() -> None:
    assert check_params(CHOICE, {"short": "x"}) == []
    assert check_params(CHOICE, {"short": {"u": "lod"}}) == [
        (("short", "u"), "'lod' is not one of load, idle; did you mean load?")
    ]
    [(path, message)] = check_params(CHOICE, {"short": 5})
    assert path == ("short",)
    assert message.startswith("5 is not")
