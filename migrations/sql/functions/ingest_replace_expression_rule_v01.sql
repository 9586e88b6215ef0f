-- Puts the branches of the custom expressions into ingest.expression_rule.
create function ingest.replace_expression_rule(branches text)
    returns void
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    select ingest.replace_function(
        'expression_rule', 'integer, text, text, text, text, double precision, timestamptz, jsonb, text',
        'text', 'plpgsql',
        $body$#variable_conflict use_column
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
$body$ || branches || $body$    return null;
exception when others then
    return format('rule %s failed: %s', (select r.name from ingest.rules r where r.rule_id = $1), sqlerrm);
end$body$)
$$;

comment on function ingest.replace_expression_rule(text) is
    'Compiles the custom expressions into ingest.expression_rule.';
