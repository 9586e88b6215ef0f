-- How many of the newest events would have broken a rule, in force or not, without touching any of them.
-- Rates and duplicates see these events only, not what came before them.
create function ingest.test_rule(rule_name text, last integer)
    returns table (looked bigint, broken bigint, examples bigint[])
    language plpgsql
    stable
    set search_path = pg_catalog, pg_temp
as $$
declare
    rule ingest.rules;
    query text;
begin
    select * into rule from ingest.rules r where r.name = rule_name;
    if not found then
        raise exception 'there is no rule "%"', rule_name
            using errcode = 'no_data_found', hint = 'List the rules with `tidegate rules list`.';
    end if;
    if rule.kind = 'expression' then
        -- What is not in force is not compiled.
        perform ingest.check_expression(rule);
        query := format(E'select event_id from judged as event where %s(\n%s\n) is false',
                        ingest.rule_filter(rule), rule.expression);
    else
        query := ingest.rule_query(rule, '(select * from ingest.recent_events limit 0)');
    end if;
    return query execute format(
        'with judged as materialized (select * from ingest.behaviour_events order by event_id desc limit %s),'
        ' broken as materialized (%s)'
        ' select (select count(*) from judged), (select count(*) from broken),'
        ' (select array_agg(b.event_id) from (select event_id from broken order by event_id desc limit 5) as b)',
        last, query);
end
$$;

comment on function ingest.test_rule(text, integer) is
    'How many of the newest events would have broken a rule, with five of them.';
