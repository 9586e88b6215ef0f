-- Counts an attempt to materialise before it starts, in a transaction of its own: one that kills its worker or its
-- session has been counted. A window that has used its attempts up is parked, and the next one begun.
create function learning.begin_materialisation(p_window bigint)
    returns table (window_id bigint, attempt integer)
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    next_window learning.windows;
    max_attempts constant integer := (
        select s.max_attempts
          from learning.streams s join learning.windows w using (stream) where w.window_id = p_window);
begin
    loop
        select w.* into next_window
          from learning.windows w
         where w.state = 'cut' and w.window_id <= p_window
           and w.stream = (select o.stream from learning.windows o where o.window_id = p_window)
         order by w.window_id
         limit 1
           for no key update;
        if not found then
            return;
        end if;
        exit when next_window.materialisations < max_attempts;
        perform learning.park_window(
            next_window.window_id,
            format('%s attempts to materialise it did not finish', next_window.materialisations),
            next_window.traceback);
    end loop;

    return query
    update learning.windows w
       set materialisations = w.materialisations + 1
     where w.window_id = next_window.window_id
    returning w.window_id, w.materialisations;
end
$$;

comment on function learning.begin_materialisation(bigint) is
    'Counts an attempt at the oldest cut window of the stream up to this one; no row where none is left.';
