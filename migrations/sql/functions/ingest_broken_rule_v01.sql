-- The first rule of severity `quarantine` that an event breaks, or null.
-- Compiled: ingest.compile_rules() replaces it whenever ingest.rules changes. This is its form for the default rules.
create function ingest.broken_rule(
    stream text, user_id text, item_id text, event_type text, value double precision,
    occurred_at timestamptz, context jsonb, client_key text)
    returns text
    language sql
    stable
    parallel safe
as $$
    select coalesce(
        case when occurred_at > statement_timestamp()
              and occurred_at > statement_timestamp() + interval '300 seconds'
             then 'occurred_at lies in the future' end)
$$;

comment on function ingest.broken_rule(text, text, text, text, double precision, timestamptz, jsonb, text) is
    'Compiled from ingest.rules: the first quarantine rule that an event breaks; null for none.';
