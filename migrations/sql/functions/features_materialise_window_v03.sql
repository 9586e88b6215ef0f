-- Turns a cut window into features, in order: measures it, gives it its position, appends its users' timelines and the
-- point-in-time rows, names its content, marks it ready and puts its training on the queue. A suspicious window of a
-- stream that parks those gets none of it. One transaction: all of it or nothing.
create or replace function features.materialise_window(p_window bigint)
    returns bigint
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    next_window learning.windows;
    new_position bigint;
    suspicion text;
begin
    -- Positions are given out one by one: what a window may know is what has a smaller one.
    perform pg_advisory_xact_lock(hashtext('tidegate.materialise'));

    select w.* into next_window
      from learning.windows w
     where w.state = 'cut' and w.window_id <= p_window
       and w.stream = (select o.stream from learning.windows o where o.window_id = p_window)
     order by w.window_id
     limit 1
       for no key update;
    if not found then
        return null;
    end if;

    suspicion := learning.note_window_figures(next_window.window_id);
    -- A window that an operator has seen and retried trains all the same.
    if suspicion is not null and next_window.retried_at is null
       and 'park' = (select s.suspicion from learning.streams s where s.stream = next_window.stream)
    then
        perform learning.park_window(next_window.window_id, suspicion, null);
        return next_window.window_id;
    end if;

    select coalesce(max(w.position), 0) + 1 into new_position from learning.windows w;

    insert into features.user_timelines
        (user_id, position, stream, bucket, n, item_ids, event_types, occurred, event_values)
    select e.user_id, new_position, next_window.stream, hashtextextended(e.user_id, 0) & 1023, count(*),
           array_agg(e.item_id order by e.occurred_at, e.event_id),
           array_agg((array_position(array['view', 'click', 'cart', 'purchase', 'rating'], e.event_type) - 1)::smallint
                     order by e.occurred_at, e.event_id),
           array_agg(date_part('epoch', e.occurred_at) order by e.occurred_at, e.event_id),
           array_agg(coalesce(e.value, 'NaN')::real order by e.occurred_at, e.event_id)
      from learning.read_window(next_window.window_id) e
     group by e.user_id;

    perform features.record_users(next_window.window_id, new_position);
    perform features.record_items(next_window.window_id, new_position);
    perform features.record_pairs(next_window.window_id, new_position);

    update learning.windows w
       set state = 'ready', position = new_position, ready_at = clock_timestamp(),
           content_hash = learning.window_hash(w.window_id)
     where w.window_id = next_window.window_id;
    perform learning.send_task('gpu', 'tidegate.train_window',
        jsonb_build_object('window_id', next_window.window_id));
    return next_window.window_id;
end
$$;

comment on function features.materialise_window(bigint) is
    'Materialises (or parks as suspicious) the oldest cut window of the stream up to this one; null where none is left.';
