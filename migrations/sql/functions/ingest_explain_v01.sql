-- Every rule that a quarantined event breaks now, with the value that breaks it and what would satisfy the rule.
-- No row: it would pass today.
create function ingest.explain(id bigint)
    returns table (rule text, severity text, field text, given text, needed text)
    language plpgsql
    stable
    set search_path = pg_catalog, pg_temp
    set timezone = 'UTC'
    set datestyle = 'ISO, YMD'
as $$
declare
    event jsonb;
    t record;
    one ingest.rules;
    broken boolean;
begin
    select q.event into event from ingest.quarantined_events q where q.quarantine_id = id;
    if not found then
        raise exception 'nothing in quarantine has the id %', id
            using errcode = 'no_data_found', hint = 'List what there is with `tidegate quarantine list`.';
    end if;
    select * into t from ingest.typed(event);

    return query
    select u.reason, 'quarantine', split_part(u.reason, ' ', 1), event ->> split_part(u.reason, ' ', 1),
           'a value that the column can take'
      from unnest(t.reasons) as u (reason);

    -- One column at a time beside values that are sound: each says what is wrong with it.
    return query
    select f.flaw, 'quarantine', f.field, event ->> f.field, f.flaw
      from (values
        ('user_id', ingest.flaw('x', t.user_id, 'x', 'view', null, now(), null, null)),
        ('item_id', ingest.flaw('x', 'x', t.item_id, 'view', null, now(), null, null)),
        ('event_type', ingest.flaw('x', 'x', 'x', t.event_type, null, now(), null, null)),
        ('value', ingest.flaw('x', 'x', 'x', 'view', t.value, now(), null, null)),
        ('occurred_at', ingest.flaw('x', 'x', 'x', 'view', null, case
            when event ? 'event_id' then t.occurred_at else coalesce(t.occurred_at, now()) end, null, null)),
        ('context', ingest.flaw('x', 'x', 'x', 'view', null, now(), t.context, null)),
        ('client_key', ingest.flaw('x', 'x', 'x', 'view', null, now(), null, t.client_key)),
        ('stream', coalesce(
            ingest.flaw(t.stream, 'x', 'x', 'view', null, now(), null, null),
            case when not exists (select from learning.streams s where s.stream = t.stream)
                 then 'stream is not in learning.streams' end))) as f (field, flaw)
     where f.flaw is not null
       and not exists (select from unnest(t.reasons) as u (reason) where split_part(u.reason, ' ', 1) = f.field);

    for one in select * from ingest.rules r where r.enabled order by r.severity, r.rule_id
    loop
        -- Sums with a time that is none, or lies at the edges, would raise.
        continue when one.kind in ('rate', 'duplicate')
            and (t.occurred_at between '0002-01-01' and '9998-01-01') is not true;
        execute 'with judged as (select 0::bigint as event_id, $1::text as stream, $2::text as user_id,'
            ' $3::text as item_id, $4::text as event_type, $5::double precision as value,'
            ' $6::timestamptz as occurred_at, $7::jsonb as context, $8::text as client_key)'
            ' select exists (' || ingest.rule_query(one, 'ingest.recent_events') || ')'
           into broken
          using t.stream, t.user_id, t.item_id, t.event_type, t.value, t.occurred_at, t.context, t.client_key;
        continue when not broken;
        rule := one.name;
        severity := one.severity;
        field := coalesce(one.field, case one.kind when 'future' then 'occurred_at' when 'rate' then 'user_id' end);
        given := case when field like 'context.%' then t.context ->> substr(field, 9) else event ->> field end;
        needed := ingest.rule_needs(one);
        return next;
    end loop;
end
$$;

comment on function ingest.explain(bigint) is
    'Every rule that a quarantined event breaks now; no row if it would pass.';
