-- Drops a partition that is past its retention and that nothing needs. Says what it did: dropped, copied (call it again),
-- busy, or who needs it.
-- A partition cannot be detached concurrently while there is a default one, so this takes the whole table for an instant.
-- It waits 50 ms for that instant, which is all that a writer can ever wait for it; a longer transaction makes it "busy".
create function ingest.drop_partition(p_partition text)
    returns text
    language plpgsql
    set search_path = pg_catalog, pg_temp
    set lock_timeout = '50ms'
as $$
declare
    due record;
    lo bigint;
    hi bigint;
    newest constant bigint := (select max(window_id) from learning.windows);
begin
    select * into due from ingest.retention_plan() p where p.partition = p_partition;
    if not found then
        raise exception '% is no partition past its retention', p_partition
            using hint = 'select * from ingest.retention_plan()';
    end if;
    if due.needed_by is not null then
        return 'needed by ' || due.needed_by;
    end if;

    -- In a transaction before the drop, and before anything is locked: this may take long.
    if ingest.keep_events(due.starts_at, due.ends_at) > 0 then
        return 'copied';
    end if;
    -- A drop is no part of any snapshot: one from before the copy would see neither the day nor its copy.
    execute format('select min(event_id), max(event_id) from ingest.%I', p_partition) into lo, hi;
    if exists (
        select from pg_stat_activity a
         where a.datname = current_database() and a.pid <> pg_backend_pid() and a.backend_xmin is not null
           and age(a.backend_xmin) >= (select min(age(k.xmin)) from ingest.kept_events k where k.event_id between lo and hi))
    then
        return 'busy';
    end if;

    begin
        lock table only ingest.behaviour_events in access exclusive mode;
        -- Whoever was writing to it has committed by now: look again.
        if newest is distinct from (select max(window_id) from learning.windows)
            or exists (select from ingest.needed() n where n.t0 < due.ends_at and n.t1 >= due.starts_at)
        then
            return 'busy';
        end if;
        execute format('drop table ingest.%I', p_partition);
        return 'dropped';
    exception when lock_not_available then
        return 'busy';
    end;
end
$$;

comment on function ingest.drop_partition(text) is
    'Drops a partition past its retention unless something needs it; returns dropped, copied, busy, or who needs it.';
