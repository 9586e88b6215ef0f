-- Refuses an expression that PostgreSQL cannot read as a condition on an event's columns; evaluates nothing.
create function ingest.check_expression(rule ingest.rules)
    returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    execute format(
        E'select from (select null::text as stream, null::text as user_id, null::text as item_id,'
        ' null::text as event_type, null::double precision as value, null::timestamptz as occurred_at,'
        ' null::jsonb as context, null::text as client_key) as event where (\n%s\n) limit 0', rule.expression);
exception when others then
    raise exception 'the expression of rule "%" is wrong: %', rule.name, sqlerrm
        using errcode = 'invalid_parameter_value',
              hint = 'It is a boolean SQL expression over stream, user_id, item_id, event_type, value, occurred_at, '
                     'context and client_key that must hold, for instance: value < 1000 or event_type <> ''rating''';
end
$$;

comment on function ingest.check_expression(ingest.rules) is
    'Raises unless the expression of a rule is a condition on an event.';
