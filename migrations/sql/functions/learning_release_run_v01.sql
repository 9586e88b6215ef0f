-- Gives a run back that ended for a reason outside of its window: its worker stops (no reason), or the database was away.
create function learning.release_run(p_token bigint, p_reason text)
    returns boolean
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    released_window bigint;
begin
    update learning.runs r
       set state = 'released', error = p_reason, finished_at = clock_timestamp()
     where r.token = p_token and r.state = 'running'
    returning r.window_id into released_window;
    if released_window is null then
        return false;
    end if;
    perform learning.send_task('gpu', 'tidegate.train_window', jsonb_build_object('window_id', released_window));
    return true;
end
$$;

comment on function learning.release_run(bigint, text) is
    'Gives a run back and sends its window to another worker; it does not count as an attempt.';
