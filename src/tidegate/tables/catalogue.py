"""Users and items."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Float,
    Table,
    Text,
    text,
)

from tidegate.tables.columns import document, metadata, moment

users = Table(
    "users",
    metadata,
    Column(
        "user_id",
        Text,
        primary_key=True,
        comment="The application's own name of the user.",
    ),
    document("attributes", "Whatever the application knows; not read by the recommender yet."),
    moment("created_at", "When the row was made.", now=True),
    CheckConstraint("length(user_id) between 1 and 256", name="user_id_has_1_to_256_characters"),
    schema="catalogue",
    comment="Known users. Optional: events of users that are not here are learned from all the same.",
)

items = Table(
    "items",
    metadata,
    Column(
        "item_id",
        Text,
        primary_key=True,
        comment="The application's own name of the item.",
    ),
    Column("title", Text, comment="First part of the text that the language model reads."),
    Column(
        "category",
        Text,
        comment="Second part of the text; also the key of category affinity.",
    ),
    Column("price", Float(53), comment="Current price, in the application's currency."),
    document(
        "attributes",
        "Further text for the language model: values in the order of their keys.",
    ),
    Column(
        "available",
        Boolean,
        nullable=False,
        server_default=text("true"),
        comment="False hides the item from every recommendation from this commit on.",
    ),
    Column(
        "adopted",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="True while the item is known from events only; cleared when the catalogue names it.",
    ),
    moment("created_at", "When the row was made.", now=True),
    moment("updated_at", "When the row last changed.", now=True),
    CheckConstraint("length(item_id) between 1 and 256", name="item_id_has_1_to_256_characters"),
    CheckConstraint("price >= 0", name="price_not_negative"),
    schema="catalogue",
    comment="What can be recommended. An item that only events know is adopted here by the keeper, without text.",
)
