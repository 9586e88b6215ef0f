-- Ends a run with its error, and parks its window if that was the last attempt.
-- A run that was published or taken over meanwhile stays as it is.
create function learning.fail_run(p_token bigint, p_error text)
    returns text
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    failed_window bigint;
begin
    update learning.runs r
       set state = 'failed', error = p_error, finished_at = clock_timestamp()
     where r.token = p_token and r.state = 'running'
    returning r.window_id into failed_window;
    return case
        when failed_window is null then null
        when learning.park_exhausted(failed_window) then 'parked'
        else 'failed'
    end;
end
$$;

comment on function learning.fail_run(bigint, text) is
    'Ends a run with its error; parked or failed, null where the run is not its holder''s any more.';
