-- Recommends over live rows: filters are WHERE clauses before top-k, features are fresh at commit.
--
-- score = user vector . item vector + popularity terms + repeat terms + what follows the user's latest events, with the
-- weights of the live version.
-- Layers: personal (the version knows the user), session (only newer events do: mean of their item vectors),
-- popularity (nothing is known of the user, or nothing is live yet).
create or replace function serving.rank(p_user text, k integer, p_stream text)
    returns setof serving.recommendation
    language plpgsql
    stable
    set search_path = public, pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    stream_row learning.streams;
    live learning.versions;
    person features.user_activity;
    stored serving.user_vectors;
    clock timestamptz;
    newer vector;
    query vector;
    used_layer text := 'popularity';
    pop double precision[] := array[0, 1, 0];
    rep double precision[] := array[0, 0, 0, 0, 0, 0, 0];
    fol double precision[] := array[0, 0];
    latest constant integer := 20;
begin
    if k is null or k not between 1 and 1000 then
        raise exception 'k must lie between 1 and 1000, not %', k using errcode = 'invalid_parameter_value';
    end if;
    if p_user is null or length(p_user) not between 1 and 256 then
        raise exception 'the user must have 1 to 256 characters' using errcode = 'invalid_parameter_value';
    end if;
    select s.* into stream_row from learning.streams s where s.stream = p_stream;
    if not found then
        raise exception 'stream "%" does not exist', p_stream
            using errcode = 'undefined_object', hint = 'List the streams: select * from learning.streams.';
    end if;

    select v.* into live from learning.versions v where v.version_id = serving.live_version(p_stream);
    select u.* into person from features.user_features(p_user) u;
    -- The present of the stream, not of the wall clock: a replay of last year has its own.
    clock := coalesce(greatest((select c.last_event_at from features.clocks c where c.stream = p_stream),
                               person.last_event_at), now());

    if live.version_id is not null then
        pop := array(select jsonb_array_elements_text(live.scoring -> 'popularity')::double precision);
        rep := array(select jsonb_array_elements_text(live.scoring -> 'repeat')::double precision);
        if live.scoring ? 'following' then
            fol := array(select jsonb_array_elements_text(live.scoring -> 'following')::double precision);
        end if;
        select u.* into stored from serving.user_vectors u
         where u.version_id = live.version_id and u.user_id = p_user;
        select avg(i.vector) into newer
          from unnest(person.recent_items, person.recent_times) as r (item_id, at)
          join serving.item_vectors i on i.version_id = live.version_id and i.item_id = r.item_id
         where stored.as_of is null or r.at > stored.as_of;
        if stored.vector is not null then
            used_layer := 'personal';
            query := case
                when newer is null then stored.vector
                else stored.vector + (newer * array_fill(
                    (live.scoring ->> 'correction')::real, array[vector_dims(newer)])::vector) end;
        elsif newer is not null then
            used_layer := 'session';
            query := newer;
        end if;
    end if;

    return query
    with pair as materialized (
        select p.item_id, p.n_events, p.last_event_at,
               rep[1] + rep[2] * ln(1 + p.n_events)
             + rep[3] * ln(1 + p.decayed_day * features.decay(clock - p.last_event_at, 86400))
             + rep[4] * ln(1 + p.decayed_week * features.decay(clock - p.last_event_at, 604800))
             + rep[5] * ln(1 + p.decayed_month * features.decay(clock - p.last_event_at, 2592000))
             + rep[6] * case when p.n_events >= 2 and p.last_event_at > p.first_event_at then
                   least(date_part('epoch', clock - p.last_event_at) * (p.n_events - 1)
                         / date_part('epoch', p.last_event_at - p.first_event_at), 3)
               else 0 end as repeat_term
          from features.user_pairs(p_user) p
    ), popular as materialized (
        select a.item_id,
               ln(1 + a.decayed_day * features.decay(clock - a.last_event_at, 86400)) as day,
               ln(1 + a.decayed_week * features.decay(clock - a.last_event_at, 604800)) as week,
               ln(1 + a.decayed_month * features.decay(clock - a.last_event_at, 2592000)) as month
          from features.item_activity a
    ), recent as (
        select r.item_id, (latest - back)::double precision / latest as weight
          from unnest(person.recent_items) with ordinality as r (item_id, place)
         cross join lateral (select cardinality(person.recent_items) - r.place as back) as b
         where back < latest
    ), follow as materialized (
        select f.item_id,
               ln(1 + (live.scoring ->> 'items')::double precision
                    * sum(r.weight * f.weight) / sum(sum(r.weight * f.weight)) over ()) as value
          from recent r
          join serving.item_vectors v on v.version_id = live.version_id and v.item_id = r.item_id
         cross join lateral unnest(v.followers, v.follow_weights) as f (item_id, weight)
         where fol <> array[0, 0]::double precision[]
         group by f.item_id
    ), candidate as (
        select i.item_id, i.title, i.category, i.price, p.n_events, p.last_event_at,
               coalesce(p.repeat_term + rep[7] * coalesce(a.month, 0) + fol[2] * coalesce(f.value, 0), 0) as repeat_term,
               coalesce(pop[1] * a.day + pop[2] * a.week + pop[3] * a.month, 0) as popularity_term,
               coalesce(fol[1] * f.value, 0) as follow_term,
               coalesce(-(v.vector <#> query), 0) as personal_term
          from catalogue.items i
          left join popular a on a.item_id = i.item_id
          left join serving.item_vectors v on v.version_id = live.version_id and v.item_id = i.item_id
          left join pair p on p.item_id = i.item_id
          left join follow f on f.item_id = i.item_id
         where i.available and (stream_row.repeats or p.item_id is null)
    ), best as (
        select c.*, c.repeat_term + c.popularity_term + c.personal_term + c.follow_term as total
          from candidate c
         order by total desc, c.item_id
         limit k
    )
    select row_number() over (order by b.total desc, b.item_id)::integer, b.item_id, b.title, b.category, b.price,
           b.total::real,
           case
               when b.n_events is not null and b.repeat_term > 0 then format(
                   'yours %s before, last %s ago',
                   case b.n_events when 1 then 'once' else b.n_events || ' times' end,
                   case when clock - b.last_event_at >= interval '1 day'
                        then extract(day from clock - b.last_event_at) || ' d'
                        else extract(hour from clock - b.last_event_at) || ' h' end)
               when b.follow_term > greatest(b.popularity_term, b.personal_term) then 'often taken after your latest'
               when used_layer <> 'popularity' and b.personal_term > b.popularity_term then 'close to what you choose'
               else 'popular this week' end,
           used_layer, live.version_id, live.number, person.last_event_at
      from best b
     order by 1;
end
$$;

comment on function serving.rank(text, integer, text) is
    'The k best items for a user of a stream, as of this commit; nothing is logged.';
