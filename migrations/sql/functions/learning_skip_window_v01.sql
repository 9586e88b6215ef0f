-- Gives a parked window up for good: its events stay in the history, and no version ever trains on them.
-- Where its stream waited for it, the windows behind it go on at once.
create function learning.skip_window(p_window bigint)
    returns text
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    update learning.windows w
       set state = 'skipped', finished_at = clock_timestamp()
     where w.window_id = p_window and w.state = 'parked';
    if not found then
        return null;
    end if;
    -- The task trains every window of the stream that can be claimed; its id only says which stream.
    perform learning.send_task('gpu', 'tidegate.train_window', jsonb_build_object('window_id', p_window));
    return 'skipped';
end
$$;

comment on function learning.skip_window(bigint) is
    'Gives a parked window up: its final state; null where it is not parked.';
