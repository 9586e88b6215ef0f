-- Takes a parked window back into the work of its stream, for another round of attempts.
-- One that was ready before trains as if it came now: it gets the newest position, and its timelines move there. With its
-- old position, a version that has learned later windows would take it for known and learn nothing of it. Its
-- point-in-time features stay where they are, because those of later windows may rest on them.
create or replace function learning.retry_window(p_window bigint)
    returns text
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    parked learning.windows;
    new_position bigint;
    new_state text;
begin
    -- Positions are given out one by one.
    perform pg_advisory_xact_lock(hashtext('tidegate.materialise'));
    select w.* into parked
      from learning.windows w
     where w.window_id = p_window and w.state = 'parked'
       for no key update;
    if not found then
        return null;
    end if;

    if parked.position is not null then
        select max(w.position) + 1 into new_position from learning.windows w;
        update features.user_timelines t
           set position = new_position
         where t.position = parked.position;
    end if;

    update learning.windows w
       set state = case when new_position is null then 'cut' else 'ready' end,
           position = new_position,
           ready_at = case when new_position is not null then clock_timestamp() end,
           reason = null, finished_at = null, nudged_at = null, materialisations = 0, retried_at = clock_timestamp()
     where w.window_id = p_window
    returning w.state into new_state;
    perform learning.send_task(
        case new_state when 'cut' then 'features' else 'gpu' end,
        case new_state when 'cut' then 'tidegate.materialise_window' else 'tidegate.train_window' end,
        jsonb_build_object('window_id', p_window));
    return new_state;
end
$$;

comment on function learning.retry_window(bigint) is
    'Puts a parked window back to work, last in line, and returns its state; null where it is not parked.';
