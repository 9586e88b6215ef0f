-- Takes a window out of the way of its stream, with one line of reason and the last traceback.
-- The window next in line need not wait for the nudge that repeats lost ones.
create function learning.park_window(p_window bigint, p_reason text, p_traceback text)
    returns boolean
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    update learning.windows w
       set state = 'parked', finished_at = clock_timestamp(), reason = p_reason, traceback = p_traceback
     where w.window_id = p_window and w.state in ('cut', 'ready');
    if not found then
        return false;
    end if;
    perform learning.send_task('gpu', 'tidegate.train_window', jsonb_build_object('window_id', p_window));
    return true;
end
$$;

comment on function learning.park_window(bigint, text, text) is
    'Parks an unfinished window with its reason and traceback; false where it is finished.';
