"""The checks: each finds the rows that break it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Protocol

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, model_validator

from dataset_check.source import Source
from shared.skill import DefinitionError

SHOWN = 5


class Range(BaseModel):
    model_config = ConfigDict(extra="forbid")

    min: float | date | None = None
    max: float | date | None = None

    @model_validator(mode="after")
    def _bounds(self) -> "Range":
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both")
        return self


class Reference(BaseModel):
    """Every value of `column` must be in `to_column` of another set; nulls refer to nothing."""

    model_config = ConfigDict(extra="forbid")

    column: str
    to: Source
    to_column: str


class Freshness(BaseModel):
    """The newest value of a column may not be older."""

    model_config = ConfigDict(extra="forbid")

    column: str
    max_age_minutes: float = Field(gt=0)


class Wanted(Protocol):
    """The part of the params that is checked row by row."""

    @property
    def not_null(self) -> Sequence[str]: ...
    @property
    def unique(self) -> Sequence[Sequence[str]]: ...
    @property
    def ranges(self) -> Mapping[str, Range]: ...
    @property
    def regex(self) -> Mapping[str, str]: ...
    @property
    def allowed(self) -> Mapping[str, Sequence[str | int | float | bool]]: ...
    @property
    def references(self) -> Sequence[Reference]: ...
    @property
    def freshness(self) -> Freshness | None: ...


@dataclass(frozen=True)
class Finding:
    """A check that does not hold: a sentence, and the rows that break it."""

    name: str
    text: str
    rows: pl.DataFrame


_TYPES: dict[str, Any] = {
    "integer": lambda kind: kind.is_integer(),
    "number": lambda kind: kind.is_numeric(),
    "string": lambda kind: kind == pl.String,
    "boolean": lambda kind: kind == pl.Boolean,
    "date": lambda kind: kind == pl.Date,
    "datetime": lambda kind: isinstance(kind, pl.Datetime),
}


def columns_fit(
    frame: pl.DataFrame, required: Sequence[str], exact: Sequence[str] | None, types: Mapping[str, str]
) -> Iterator[str]:
    """A sentence for each column that is missing, too many, or of another type."""
    there = ", ".join(frame.columns)
    for name in (*required, *(exact or ())):
        if name not in frame.columns:
            yield f"expected a column {name!r}; there are {there}"
    if exact is not None:
        extra = [name for name in frame.columns if name not in exact]
        if extra:
            yield f"unexpected columns: {', '.join(extra)}"
    for name, wanted in types.items():
        if name not in frame.columns:
            yield f"expected a column {name!r} of type {wanted}; there are {there}"
        elif not _TYPES[wanted](frame.schema[name]):
            yield f"expected column {name!r} to be of type {wanted}, it is {frame.schema[name]}"


def find(frame: pl.DataFrame, wanted: Wanted, others: Mapping[str, pl.DataFrame], now: datetime) -> Iterator[Finding]:
    """Every check that does not hold, in the order of the params."""
    for name in wanted.not_null:
        yield from _finding(frame, f"not_null-{name}", _column(frame, name).is_null(), f"{name!r} is null", None)
    for names in wanted.unique:
        for name in names:
            _column(frame, name)
        repeats = frame.select(pl.struct(names).is_duplicated()).to_series()
        yield from _finding(frame, f"unique-{'-'.join(names)}", repeats, f"{', '.join(names)} repeat", names[0])
    for name, bounds in wanted.ranges.items():
        yield from _finding(frame, f"range-{name}", _outside(frame, name, bounds), _range_text(name, bounds), name)
    for name, pattern in wanted.regex.items():
        try:
            re.compile(pattern)
            fits = _column(frame, name).cast(pl.String).str.contains(f"^(?:{pattern})$")
        except (re.error, pl.exceptions.PolarsError) as error:
            raise DefinitionError(f"regex.{name}: {pattern!r} is not a pattern: {error}") from error
        yield from _finding(frame, f"regex-{name}", ~fits, f"{name!r} does not match {pattern!r}", name)
    for name, values in wanted.allowed.items():
        texts = [str(value) for value in values]
        column = _column(frame, name).cast(pl.String)
        wrong = ~column.is_in(texts) & column.is_not_null()
        yield from _finding(frame, f"allowed-{name}", wrong, f"{name!r} is none of {', '.join(texts[:10])}", name)
    for reference in wanted.references:
        other = _column(others[reference.column], reference.to_column).cast(pl.String)
        column = _column(frame, reference.column).cast(pl.String)
        wrong = ~column.is_in(other.unique().to_list()) & column.is_not_null()
        text = f"{reference.column!r} refers to no {reference.to_column!r}"
        yield from _finding(frame, f"reference-{reference.column}", wrong, text, reference.column)
    if wanted.freshness is not None:
        yield from _freshness(frame, wanted.freshness, now)


def _finding(frame: pl.DataFrame, name: str, broken: pl.Series, text: str, show: str | None) -> Iterator[Finding]:
    rows = frame.filter(broken.fill_null(value=False))
    if rows.height == 0:
        return
    values = ""
    if show is not None:
        first = rows.get_column(show).unique(maintain_order=True).head(SHOWN).to_list()
        values = f": {', '.join(str(value) for value in first)}" + (" …" if rows.height > SHOWN else "")
    yield Finding(name, f"in {rows.height} of {frame.height} rows {text}{values}", rows)


def _column(frame: pl.DataFrame, name: str) -> pl.Series:
    if name not in frame.columns:
        raise AssertionError(f"expected a column {name!r}; there are {', '.join(frame.columns)}")
    return frame.get_column(name)


def _outside(frame: pl.DataFrame, name: str, bounds: Range) -> pl.Series:
    column = _column(frame, name)
    try:
        below = column < bounds.min if bounds.min is not None else None
        above = column > bounds.max if bounds.max is not None else None
    except (pl.exceptions.PolarsError, TypeError, NotImplementedError) as error:
        raise AssertionError(f"column {name!r} of type {column.dtype} cannot be compared with its range") from error
    if below is None or above is None:
        found = above if below is None else below
        return found if found is not None else pl.Series([False] * frame.height)
    return below | above


def _range_text(name: str, bounds: Range) -> str:
    parts = [f"{word} {bound}" for word, bound in (("below", bounds.min), ("above", bounds.max)) if bound is not None]
    return f"{name!r} is {' or '.join(parts)}"


def _freshness(frame: pl.DataFrame, wanted: Freshness, now: datetime) -> Iterator[Finding]:
    column = _column(frame, wanted.column)
    if column.dtype == pl.String:
        column = column.str.to_datetime(strict=False, time_zone="UTC")
    elif column.dtype == pl.Date:
        column = column.cast(pl.Datetime)
    newest: Any = column.max()
    nothing = frame.clear()
    if not isinstance(newest, datetime):
        yield Finding("freshness", f"{wanted.column!r} holds no time to tell the age by", nothing)
        return
    age = now - (newest if newest.tzinfo else newest.replace(tzinfo=now.tzinfo))
    if age > timedelta(minutes=wanted.max_age_minutes):
        minutes = age.total_seconds() / 60
        limit = wanted.max_age_minutes
        text = f"the newest {wanted.column!r} is {minutes:.0f} minutes old, more than {limit:g}: {newest.isoformat()}"
        yield Finding("freshness", text, nothing)
