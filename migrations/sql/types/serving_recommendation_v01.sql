-- One recommended item, with what an application shows and what an operator asks: the version, the layer, how fresh.
create type serving.recommendation as (
    place integer, item_id text, title text, category text, price double precision, score real, why text,
    layer text, version_id bigint, version_number integer, last_event_at timestamptz);

comment on type serving.recommendation is 'One recommended item.';
