-- Says whether a stream has the rows for a window and may be cut. The trigger on the events calls it now and then, so that
-- a stream that is held gets no cut task each time; the hold is asked only where there are rows enough.
create function learning.due_by_rows(p_stream text)
    returns boolean
    language sql
    stable
    set search_path = pg_catalog, pg_temp
as $$
    select case when s.threshold <= (select sum(b.n) from ingest.batches b where b.stream = s.stream)
                then learning.hold(s.stream) is null
                else false end
      from learning.streams s
     where s.stream = p_stream
$$;

comment on function learning.due_by_rows(text) is
    'Whether a stream is over its threshold and nothing holds it; ingest.receive_events() asks it.';
