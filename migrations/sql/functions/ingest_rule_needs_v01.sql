-- Says in words what would satisfy a rule.
create function ingest.rule_needs(rule ingest.rules)
    returns text
    language sql
    immutable
    set search_path = pg_catalog, pg_temp
as $$
    select case rule.kind
        when 'type' then format('%s is a %s or left out', rule.field, rule.type)
        when 'range' then format('%s is ', rule.field)
            || concat_ws(' and ', 'at least ' || rule.lowest, 'at most ' || rule.highest)
        when 'allowed' then format('%s is one of %s', rule.field, array_to_string(rule.allowed, ', '))
        when 'reference' then format('%s is in %s', rule.field,
            case rule.field when 'item_id' then 'catalogue.items, and not only adopted' else 'catalogue.users' end)
        when 'future' then format('occurred_at is at most %s s from now', rule.seconds)
        when 'rate' then format('the user has at most %s events in %s s', rule.most, rule.seconds)
        when 'duplicate' then format('the user has no other such event with the item within %s s', rule.seconds)
        else rule.expression
    end
$$;

comment on function ingest.rule_needs(ingest.rules) is 'What would satisfy a rule, in words.';
