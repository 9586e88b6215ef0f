-- The live rows of users with fresh events: what is folded, merged with what is not.
-- The keeper stores exactly these rows, and a reader that must see its own write reads exactly these rows.
create function features.merged_users(p_user text default null)
    returns setof features.user_activity
    language sql
    stable
    set search_path = pg_catalog, pg_temp
as $$
    with fresh as materialized (
        select e.*, i.category
          from features.fresh_events(p_user) e
          left join catalogue.items i using (item_id)
    ), latest as (
        select user_id, max(occurred_at) as last_event_at from fresh group by user_id
    ), delta as (
        select f.user_id, l.last_event_at, min(f.occurred_at) as first_event_at, count(*) as n_events,
               count(*) filter (where event_type = 'view') as n_view,
               count(*) filter (where event_type = 'click') as n_click,
               count(*) filter (where event_type = 'cart') as n_cart,
               count(*) filter (where event_type = 'purchase') as n_purchase,
               count(*) filter (where event_type = 'rating') as n_rating,
               sum(features.decay(l.last_event_at - f.occurred_at, 86400)) as decayed_day,
               sum(features.decay(l.last_event_at - f.occurred_at, 604800)) as decayed_week,
               sum(features.decay(l.last_event_at - f.occurred_at, 2592000)) as decayed_month,
               coalesce(sum(f.value) filter (where event_type = 'purchase'), 0) as spend,
               coalesce(sum(f.value) filter (where event_type = 'rating'), 0) as rating_sum,
               array_agg(f.item_id order by f.occurred_at, f.event_id) as items,
               array_agg(f.event_type order by f.occurred_at, f.event_id) as types,
               array_agg(f.occurred_at order by f.occurred_at, f.event_id) as times
          from fresh f join latest l using (user_id)
         group by f.user_id, l.last_event_at
    ), liking as (
        select user_id, category, sum(features.decay(l.last_event_at - f.occurred_at, 2592000)) as weight
          from fresh f join latest l using (user_id)
         where category is not null
         group by user_id, category
    ), likings as (
        select user_id, jsonb_object_agg(category, weight) as weights from liking group by user_id
    )
    select d.user_id,
           coalesce(u.n_events, 0) + d.n_events,
           coalesce(u.n_view, 0) + d.n_view,
           coalesce(u.n_click, 0) + d.n_click,
           coalesce(u.n_cart, 0) + d.n_cart,
           coalesce(u.n_purchase, 0) + d.n_purchase,
           coalesce(u.n_rating, 0) + d.n_rating,
           coalesce(u.decayed_day * features.decay(now_at.t - u.last_event_at, 86400), 0)
               + d.decayed_day * features.decay(now_at.t - d.last_event_at, 86400),
           coalesce(u.decayed_week * features.decay(now_at.t - u.last_event_at, 604800), 0)
               + d.decayed_week * features.decay(now_at.t - d.last_event_at, 604800),
           coalesce(u.decayed_month * features.decay(now_at.t - u.last_event_at, 2592000), 0)
               + d.decayed_month * features.decay(now_at.t - d.last_event_at, 2592000),
           coalesce(u.spend, 0) + d.spend,
           coalesce(u.rating_sum, 0) + d.rating_sum,
           least(u.first_event_at, d.first_event_at),
           now_at.t,
           recent.items, recent.types, recent.times,
           affinity.weights,
           clock_timestamp()
      from delta d
      left join likings using (user_id)
      left join features.user_activity u using (user_id)
     cross join lateral (select greatest(u.last_event_at, d.last_event_at) as t) now_at
     cross join lateral (
           select array_agg(item order by at, fresh, ordinal) as items,
                  array_agg(type order by at, fresh, ordinal) as types,
                  array_agg(at order by at, fresh, ordinal) as times
             from (select * from (
                       select r.*, false as fresh
                         from unnest(u.recent_items, u.recent_types, u.recent_times)
                              with ordinality as r (item, type, at, ordinal)
                        union all
                       select r.*, true
                         from unnest(d.items, d.types, d.times) with ordinality as r (item, type, at, ordinal)
                   ) every_event
                    order by at desc, fresh desc, ordinal desc
                    limit 100) newest) recent
     cross join lateral (
           select coalesce(jsonb_object_agg(category, weight), '{}') as weights
             from (select category, round(sum(weight)::numeric, 6) as weight
                     from (select k.key as category,
                                  k.value::double precision
                                      * features.decay(now_at.t - u.last_event_at, 2592000) as weight
                             from jsonb_each_text(u.category_affinity) k
                            union all
                           select k.key, k.value::double precision * features.decay(now_at.t - d.last_event_at, 2592000)
                             from jsonb_each_text(likings.weights) k) parts
                    group by category
                    order by 2 desc, 1
                    limit 20) top) affinity
$$;

comment on function features.merged_users(text) is
    'Live feature rows of users with fresh events, as they are at this commit.';
