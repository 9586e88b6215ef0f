-- Says how new what waits for a stream's next window is, by its newest events.
-- new_item_share: the share of them whose item the live version does not know. An item that the last window could learn
-- does not count again, whether its version went live or not; without a live version there is no figure.
-- mix_drift: how far their mix of event types is from that of the last windows, as total variation distance: 0 is the
-- same mix, 1 has nothing in common.
create function learning.waiting_figures(p_stream text)
    returns table (sampled bigint, new_item_share double precision, mix_drift double precision)
    language plpgsql
    stable
    set search_path = pg_catalog, pg_temp
as $$
declare
    -- The cost of a look is this many events, whatever waits and whatever has been.
    at_most constant integer := 2000;
    -- Of fewer than these, chance alone moves the mix of five types by more than 0.04.
    at_least constant integer := 500;
    live constant bigint := serving.live_version(p_stream);
    last_cut timestamptz;
begin
    select max(w.cut_at) into last_cut
      from (select * from learning.windows o where o.stream = p_stream order by o.window_id desc limit 1) w;

    return query
    with batch as (
        select b.* from ingest.batches b where b.stream = p_stream order by b.hi desc limit at_most
    ), waiting as materialized (
        select e.item_id, e.event_type
          from (select range_agg(coalesce(b.ids, int8multirange(int8range(b.lo, b.hi, '[]')))) as ids,
                       min(b.t0) as t0, max(b.t1) as t1
                  from batch b) l
         cross join lateral learning.newest_events(p_stream, l.ids, l.t0, l.t1, at_most) e
    ), before as materialized (
        -- The last window, and windows before it until there is enough to compare with.
        select e.event_type
          from (select o.*, sum(o.n) over (order by o.window_id desc) - o.n as newer
                  from (select * from learning.windows i where i.stream = p_stream order by i.window_id desc limit 10) o) w
         cross join lateral learning.newest_events(p_stream, w.ids, w.t0, w.t1, at_most) e
         where w.newer < at_least
         limit at_most
    ), now_mix as (
        select w.event_type, count(*)::double precision / sum(count(*)) over () as share from waiting w group by 1
    ), then_mix as (
        select b.event_type, count(*)::double precision / sum(count(*)) over () as share from before b group by 1
    )
    select (select count(*) from waiting),
           (select avg(case when v.item_id is null and coalesce(i.created_at > last_cut, true) then 1 else 0 end)
              from waiting w
              left join serving.item_vectors v on v.version_id = live and v.item_id = w.item_id
              left join catalogue.items i on i.item_id = w.item_id
             where live is not null)::double precision,
           (select sum(abs(coalesce(n.share, 0) - coalesce(t.share, 0))) / 2
              from now_mix n full join then_mix t using (event_type)
             where exists (select from then_mix))
     where at_least <= (select sum(b.n) from batch b);
end
$$;

comment on function learning.waiting_figures(text) is
    'Share of new items and drift of the event mix among what waits; no row while less than 500 events wait.';
