-- The offline store's statements. What stands in braces is put in as identifiers and expressions.

-- make_frame --
-- Room for the asked rows, numbered in the order of asking: the number is what joins, never the keys as text.
create temporary table {frame} (
    tidegate_row bigint generated always as identity primary key,
    {columns}
) on commit drop

-- make_frame_of_query --
-- The asked rows of somebody's statement, numbered.
create temporary table {frame} on commit drop as
select row_number() over () as tidegate_row, asked.* from ({query}) asked

-- number_frame --
-- Let the asked rows be read in their order without sorting.
alter table {frame} add primary key (tidegate_row)

-- asked_moments --
-- Every key and time that a row of some view has within a range.
select moments.* from ({moments}) moments order by {order}

-- moments_of_view --
-- The keys and times of a view within a closed range.
select {columns} from {source} s where {timestamp} between {first} and {last}

-- point_in_time --
-- Each asked row with each view's newest row at its time, in the order of asking.
select {columns}
  from {frame} asked
{joins}
 order by asked.tidegate_row

-- only_columns --
-- Some columns of a result, its order kept.
select {columns} from ({query}) result

-- newest_row --
-- The newest row of a view that an asked row may see: one descent of an index on the keys and the time.
  left join lateral (
       select {features}
         from {source} s
        where {conditions}
        order by {newest_first}
        limit 1) {view} on true

-- stage_source --
-- The rows of a source that any asked row could see: what no index serves is read once and sorted once.
create temporary table {staged} on commit drop as
select {columns}
  from {source} s
 where s.{timestamp} <= (select max(asked.{asked_timestamp}) from {frame} asked)
   and exists (select from {frame} asked where {same_keys})

-- index_staged --
-- Order the rows as the join looks for them.
create index on {staged} ({columns})

-- newest_of_each --
-- The newest row of each key within a closed range.
select distinct on ({keys}) {columns}
  from {source} s
 where {timestamp} between {first} and {last}
 order by {keys}, {newest_first}

-- newest_of_all --
-- The newest row of a source without keys within a closed range.
select {columns}
  from {source} s
 where {timestamp} between {first} and {last}
 order by {newest_first}
 limit 1

-- rows_between --
-- The rows of a source within a range.
select {columns} from {source} s where {condition}

-- range_of_query --
-- The first and the last time of somebody's statement.
select min(asked.{timestamp}), max(asked.{timestamp}) from ({query}) asked

-- save_dataset --
-- Keep a result as a table, without a detour through the client.
create table {table} as
{query}

-- make_log --
-- A table for logged features.
create table if not exists {table} ({columns})

-- add_log_column --
-- Room for a feature that was added to a service since its log began.
alter table {table} add column if not exists {column}

-- short_names --
-- Types by number with their short names; an enum is just that, whatever it is called.
select t.oid::bigint,
       case when t.typtype = 'e' then 'enum' when element.typtype = 'e' then '_enum' else t.typname::text end
  from pg_type t
  left join pg_type element on element.oid = t.typelem and t.typlen = -1
 where t.oid = any(%s)
