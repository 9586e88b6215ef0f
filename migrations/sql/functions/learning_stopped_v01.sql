-- Says which parked window a stream waits for: the oldest, where its policy is to stop. Neither cutting nor claiming goes
-- on past it until an operator retries or skips it.
create function learning.stopped(p_stream text)
    returns bigint
    language sql
    stable
    set search_path = pg_catalog, pg_temp
as $$
    select min(w.window_id)
      from learning.streams s
      join learning.windows w on w.stream = s.stream and w.state = 'parked'
     where s.stream = p_stream and s.on_parked = 'stop'
$$;

comment on function learning.stopped(text) is
    'The parked window that a stream with on_parked = ''stop'' waits for; null: it waits for none.';
