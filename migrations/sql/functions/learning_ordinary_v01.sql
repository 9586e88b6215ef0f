-- Chooses from past subjects, oldest first, those that say what is usual: the unsuspicious ones. But what has been
-- suspicious eight times in a row is a new habit and no accident: then it is what is usual, and what was before is not.
create function learning.ordinary(p_subjects bigint[], p_suspicious boolean[])
    returns bigint[]
    language sql
    immutable
    set search_path = pg_catalog, pg_temp
as $$
    with past as (
        select place, subject, suspicious,
               place - row_number() over (partition by suspicious order by place) as stretch
          from unnest(p_subjects, p_suspicious) with ordinality as p (subject, suspicious, place)
    ), sized as (
        select *, suspicious and count(*) over (partition by suspicious, stretch) >= 8 as is_habit from past
    )
    select coalesce(array_agg(s.subject order by s.place), '{}')
      from sized s
     where (not s.suspicious or s.is_habit)
       and s.place >= coalesce((
           select min(h.place) from sized h
            where h.is_habit and h.stretch = (select max(l.stretch) from sized l where l.is_habit)), 0)
$$;

comment on function learning.ordinary(bigint[], boolean[]) is
    'Of past subjects, oldest first, those that say what is usual; eight suspicious ones in a row are a new habit.';
