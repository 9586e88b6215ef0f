-- Parks a window whose attempts are used up. A failure counts, and so does a holder that fell silent: the window may have
-- taken its machine down. A run that was given back (a deployment) does not count, an outage only when there were
-- ten: then it is no accident, and this window ends the database.
create function learning.park_exhausted(p_window bigint)
    returns boolean
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    max_outages constant integer := 10;
    max_attempts integer;
    tried record;
begin
    -- Nobody claims it while its attempts are counted; and one that is being published is not for parking.
    select s.max_attempts into max_attempts
      from learning.windows w
      join learning.streams s using (stream)
     where w.window_id = p_window and w.state = 'ready'
       for no key update of w skip locked;
    if not found then
        return false;
    end if;
    select count(*) filter (where r.state in ('failed', 'expired')) as failures,
           count(*) filter (where r.state = 'released' and r.error is not null) as outages,
           coalesce(bool_or(r.state = 'running'), false) as running,
           (array_agg(r.error order by r.attempt desc) filter (where r.error is not null))[1] as error
      into tried
      from learning.runs r
      join learning.windows w using (window_id)
     -- An operator's retry begins a new round: attempts before it count no more.
     where r.window_id = p_window and r.claimed_at > coalesce(w.retried_at, '-infinity');
    if tried.running or (tried.failures < max_attempts and tried.outages < max_outages) then
        return false;
    end if;
    return learning.park_window(
        p_window,
        format('%s runs did not finish; the last error: %s',
               tried.failures + tried.outages, learning.error_line(tried.error)),
        tried.error);
end
$$;

comment on function learning.park_exhausted(bigint) is
    'Parks a window that failed so often and that nobody works on; returns whether it did.';
