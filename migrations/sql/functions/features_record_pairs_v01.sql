-- Writes the point-in-time features of a window's user-item pairs: a row after each of their moments, on top of the
-- last row that an earlier position left, parked and skipped windows aside. A late event counts from the newest row on,
-- because what was known then stays as it was.
create function features.record_pairs(p_window bigint, p_position bigint)
    returns void
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    with event as materialized (
        select e.user_id, e.item_id, e.occurred_at
          from learning.read_window(p_window) e
    ), before as materialized (
        select h.*
          from (select distinct user_id, item_id from event) d
         cross join lateral (
               select * from features.user_item_activity_history h
                where h.user_id = d.user_id and h.item_id = d.item_id and h.position < p_position
                  and h.position <> all ((select learning.excluded_positions())::bigint[])
                order by h.event_timestamp desc, h.position desc
                limit 1) h
    ), timed as (
        select e.*, greatest(e.occurred_at, b.event_timestamp) as at
          from event e
          left join before b using (user_id, item_id)
    ), moment as (
        select user_id, item_id, at, count(*) as n_events, min(occurred_at) as first_event_at,
               sum(features.decay(at - occurred_at, 86400)) as decayed_day,
               sum(features.decay(at - occurred_at, 604800)) as decayed_week,
               sum(features.decay(at - occurred_at, 2592000)) as decayed_month
          from timed
         group by user_id, item_id, at
    ), spaced as (
        select m.*, lag(m.at) over pair is null as is_first,
               date_part('epoch', m.at - lag(m.at, 1, m.at) over pair) as gap
          from moment m
        window pair as (partition by m.user_id, m.item_id order by m.at)
    )
    insert into features.user_item_activity_history
        (user_id, item_id, event_timestamp, n_events, decayed_day, decayed_week, decayed_month, first_event_at,
         position)
    select s.user_id, s.item_id, s.at,
           coalesce(b.n_events, 0) + sum(s.n_events) over past,
           features.decayed(s.decayed_day + case when s.is_first then
               coalesce(b.decayed_day * features.decay(s.at - b.event_timestamp, 86400), 0) else 0 end,
               s.gap / 86400) over past,
           features.decayed(s.decayed_week + case when s.is_first then
               coalesce(b.decayed_week * features.decay(s.at - b.event_timestamp, 604800), 0) else 0 end,
               s.gap / 604800) over past,
           features.decayed(s.decayed_month + case when s.is_first then
               coalesce(b.decayed_month * features.decay(s.at - b.event_timestamp, 2592000), 0) else 0 end,
               s.gap / 2592000) over past,
           least(b.first_event_at, min(s.first_event_at) over past),
           p_position
      from spaced s
      left join before b using (user_id, item_id)
    window past as (partition by s.user_id, s.item_id order by s.at rows unbounded preceding)
$$;

comment on function features.record_pairs(bigint, bigint) is
    'Writes the history rows of a window''s user-item pairs, one after each moment.';
