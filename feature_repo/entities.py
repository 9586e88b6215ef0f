"""Who and what features belong to."""

from feast import Entity, ValueType

user = Entity(
    name="user",
    join_keys=["user_id"],
    value_type=ValueType.STRING,
    description="Somebody who acts, by the application's own name.",
    tags={"catalogue": "catalogue.users"},
)

item = Entity(
    name="item",
    join_keys=["item_id"],
    value_type=ValueType.STRING,
    description="Something that can be recommended, by the application's own name.",
    tags={"catalogue": "catalogue.items"},
)

stream = Entity(
    name="stream",
    join_keys=["stream"],
    value_type=ValueType.STRING,
    description="What one model learns from and answers for; `default` unless the application says otherwise.",
    tags={"table": "learning.streams"},
)
