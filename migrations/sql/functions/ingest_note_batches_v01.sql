-- Measures the large batches that are not folded yet, as windows are measured, and returns how many. At most ten a
-- call, the largest: beyond that the figures of their window say enough. In the fold's transaction, so that none slips
-- by; a second keeper has nothing to do, or meets a serialization failure and tries again.
create function ingest.note_batches(at_least integer default 1000, at_most integer default 10)
    returns bigint
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    batch record;
    usual bigint[];
    past jsonb;
    done bigint := 0;
begin
    -- The folder's lock: who may fold may measure what is folded.
    if not pg_try_advisory_xact_lock(hashtext('tidegate.fold')) then
        return 0;
    end if;
    for batch in
        select b.*, s.suspicion_z
          from features.unfolded_batches b join learning.streams s using (stream)
         where b.n >= note_batches.at_least
           and not exists (select from ingest.batch_figures f where f.stream = b.stream and f.lo = b.lo)
         order by b.n desc, b.lo
         limit note_batches.at_most
    loop
        select learning.ordinary(array_agg(p.lo order by p.lo), array_agg(p.suspicious order by p.lo)) into usual
          from (select f.lo, bool_or(f.suspicious) as suspicious
                  from ingest.batch_figures f
                 where f.stream = batch.stream and f.lo < batch.lo
                 group by f.lo
                 order by f.lo desc
                 limit 50) p;
        select coalesce(jsonb_agg(b.figures), '[]') into past
          from (select jsonb_object_agg(f.figure, f.value) as figures
                  from ingest.batch_figures f
                 where f.stream = batch.stream and f.lo = any (usual) and f.figure <> 'mix_distance'
                 group by f.lo) b;
        insert into ingest.batch_figures (stream, lo, n, figure, value, median, mad, z, suspicious)
        select batch.stream, batch.lo, batch.n, j.*
          from learning.judge_figures(
               learning.measure_events(
                   batch.stream,
                   coalesce(batch.ids, int8multirange(int8range(batch.lo, batch.hi, '[]'))), batch.t0, batch.t1),
               past, batch.suspicion_z) j
            on conflict do nothing;
        done := done + 1;
    end loop;
    delete from ingest.batch_figures f where f.noted_at < clock_timestamp() - interval '30 days';
    return done;
end
$$;

comment on function ingest.note_batches(integer, integer) is
    'Measures the largest batches that are not folded yet and keeps their figures for thirty days.';
