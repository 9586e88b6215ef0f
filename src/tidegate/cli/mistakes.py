"""What an operator reads when something goes wrong: one line, and what to do next.

Errors that tidegate did not foresee keep their traceback: they are defects, and the traceback is the report.
"""

from __future__ import annotations

import errno
import sys

from tidegate.errors import DatabaseUnavailable, SchemaMissing, TidegateError

INTERRUPTED = 130  # what a shell reports for a process that Ctrl-C ended
_LINES = {
    errno.ENOSPC: "Free some space and run the same command again; nothing half-written is kept.",
    errno.EACCES: "Run as the user who owns it, or choose another folder with TIDEGATE_HOME.",
    errno.EROFS: "Choose a folder that can be written with TIDEGATE_HOME.",
    errno.ENOENT: "Check the path.",
    errno.EISDIR: "Give a file, not a folder.",
    errno.EADDRINUSE: "Choose another port with TIDEGATE_HTTP_PORT.",
}


def exit_code(error: BaseException) -> int | None:
    """Say on stderr what was wrong and return the exit code; None if the program itself is at fault."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    mistake = translate(error)
    if mistake is None:
        return None
    print(f"tidegate: {mistake}", file=sys.stderr)
    return 1


def translate(error: BaseException) -> TidegateError | None:
    """Return the error in an operator's words, or None if it is a defect of the program."""
    if isinstance(error, TidegateError):
        return error
    if isinstance(error, OSError) and error.errno in _LINES:
        return TidegateError(f"{error.filename or 'The system'}: {error.strerror}.", _LINES[error.errno])
    return _from_driver(error)


def _from_driver(error: BaseException) -> TidegateError | None:
    """Translate psycopg's errors, also where SQLAlchemy wraps them, without importing either."""
    error = getattr(error, "orig", None) or error
    driver = sys.modules.get("psycopg")
    if driver is None:
        return None
    first_line = str(error).strip().partition("\n")[0].rstrip(".")
    if isinstance(error, driver.errors.UndefinedTable | driver.errors.InvalidSchemaName):
        return SchemaMissing(f"The schema is missing or old ({first_line}).")
    if isinstance(error, driver.errors.InsufficientPrivilege):
        return DatabaseUnavailable(
            f"PostgreSQL refuses: {first_line}.", "Grant it, or use a role that owns the schema."
        )
    if isinstance(error, driver.OperationalError):
        return DatabaseUnavailable(f"PostgreSQL: {first_line}.")
    return None
