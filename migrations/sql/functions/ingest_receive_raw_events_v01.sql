-- Types what arrived as text, in one statement: good rows become behaviour events, whose own trigger judges them, and a
-- value that no column takes sends its row to quarantine instead of ending the COPY. Nothing is left after the commit.
create function ingest.receive_raw_events()
    returns trigger
    language plpgsql
    -- An application holds INSERT on the raw events and nothing else.
    security definer
    set search_path = pg_catalog, pg_temp
    set timezone = 'UTC'
    set datestyle = 'ISO, YMD'
as $$
begin
    -- Materialised, because ingest.typed() is inlined and asks its argument thirty times.
    with given as materialized (
        select row_number() over () as place, to_jsonb(a) as raw from arrived a
    ), typed as materialized (
        select g.place, g.raw, t.* from given g cross join lateral ingest.typed(g.raw) t
    ), refused as (
        insert into ingest.quarantined_events (event, reason)
        select jsonb_strip_nulls(t.raw), t.reasons[1] from typed t where t.reasons is not null order by t.place
    )
    insert into ingest.behaviour_events
           (stream, user_id, item_id, event_type, value, occurred_at, context, client_key)
    select t.stream, t.user_id, t.item_id, t.event_type, t.value, coalesce(t.occurred_at, now()), t.context,
           t.client_key
      from typed t
     where t.reasons is null
     order by t.place;
    delete from ingest.raw_events;
    return null;
end
$$;

comment on function ingest.receive_raw_events() is
    'Turns text into behaviour events or quarantined rows, in the writer''s own transaction.';
