-- The batch engine's statement. What stands in braces is put in as identifiers and expressions.

-- materialise --
-- The newest row of each key within a closed range into an online table, never over a newer one: the guard of the
-- online store's own writes.
insert into {table} as kept ({columns})
select distinct on ({keys}) {values}
  from {source} s
 where {timestamp} between {first} and {last} and {known}
 order by {keys}, {newest_first}
    on conflict ({primary_key}) do update
   set {sets}
 where kept.{kept_timestamp} is null
    or excluded.{kept_timestamp} > kept.{kept_timestamp}
    or (excluded.{kept_timestamp} = kept.{kept_timestamp}
        and coalesce(excluded.{kept_created} >= kept.{kept_created}, true))
