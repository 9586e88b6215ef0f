-- Cuts every stream that is over its threshold or its maximum age or whose schedule is due: two writers may each have seen
-- "not yet" and both been right, and nobody's insert marks the hour. Streams that are held wait.
create function learning.cut_due()
    returns table (what text, subject text)
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    due record;
    cut bigint;
begin
    for due in
        select s.stream,
               case when l.n >= s.threshold then 'rows'
                    when l.t0 < now() - s.max_age then 'age'
                    else 'schedule' end as cause
          -- One look at the ledger for all streams.
          from (select b.stream, sum(b.n) as n, min(b.t0) as t0 from ingest.batches b group by b.stream) l
          join learning.streams s on s.stream = l.stream
         where l.n >= s.threshold or l.t0 < now() - s.max_age or s.next_cut_at <= now()
         order by s.stream
    loop
        -- A task may have cut the rows meanwhile; what little came since must not become a window.
        cut := learning.cut_window(due.stream, null, due.cause <> 'rows', due.cause);
        continue when cut is null;
        what := 'cut';
        subject := cut::text;
        return next;
    end loop;

    -- A schedule that found nothing waits for its next time: the first event after it must not become a window.
    update learning.streams s
       set next_cut_at = null
     where s.next_cut_at <= now()
       and not exists (select from ingest.batches b where b.stream = s.stream);
end
$$;

comment on function learning.cut_due() is
    'Cuts the streams that are due by rows, age or schedule and that nothing holds; returns the windows.';
