"""`tidegate recommend`: what a user would be shown, and why."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from tidegate.cli.shown import ago, say_json, say_table
from tidegate.events import DEFAULT_STREAM
from tidegate.recommend import Recommendation

_LAYERS = {
    "personal": "personal: the version knows this user",
    "session": "session: from this user's events since the version was made",
    "popularity": "cold start: what is popular, because the version knows nothing of this user",
}


def recommend(
    user: Annotated[str, typer.Argument(help="The user, known or not.")],
    k: Annotated[int, typer.Option("-k", help="How many items, 1 to 1000.")] = 10,
    stream: Annotated[str, typer.Option(help="The stream whose live version answers.")] = DEFAULT_STREAM,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what a user would be recommended, and why."""
    from tidegate.client import Client

    with Client(source="cli", connections=1) as client:
        items = client.recommend(user, k, stream)
    if as_json:
        say_json({"user_id": user, "stream": stream, "items": [asdict(item) for item in items]})
        return
    if not items:
        typer.echo("The catalogue holds nothing to recommend. Load it with `tidegate ingest FILE --items`.")
        return
    say_table(
        ("", "item", "category", "score", "why"),
        [(item.place, item.title or item.item_id, item.category, item.score, item.why) for item in items],
        title=f"Recommended to {user}",
        caption=caption(items[0]),
    )


def caption(item: Recommendation) -> str:
    """Return what the whole answer rests on."""
    if item.version_number is None:
        layer, version = "cold start: what is popular, because nothing is live yet", "no version"
    else:
        layer, version = _LAYERS[item.layer], f"version {item.version_number}"
    if item.last_event_at is None:
        return f"{layer} · {version} · unknown user: no event so far"
    return f"{layer} · {version} · newest event {ago(item.last_event_at)}, counted at its commit"
