-- Counts the training of a stream against its budget: what the last hour has seen, and what is under way.
-- A window that waits for its run, and a run that has just begun, count as long as the stream's recent runs took. Otherwise
-- a burst would cut one window after the other before the first has finished. While no run has succeeded yet, a window
-- counts as the whole budget: one at a time until there is a figure.
create function learning.training_seconds(p_stream text)
    returns table (seconds double precision, expected double precision, under_way bigint)
    language sql
    stable
    set search_path = pg_catalog, pg_temp
as $$
    with recent as (
        select coalesce(avg(extract(epoch from r.finished_at - r.claimed_at)),
                        (select s.budget_seconds from learning.streams s where s.stream = p_stream),
                        0)::double precision as mean
          from (select w.window_id
                  from learning.windows w
                 where w.stream = p_stream and w.state = 'trained'
                 order by w.window_id desc
                 limit 10) w
          join learning.runs r on r.window_id = w.window_id and r.state = 'succeeded'
    ), finished as (
        select coalesce(sum(extract(epoch from r.finished_at - greatest(r.claimed_at, now() - interval '1 hour'))),
                        0)::double precision as seconds
          from learning.runs r
          join learning.windows w on w.window_id = r.window_id
         where r.finished_at > now() - interval '1 hour' and w.stream = p_stream
    ), unfinished as (
        select count(*) as n,
               coalesce(sum(greatest(extract(epoch from now() - r.claimed_at)::double precision, recent.mean)), 0)
                   as seconds
          from recent
         cross join learning.windows w
          left join learning.runs r on r.window_id = w.window_id and r.state = 'running'
         where w.stream = p_stream and w.state in ('cut', 'ready')
    )
    select f.seconds, u.seconds, u.n from finished f cross join unfinished u
$$;

comment on function learning.training_seconds(text) is
    'Seconds of training of a stream: in the last hour, and expected of the windows that are under way.';
