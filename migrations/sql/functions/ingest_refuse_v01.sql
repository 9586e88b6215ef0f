-- Moves events that have just arrived into quarantine, each with the first reason that is given for it.
-- A client key that one of them has claimed is free again: the event may be sent once more, mended.
create function ingest.refuse(ids bigint[], reasons text[], t0 timestamptz, t1 timestamptz)
    returns void
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    with refused as materialized (
        select distinct on (r.id) r.id, r.reason
          from unnest(ids, reasons) with ordinality as r (id, reason, place)
         order by r.id, r.place
    ), gone as (
        delete from ingest.behaviour_events e
         using refused r
         where e.event_id = r.id and e.ingested_at between t0 and t1
        returning e.event_id, e.stream, e.client_key, to_jsonb(e) as event, r.reason
    ), freed as (
        delete from ingest.client_keys k
         using gone g
         where k.stream = g.stream and k.client_key = g.client_key and k.event_id = g.event_id
    )
    insert into ingest.quarantined_events (event, reason)
    select g.event, g.reason from gone g order by g.event_id
$$;

comment on function ingest.refuse(bigint[], text[], timestamptz, timestamptz) is
    'Moves events of the running statement into quarantine with their reasons.';
