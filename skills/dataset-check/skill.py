"""Check a data set: what is in it, and what may not be."""

import time
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import polars as pl
from dataset_check.checks import Finding, Freshness, Range, Reference, columns_fit, find
from dataset_check.source import Source, load
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from shared.skill import CheckFailed, Context

SAMPLE_ROWS = 100
Column = Annotated[str, StringConstraints(min_length=1)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class RowCount(Strict):
    min: int | None = Field(None, ge=0)
    max: int | None = Field(None, ge=0)
    equals: int | None = Field(None, ge=0)


class Columns(Strict):
    required: list[Column] = Field(default_factory=list, description="these must be there, others may")
    exact: list[Column] | None = Field(None, description="these and no others")
    types: dict[Column, Literal["integer", "number", "string", "boolean", "date", "datetime"]] = Field(
        default_factory=dict
    )


class Params(Strict):
    """A data set and what it must keep to."""

    source: Source
    row_count: RowCount = RowCount()
    columns: Columns = Columns()
    not_null: list[Column] = Field(default_factory=list)
    unique: list[list[Column]] = Field(default_factory=list, description="each: columns that together never repeat")
    ranges: dict[Column, Range] = Field(default_factory=dict)
    regex: dict[Column, str] = Field(default_factory=dict, description="column → what each whole value must match")
    allowed: dict[Column, list[str | int | float | bool]] = Field(default_factory=dict)
    references: list[Reference] = Field(default_factory=list)
    freshness: Freshness | None = None

    @model_validator(mode="after")
    def _checks_something(self) -> "Params":
        if not self.model_fields_set - {"source"}:
            raise ValueError("say what to check: row_count, columns, not_null, unique, ranges, regex, allowed, …")
        return self


async def run(ctx: Context, params: Params) -> dict[str, Any]:
    """Load, check, keep a sample of what is wrong."""
    began = time.perf_counter()
    async with ctx.step("load the data"):
        frame, size = await load(ctx, params.source)
    ctx.metric("load", (time.perf_counter() - began) * 1000, "ms")
    ctx.metric("rows", frame.height, "rows")
    ctx.metric("columns", frame.width, "columns")
    ctx.metric("bytes", size, "bytes")
    async with ctx.step("rows and columns"):
        for text in _counts(params.row_count, frame.height):
            ctx.expect(False, text)
        columns = params.columns
        for text in columns_fit(frame, columns.required, columns.exact, columns.types):
            ctx.expect(False, text)
    others = {}
    for reference in params.references:
        async with ctx.step(f"load what {reference.column} refers to"):
            others[reference.column], _ = await load(ctx, reference.to)
    violations = 0
    async with ctx.step("values"):
        for finding in find(frame, params, others, datetime.now(UTC)):
            violations += finding.rows.height
            ctx.expect(False, finding.text)
            _sample(ctx, finding)
    ctx.metric("violations", violations, "rows")
    if ctx.failures:
        raise CheckFailed("\n".join(ctx.failures))
    return {"rows": frame.height, "columns": frame.columns}


def _counts(wanted: RowCount, rows: int) -> list[str]:
    found = []
    if wanted.equals is not None and rows != wanted.equals:
        found.append(f"expected {wanted.equals} rows, there are {rows}")
    if wanted.min is not None and rows < wanted.min:
        found.append(f"expected at least {wanted.min} rows, there are {rows}")
    if wanted.max is not None and rows > wanted.max:
        found.append(f"expected at most {wanted.max} rows, there are {rows}")
    return found


def _sample(ctx: Context, finding: Finding) -> None:
    if finding.rows.height == 0:
        return
    nested = [name for name, kind in finding.rows.schema.items() if isinstance(kind, pl.List | pl.Struct)]
    flat = finding.rows.head(SAMPLE_ROWS).with_columns(pl.col(name).cast(pl.String) for name in nested)
    ctx.artifacts.save(f"{finding.name}.csv", flat.write_csv(), "data", "text/csv; charset=utf-8")
