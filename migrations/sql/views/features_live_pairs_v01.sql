-- Pairs by the names under which Feast knows their features, so that an online store can serve them as they are.
create view features.live_pairs as
select user_id, item_id, last_event_at as event_timestamp, n_events as pair_events, decayed_day as pair_decayed_day,
       decayed_week as pair_decayed_week, decayed_month as pair_decayed_month,
       extract(epoch from last_event_at)::double precision as pair_event_at
  from features.user_item_activity;

comment on view features.live_pairs is
    'features.user_item_activity as the feature view user_item_activity; as of the last fold.';
