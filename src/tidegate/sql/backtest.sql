-- What a backtest reads of a live database. Nothing is written.

-- backtest_events --
-- A stream's events in order of time.
select user_id, item_id, event_type, value, extract(epoch from occurred_at)::float8 as moment
  from ingest.behaviour_events
 where stream = %(stream)s and occurred_at >= %(since)s and occurred_at < %(until)s
 order by occurred_at, event_id

-- backtest_items --
-- The catalogue with what the language model reads of each item.
select i.item_id, concat_ws(' | ', nullif(i.title, ''), nullif(i.category, ''), a.text) as text, i.category,
       extract(epoch from i.created_at)::float8 as created
  from catalogue.items i
  left join lateral (
       select string_agg(value, ' | ' order by key) as text
         from jsonb_each_text(i.attributes) where value <> '') a on true
