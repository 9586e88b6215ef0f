-- The newest events of a set of ids, at most so many: a sample that costs the same however large the set is.
create function learning.newest_events(
    p_stream text, p_ids int8multirange, p_t0 timestamptz, p_t1 timestamptz, p_limit integer)
    returns setof ingest.behaviour_events
    language sql
    stable
    set search_path = pg_catalog, pg_temp
as $$
    select e.*
      from (select r.run from unnest(p_ids) as r (run) order by lower(r.run) desc limit p_limit) newest
     cross join lateral (
           select b.*
             from ingest.behaviour_events b
            where b.event_id >= lower(newest.run) and b.event_id < upper(newest.run)
              and b.ingested_at between p_t0 and p_t1 and b.stream = p_stream
            order by b.event_id desc
            limit p_limit) e
     limit p_limit
$$;

comment on function learning.newest_events(text, int8multirange, timestamptz, timestamptz, integer) is
    'The newest events of a set of ids, at most so many.';
