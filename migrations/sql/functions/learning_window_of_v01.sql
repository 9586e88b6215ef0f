-- The window that owns an event. One look into an index, however many windows there are.
create function learning.window_of(p_event bigint)
    returns bigint
    language sql
    stable
    set search_path = pg_catalog, pg_temp
as $$
    select w.window_id from learning.windows w where w.ids @> p_event
$$;

comment on function learning.window_of(bigint) is
    'The window that owns an event; null while the ledger holds it, or where it is in quarantine.';
