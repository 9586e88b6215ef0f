-- What a run reads. Only rows of its own position and smaller ones, so that it reads the same whenever it runs.

-- window_to_train --
-- A window, its stream's settings, the live version it continues from, and what must not be read.
select w.window_id, w.stream, w.position, w.n, extract(epoch from w.cut_at)::float8 as cut_at, s.settings,
       v.version_id as parent_id, v.weights_hash as parent_hash, pw.position as parent_position,
       (v.manifest ->> 'learned_until')::float8 as learned_until,
       array(select p from unnest(learning.excluded_positions(w.stream)) as p where p < w.position) as excluded,
       s.suspicion <> 'ignore' and exists (
           select from learning.windows o
            where o.stream = w.stream and o.suspicious and o.state not in ('parked', 'skipped')
              and o.position > coalesce(pw.position, 0) and o.position <= w.position) as tightened
  from learning.windows w
  join learning.streams s using (stream)
  left join learning.versions v on v.version_id = serving.live_version(w.stream)
  left join learning.windows pw on pw.window_id = v.window_id
 where w.window_id = %(window)s

-- stream_repeats --
-- Whether a stream's users take things again.
select repeats from learning.streams where stream = %(stream)s

-- timelines --
-- The timelines of users with events in a range of positions: all of their rows there and, of earlier ones, the newest up
-- to a number of events; in order. The fewer users, the more of each. A row has an event at least, so the number bounds
-- the rows that are looked at, too.
with learner as (
    select distinct user_id
      from features.user_timelines
     where stream = %(stream)s and position between %(first)s and %(last)s
       and position <> all (%(excluded)s::bigint[]) and bucket between %(low)s and %(high)s
), kept as (
    select greatest(%(least)s, least(%(most)s, %(history)s / greatest(count(*), 1))) as events from learner
)
select t.user_id, t.position, t.item_ids, t.event_types, t.occurred, t.event_values
  from learner l
 cross join lateral (
       select n.*, 0 as newer
         from features.user_timelines n
        where n.user_id = l.user_id and n.stream = %(stream)s and n.position between %(first)s and %(last)s
          and n.position <> all (%(excluded)s::bigint[])
        union all
       select u.*, sum(u.n) over (order by u.position desc) - u.n
         from (select * from features.user_timelines h
                where h.user_id = l.user_id and h.stream = %(stream)s and h.position < %(first)s
                  and h.position <> all (%(excluded)s::bigint[])
                order by h.position desc
                limit (select k.events from kept k)) u) t
 where t.newer < (select k.events from kept k)
 order by t.user_id collate "C", t.position

-- histories --
-- The newest rows of some users up to a position, in order.
select t.user_id, t.position, t.item_ids, t.event_types, t.occurred, t.event_values
  from unnest(%(users)s::text[]) as l (user_id)
 cross join lateral (
       select u.*, sum(u.n) over (order by u.position desc) - u.n as newer
         from (select * from features.user_timelines h
                where h.user_id = l.user_id and h.stream = %(stream)s and h.position <= %(last)s
                  and h.position <> all (%(excluded)s::bigint[])
                order by h.position desc
                limit %(limit)s) u) t
 where t.newer < %(limit)s
 order by t.user_id collate "C", t.position

-- earlier_windows --
-- What replay can draw from: the stream's windows before a position.
select position, n from learning.windows
 where stream = %(stream)s and position < %(position)s and position <> all (%(excluded)s::bigint[])
 order by position

-- windows_at --
-- Windows of a stream by position, with the hash of what they held when they became features.
select window_id, position, content_hash from learning.windows
 where stream = %(stream)s and position = any (%(positions)s::bigint[])
 order by position

-- positions_between --
-- Positions of a stream from a first to a last one.
select position from learning.windows
 where stream = %(stream)s and position between %(first)s and %(last)s and position <> all (%(excluded)s::bigint[])
 order by position

-- catalogue_ids --
-- Items that a run may recommend: those that existed at the cut.
select item_id from catalogue.items
 where created_at <= to_timestamp(%(cut_at)s)
 order by created_at, item_id collate "C"

-- catalogue_texts --
-- What the language model reads of some items that existed at the cut.
select i.item_id, concat_ws(' | ', nullif(i.title, ''), nullif(i.category, ''), a.text) as text
  from catalogue.items i
  left join lateral (
       select string_agg(value, ' | ' order by key) as text
         from jsonb_each_text(i.attributes) where value <> '') a on true
 where i.item_id = any (%(items)s) and i.created_at <= to_timestamp(%(cut_at)s)

-- cached_embeddings --
-- Texts that were encoded before.
select text_hash, embedding from learning.text_embeddings
 where encoder = %(encoder)s and text_hash = any (%(hashes)s)

-- insert_embedding --
-- Keep what a language model says of a text.
insert into learning.text_embeddings (encoder, text_hash, embedding) values (%s, %s, %s) on conflict do nothing

-- active_users --
-- The most recently active users up to a position: those whose vectors a version carries.
select user_id from (
    select user_id, max(position) as position
      from (select user_id, position
              from features.user_timelines
             where stream = %(stream)s and position <= %(last)s
               and position <> all (%(excluded)s::bigint[])
             order by position desc
             limit 5 * %(limit)s) newest
     group by user_id) u
 order by position desc, user_id collate "C"
 limit %(limit)s
