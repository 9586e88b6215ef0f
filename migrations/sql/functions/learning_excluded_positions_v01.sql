-- Positions of windows that were parked or given up: what they hold must reach no run and no feature of later windows.
create function learning.excluded_positions(p_stream text default null)
    returns bigint[]
    language sql
    stable
    set search_path = pg_catalog, pg_temp
as $$
    select coalesce(array_agg(w.position order by w.position), '{}')
      from learning.windows w
     where w.state in ('parked', 'skipped') and w.position is not null
       and w.stream = coalesce(p_stream, w.stream)
$$;

comment on function learning.excluded_positions(text) is
    'Positions of the parked and skipped windows of a stream, or of all streams.';
