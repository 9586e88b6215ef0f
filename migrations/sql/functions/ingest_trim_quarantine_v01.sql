-- Deletes some quarantined events that are past their retention. Their ids grow with time: no index on the time is needed.
create function ingest.trim_quarantine(most integer)
    returns bigint
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    with gone as (
        delete from ingest.quarantined_events q
         using ingest.lifetime l
         where q.quarantine_id in (
               select o.quarantine_id from ingest.quarantined_events o order by o.quarantine_id limit most)
           and q.quarantined_at < now() - l.keep_quarantine
        returning 1
    )
    select count(*) from gone
$$;

comment on function ingest.trim_quarantine(integer) is
    'Deletes at most so many quarantined events that are past keep_quarantine; returns how many.';
