-- The condition under which a rule looks at an event at all, as SQL that ends with AND.
create function ingest.rule_filter(rule ingest.rules)
    returns text
    language sql
    immutable
    set search_path = pg_catalog, pg_temp
as $$
    select concat('stream = ' || quote_literal(rule.stream) || ' and ',
                  'event_type = ' || quote_literal(rule.event_type) || ' and ')
$$;

comment on function ingest.rule_filter(ingest.rules) is 'SQL: which events a rule looks at; ends with AND.';
