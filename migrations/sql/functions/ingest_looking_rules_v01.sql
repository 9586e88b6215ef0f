-- The query that finds, among the rows of a statement, those that break a rule which must look elsewhere: into the
-- catalogue or into what arrived before. Null while no such rule is enabled.
-- Stable, not immutable: a plan that has inlined it is made anew when it is replaced.
-- Compiled: ingest.compile_rules() replaces it whenever ingest.rules changes. This is its form for the default rules.
create function ingest.looking_rules()
    returns text
    language sql
    stable
    parallel safe
as $$
    select null::text
$$;

comment on function ingest.looking_rules() is
    'Compiled from ingest.rules: the query for reference, rate and duplicate rules; null while none is enabled.';
