-- Ends the runs whose holders have been silent for longer than their leases, so that others may claim their windows.
create function learning.free_leases()
    returns table (what text, subject text)
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    update learning.runs r
       set state = 'expired', finished_at = clock_timestamp()
     where r.state = 'running' and r.lease_until < clock_timestamp()
    returning 'expired', r.run_id::text
$$;

comment on function learning.free_leases() is 'Expires the leases that ran out; returns their runs.';
