-- Measures a set of events of a stream, for comparison with earlier ones. The work is that of the events: whether a
-- user or an item is new is one index probe each.
-- log_rate      logarithm of events a second, over the middle half of them: late events would stretch the whole span
-- share_*       share of each event type
-- new_users     share of events by users of whom no materialised window knows anything; new_items likewise
-- largest_user  share of the busiest user
-- duplicates    share of events that repeat another's user, item, type and time
-- amount_*      median and distance of the quartiles of ln(1 + value), ratings aside; rating_* of ratings
create function learning.measure_events(p_stream text, p_ids int8multirange, p_t0 timestamptz, p_t1 timestamptz)
    returns jsonb
    language sql
    stable
    set search_path = pg_catalog, pg_temp
as $$
    with event as materialized (
        select e.user_id, e.item_id, e.event_type, e.occurred_at, e.event_type = 'rating' as is_rating,
               case when e.value < 'infinity' then ln(1 + greatest(e.value, 0)) end as logged
          from unnest(p_ids) as run
         cross join lateral (
               select b.*
                 from ingest.behaviour_events b
                where b.event_id >= lower(run) and b.event_id < upper(run)
                  and b.ingested_at between p_t0 and p_t1 and b.stream = p_stream
               offset 0) e
    ), total as (
        select count(*)::double precision as n,
               percentile_disc(array[0.25, 0.75]) within group (order by occurred_at) as quartiles
          from event
    ), by_type as (
        select t.event_type, count(e.event_type) as n
          from unnest(array['view', 'click', 'cart', 'purchase', 'rating']) as t (event_type)
          left join event e using (event_type)
         group by t.event_type
    ), by_user as (
        select user_id, count(*) as n from event group by user_id
    ), by_item as (
        select item_id, count(*) as n from event group by item_id
    ), by_value as (
        select is_rating, percentile_cont(array[0.25, 0.5, 0.75]) within group (order by logged) as quartiles
          from event where logged is not null
         group by is_rating
        having count(*) >= 20  -- a quartile of fewer is an accident
    ), figure as (
        select 'log_rate' as figure,
               ln(n / 2 / greatest(extract(epoch from quartiles[2] - quartiles[1])::double precision, 1)) as value
          from total
        union all
        select 'share_' || event_type, b.n / t.n from by_type b cross join total t
        union all
        select 'new_users', coalesce(sum(b.n) filter (where (
                   select true from features.user_activity_history h where h.user_id = b.user_id limit 1) is null), 0)
               / sum(b.n)
          from by_user b
        union all
        select 'new_items', coalesce(sum(b.n) filter (where (
                   select true from features.item_activity_history h where h.item_id = b.item_id limit 1) is null), 0)
               / sum(b.n)
          from by_item b
        union all
        select 'largest_user', max(n) / sum(n) from by_user
        union all
        select 'duplicates', 1 - count(*) / max(t.n)
          from (select distinct user_id, item_id, event_type, occurred_at from event) d cross join total t
        union all
        select kind || part, case part when '_median' then quartiles[2] else quartiles[3] - quartiles[1] end
          from by_value
         cross join lateral (select case when is_rating then 'rating' else 'amount' end as kind) k
         cross join (values ('_median'), ('_spread')) as p (part)
    )
    select coalesce(jsonb_object_agg(figure, value), '{}') from figure where exists (select from event)
$$;

comment on function learning.measure_events(text, int8multirange, timestamptz, timestamptz) is
    'Figures of a set of events as one object: rate, mix, new users and items, values, largest user, duplicates.';
