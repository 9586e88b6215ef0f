-- The decayed count as a window aggregate: exact over any span of time, where a closed form would overflow.
create aggregate features.decayed(weight double precision, halvings double precision) (
    sfunc = features.decayed_step,
    stype = double precision
);

comment on aggregate features.decayed(double precision, double precision) is
    'Running decayed count: rows in order of time, each with its weight and its distance to the row before, in half-lives.';
