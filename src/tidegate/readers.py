"""Files as rows: CSV, JSON lines and Parquet, compressed by gzip or not, read as a stream.

A row is a dict by column name. A line that is no row becomes Unreadable, so that one broken line does not end
an ingest.
"""

from __future__ import annotations

import csv
import gzip
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, Literal

import orjson

from tidegate.errors import IngestError

Format = Literal["csv", "jsonl", "parquet"]
EXTENSIONS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".inter": "csv",  # RecBole's tab-separated files
    ".item": "csv",
    ".user": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_DELIMITERS = ",\t;|"
_SAMPLE = 1000  # rows whose names count as the columns of a JSON lines file
_BATCH = 10_000


@dataclass(frozen=True)
class Unreadable:
    """A line that is no row."""

    line: str
    reason: str


@dataclass
class Source:
    """A file of rows. `position` of `size` tells how far it is read: bytes, or rows of a Parquet file."""

    path: Path
    form: Format
    encoding: str = "utf-8"
    position: int = 0

    @property
    def size(self) -> int:
        """What `position` runs up to."""
        return _parquet(self.path).metadata.num_rows if self.form == "parquet" else self.path.stat().st_size

    def columns(self) -> list[str]:
        """Return the names of the columns, in their order. Raises IngestError for what is no such file."""
        if self.form == "parquet":
            return list(_parquet(self.path).schema_arrow.names)
        if self.form == "csv":
            with self._lines() as lines:
                return _header(lines, self.path)
        rows = (row for row in islice(self.rows(), _SAMPLE) if isinstance(row, dict))
        return list(dict.fromkeys(name for row in rows for name in row))

    def rows(self, skip: int = 0) -> Iterator[dict[str, Any] | Unreadable]:
        """Yield the rows after the first `skip`. Raises IngestError where the file cannot be read on."""
        if self.form == "parquet":
            yield from self._parquet_rows(skip)
            return
        with self._lines() as lines:
            yield from islice(_csv_rows(lines, self.path) if self.form == "csv" else _json_rows(lines), skip, None)

    def _parquet_rows(self, skip: int) -> Iterator[dict[str, Any]]:
        file = _parquet(self.path)
        groups = list(range(file.num_row_groups))
        self.position = 0
        while groups and self.position + file.metadata.row_group(groups[0]).num_rows <= skip:
            self.position += file.metadata.row_group(groups.pop(0)).num_rows
        for batch in file.iter_batches(batch_size=_BATCH, row_groups=groups):
            for row in batch.to_pylist():
                self.position += 1
                if self.position > skip:
                    yield row

    @contextmanager
    def _lines(self) -> Iterator[Iterator[str]]:
        """Open the file as text; what it holds may still turn out to be something else."""
        with self.path.open("rb") as raw:
            packed = gzip.GzipFile(fileobj=raw) if self.path.suffix == ".gz" else raw
            try:
                text = io.TextIOWrapper(packed, encoding=self._codec(), newline="")
                yield self._followed(text, raw)
            except (UnicodeDecodeError, LookupError) as error:
                raise IngestError(
                    f"{self.path.name} is not {self.encoding} text: {error}.",
                    "Name its encoding: --encoding latin-1.",
                ) from None
            except (gzip.BadGzipFile, EOFError) as error:
                raise IngestError(f"{self.path.name} is damaged: {error}.", "Make or fetch it again.") from None

    def _followed(self, text: IO[str], raw: IO[bytes]) -> Iterator[str]:
        for line in text:
            self.position = raw.tell()
            yield line

    def _codec(self) -> str:
        return "utf-8-sig" if self.encoding.lower() in ("utf-8", "utf8") else self.encoding  # spreadsheets write a mark


def open_source(path: Path, form: Format | None = None, encoding: str = "utf-8") -> Source:
    """Return a file as a source of rows, its format told by its extension. Raises IngestError, OSError."""
    with path.open("rb") as file:  # the system's own words for a missing file or a folder
        file.read(1)
    bare = path.with_suffix("") if path.suffix == ".gz" else path
    found = form or EXTENSIONS.get(bare.suffix.lower())
    if found is None:
        raise IngestError(f"{path.name} has no extension that tells its format.", "Say --format csv, jsonl or parquet.")
    return Source(path, found, encoding)


def _header(lines: Iterator[str], path: Path) -> list[str]:
    first = next(lines, "")
    names = next(csv.reader([first], delimiter=_delimiter(first)), [])
    if not names:
        raise IngestError(f"{path.name} is empty.", "The first line of a CSV file names its columns.")
    return [name.strip() for name in names]


def _delimiter(header: str) -> str:
    return max(_DELIMITERS, key=header.count)


def _csv_rows(lines: Iterator[str], path: Path) -> Iterator[dict[str, Any] | Unreadable]:
    csv.field_size_limit(sys.maxsize if sys.maxsize < 2**31 else 2**31 - 1)
    first = next(lines, "")
    names = _header(iter([first]), path)
    reader = csv.reader(lines, delimiter=_delimiter(first))
    try:
        for cells in reader:
            if len(cells) == len(names):
                yield dict(zip(names, cells, strict=True))
            elif cells:
                yield Unreadable(",".join(cells), f"the line has {len(cells)} cells, the header {len(names)}")
    except csv.Error as error:
        raise IngestError(
            f"{path.name}, line {reader.line_num + 1}: {error}.", "Mend the line, or its quotes."
        ) from None


def _json_rows(lines: Iterator[str]) -> Iterator[dict[str, Any] | Unreadable]:
    for line in lines:
        if line.strip():
            yield _json_row(line)


def _json_row(line: str) -> dict[str, Any] | Unreadable:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        return Unreadable(line.strip(), "the line is not JSON")
    return row if isinstance(row, dict) else Unreadable(line.strip(), "the line is not a JSON object")


def _parquet(path: Path) -> Any:
    import pyarrow
    from pyarrow.parquet import ParquetFile

    try:
        return ParquetFile(path)
    except pyarrow.ArrowInvalid as error:
        raise IngestError(
            f"{path.name} is no Parquet file: {str(error).splitlines()[0]}", "Say its --format."
        ) from None
