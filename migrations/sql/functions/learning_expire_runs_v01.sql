-- Ends the runs whose holders have been silent for longer than their leases. A run that a publishing transaction holds
-- is skipped: it either commits, or the server ends its client's session and the next sweep finds it.
create function learning.expire_runs(p_window bigint default null)
    returns table (run_id bigint, window_id bigint)
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    update learning.runs r
       set state = 'expired', finished_at = clock_timestamp(),
           error = format('%s fell silent at %s, at the step "%s"', r.worker, r.heartbeat_at, r.step)
     where r.run_id in (
           select o.run_id
             from learning.runs o
            where o.state = 'running' and (p_window is null or o.window_id = p_window)
              and learning.lease_ends(o.lease_until, o.heartbeat_at) < clock_timestamp()
              for update skip locked)
    returning r.run_id, r.window_id
$$;

comment on function learning.expire_runs(bigint) is
    'Expires the leases that ran out, of one window or of all; returns the runs.';
