-- Forgets when a stream's schedule was due as soon as somebody writes another schedule: the keeper works it out anew.
create function learning.forget_next_cut()
    returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    if new.schedule is distinct from old.schedule then
        new.next_cut_at := null;
    end if;
    return new;
end
$$;

comment on function learning.forget_next_cut() is 'Forgets next_cut_at when the schedule changes.';
