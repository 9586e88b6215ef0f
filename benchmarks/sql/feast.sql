-- A Feast project to measure on.

-- make_stats --
-- A history of so many users, so many rows each, an hour apart, with ten features.
create table shop.stats as
select u as user_id, timestamptz '2026-01-01' + n * interval '1 hour' + u %% 3600 * interval '1 second' as at,
       timestamptz '2026-01-01' + n * interval '1 hour 1 minute' as written,
       u * n as c1, u + n as c2, u - n as c3, u %% 7 as c4, n::bigint as c5,
       u / 3.0::float8 as f1, n / 7.0::float8 as f2, u * 0.1::float8 as f3, sin(u + n) as f4, cos(u + n) as f5
  from generate_series(1, %(users)s::bigint) u, generate_series(1, %(each)s) n

-- make_other_stats --
-- A table for each further view, and the indexes.
create table shop.more_stats as table shop.stats;
create table shop.other_stats as table shop.stats;
create index on shop.stats (user_id, at, written);
create index on shop.more_stats (user_id, at, written);
create index on shop.other_stats (user_id, at, written)

-- analyze_stats --
-- Statistics, and pages that need no more hints.
vacuum (analyze) shop.stats, shop.more_stats, shop.other_stats

-- drop_stats --
-- Make room for another history.
drop schema shop cascade

-- floor_frame --
-- The asked rows, as one would make room for them by hand.
create temporary table asked (row bigint primary key, user_id bigint, event_timestamp timestamptz) on commit drop

-- floor_of_one --
-- A point-in-time join of one view as one would write it by hand.
copy (select asked.user_id, asked.event_timestamp, a.c1, a.c2, a.c3, a.c4, a.c5, a.f1, a.f2, a.f3, a.f4, a.f5
        from asked
        left join lateral (select * from shop.stats s where s.user_id = asked.user_id and s.at <= asked.event_timestamp
                            order by s.at desc, s.written desc limit 1) a on true
       order by asked.row) to stdout (format csv)

-- floor_of_three --
-- The same of three views.
copy (select asked.user_id, asked.event_timestamp, a.c1, a.c2, a.c3, a.c4, a.c5, a.f1, a.f2, a.f3, a.f4, a.f5,
             b.c1 as d1, b.c2 as d2, b.f1 as d3, b.f2 as d4, b.f3 as d5, c.c3 as e1, c.c4 as e2, c.f3 as e3, c.f4 as e4, c.f5 as e5
        from asked
        left join lateral (select * from shop.stats s where s.user_id = asked.user_id and s.at <= asked.event_timestamp
                            order by s.at desc, s.written desc limit 1) a on true
        left join lateral (select * from shop.more_stats s where s.user_id = asked.user_id and s.at <= asked.event_timestamp
                            order by s.at desc, s.written desc limit 1) b on true
        left join lateral (select * from shop.other_stats s where s.user_id = asked.user_id and s.at <= asked.event_timestamp
                            order by s.at desc, s.written desc limit 1) c on true
       order by asked.row) to stdout (format csv)

-- insert_user_history --
-- A history of 5,000 users in 30 windows, a day each.
insert into features.user_activity_history (user_id, event_timestamp, position, n_events, n_view, n_click, n_cart, n_purchase, n_rating,
       decayed_day, decayed_week, decayed_month, spend, rating_sum, first_event_at)
select 'user-' || u, timestamptz '2026-01-01' + (p - 1) * interval '1 day' + u * interval '10 seconds', p, p, p, p, p, p, p,
       1.0 / p, 2.0 / p, 3.0 / p, p, p, timestamptz '2026-01-01'
  from generate_series(1, 5000) u, generate_series(1, 30) p

-- profiles_by_hand --
-- The last row of each asked user strictly before the asked time, by windows up to a position and without some, in the
-- order of asking: one index descent each, as one would write it without Feast.
select h.n_view, h.n_click, h.n_cart, h.n_purchase, h.n_rating,
       h.decayed_day, h.decayed_week, h.decayed_month, h.spend, h.rating_sum,
       extract(epoch from h.event_timestamp)::double precision as event_at
  from unnest(%(users)s::text[], %(microseconds)s::bigint[]) with ordinality as asked (user_id, at, place)
  left join lateral (
       select * from features.user_activity_history h
        where h.user_id = asked.user_id
          and h.event_timestamp < timestamptz 'epoch' + asked.at * interval '1 microsecond'
          and h.position <= %(last)s and h.position <> all (%(excluded)s::bigint[])
        order by h.event_timestamp desc, h.position desc
        limit 1) h on true
 order by asked.place
