-- Turns the enabled rules into the functions that the trigger of the events inlines: a writer reads no table of rules.
-- Writers that run meanwhile are safe: functions are replaced and never dropped, and a statement sees one form of them.
create function ingest.compile_rules()
    returns trigger
    language plpgsql
    -- Whoever may write ingest.rules writes code that runs as the schema's owner.
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    event constant text :=
        'stream text, user_id text, item_id text, event_type text, value double precision, '
        'occurred_at timestamptz, context jsonb, client_key text';
    refusals text;
    warnings text;
    expressions text;
    lookups text;
    horizon text;
begin
    if current_setting('transaction_isolation') in ('repeatable read', 'serializable') then
        raise exception 'ingest.rules can be changed in READ COMMITTED only'
            using hint = 'A snapshot from before another change would compile that change away.';
    end if;
    -- Two changes at once take turns, and the second sees the first.
    perform pg_advisory_xact_lock(hashtext('tidegate.compile_rules'));
    perform ingest.check_expression(r)
       from ingest.rules r where r.enabled and r.kind = 'expression' order by r.rule_id;

    select string_agg(ingest.rule_reason(r), E',\n        ' order by r.rule_id)
               filter (where r.severity = 'quarantine'),
           string_agg(ingest.rule_reason(r), E',\n        ' order by r.rule_id)
               filter (where r.severity = 'warn')
      into refusals, warnings
      from ingest.rules r where r.enabled and r.kind not in ('reference', 'rate', 'duplicate');
    select string_agg(format(
               E'    if $1 = %s then\n        return case when (\n%s\n        ) is false then %L end;\n    end if;\n',
               r.rule_id, r.expression, r.name), '' order by r.rule_id)
      into expressions
      from ingest.rules r where r.enabled and r.kind = 'expression';
    select string_agg(format(
               'select %L, %L, %L, array_agg(event_id order by event_id) from (%s) as broken',
               r.name, r.severity, r.kind, ingest.rule_query(r, 'ingest.recent_events')),
               E'\nunion all\n' order by r.severity, r.rule_id),
           max(r.seconds) || ' seconds'
      into lookups, horizon
      from ingest.rules r where r.enabled and r.kind in ('reference', 'rate', 'duplicate');
    lookups := 'with judged as materialized (select a.* from arrived a'
        || E' where not exists (select from unnest($1) as b (id) where b.id = a.event_id))\n' || lookups;

    perform ingest.replace_function('broken_rule', event, 'text', 'sql',
        '    select ' || coalesce(E'coalesce(\n        ' || refusals || ')', 'null::text'));
    perform ingest.replace_function('warned_rules', event, 'text[]', 'sql',
        '    select ' || coalesce(
            E'nullif(array_remove(array[\n        ' || warnings || '], null), ''{}'')', 'null::text[]'));
    perform ingest.replace_function('looking_rules', '', 'text', 'sql',
        format('    select %s::text', coalesce(quote_literal(lookups), 'null')));
    perform ingest.replace_function('memory_horizon', '', 'interval', 'sql',
        format('    select %s::interval', coalesce(quote_literal(horizon), 'null')));
    perform ingest.replace_expression_rule(coalesce(expressions, ''));
    return null;
end
$$;

comment on function ingest.compile_rules() is
    'Compiles the enabled rules into ingest.broken_rule and its kin, in the transaction that changed them.';
