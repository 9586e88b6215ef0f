-- Refuses what no run can go through: one that has ended stays as it ended, and its token and window are its own.
create function learning.check_run_transition()
    returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    if new.state <> old.state and old.state <> 'running' then
        raise exception 'run % cannot go from % to %', old.run_id, old.state, new.state
            using errcode = 'check_violation', constraint = 'run_goes_a_drawn_way', table = 'runs', schema = 'learning',
                  hint = 'A run ends once; claim its window for another attempt.';
    end if;
    if (new.window_id, new.attempt, new.token) is distinct from (old.window_id, old.attempt, old.token) then
        raise exception 'run % keeps its window, its attempt and its token', old.run_id
            using errcode = 'check_violation', constraint = 'run_is_fixed', table = 'runs', schema = 'learning',
                  hint = 'Claim the window for another attempt.';
    end if;
    return new;
end
$$;

comment on function learning.check_run_transition() is 'Refuses illegal changes of a run: its state, its window, its token.';
