-- An item's features as they were at a moment. Its rows stand at the last event of each day, so they lag up to a day.
create function features.item_as_of(p_item text, p_at timestamptz)
    returns setof features.item_activity_history
    language sql
    stable
    set search_path = pg_catalog, pg_temp
as $$
    select h.*
      from features.item_activity_history h
     where h.item_id = p_item and h.event_timestamp <= p_at
     order by h.event_timestamp desc, h.position desc
     limit 1
$$;

comment on function features.item_as_of(text, timestamptz) is
    'An item''s features as they were at a moment; no row for an item that nobody had touched yet.';
