-- Says why a stream must not be cut now, with the figures; null where nothing holds it.
-- What waits meanwhile becomes one larger window instead of a queue of small ones.
create function learning.hold(p_stream text)
    returns text
    language plpgsql
    stable
    set search_path = pg_catalog, pg_temp
as $$
declare
    rule learning.streams;
    parked constant bigint := learning.stopped(p_stream);
    last_cut timestamptz;
    used record;
begin
    if parked is not null then
        return format('window %s is parked and on_parked is ''stop''', parked);
    end if;
    select s.* into rule from learning.streams s where s.stream = p_stream;

    if rule.min_interval is not null then
        select w.cut_at into last_cut
          from learning.windows w where w.stream = p_stream
         order by w.window_id desc limit 1;
        if last_cut + rule.min_interval > clock_timestamp() then
            return format('min_interval: %s of %s s since the last cut',
                floor(extract(epoch from clock_timestamp() - last_cut)),
                trim_scale(extract(epoch from rule.min_interval)));
        end if;
    end if;

    if rule.budget_seconds is not null then
        select t.* into used from learning.training_seconds(p_stream) t;
        if used.seconds + used.expected >= rule.budget_seconds then
            return format('budget_seconds: %s s of training in the last hour and %s s under way (%s windows), of %s s',
                round(used.seconds), round(used.expected), used.under_way, rule.budget_seconds);
        end if;
    end if;
    return null;
end
$$;

comment on function learning.hold(text) is 'Why a stream must not be cut now, with figures; null where it is free.';
