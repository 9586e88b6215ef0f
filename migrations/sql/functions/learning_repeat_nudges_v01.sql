-- Puts the task of the oldest unfinished window of each stream on the queue again, if nobody has touched it for a while:
-- its message was lost.
create function learning.repeat_nudges(nudge_after interval default '1 minute')
    returns table (what text, subject text)
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    due record;
begin
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

comment on function learning.repeat_nudges(interval) is 'Repeats nudges that were lost; returns their windows.';
