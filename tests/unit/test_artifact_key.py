"""Keys of artifacts."""

import re
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from shared.artifacts import artifact_key

EXECUTION = UUID(int=7)


@given(st.text(), st.text())
def test_a_key_has_five_safe_parts_whatever_case_and_file_are_called(case: str, name: str) -> None:
    key = artifact_key("default", EXECUTION, case, 1, 2, name)
    assert re.fullmatch(r"default/[0-9a-f-]{36}/[A-Za-z0-9._-]+/1-2/[A-Za-z0-9._-]+", key)
    assert not {"..", "."} & set(key.split("/"))


@given(st.text(), st.text())
def test_two_cases_never_share_a_key(one: str, other: str) -> None:
    keys = {artifact_key("default", EXECUTION, case, 1, 1, "a.png") for case in (one, other)}
    assert len(keys) == len({one, other})
