-- Takes windows that keep failing out of the way of their streams.
create function learning.park_failing(max_attempts integer default 3)
    returns table (what text, subject text)
    language sql
    set search_path = pg_catalog, pg_temp
as $$
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
    returning 'parked', w.window_id::text
$$;

comment on function learning.park_failing(integer) is 'Parks windows that failed so often; returns them.';
