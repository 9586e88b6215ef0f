-- Copies what a span of time holds of the windows of streams that keep their events, before it is dropped.
create function ingest.keep_events(p_from timestamptz, p_until timestamptz)
    returns bigint
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    with kept as (
        insert into ingest.kept_events
        select e.*
          from learning.windows w
          join learning.streams s on s.stream = w.stream and s.keep_events
         cross join lateral unnest(w.ids) as run
         cross join lateral (
               select b.*
                 from ingest.behaviour_events b
                where b.event_id >= lower(run) and b.event_id < upper(run)
                  and b.ingested_at between greatest(w.t0, p_from) and least(w.t1, p_until)
                  and b.ingested_at < p_until
               offset 0) e
         where w.t0 < p_until and w.t1 >= p_from and e.stream = w.stream
            on conflict do nothing
        returning 1
    )
    select count(*) from kept
$$;

comment on function ingest.keep_events(timestamptz, timestamptz) is
    'Copies the events of a span of ingestion time to kept_events where their stream keeps them; returns how many.';
