-- How long the trigger must remember events for rate and duplicate rules. Null while no such rule is enabled: then
-- nothing is remembered.
-- Compiled: ingest.compile_rules() replaces it whenever ingest.rules changes. This is its form for the default rules.
create function ingest.memory_horizon()
    returns interval
    language sql
    stable
    parallel safe
as $$
    select null::interval
$$;

comment on function ingest.memory_horizon() is
    'Compiled from ingest.rules: the longest horizon of rate and duplicate rules; null while none is enabled.';
