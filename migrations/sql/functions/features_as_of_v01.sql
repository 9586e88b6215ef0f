-- A user's features as they were at a moment: one index descent. An event at that very time counts, as it does in
-- Feast's point-in-time join; who wants what was known strictly before asks for the microsecond before.
create function features.as_of(p_user text, p_at timestamptz)
    returns setof features.user_activity_history
    language sql
    stable
    set search_path = pg_catalog, pg_temp
as $$
    select h.*
      from features.user_activity_history h
     where h.user_id = p_user and h.event_timestamp <= p_at
     order by h.event_timestamp desc, h.position desc
     limit 1
$$;

comment on function features.as_of(text, timestamptz) is
    'A user''s features as they were at a moment; no row for a user who had done nothing yet.';
