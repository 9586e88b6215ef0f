-- What is left of a count after some time, if it halves every half_life seconds.
-- 2^-200 is as good as nothing and, multiplied with itself in later folds, never underflows into an error.
create function features.decay(elapsed interval, half_life double precision)
    returns double precision
    language sql
    immutable
    parallel safe
as $$
    select power(2.0::double precision,
                 -least(greatest(date_part('epoch', elapsed) / half_life, 0), 200))
$$;

comment on function features.decay(interval, double precision) is
    'Share of a count that is left after some time, halving every half_life seconds.';
