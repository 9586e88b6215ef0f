-- Gives the next window of a stream to a worker: the ready one with the smallest position. Nothing while another worker
-- holds it, or while the stream waits for an operator. A window that is only cut is not in the way: it gets a larger
-- position.
create function learning.claim_window(p_stream text, p_worker text, lease interval)
    returns table (run_id bigint, token bigint, window_id bigint, attempt integer)
    language plpgsql
    set search_path = pg_catalog, pg_temp
    set lock_timeout = '1s'
as $$
declare
    next_window learning.windows;
begin
    if learning.stopped(p_stream) is not null then
        return;
    end if;

    -- Others hold the row for a moment: they claim it, note that its values are online, look whether to park it. Who holds
    -- it for longer has frozen while he publishes; the sweep sends the window again when the server has ended him.
    begin
        select w.* into next_window
          from learning.windows w
         where w.stream = p_stream and w.state = 'ready'
         order by w.position
         limit 1
           for no key update;
    exception when lock_not_available then
        return;
    end;
    -- The first one may have changed hands while it was waited for: none overtakes another.
    if not found or exists (
        select from learning.windows w
         where w.stream = p_stream and w.state = 'ready' and w.position < next_window.position)
    then
        return;
    end if;

    perform learning.expire_runs(next_window.window_id);
    if learning.park_exhausted(next_window.window_id)
       or exists (select from learning.runs r where r.window_id = next_window.window_id and r.state = 'running')
    then
        return;
    end if;

    return query
    insert into learning.runs as r (window_id, attempt, worker, lease_until)
    select next_window.window_id,
           1 + coalesce((select max(o.attempt) from learning.runs o where o.window_id = next_window.window_id), 0),
           p_worker, clock_timestamp() + lease
    returning r.run_id, r.token, r.window_id, r.attempt;
end
$$;

comment on function learning.claim_window(text, text, interval) is
    'Claims the next window of a stream by a lease with a fencing token; no row where there is nothing to claim.';
