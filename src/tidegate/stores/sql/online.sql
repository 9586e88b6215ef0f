-- The online store's statements. What stands in braces is put in as identifiers and expressions.

-- by_keys --
-- The rows of some keys.
select {columns} from {rows} where {condition}

-- incoming --
-- Room for rows on their way into a wide table.
create temporary table incoming ({columns}) on commit drop

-- copy_incoming --
-- The rows, in psycopg's binary form.
copy incoming from stdin (format binary)

-- merge --
-- The newest row of each key, unless a newer one is there. In the order of the keys, so that writers never wait for each
-- other in a circle.
insert into {table} as kept ({names})
select distinct on ({keys}) {values}
  from incoming
 order by {keys}, {time} desc, {created} desc nulls last, ctid desc
    on conflict ({keys}) do update set {sets} {guard}

-- put --
-- One row, unless a newer one is there.
insert into {table} as kept ({names}) values ({values})
    on conflict ({keys}) do update set {sets} {guard}

-- guard --
-- Newer replaces older; at the same event time, what was created later; else a row that comes again replaces itself.
where kept.{time} is null or excluded.{time} > kept.{time}
   or (excluded.{time} = kept.{time} and coalesce(excluded.{created} >= kept.{created}, true))

-- nearest --
-- The rows nearest to a vector, or whose text fits best.
select {columns}, {distance} as distance, {rank} as text_rank
  from {rows}
 where {condition}
 order by {order}
 limit {limit}

-- search_widely --
-- An index scan that finds as many rows as are asked for, filtered ones aside. The cast loads pgvector, whose settings
-- these are.
select set_config(s.name, case s.name when 'hnsw.ef_search' then $1::text else 'strict_order' end, true), '[1]'::vector
  from pg_settings s
 where s.name in ('hnsw.ef_search', 'hnsw.iterative_scan')

-- make_table --
-- A table with its keys; the views' columns follow. Rows are updated all the time: room on the page keeps them in place.
create table {table} ({keys}, primary key ({names})) with (fillfactor = 80)

-- make_index --
-- Search by distance.
create index {index} on {table} using hnsw ({column} {operators})

-- tables --
-- The tables of a schema with their comments, which say whose they are.
select c.relname, obj_description(c.oid, 'pg_class')
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
 where n.nspname = $1 and c.relkind = 'r'

-- keys --
-- The columns of a table's primary key with their types.
select a.attname, format_type(a.atttypid, a.atttypmod)
  from pg_index i
  cross join unnest(i.indkey::smallint[]) with ordinality as k (number, at)
  join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number
 where i.indrelid = $1::regclass and i.indisprimary
 order by k.at

-- indexes --
-- The indexes of a table for search by distance, with their operator classes.
select c.relname, o.opcname
  from pg_index i
  join pg_class c on c.oid = i.indexrelid
  join pg_am m on m.oid = c.relam
  join pg_opclass o on o.oid = i.indclass[0]
 where i.indrelid = $1::regclass and m.amname = 'hnsw'

-- columns --
-- The columns of a table with their types and comments.
select attname, format_type(atttypid, atttypmod), coalesce(col_description(attrelid, attnum), '')
  from pg_attribute
 where attrelid = $1::regclass and attnum > 0 and not attisdropped
