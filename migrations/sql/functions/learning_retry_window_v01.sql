-- Takes a parked window back into the work of its stream, for another round of attempts.
-- It trains next although younger windows may have trained before it: that is what its operator asks for.
create function learning.retry_window(p_window bigint)
    returns text
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    new_state text;
begin
    update learning.windows w
       set state = case when w.position is null then 'cut' else 'ready' end,
           reason = null, finished_at = null, nudged_at = null, retried_at = clock_timestamp()
     where w.window_id = p_window and w.state = 'parked'
    returning w.state into new_state;
    if new_state is not null then
        perform learning.send_task(
            case new_state when 'cut' then 'features' else 'gpu' end,
            case new_state when 'cut' then 'tidegate.materialise_window' else 'tidegate.train_window' end,
            jsonb_build_object('window_id', p_window));
    end if;
    return new_state;
end
$$;

comment on function learning.retry_window(bigint) is
    'Puts a parked window back to work and returns its state; null where it is not parked.';
