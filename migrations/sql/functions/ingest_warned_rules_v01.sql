-- The rules of severity `warn` that an event breaks, or null.
-- Compiled: ingest.compile_rules() replaces it whenever ingest.rules changes. This is its form for the default rules.
create function ingest.warned_rules(
    stream text, user_id text, item_id text, event_type text, value double precision,
    occurred_at timestamptz, context jsonb, client_key text)
    returns text[]
    language sql
    stable
    parallel safe
as $$
    select null::text[]
$$;

comment on function ingest.warned_rules(text, text, text, text, double precision, timestamptz, jsonb, text) is
    'Compiled from ingest.rules: the warn rules that an event breaks; null for none.';
