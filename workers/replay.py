"""Train a version again, from what was recorded of it, and compare the weights.

`python -m workers.replay VERSION`, which is what `tidegate replay` starts. It reads and changes nothing: its
connection is read only. Equal weights prove that windows, parent, settings, seed and code are what the manifest
says. Other weights come with the reason: the input differs (which part of it), or what computes does.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson
import psycopg
import torch
from psycopg.rows import dict_row

from models import checkpoint
from models.recommender import Recommender
from tidegate import features
from tidegate import log as logs
from tidegate.errors import BadRequest, TidegateError, WeightsMismatch
from tidegate.families import Service
from tidegate.log import get_log
from tidegate.postgres import Database
from tidegate.queries import queries
from tidegate.settings import get_settings
from tidegate.versions import read_weights
from workers.catalogues import RecordedCatalogue, TextsMissing
from workers.connections import database as own_database
from workers.increment import fit_candidate
from workers.manifest import FORMAT, code, described, libraries
from workers.material import Material, read_material
from workers.reading import Task

log = get_log("replay")

# Findings that say that something which must never change has changed.
TAMPERED = frozenset({"rows", "weights"})
READ = {
    "history": "the earlier events of the window's users are not those that were read",
    "replay": "the events that were drawn from earlier windows are not those that were read",
    "features": "the features of users at their moments are not those that were read",
    "texts": "the items that were new, or their texts, are not those that were read",
}

Say = Callable[[str], None]


@dataclass(frozen=True)
class Finding:
    """Something that is no longer as it was recorded."""

    about: str  # rows, weights, texts, code, libraries, device or retention
    text: str


@dataclass(frozen=True)
class Recorded:
    """What the database holds of a version."""

    stream: str
    number: int
    parent_id: int | None
    weights_hash: str
    manifest: dict[str, Any]
    text_hashes: bytes

    def task(self) -> Task:
        """Return the task as it was, whatever the stream's settings are today."""
        said = self.manifest
        return Task(
            window_id=said["window_id"],
            stream=self.stream,
            position=said["position"],
            n=said["events"],
            cut_at=said["cut_at"],
            settings=said["settings"],
            parent_id=said["parent_id"],
            parent_hash=said["parent_hash"],
            parent_position=said["parent_position"],
            learned_until=said["parent_learned_until"],
            excluded=said["excluded"],
            service=Service.of(said.get("service")),
        )


@dataclass
class Replayed:
    """What came out."""

    version: int
    recorded: str  # weights hash
    trained: str | None = None  # weights hash; None: it could not be trained
    findings: list[Finding] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def equal(self) -> bool:
        """Tell whether the same weights came out."""
        return self.trained == self.recorded

    @property
    def good(self) -> bool:
        """Tell whether the same weights came out of what is still what it was."""
        return self.equal and not any(finding.about in TAMPERED for finding in self.findings)

    def document(self) -> dict[str, Any]:
        """Return it for programs."""
        return asdict(self) | {"equal": self.equal, "good": self.good}


def replay(database: Database, version: int, say: Say = lambda _: None) -> Replayed:
    """Train a version again and compare. Raises BadRequest where there is nothing to replay, or nothing to read by."""
    started = time.perf_counter()
    with database.connect(autocommit=True) as connection:
        connection.execute("set default_transaction_read_only = on")
        recorded = read_recorded(connection, version)
        if features.applied(connection) is None:  # opening a registry that is not there would make one
            raise BadRequest("Nothing can be read through Feast: no definitions are applied.", "tidegate feast apply")
        result = Replayed(version, recorded.weights_hash)
        result.findings += [*changed_windows(connection, recorded, say), *changed_machine(recorded)]
        try:
            own, parent = stored_models(connection, version, recorded)
            candidate, material = train(database, connection, recorded, own, parent, say)
        except (WeightsMismatch, TextsMissing, DeviceMissing) as error:
            result.findings.append(unable(error))
        else:
            result.trained = checkpoint.weights_hash(checkpoint.dump(candidate))
            result.findings += changed_reading(recorded, material)
    result.seconds = round(time.perf_counter() - started, 1)
    return result


class DeviceMissing(Exception):
    """The kind of device that the version was trained on is not here."""


def unable(error: Exception) -> Finding:
    """Say why a version could not be trained again."""
    about = {WeightsMismatch: "weights", TextsMissing: "texts", DeviceMissing: "device"}
    return Finding(about[type(error)], str(error))


def read_recorded(connection: psycopg.Connection[Any], version: int) -> Recorded:
    """Return what was recorded of a version. Raises BadRequest."""
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(queries["version_to_replay"], {"version": version}).fetchone()
    if row is None:
        raise BadRequest(f"Version {version} does not exist.", "List them with `tidegate versions list`.")
    if row["manifest"].get("format") != FORMAT:
        raise BadRequest(
            f"Version {version} was trained before manifests named what was read, so it cannot be replayed.",
            "Versions that are trained from now on can be.",
        )
    return Recorded(**row)


def changed_windows(connection: psycopg.Connection[Any], recorded: Recorded, say: Say) -> Iterator[Finding]:
    """Compare the events of each window with the hash that the manifest holds."""
    said = {w["window_id"]: w for w in [*recorded.manifest["windows"], *recorded.manifest["replayed"]]}
    for number, (window, was) in enumerate(sorted(said.items()), start=1):
        say(f"window {window}: comparing its events ({number} of {len(said)})")
        row = connection.execute(queries["verify_windows"], {"windows": [window]}).fetchone()
        if row is None:
            yield Finding("rows", f"window {window} is gone")
        elif row[5] is None and row[6] < row[3]:
            text = f"window {window}: {row[6]:,} of its {row[3]:,} events are left; they are past retention or deleted"
            yield Finding("retention", text)
        elif was["content_hash"] and row[5] != was["content_hash"]:
            yield Finding("rows", f"window {window}: its events are not those that it was trained with")


def changed_machine(recorded: Recorded) -> Iterator[Finding]:
    """Compare code, libraries and device with those that trained the version."""
    said = recorded.manifest
    if said["code"]["hash"] != code()["hash"]:
        yield Finding("code", f"trained by {name_of(said['code'])}, this is {name_of(code())}")
    here = libraries()
    if other := [f"{n} {v}, here {here.get(n)}" for n, v in said["libraries"].items() if here.get(n) != v]:
        yield Finding("libraries", "; ".join(other))
    kind, threads = said["device"]["kind"], said["device"]["threads"]
    if available(kind) and (found := described(torch.device(kind), threads)) != said["device"]:
        yield Finding("device", f"trained on {said['device']['name']}, this is {found['name']}")


def name_of(made: dict[str, str | None]) -> str:
    """Return how a state of the code is called: its version and commit, and always the hash of what trains."""
    commit = f" at commit {made['commit'][:12]}" if made["commit"] else ""
    return f"{made['version']}{commit} (training code {str(made['hash'])[:12]})"


def available(kind: str) -> bool:
    """Tell whether this machine has such a device."""
    return kind == "cpu" or (kind == "cuda" and torch.cuda.is_available())


def stored_models(
    connection: psycopg.Connection[Any], version: int, recorded: Recorded
) -> tuple[Recommender, Recommender | None]:
    """Return the version's own model, for the names of its items, and its parent's. Raises WeightsMismatch."""
    own = checkpoint.load(read_weights(connection, version))
    if recorded.parent_id is None:
        return own, None
    content = read_weights(connection, recorded.parent_id)
    if checkpoint.weights_hash(content) != recorded.manifest["parent_hash"]:
        raise WeightsMismatch(
            f"Version {recorded.parent_id} has other weights than the ones that version {version} continued from.",
            "Restore its row from a backup.",
        )
    return own, checkpoint.load(content)


def train(
    database: Database,
    connection: psycopg.Connection[Any],
    recorded: Recorded,
    own: Recommender,
    parent: Recommender | None,
    say: Say,
) -> tuple[Recommender, Material]:
    """Read what the run read and fit as it did. Raises DeviceMissing, TextsMissing."""
    kind = recorded.manifest["device"]["kind"]
    if not available(kind):
        raise DeviceMissing(f"it was trained on {kind} ({recorded.manifest['device']['name']}), which is not here")
    known = len(parent) if parent is not None else 0
    source = RecordedCatalogue(
        recorded.manifest["encoder"], own.architecture.text_dimensions, own.item_ids[known:], recorded.text_hashes
    )
    say("reading")
    material = read_material(database, connection, recorded.task(), parent, source)
    say(f"training on {material.task.n:,} events with {len(material.timelines):,} users")
    return fit_candidate(material, parent, torch.device(kind))[0], material


def changed_reading(recorded: Recorded, material: Material) -> Iterator[Finding]:
    """Compare what was read with what the run read then."""
    said = recorded.manifest["read"]
    positions = {str(w["position"]): w["window_id"] for w in recorded.manifest["windows"]}
    for name in sorted(said.keys() | material.read.keys()):
        if said.get(name) != material.read.get(name):
            text = READ.get(name) or f"window {positions.get(name, '?')}: its timelines are not those that were read"
            yield Finding("texts" if name == "texts" else "rows", text)


def shown(result: Replayed) -> Iterator[str]:
    """Yield the lines that a person reads."""
    yield f"version    {result.version}"
    yield f"recorded   {result.recorded}"
    yield f"trained    {result.trained or 'could not be trained again'}"
    yield f"result     {'equal' if result.equal else 'differs'} after {result.seconds:.1f} s"
    for finding in result.findings:
        yield f"{finding.about:<10} {finding.text}"
    if not result.equal and not result.findings:
        yield "reason     none found: input, code, libraries and device are as recorded"


def main() -> None:
    """Replay one version; exit with 0 where it came out equal and nothing was tampered with, else with 1."""
    parser = argparse.ArgumentParser(prog="python -m workers.replay", description="Train a version again.")
    parser.add_argument("version", type=int)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    asked = parser.parse_args()
    settings = get_settings()
    logs.configure(settings.log_level, settings.log_format)
    try:
        result = replay(own_database(), asked.version, log.info)
    except TidegateError as error:
        sys.exit(f"tidegate: {error}")
    lines = [orjson.dumps(result.document()).decode()] if asked.json else list(shown(result))
    sys.stdout.write("\n".join(lines) + "\n")
    sys.exit(0 if result.good else 1)


if __name__ == "__main__":
    main()
