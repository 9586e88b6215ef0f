-- Puts tasks on the queue again whose messages were lost, for windows that nobody has touched for a while: the oldest cut
-- window of each stream, the window that is next to train unless it is being trained, and any whose values did not
-- reach Feast.
create function learning.repeat_nudges(nudge_after interval default '1 minute')
    returns table (what text, subject text)
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    due record;
begin
    for due in
        with quiet as (
            select w.window_id, w.stream, w.state, w.position, w.online_at
              from learning.windows w
             where (w.state in ('cut', 'ready') or (w.state = 'trained' and w.online_at is null))
               and coalesce(w.nudged_at, w.ready_at, w.cut_at) < clock_timestamp() - nudge_after
        )
        select q.window_id,
               case when q.state = 'cut' then
                   not exists (select from learning.windows w
                                where w.stream = q.stream and w.state = 'cut' and w.window_id < q.window_id)
               else q.online_at is null end as to_features,
               q.state = 'ready'
               and not exists (select from learning.windows w
                                where w.stream = q.stream and w.state = 'ready' and w.position < q.position)
               and not exists (select from learning.runs r
                                where r.window_id = q.window_id and r.state = 'running') as to_gpu
          from quiet q
         order by q.window_id
    loop
        continue when not (due.to_features or due.to_gpu);
        -- A row that a publishing transaction holds is left to it.
        update learning.windows w set nudged_at = clock_timestamp()
         where w.window_id in (select o.window_id from learning.windows o
                                where o.window_id = due.window_id for no key update skip locked);
        continue when not found;
        if due.to_features then
            perform learning.send_task(
                'features', 'tidegate.materialise_window', jsonb_build_object('window_id', due.window_id));
        end if;
        if due.to_gpu then
            perform learning.send_task('gpu', 'tidegate.train_window', jsonb_build_object('window_id', due.window_id));
        end if;
        what := 'nudged';
        subject := due.window_id::text;
        return next;
    end loop;
end
$$;

comment on function learning.repeat_nudges(interval) is 'Repeats nudges that were lost; returns their windows.';
