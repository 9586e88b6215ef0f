-- A user's features with each item as they were at a moment.
create function features.pairs_as_of(p_user text, p_at timestamptz)
    returns setof features.user_item_activity_history
    language sql
    stable
    set search_path = pg_catalog, pg_temp
as $$
    select distinct on (h.item_id) h.*
      from features.user_item_activity_history h
     where h.user_id = p_user and h.event_timestamp <= p_at
     order by h.item_id, h.event_timestamp desc, h.position desc
$$;

comment on function features.pairs_as_of(text, timestamptz) is
    'A user''s features with each item as they were at a moment; a row for each item touched so far.';
