"""What can go wrong, and what to do about it.

    TidegateError
    ├── SettingsError              a setting is missing or makes no sense
    ├── MissingPackage             an optional part is not installed
    ├── DatabaseError
    │   ├── DatabaseUnavailable    no connection, or the embedded server does not start
    │   └── SchemaMissing          connected, but the tables are not there or are old
    ├── BrokerUnavailable          tasks can be neither sent nor fetched
    ├── IngestError                a file or a request that cannot become events
    ├── BadRequest                 a question that cannot be answered as it was asked
    │   └── UnreadableSchedule     a schedule that is not cron
    ├── UnknownStream              nobody made this stream
    ├── NoLiveVersion              nothing has been trained and promoted yet
    ├── ServiceChanged             features are no longer what a version was trained on
    ├── WeightsMismatch            weights do not hash to their name
    └── LeaseLost                  another attempt took the window over

Each error carries its cause and the next step, and `str()` gives both: the command line, the HTTP app and
the log print the same sentence.
"""

from __future__ import annotations


class TidegateError(Exception):
    """An error that an operator or a caller can act on.

    `cause` is one sentence without a stack trace's words; `next_step` says what to do. A subclass may set a
    `next_step` that fits every cause.
    """

    next_step: str = ""

    def __init__(self, cause: str, next_step: str | None = None) -> None:
        self.cause = cause
        self.next_step = type(self).next_step if next_step is None else next_step
        super().__init__(f"{cause} {self.next_step}".strip())


class SettingsError(TidegateError):
    """A setting is missing or makes no sense."""

    next_step = "Settings are environment variables or lines of .env; .env.example lists them all."


class MissingPackage(TidegateError):
    """An optional part of tidegate is asked for and not installed."""

    next_step = "Install everything with `make setup`, or the part you miss: pip install 'tidegate[all]'."


class DatabaseError(TidegateError):
    """The database cannot do what was asked."""


class DatabaseUnavailable(DatabaseError):
    """There is no connection, or the embedded server does not start."""

    next_step = "See what is wrong with `tidegate doctor`."


class SchemaMissing(DatabaseError):
    """The connection works, but tidegate's tables are not there or are older than this program."""

    next_step = "Run `tidegate migrate`."


class BrokerUnavailable(TidegateError):
    """Tasks can be neither sent nor fetched; events are safe and wait in the ledger."""

    next_step = "Check TIDEGATE_BROKER_URL with `tidegate doctor`; events are kept and will be sent later."


class IngestError(TidegateError):
    """A file or a request cannot become events."""


class BadRequest(TidegateError):
    """A question that cannot be answered as it was asked."""

    next_step = "Change it before you ask again."


class UnreadableSchedule(BadRequest):
    """A schedule that is not cron with five fields, or that is never due."""

    next_step = (
        "Write minute, hour, day of month, month and day of week, in UTC: '0 3 * * *' is three in the morning; "
        "`tidegate streams set STREAM --schedule '0 3 * * *'`."
    )


class UnknownStream(TidegateError):
    """Nobody made this stream."""

    next_step = "List the streams with `tidegate streams list`, make one with `tidegate streams add`."


class NoLiveVersion(TidegateError):
    """Nothing has been trained and promoted yet."""


class ServiceChanged(TidegateError):
    """A feature service is no longer what a version was trained on, so nothing is served as if it were."""

    next_step = (
        "Put it back into feature_repo/services.py as it was, give the new one the next number,"
        " and run `tidegate feast apply`."
    )


class WeightsMismatch(TidegateError):
    """Weights do not hash to their name, so they are not loaded."""


class LeaseLost(TidegateError):
    """Another attempt took the window over; what this one did is thrown away, nothing is lost."""

    next_step = "Nothing to do: the attempt that holds the window now will finish it."
