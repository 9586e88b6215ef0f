-- Cuts every stream that is over its threshold or its maximum age: two writers may each have seen "not yet" and both
-- been right, and nobody's insert marks the hour.
create function learning.cut_due()
    returns table (what text, subject text)
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    due text;
    cut bigint;
begin
    for due in
        select s.stream
          from learning.streams s
          join lateral (select sum(b.n) as n, min(b.t0) as t0 from ingest.batches b where b.stream = s.stream) l on true
         where l.n >= s.threshold or l.t0 < now() - s.max_age
    loop
        cut := learning.cut_window(due, null, true);
        continue when cut is null;
        what := 'cut';
        subject := cut::text;
        return next;
    end loop;
end
$$;

comment on function learning.cut_due() is 'Cuts the streams that are due; returns the windows.';
