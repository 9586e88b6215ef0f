-- Deletes some impressions that are past their retention. Their ids grow with time: no index on the time is needed.
create function serving.trim_impressions(most integer)
    returns bigint
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    with gone as (
        delete from serving.impressions i
         using ingest.lifetime l
         where i.impression_id in (
               select o.impression_id from serving.impressions o order by o.impression_id limit most)
           and i.served_at < now() - l.keep_impressions
        returning 1
    )
    select count(*) from gone
$$;

comment on function serving.trim_impressions(integer) is
    'Deletes at most so many impressions that are past keep_impressions; returns how many.';
