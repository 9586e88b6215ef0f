-- Refuses what no window can go through, whoever asks: docs/explanation/windows.md draws the states.
create function learning.check_window_transition()
    returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    ways constant text[] := case old.state
        when 'cut' then '{ready,parked}'
        when 'ready' then '{trained,parked}'
        when 'parked' then '{cut,ready,skipped}'
        else '{}' end;
    comes_back constant boolean := old.state = 'parked' and new.state = 'ready';
begin
    if new.state <> old.state and new.state <> all (ways) then
        raise exception 'window % cannot go from % to %', old.window_id, old.state, new.state
            using errcode = 'check_violation', constraint = 'window_goes_a_drawn_way', table = 'windows', schema = 'learning',
                  hint = case when ways = '{}' then format('A %s window stays so.', old.state)
                              else format('From %s it goes to %s.', old.state, array_to_string(ways, ' or ')) end;
    end if;
    if (new.stream, new.n, new.ids, new.t0, new.t1) is distinct from (old.stream, old.n, old.ids, old.t0, old.t1) then
        raise exception 'window % is a fixed set of events', old.window_id
            using errcode = 'check_violation', constraint = 'window_is_fixed', table = 'windows', schema = 'learning',
                  hint = 'Leave its stream, n, ids, t0 and t1 as they are.';
    end if;
    -- Versions have learned up to a position: a window that comes back with its old one would teach them nothing.
    if comes_back <> (new.position is distinct from old.position) and (comes_back or old.position is not null) then
        raise exception 'window % % position', old.window_id, case when comes_back then 'needs a new' else 'keeps its' end
            using errcode = 'check_violation', constraint = 'window_position_follows_state', table = 'windows',
                  schema = 'learning', hint = 'Only learning.retry_window() gives a window another position.';
    end if;
    return new;
end
$$;

comment on function learning.check_window_transition() is
    'Refuses illegal changes of a window: its state, its events, its position.';
