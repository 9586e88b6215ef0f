-- One step of the running decayed count: what was there is halved so many times, then the new weight is added.
create function features.decayed_step(state double precision, weight double precision, halvings double precision)
    returns double precision
    language plpgsql
    immutable
    parallel safe
as $$
begin
    return coalesce(state, 0) * power(2.0::double precision, -least(halvings, 200)) + weight;
end
$$;

comment on function features.decayed_step(double precision, double precision, double precision) is
    'Step function of features.decayed.';
