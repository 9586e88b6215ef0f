-- Writes the point-in-time features of a window's users: a row after each of their moments, on top of the last row
-- that an earlier position left, parked and skipped windows aside. A late event counts from the newest row on, because
-- what was known then stays as it was.
create or replace function features.record_users(p_window bigint, p_position bigint)
    returns void
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    with event as materialized (
        select e.user_id as id, e.event_type, e.value, e.occurred_at
          from learning.read_window(p_window) e
    ), before as materialized (
        select h.*
          from (select distinct id from event) d
         cross join lateral (
               select * from features.user_activity_history h
                where h.user_id = d.id and h.position < p_position
                  and h.position <> all ((select learning.excluded_positions())::bigint[])
                order by h.event_timestamp desc, h.position desc
                limit 1) h
    ), timed as (
        select e.*, greatest(e.occurred_at, b.event_timestamp) as at
          from event e
          left join before b on b.user_id = e.id
    ), moment as (
        select id, at, count(*) as n_events, min(occurred_at) as first_event_at,
               count(*) filter (where event_type = 'view') as n_view,
               count(*) filter (where event_type = 'click') as n_click,
               count(*) filter (where event_type = 'cart') as n_cart,
               count(*) filter (where event_type = 'purchase') as n_purchase,
               count(*) filter (where event_type = 'rating') as n_rating,
               coalesce(sum(value) filter (where event_type = 'purchase'), 0) as spend,
               coalesce(sum(value) filter (where event_type = 'rating'), 0) as rating_sum,
               sum(features.decay(at - occurred_at, 86400)) as decayed_day,
               sum(features.decay(at - occurred_at, 604800)) as decayed_week,
               sum(features.decay(at - occurred_at, 2592000)) as decayed_month
          from timed
         group by id, at
    ), spaced as (
        select m.*, lag(m.at) over (partition by m.id order by m.at) is null as is_first,
               date_part('epoch', m.at - lag(m.at, 1, m.at) over (partition by m.id order by m.at))
                   as gap
          from moment m
    )
    insert into features.user_activity_history
        (user_id, event_timestamp, n_events, n_view, n_click, n_cart, n_purchase, n_rating,
         decayed_day, decayed_week, decayed_month, spend, rating_sum, first_event_at, position)
    select s.id, s.at,
           coalesce(b.n_events, 0) + sum(s.n_events) over past,
           coalesce(b.n_view, 0) + sum(s.n_view) over past,
           coalesce(b.n_click, 0) + sum(s.n_click) over past,
           coalesce(b.n_cart, 0) + sum(s.n_cart) over past,
           coalesce(b.n_purchase, 0) + sum(s.n_purchase) over past,
           coalesce(b.n_rating, 0) + sum(s.n_rating) over past,
           features.decayed(s.decayed_day + case when s.is_first then
               coalesce(b.decayed_day * features.decay(s.at - b.event_timestamp, 86400), 0) else 0 end,
               s.gap / 86400) over past,
           features.decayed(s.decayed_week + case when s.is_first then
               coalesce(b.decayed_week * features.decay(s.at - b.event_timestamp, 604800), 0) else 0 end,
               s.gap / 604800) over past,
           features.decayed(s.decayed_month + case when s.is_first then
               coalesce(b.decayed_month * features.decay(s.at - b.event_timestamp, 2592000), 0) else 0 end,
               s.gap / 2592000) over past,
           coalesce(b.spend, 0) + sum(s.spend) over past,
           coalesce(b.rating_sum, 0) + sum(s.rating_sum) over past,
           least(b.first_event_at, min(s.first_event_at) over past),
           p_position
      from spaced s
      left join before b on b.user_id = s.id
    window past as (partition by s.id order by s.at rows unbounded preceding)
$$;

comment on function features.record_users(bigint, bigint) is
    'Writes the history rows of a window''s users, one after each moment.';
