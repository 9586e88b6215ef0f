-- What a run reads. Only rows of its own position and smaller ones, so that it reads the same whenever it runs.

-- window_to_train --
-- A window, its stream's settings, and the live version it continues from.
select w.window_id, w.stream, w.position, w.n, extract(epoch from w.cut_at)::float8 as cut_at, s.settings,
       v.version_id as parent_id, v.number as parent_number, pw.position as parent_position,
       (v.manifest ->> 'learned_until')::float8 as learned_until
  from learning.windows w
  join learning.streams s using (stream)
  left join learning.versions v on v.version_id = serving.live_version(w.stream)
  left join learning.windows pw on pw.window_id = v.window_id
 where w.window_id = %(window)s

-- timelines --
-- The timelines of users with events in a range of positions: each user's rows up to the last position, newest first up to
-- a limit of events, in order.
with learner as (
    select distinct user_id
      from features.user_timelines
     where stream = %(stream)s and position between %(first)s and %(last)s
       and bucket between %(low)s and %(high)s
)
select t.user_id, t.position, t.item_ids, t.event_types, t.occurred, t.event_values
  from learner l
 cross join lateral (
       select u.*, sum(u.n) over (order by u.position desc) - u.n as newer
         from features.user_timelines u
        where u.user_id = l.user_id and u.stream = %(stream)s and u.position <= %(last)s) t
 where t.newer < %(limit)s
 order by t.user_id, t.position

-- histories --
-- The newest rows of some users up to a position, in order.
select t.user_id, t.position, t.item_ids, t.event_types, t.occurred, t.event_values
  from unnest(%(users)s::text[]) as l (user_id)
 cross join lateral (
       select u.*, sum(u.n) over (order by u.position desc) - u.n as newer
         from features.user_timelines u
        where u.user_id = l.user_id and u.stream = %(stream)s and u.position <= %(last)s) t
 where t.newer < %(limit)s
 order by t.user_id, t.position

-- earlier_windows --
-- What replay can draw from: position and size of the stream's windows before a position.
select position, n from learning.windows
 where stream = %(stream)s and position < %(position)s
 order by position

-- catalogue --
-- Items that a run may recommend, with the text that the language model reads: those that existed at the cut.
select i.item_id, concat_ws(' | ', nullif(i.title, ''), nullif(i.category, ''), a.text) as text
  from catalogue.items i
  left join lateral (
       select string_agg(value, ' | ' order by key) as text
         from jsonb_each_text(i.attributes) where value <> '') a on true
 where i.created_at <= to_timestamp(%(cut_at)s)
 order by i.created_at, i.item_id

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
             order by position desc
             limit 5 * %(limit)s) newest
     group by user_id) u
 order by position desc, user_id
 limit %(limit)s
