-- The live rows of items with fresh events: what is folded, merged with what is not.
create function features.merged_items()
    returns setof features.item_activity
    language sql
    stable
    set search_path = pg_catalog, pg_temp
as $$
    with fresh as materialized (
        select * from features.fresh_events()
    ), latest as (
        select item_id, max(occurred_at) as last_event_at from fresh group by item_id
    ), delta as (
        select f.item_id, l.last_event_at, min(f.occurred_at) as first_event_at, count(*) as n_events,
               count(*) filter (where event_type = 'view') as n_view,
               count(*) filter (where event_type = 'click') as n_click,
               count(*) filter (where event_type = 'cart') as n_cart,
               count(*) filter (where event_type = 'purchase') as n_purchase,
               count(*) filter (where event_type = 'rating') as n_rating,
               sum(features.decay(l.last_event_at - f.occurred_at, 86400)) as decayed_day,
               sum(features.decay(l.last_event_at - f.occurred_at, 604800)) as decayed_week,
               sum(features.decay(l.last_event_at - f.occurred_at, 2592000)) as decayed_month,
               coalesce(sum(f.value) filter (where event_type = 'purchase'), 0) as spend,
               coalesce(sum(f.value) filter (where event_type = 'rating'), 0) as rating_sum
          from fresh f join latest l using (item_id)
         group by f.item_id, l.last_event_at
    )
    select d.item_id,
           coalesce(i.n_events, 0) + d.n_events,
           coalesce(i.n_view, 0) + d.n_view,
           coalesce(i.n_click, 0) + d.n_click,
           coalesce(i.n_cart, 0) + d.n_cart,
           coalesce(i.n_purchase, 0) + d.n_purchase,
           coalesce(i.n_rating, 0) + d.n_rating,
           coalesce(i.decayed_day * features.decay(now_at.t - i.last_event_at, 86400), 0)
               + d.decayed_day * features.decay(now_at.t - d.last_event_at, 86400),
           coalesce(i.decayed_week * features.decay(now_at.t - i.last_event_at, 604800), 0)
               + d.decayed_week * features.decay(now_at.t - d.last_event_at, 604800),
           coalesce(i.decayed_month * features.decay(now_at.t - i.last_event_at, 2592000), 0)
               + d.decayed_month * features.decay(now_at.t - d.last_event_at, 2592000),
           coalesce(i.spend, 0) + d.spend,
           coalesce(i.rating_sum, 0) + d.rating_sum,
           least(i.first_event_at, d.first_event_at),
           now_at.t,
           clock_timestamp()
      from delta d
      left join features.item_activity i using (item_id)
     cross join lateral (select greatest(i.last_event_at, d.last_event_at) as t) now_at
$$;

comment on function features.merged_items() is
    'Live feature rows of items with fresh events, as they are at this commit.';
