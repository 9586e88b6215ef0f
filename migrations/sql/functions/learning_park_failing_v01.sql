-- Takes windows that keep failing out of the way of their streams: those whose last holder died without a word.
create function learning.park_failing()
    returns table (what text, subject text)
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    select 'parked', w.window_id::text
      from learning.windows w
     where w.state = 'ready'
       and exists (select from learning.runs r where r.window_id = w.window_id)
       and learning.park_exhausted(w.window_id)
$$;

comment on function learning.park_failing() is 'Parks windows whose attempts are used up; returns them.';
