-- Keeps what went wrong while a window was materialised, and parks it if that was the last attempt.
create function learning.fail_materialisation(p_window bigint, p_error text)
    returns text
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    attempts integer;
    max_attempts constant integer := (
        select s.max_attempts
          from learning.streams s join learning.windows w using (stream) where w.window_id = p_window);
begin
    update learning.windows w
       set traceback = p_error
     where w.window_id = p_window and w.state = 'cut'
    returning w.materialisations into attempts;
    if attempts is null then
        return null;
    end if;
    if attempts < max_attempts then
        return 'failed';
    end if;
    perform learning.park_window(
        p_window,
        format('%s attempts to materialise it failed; the last error: %s',
               attempts, learning.error_line(p_error)),
        p_error);
    return 'parked';
end
$$;

comment on function learning.fail_materialisation(bigint, text) is
    'Records a failed materialisation; parked or failed, null where the window was materialised meanwhile.';
