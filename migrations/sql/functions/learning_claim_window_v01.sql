-- Gives the oldest ready window of a stream to a worker, or nothing while an older one is unfinished or another holds it.
create function learning.claim_window(p_stream text, p_worker text, lease interval)
    returns table (run_id bigint, token bigint, window_id bigint, attempt integer)
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    next_window learning.windows;
begin
    select w.* into next_window
      from learning.windows w
     where w.stream = p_stream and w.state in ('cut', 'ready')
     order by w.window_id
     limit 1
       for no key update skip locked;
    -- A locked window is skipped, and then a younger one must not overtake it.
    if not found or next_window.state <> 'ready' or exists (
        select from learning.windows w
         where w.stream = p_stream and w.state in ('cut', 'ready') and w.window_id < next_window.window_id)
    then
        return;
    end if;

    update learning.runs r
       set state = 'expired', finished_at = clock_timestamp()
     where r.window_id = next_window.window_id and r.state = 'running' and r.lease_until < clock_timestamp();
    if exists (select from learning.runs r where r.window_id = next_window.window_id and r.state = 'running') then
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
