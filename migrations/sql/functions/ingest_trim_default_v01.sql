-- Deletes some rows of the default partition that are past their retention and that nothing needs: it cannot be dropped.
create function ingest.trim_default(most integer)
    returns bigint
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    with old as (
        select e.event_id, e.ingested_at
          from ingest.behaviour_events_default e
          join ingest.lifetime l on e.ingested_at < now() - l.keep_events
         where not exists (select from ingest.needed() n where e.ingested_at between n.t0 and n.t1)
         limit most
    ), gone as (
        delete from ingest.behaviour_events_default e using old
         where e.event_id = old.event_id and e.ingested_at = old.ingested_at
        returning e.*
    ), kept as (
        insert into ingest.kept_events
        select g.*
          from gone g
          join learning.streams s on s.stream = g.stream and s.keep_events
            on conflict do nothing
    )
    select count(*) from gone
$$;

comment on function ingest.trim_default(integer) is
    'Deletes at most so many rows of the default partition that are past keep_events; returns how many.';
