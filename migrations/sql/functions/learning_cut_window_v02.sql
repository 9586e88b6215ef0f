-- Turns a stream's ledger rows into a window and puts its materialisation on the queue: a short transaction of its own,
-- never the writer's (there it would block the next writer until commit and cut runt windows).
create function learning.cut_window(
    p_stream text, crossed_at timestamptz default null, force boolean default false, p_cause text default null)
    returns bigint
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    why constant text := coalesce(p_cause, case when force then 'hand' else 'rows' end);
    needed integer;
    new_window bigint;
begin
    -- A window that was handed out must survive kill -9, whatever the session's own setting.
    perform set_config('synchronous_commit', 'on', true);

    -- Cutters of one stream take turns; the loser has nothing to do. NO KEY UPDATE lets foreign keys through.
    select s.threshold into needed
      from learning.streams s where s.stream = p_stream
       for no key update skip locked;
    if not found then
        return null;
    end if;
    if not force and needed > (select coalesce(sum(b.n), 0) from ingest.batches b where b.stream = p_stream) then
        return null;
    end if;
    -- An operator who asks by hand knows better.
    if why <> 'hand' and learning.hold(p_stream) is not null then
        return null;
    end if;

    with taken as (
        delete from ingest.batches b where b.stream = p_stream returning b.*
    ), total as (
        select sum(n) as n, min(t0) as t0, max(t1) as t1,
               range_agg(coalesce(ids, int8multirange(int8range(lo, hi, '[]')))) as ids
          from taken
    )
    insert into learning.windows (stream, n, ids, t0, t1, crossed_at, cause)
    select p_stream, n, ids, t0, t1, cut_window.crossed_at, why from total where n > 0
    returning window_id into new_window;

    if new_window is not null then
        -- A schedule whose time has come has been served, whatever the cause.
        update learning.streams s
           set next_cut_at = null
         where s.stream = p_stream and s.next_cut_at <= clock_timestamp();
        perform learning.send_task('features', 'tidegate.materialise_window',
            jsonb_build_object('window_id', new_window));
    end if;
    return new_window;
end
$$;

comment on function learning.cut_window(text, timestamptz, boolean, text) is
    'Cuts a window from a stream that is over its threshold, or from any with force; null where there was nothing to cut '
    'or, unless the cause is ''hand'', where learning.hold() holds the stream.';
