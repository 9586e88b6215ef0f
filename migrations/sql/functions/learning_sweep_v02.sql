-- Closes the gaps that nudges leave: streams over their threshold or their maximum age, leases that ran out,
-- windows whose task was lost. Safe to run at any time, any number of times.
create or replace function learning.sweep(max_attempts integer default 3, nudge_after interval default '1 minute')
    returns table (what text, subject text)
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    due record;
    cut bigint;
begin
    for due in
        select s.stream
          from learning.streams s
          join lateral (select sum(b.n) as n, min(b.t0) as t0 from ingest.batches b where b.stream = s.stream) l on true
         where l.n >= s.threshold or l.t0 < now() - s.max_age
    loop
        cut := learning.cut_window(due.stream, null, true);
        continue when cut is null;
        what := 'cut';
        subject := cut::text;
        return next;
    end loop;

    for due in
        update learning.runs r
           set state = 'expired', finished_at = clock_timestamp()
         where r.state = 'running' and r.lease_until < clock_timestamp()
        returning r.run_id, r.window_id, r.attempt
    loop
        what := 'expired';
        subject := due.run_id::text;
        return next;
    end loop;

    for due in
        update learning.windows w
           set state = 'parked', finished_at = clock_timestamp(),
               reason = format('%s runs did not finish; the last error: %s', r.attempts, coalesce(r.error, 'lease expired'))
          -- An operator's retry begins a new round: attempts before it count no more.
          from (select o.window_id, count(*) as attempts, bool_or(o.state = 'running') as running,
                       (array_agg(o.error order by o.attempt desc))[1] as error
                  from learning.runs o
                  join learning.windows p on p.window_id = o.window_id
                 where o.state <> 'succeeded' and o.claimed_at > coalesce(p.retried_at, '-infinity')
                 group by o.window_id) r
         where r.window_id = w.window_id and w.state = 'ready' and not r.running and r.attempts >= max_attempts
        returning w.window_id
    loop
        what := 'parked';
        subject := due.window_id::text;
        return next;
    end loop;

    -- The oldest unfinished window of each stream, if nobody has touched it for a while.
    for due in
        select distinct on (w.stream) w.window_id, w.state
          from learning.windows w
         where w.state in ('cut', 'ready')
         order by w.stream, w.window_id
    loop
        continue when exists (
            select from learning.runs r where r.window_id = due.window_id and r.state = 'running');
        continue when exists (
            select from learning.windows w
             where w.window_id = due.window_id
               and coalesce(w.nudged_at, w.ready_at, w.cut_at) > clock_timestamp() - nudge_after);
        update learning.windows w set nudged_at = clock_timestamp() where w.window_id = due.window_id;
        perform learning.send_task(
            case due.state when 'cut' then 'features' else 'gpu' end,
            case due.state when 'cut' then 'tidegate.materialise_window' else 'tidegate.train_window' end,
            jsonb_build_object('window_id', due.window_id));
        what := 'nudged';
        subject := due.window_id::text;
        return next;
    end loop;
end
$$;

comment on function learning.sweep(integer, interval) is
    'Cuts what is due, expires leases, parks windows that keep failing and repeats lost nudges; returns what it did.';
