-- Says which structural rule a behaviour event breaks, or null for a sound one.
-- What every later step relies on stands here; all other rules are rows of ingest.rules.
create function ingest.flaw(
    stream text, user_id text, item_id text, event_type text, value double precision,
    occurred_at timestamptz, context jsonb, client_key text)
    returns text
    language sql
    stable
    parallel safe
as $$
    select case
        when coalesce(length(user_id), 0) not between 1 and 256 then 'user_id must have 1 to 256 characters'
        when coalesce(length(item_id), 0) not between 1 and 256 then 'item_id must have 1 to 256 characters'
        when event_type is null or event_type not in ('view', 'click', 'cart', 'purchase', 'rating')
            then 'event_type must be view, click, cart, purchase or rating'
        when occurred_at is null then 'occurred_at is missing'
        when not isfinite(occurred_at) then 'occurred_at must be finite'
        -- Python and most clients know no other years, and arithmetic at the edges of timestamptz raises.
        when occurred_at < '0001-01-02 UTC' or occurred_at >= '9999-12-31 UTC'
            then 'occurred_at must lie in the years 1 to 9999'
        when value in ('NaN', 'Infinity', '-Infinity') then 'value must be a finite number'
        when jsonb_typeof(context) <> 'object' then 'context must be a JSON object'
        when length(client_key) > 256 then 'client_key must have at most 256 characters'
        when coalesce(length(stream), 0) not between 1 and 64 then 'stream must have 1 to 64 characters'
    end
$$;

comment on function ingest.flaw(text, text, text, text, double precision, timestamptz, jsonb, text) is
    'The structural rule that a behaviour event breaks; null for a sound one.';
