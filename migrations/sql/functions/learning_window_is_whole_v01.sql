-- Whether all events of a window can still be read: false where retention has dropped some.
create function learning.window_is_whole(p_window bigint)
    returns boolean
    language sql
    stable
    set search_path = pg_catalog, pg_temp
as $$
    select w.n = (select count(*) from learning.read_window(w.window_id))
      from learning.windows w
     where w.window_id = p_window
$$;

comment on function learning.window_is_whole(bigint) is
    'Whether all events of a window are still there; false past retention, null for an unknown window.';
