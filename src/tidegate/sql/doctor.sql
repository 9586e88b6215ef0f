-- What `tidegate doctor` asks the database. Every block answers with one row, whatever state the schema is in.

-- doctor_server --
-- The server's version as a number and as words, and pgvector: installed, and which could be.
select
    current_setting('server_version_num')::int as number,
    current_setting('server_version') as version,
    current_user as role,
    (select extversion from pg_extension where extname = 'vector') as vector,
    (select default_version from pg_available_extensions where name = 'vector') as vector_available;

-- doctor_privileges --
-- What the current role may not do, of all that tidegate does; empty if nothing is missing.
with wanted (what, granted) as (
    select
        format('%%s on %%I.%%I', privilege, n.nspname, c.relname),
        has_table_privilege(c.oid, privilege)
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    cross join unnest(array['select', 'insert', 'update', 'delete']) as privilege
    where n.nspname in ('ingest', 'catalogue', 'features', 'learning', 'serving')
      and c.relkind in ('r', 'p')
    union all
    select format('usage on schema %%I', nspname), has_schema_privilege(oid, 'usage')
    from pg_namespace
    where nspname in ('ingest', 'catalogue', 'features', 'learning', 'serving', 'pgmq')
)
select coalesce(array_agg(what order by what) filter (where not granted), '{}') as missing
from wanted;

-- doctor_trigger --
-- How the trigger of the events is enabled: A always, O not in replica role, D not at all; null without one.
select (
    select t.tgenabled::text
    from pg_trigger t
    join pg_class c on c.oid = t.tgrelid
    join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'ingest' and c.relname = 'behaviour_events' and t.tgname = 'receive_events'
) as enabled;

-- doctor_registry --
-- Whether Feast's registry is in this database. Not by to_regclass, which needs a right to look.
select exists (
    select from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'feast' and c.relname = 'feature_services'
) as there;

-- doctor_queue --
-- Whether the queue is in this database. Not by to_regclass, which needs a right to look.
select exists (
    select from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'pgmq' and c.relname = 'meta'
) as installed;

-- doctor_queues --
-- Which queues there are. Only where the queue is installed.
select coalesce(array_agg(queue_name order by queue_name), '{}') as names
from pgmq.meta;
