-- Sends quarantined events through the trigger once more, all in one statement. What passes is an event of now, and its
-- row says so; what still breaks a rule stays, with the reason of today. A repeat by client key has passed before.
-- An event that never said when it happened happened when it was refused.
create function ingest.redrive(ids bigint[])
    returns table (quarantine_id bigint, event_id bigint, outcome text, reason text)
    language plpgsql
    set search_path = pg_catalog, pg_temp
    set timezone = 'UTC'
    set datestyle = 'ISO, YMD'
as $$
#variable_conflict use_column
declare
    mark constant bigint := (select coalesce(max(q.quarantine_id), 0) from ingest.quarantined_events q);
    open bigint[];
    tried bigint[];
    made bigint[];
begin
    -- Two redrives of one row take turns, and the second finds it done.
    select coalesce(array_agg(q.quarantine_id), '{}') into open
      from (select o.quarantine_id
              from ingest.quarantined_events o
             where o.quarantine_id = any (ids) and o.redriven_at is null
             order by o.quarantine_id
               for no key update) as q;

    return query
    update ingest.quarantined_events q
       set reason = t.reasons[1]
      from ingest.quarantined_events g
     cross join lateral ingest.typed(g.event) t
     where q.quarantine_id = any (open) and g.quarantine_id = q.quarantine_id and t.reasons is not null
    returning q.quarantine_id, null::bigint, 'refused', q.reason;

    select array_agg(q.quarantine_id order by q.quarantine_id) into tried
      from ingest.quarantined_events q
     cross join lateral ingest.typed(q.event) t
     where q.quarantine_id = any (open) and t.reasons is null;
    with inserted as (
        insert into ingest.behaviour_events as e
               (stream, user_id, item_id, event_type, value, occurred_at, context, client_key)
        select t.stream, t.user_id, t.item_id, t.event_type, t.value,
               coalesce(t.occurred_at, case when not q.event ? 'event_id' then q.quarantined_at end),
               t.context, t.client_key
          from ingest.quarantined_events q
         cross join lateral ingest.typed(q.event) t
         where q.quarantine_id = any (tried)
         order by q.quarantine_id
        returning e.event_id
    )
    -- A session's ids grow in the order of its rows, so the two lists are in step.
    select array_agg(i.event_id order by i.event_id) into made from inserted i;

    return query
    with anew as (
        delete from ingest.quarantined_events n
         using unnest(made) as m (event_id)
         where n.quarantine_id > mark and n.event ->> 'event_id' = m.event_id::text
        returning m.event_id, n.reason
    ), became as (
        select p.quarantine_id, p.event_id, a.reason,
               case when a.event_id is not null then 'refused' when e.event_id is null then 'repeat' else 'passed' end
                   as outcome
          from unnest(tried, made) as p (quarantine_id, event_id)
          left join anew a on a.event_id = p.event_id
          left join ingest.behaviour_events e on e.event_id = p.event_id and e.ingested_at = now()
    )
    update ingest.quarantined_events q
       set reason = coalesce(b.reason, q.reason),
           redriven_at = case when b.outcome <> 'refused' then clock_timestamp() end,
           event_id = case when b.outcome = 'passed' then b.event_id end
      from became b
     where q.quarantine_id = b.quarantine_id
    returning q.quarantine_id, q.event_id, b.outcome, q.reason;
end
$$;

comment on function ingest.redrive(bigint[]) is
    'Sends quarantined events through the rules again; says of each whether it passed, was a repeat or is refused.';
