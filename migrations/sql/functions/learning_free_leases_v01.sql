-- Ends the runs whose holders have been silent for longer than their leases, and sends their windows' task again at once:
-- nobody else will.
create function learning.free_leases()
    returns table (what text, subject text)
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    freed record;
begin
    for freed in select * from learning.expire_runs() loop
        perform learning.send_task('gpu', 'tidegate.train_window', jsonb_build_object('window_id', freed.window_id));
        what := 'expired';
        subject := freed.run_id::text;
        return next;
    end loop;
end
$$;

comment on function learning.free_leases() is
    'Expires the leases that ran out and sends their windows to other workers; returns the runs.';
