-- The condition, as SQL over an event's columns, under which the event breaks a rule that needs nothing but the event.
-- What is null or missing breaks nothing, as in a CHECK constraint.
create function ingest.rule_breach(rule ingest.rules)
    returns text
    language plpgsql
    immutable
    set search_path = pg_catalog, pg_temp
as $$
declare
    key constant text := substring(rule.field from '^context\.(.*)$');
    found constant text := coalesce('(context ->> ' || quote_literal(key) || ')', rule.field);
    json_type constant text := format('jsonb_typeof(context -> %L)', key);
    number constant text := case
        when key is null then rule.field
        else format('(case when %s = ''number'' then (context -> %L)::numeric end)', json_type, key) end;
begin
    return case rule.kind
        when 'type' then case rule.type
            when 'timestamp' then format(
                '%s is not null and (%s <> ''string'' or not ingest.reads_as(%s, ''timestamptz''))',
                found, json_type, found)
            else format('%s not in (%L, ''null'')', json_type,
                        case rule.type when 'text' then 'string' else rule.type end)
        end
        when 'range' then concat_ws(' or ', number || ' < ' || quote_literal(rule.lowest),
                                            number || ' > ' || quote_literal(rule.highest))
        when 'allowed' then format('%s <> all (%L::text[])', found, rule.allowed)
        -- The first comparison spares nearly every event the addition.
        when 'future' then format(
            E'occurred_at > statement_timestamp()\n'
            '              and occurred_at > statement_timestamp() + interval ''%s seconds''', rule.seconds)
    end;
end
$$;

comment on function ingest.rule_breach(ingest.rules) is
    'SQL: when an event breaks a rule of kind type, range, allowed or future; null for other kinds.';
