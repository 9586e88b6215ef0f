-- The query, as SQL over a relation `judged` of events, for the event_id of each that breaks a rule.
-- `memory` is what arrived before: a relation with the columns of ingest.recent_events.
-- Rates count an event together with those of the same user in the seconds up to it. A duplicate has a twin at most so
-- many seconds away; of twins in one statement the earlier one stays.
create function ingest.rule_query(rule ingest.rules, memory text)
    returns text
    language plpgsql
    immutable
    set search_path = pg_catalog, pg_temp
as $$
declare
    filter constant text := ingest.rule_filter(rule);
    span constant text := format('interval ''%s seconds''', rule.seconds);
begin
    return case rule.kind
        when 'reference' then format(
            'select event_id from judged where %snot exists (select from %s r where r.%I = judged.%I%s)',
            filter, case rule.field when 'item_id' then 'catalogue.items' else 'catalogue.users' end,
            rule.field, rule.field,
            -- An item that only events have named is no reference.
            case rule.field when 'item_id' then ' and not r.adopted' else '' end)
        when 'rate' then format(
            'select event_id from (select event_id,'
            ' row_number() over (same order by occurred_at, event_id)'
            ' - count(*) over (same order by occurred_at range between unbounded preceding and %1$s preceding)'
            ' + (select count(*) from (select from %2$s r where %3$sr.user_id = judged.user_id'
            ' and r.occurred_at > judged.occurred_at - %1$s and r.occurred_at <= judged.occurred_at'
            ' limit %4$s + 1) as earlier) as n'
            ' from judged where %3$strue window same as (partition by user_id)) as counted where n > %4$s',
            span, memory, filter, rule.most)
        when 'duplicate' then format(
            'select event_id from (select *,'
            ' lag(occurred_at) over (partition by stream, user_id, item_id, event_type'
            ' order by occurred_at, event_id) as twin_at from judged where %3$strue) as paired'
            ' where occurred_at - twin_at <= %1$s or exists (select from %2$s r where r.user_id = paired.user_id'
            ' and r.occurred_at between paired.occurred_at - %1$s and paired.occurred_at + %1$s'
            ' and r.item_id = paired.item_id and r.event_type = paired.event_type and r.stream = paired.stream)',
            span, memory, filter)
        else format('select event_id from judged where %s is not null', ingest.rule_reason(rule))
    end;
end
$$;

comment on function ingest.rule_query(ingest.rules, text) is
    'SQL: the events of a relation `judged` that break a rule, given what arrived before.';
