"""Cursors lead back to where a page ended, and nothing else does."""

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway import cursor
from services.gateway.problems import Refusal

zoned = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(9000, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(zoned, st.uuids())
def test_a_cursor_of_a_time_leads_back_to_it(at: datetime, identity: UUID) -> None:
    assert cursor.decode_time(cursor.encode(at, identity), cursor.LAST) == (at, identity)


@given(st.text(alphabet=st.characters(exclude_characters="\x00", exclude_categories=["Cs"])))
def test_a_cursor_of_a_name_leads_back_to_it(name: str) -> None:
    assert cursor.decode_name(cursor.encode(name)) == name


def test_without_a_cursor_a_list_begins_at_its_start() -> None:
    assert cursor.decode_time(None, cursor.FIRST) == cursor.FIRST
    assert cursor.decode_name(None) == ""


def refused_field(decode: Callable[[str], object], text: str) -> str | None:
    """The field that a refusal names; None: the text was read."""
    try:
        decode(text)
    except Refusal as refusal:
        return refusal.errors[0].field
    return None


@given(st.text())
def test_any_other_text_is_refused_by_its_field_or_read(text: str) -> None:
    assert refused_field(cursor.decode_name, text) in (None, "cursor")
    assert refused_field(lambda value: cursor.decode_time(value, cursor.FIRST), text) in (None, "cursor")


def test_a_cursor_of_another_list_is_refused() -> None:
    with pytest.raises(Refusal):
        cursor.decode_name(cursor.encode(*cursor.FIRST))
    with pytest.raises(Refusal):
        cursor.decode_time(cursor.encode("checkout"), cursor.FIRST)
