-- The events that the keeper has not folded yet, of one user or of all.
create function features.fresh_events(p_user text default null)
    returns setof ingest.behaviour_events
    language sql
    stable
    set search_path = pg_catalog, pg_temp
as $$
    select e.*
      from features.unfolded_batches b
     cross join lateral unnest(coalesce(b.ids, int8multirange(int8range(b.lo, b.hi, '[]')))) as run
     cross join lateral (
           select o.*
             from ingest.behaviour_events o
            where o.event_id >= lower(run) and o.event_id < upper(run)
              and o.ingested_at between b.t0 and b.t1
           offset 0) e
     where e.stream = b.stream and (p_user is null or e.user_id = p_user)
$$;

comment on function features.fresh_events(text) is
    'Events that no live feature row has counted yet; with a user, only that user''s.';
