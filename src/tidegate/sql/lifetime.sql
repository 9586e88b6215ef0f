-- Lifetime: what is kept how long, sealed and dropped.

-- lifetime --
-- How long things are kept, as PostgreSQL writes intervals; null is for ever.
select keep_events::text, keep_quarantine::text, keep_impressions::text, seal_after::text, keep_keys::text
  from ingest.lifetime

-- set_lifetime --
-- Change how long things are kept; null leaves a value as it is, 'forever' takes the limit away.
update ingest.lifetime
   set keep_events = case when %(keep_events)s::text is null then keep_events
                          else nullif(%(keep_events)s, 'forever')::interval end,
       keep_quarantine = case when %(keep_quarantine)s::text is null then keep_quarantine
                              else nullif(%(keep_quarantine)s, 'forever')::interval end,
       keep_impressions = case when %(keep_impressions)s::text is null then keep_impressions
                               else nullif(%(keep_impressions)s, 'forever')::interval end,
       seal_after = coalesce(%(seal_after)s::interval, seal_after),
       keep_keys = coalesce(%(keep_keys)s::interval, keep_keys)

-- retention_plan --
-- The partitions past their retention, and what keeps each of them.
select partition, starts_at, ends_at, events, bytes, needed_by from ingest.retention_plan()

-- rows_past_retention --
-- How many rows of what is not dropped by the day are past their retention.
select (select count(*) from ingest.behaviour_events_default where ingested_at < now() - l.keep_events)
           as default_partition,
       (select count(*) from ingest.quarantined_events where quarantined_at < now() - l.keep_quarantine) as quarantine,
       (select count(*) from serving.impressions where served_at < now() - l.keep_impressions) as impressions
  from ingest.lifetime l

-- drop_partition --
-- Drop a partition past its retention, if nothing needs it and nobody is in the way.
select ingest.drop_partition(%(partition)s)

-- trim_default --
-- Delete some rows of the default partition that are past their retention.
select ingest.trim_default(%(most)s)

-- trim_quarantine --
-- Delete some quarantined events that are past their retention.
select ingest.trim_quarantine(%(most)s)

-- trim_impressions --
-- Delete some impressions that are past their retention.
select serving.trim_impressions(%(most)s)

-- unsealed_partitions --
-- The days that are over and have no index for lineage and erasure yet.
select p.partition from ingest.partitions() p, ingest.lifetime l where not p.sealed and p.ends_at <= now() - l.seal_after

-- seal_partition --
-- Index a day that is over.
select ingest.seal_partition(%(partition)s)

-- forget_results --
-- Have a worker delete the task results that have expired: without Celery's own scheduler nobody else does.
select learning.send_task('housekeeping', 'celery.backend_cleanup', '{}')

-- command_queues --
-- The queues through which workers get commands and clients get answers, where PostgreSQL is the broker.
select distinct queue from learning.queue_bindings where exchange in ('celery.pidbox', 'reply.celery.pidbox')

-- drop_command_queue --
-- Drop one of them with its bindings.
with unbound as (
    delete from learning.queue_bindings where queue = %(queue)s
)
select pgmq.drop_queue(%(name)s)
