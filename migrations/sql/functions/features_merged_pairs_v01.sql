-- The live rows of user-item pairs with fresh events: what is folded, merged with what is not.
create function features.merged_pairs(p_user text default null)
    returns setof features.user_item_activity
    language sql
    stable
    set search_path = pg_catalog, pg_temp
as $$
    with fresh as materialized (
        select user_id, item_id, occurred_at,
               max(occurred_at) over (partition by user_id, item_id) as last_event_at
          from features.fresh_events(p_user)
    ), delta as (
        select user_id, item_id, last_event_at, min(occurred_at) as first_event_at, count(*) as n_events,
               sum(features.decay(last_event_at - occurred_at, 86400)) as decayed_day,
               sum(features.decay(last_event_at - occurred_at, 604800)) as decayed_week,
               sum(features.decay(last_event_at - occurred_at, 2592000)) as decayed_month
          from fresh
         group by user_id, item_id, last_event_at
    )
    select d.user_id, d.item_id,
           coalesce(p.n_events, 0) + d.n_events,
           coalesce(p.decayed_day * features.decay(now_at.t - p.last_event_at, 86400), 0)
               + d.decayed_day * features.decay(now_at.t - d.last_event_at, 86400),
           coalesce(p.decayed_week * features.decay(now_at.t - p.last_event_at, 604800), 0)
               + d.decayed_week * features.decay(now_at.t - d.last_event_at, 604800),
           coalesce(p.decayed_month * features.decay(now_at.t - p.last_event_at, 2592000), 0)
               + d.decayed_month * features.decay(now_at.t - d.last_event_at, 2592000),
           least(p.first_event_at, d.first_event_at),
           now_at.t
      from delta d
      left join features.user_item_activity p using (user_id, item_id)
     cross join lateral (select greatest(p.last_event_at, d.last_event_at) as t) now_at
$$;

comment on function features.merged_pairs(text) is
    'Live feature rows of user-item pairs with fresh events, as they are at this commit.';
