-- Evaluates one custom expression. What raises breaks the rule instead of the writer's statement: only here does a row
-- pay for an exception block.
-- Compiled: ingest.compile_rules() replaces it whenever ingest.rules changes. This is its form for the default rules.
create function ingest.expression_rule(
    integer, text, text, text, text, double precision, timestamptz, jsonb, text)
    returns text
    language plpgsql
    stable
    parallel safe
as $$
#variable_conflict use_column
<<event>>
declare
    stream alias for $2;
    user_id alias for $3;
    item_id alias for $4;
    event_type alias for $5;
    value alias for $6;
    occurred_at alias for $7;
    context alias for $8;
    client_key alias for $9;
begin
    return null;
exception when others then
    return format('rule %s failed: %s', (select r.name from ingest.rules r where r.rule_id = $1), sqlerrm);
end
$$;

comment on function ingest.expression_rule(
    integer, text, text, text, text, double precision, timestamptz, jsonb, text) is
    'Compiled from ingest.rules: why an event breaks the custom expression of a rule; null if it holds or is null.';
