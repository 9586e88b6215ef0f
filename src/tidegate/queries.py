"""The SQL that runs, by name.

Statements live in `sql/*.sql` as named blocks, so that an editor colours them, a DBA can read them, and
Python says what it wants in one word:

    -- claim_window --
    -- Take the oldest window of a stream that nobody works on.
    select ...

`queries["claim_window"]` is the block's text. It goes to psycopg as it is: parameters are `%(name)s`, and a
literal per cent sign is written twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import LiteralString

_HEADER = re.compile(r"^-- (?P<name>[a-z][a-z0-9_]*) --[ ]*\n(?=-- \S)", re.MULTILINE)


class Queries(Mapping[str, LiteralString]):
    """The named blocks of every `.sql` file in a folder, read on first use.

    Names are unique over all files. The text counts as a literal for type checkers because it comes from
    our own files and never from a request.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cached_property
    def _blocks(self) -> dict[str, LiteralString]:
        blocks: dict[str, LiteralString] = {}
        for file in sorted(self._folder.glob("*.sql")):
            for name, text in read_blocks(file.read_text(encoding="utf-8")):
                if name in blocks:
                    raise ValueError(f"{file.name}: the block {name!r} exists already; block names are unique.")
                blocks[name] = text
        return blocks

    def __getitem__(self, name: str) -> LiteralString:
        """Return the statement with its description. Raises KeyError with the names there are."""
        try:
            return self._blocks[name]
        except KeyError:
            known = ", ".join(sorted(self._blocks))
            raise KeyError(f"no query {name!r} in {self._folder}; there are: {known}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._blocks)

    def __len__(self) -> int:
        return len(self._blocks)


def read_blocks(text: str) -> Iterator[tuple[str, str]]:
    """Yield (name, statement) for each named block of a file.

    A block ends where the next begins. What stands before the first header is the file's own comment.
    """
    headers = list(_HEADER.finditer(text))
    ends = [header.start() for header in headers[1:]] + [len(text)]
    for header, end in zip(headers, ends, strict=True):
        yield header["name"], text[header.end() : end].strip()


queries = Queries(Path(__file__).parent / "sql")
