-- The reason, as SQL over an event's columns, that the event breaks a rule which needs nothing but the event.
create function ingest.rule_reason(rule ingest.rules)
    returns text
    language sql
    immutable
    set search_path = pg_catalog, pg_temp
as $$
    select case
        when rule.kind = 'expression' and rule.stream is null and rule.event_type is null then format(
            'ingest.expression_rule(%s, stream, user_id, item_id, event_type, value, occurred_at, context, client_key)',
            rule.rule_id)
        when rule.kind = 'expression' then format(
            'case when %strue then ingest.expression_rule('
            '%s, stream, user_id, item_id, event_type, value, occurred_at, context, client_key) end',
            ingest.rule_filter(rule), rule.rule_id)
        when rule.stream is null and rule.event_type is null then format(
            E'case when %s\n             then %L end', ingest.rule_breach(rule), rule.name)
        else format(
            E'case when %s(%s)\n             then %L end',
            ingest.rule_filter(rule), ingest.rule_breach(rule), rule.name)
    end
$$;

comment on function ingest.rule_reason(ingest.rules) is
    'SQL: why an event breaks a rule; null for one that looks elsewhere.';
