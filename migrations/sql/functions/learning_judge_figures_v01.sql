-- Compares figures with those of earlier subjects by the robust z-score 0.6745 (x - median) / MAD, which a few outliers
-- in the past cannot move (Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993). The MAD has a floor, because
-- a figure that never moved would make any movement infinite. Without eight values to compare with there is no z.
create function learning.judge_figures(p_measured jsonb, p_past jsonb, p_limit double precision)
    returns table (figure text, value double precision, median double precision, mad double precision,
                   z double precision, suspicious boolean)
    language sql
    immutable
    set search_path = pg_catalog, pg_temp
as $$
    with rule (figure, floor, both_sides) as (values
        -- A doubled rate is 0.69 and stays below the usual limit of 8; about six times as many events do not.
        ('log_rate', 0.15, true),
        ('mix_distance', 0.02, false),
        ('new_users', 0.02, false),
        ('new_items', 0.02, false),
        ('largest_user', 0.01, false),
        ('duplicates', 0.01, false),
        -- Prices that are 1.8 times as high as ever.
        ('amount_median', 0.05, true),
        ('amount_spread', 0.05, true),
        -- Stars are whole numbers: their median jumps by a star without any reason.
        ('rating_median', 0.05, true),
        ('rating_spread', 0.05, true)
    ), subject as (
        select 0 as number, p_measured as figures
        union all
        select row_number() over (), p from jsonb_array_elements(p_past) as p
    ), plain as (
        select s.number, f.key as figure, f.value::double precision as value
          from subject s cross join lateral jsonb_each_text(s.figures) as f
    ), usual_mix as (
        select p.figure, percentile_cont(0.5) within group (order by p.value) as share
          from plain p where p.number > 0 and p.figure like 'share\_%' group by p.figure
    ), measured as (
        select * from plain
        union all
        -- Total variation distance to the median mix: 0 is the same mix, 1 has nothing in common.
        select p.number, 'mix_distance', sum(abs(p.value - u.share)) / 2
          from plain p join usual_mix u using (figure) group by p.number
    ), usual as (
        select m.figure, percentile_cont(0.5) within group (order by m.value) as median, array_agg(m.value) as past
          from measured m where m.number > 0 and m.figure not like 'share\_%'
         group by m.figure having count(*) >= 8
    ), spread as (
        select u.figure, u.median, percentile_cont(0.5) within group (order by abs(v - u.median)) as mad
          from usual u cross join unnest(u.past) as v
         group by u.figure, u.median
    )
    select m.figure, m.value, s.median, s.mad, score.z,
           coalesce(score.z >= p_limit or (r.both_sides and score.z <= -p_limit), false)
      from measured m
      left join rule r using (figure)
      left join spread s using (figure)
     cross join lateral (select 0.6745 * (m.value - s.median) / greatest(s.mad, r.floor) as z) score
     where m.number = 0
$$;

comment on function learning.judge_figures(jsonb, jsonb, double precision) is
    'Compares measured figures with an array of earlier ones by robust z-scores; suspicious from the limit on.';
