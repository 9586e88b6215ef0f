-- Closes the gaps that nudges leave: streams that are due, leases that ran out, windows that keep failing, windows whose
-- task was lost. Safe to run at any time, any number of times.
create function learning.sweep(nudge_after interval default '1 minute')
    returns table (what text, subject text)
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    return query select * from learning.cut_due();
    return query select * from learning.free_leases();
    return query select * from learning.park_failing();
    return query select * from learning.repeat_nudges(nudge_after);
end
$$;

comment on function learning.sweep(interval) is
    'Cuts what is due, expires leases, parks windows that keep failing and repeats lost nudges; returns what it did.';
