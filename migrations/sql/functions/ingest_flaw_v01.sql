-- Says which rule a behaviour event breaks, or null for a good one.
-- One expression without volatile parts but the clock, so that it is inlined into the trigger's scan.
create function ingest.flaw(
    stream text, user_id text, item_id text, event_type text, value double precision,
    occurred_at timestamptz, context jsonb)
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
        when occurred_at > now() + interval '5 minutes' then 'occurred_at lies in the future'
        when value in ('NaN', 'Infinity', '-Infinity') then 'value must be a finite number'
        when jsonb_typeof(context) <> 'object' then 'context must be a JSON object'
        when coalesce(length(stream), 0) not between 1 and 64 then 'stream must have 1 to 64 characters'
    end
$$;

comment on function ingest.flaw(text, text, text, text, double precision, timestamptz, jsonb) is
    'The rule that a behaviour event breaks; null for a good one.';
