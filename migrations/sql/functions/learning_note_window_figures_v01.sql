-- Measures a window, compares it with the last fifty ordinary ones of its stream, keeps the figures as rows, and marks
-- the window where they are suspicious. Returns one line that says why, null for an ordinary window. Done once: an
-- operator who retries the window has seen the figures.
create function learning.note_window_figures(p_window bigint)
    returns text
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    noted learning.windows;
    z_limit double precision;
    usual bigint[];
    past jsonb;
begin
    select w.* into strict noted from learning.windows w where w.window_id = p_window;
    select s.suspicion_z into strict z_limit from learning.streams s where s.stream = noted.stream;

    if not exists (select from learning.window_figures f where f.window_id = p_window) then
        select learning.ordinary(
                   array_agg(w.window_id order by w.window_id), array_agg(w.suspicious order by w.window_id))
          into usual
          from (select o.window_id, o.suspicious
                  from learning.windows o
                 where o.stream = noted.stream and o.window_id < p_window and o.state in ('ready', 'trained')
                 order by o.window_id desc
                 limit 50) w;
        select coalesce(jsonb_agg(w.figures), '[]') into past
          from (select jsonb_object_agg(f.figure, f.value) as figures
                  from learning.window_figures f
                 where f.window_id = any (usual) and f.figure not in ('mix_distance', 'suspicious_batches')
                 group by f.window_id) w;

        insert into learning.window_figures (window_id, figure, value, median, mad, z, suspicious)
        select p_window, j.*
          from learning.judge_figures(
               learning.measure_events(noted.stream, noted.ids, noted.t0, noted.t1), past, z_limit) j;

        -- A large batch that was suspicious by itself, diluted by the rest of the window.
        insert into learning.window_figures (window_id, figure, value, suspicious)
        select p_window, 'suspicious_batches', sum(b.n) / noted.n::double precision, sum(b.n) >= 0.05 * noted.n
          from (select distinct f.lo, f.n
                  from ingest.batch_figures f
                 where f.stream = noted.stream and f.suspicious
                   and f.lo >= lower(noted.ids) and f.lo < upper(noted.ids) and noted.ids @> f.lo) b
        having count(*) > 0;

        update learning.windows w
           set suspicious = true
         where w.window_id = p_window
           and exists (select from learning.window_figures f where f.window_id = p_window and f.suspicious);
    end if;

    return (
        select 'suspicious: ' || string_agg(
                   f.figure || ' is ' || round(f.value::numeric, 3)
                   || case when f.z is null then ''
                           else format(', usually %s (z %s)', round(f.median::numeric, 3), round(f.z::numeric, 1)) end,
                   '; ' order by abs(f.z) desc nulls last)
          from learning.window_figures f
         where f.window_id = p_window and f.suspicious);
end
$$;

comment on function learning.note_window_figures(bigint) is
    'Measures a window once and keeps its figures; says in a line what is suspicious of it, null where nothing is.';
