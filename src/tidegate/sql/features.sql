-- Features in Feast: what is applied, what is online.

-- make_applied_definitions --
-- Make the note of what was applied, beside the registry it is about.
create table if not exists feast.applied_definitions (
    project text not null,
    definitions_hash text not null,
    applied_at timestamptz not null default clock_timestamp(),
    constraint applied_definitions_pkey primary key (project)
);

-- hold_definitions --
-- Let one process at a time apply definitions; closing the connection lets go.
select pg_advisory_lock(hashtext('tidegate.apply_definitions'))

-- registry_exists --
-- Whether Feast has made its registry.
select to_regclass('feast.feature_views') is not null

-- applied_definitions --
-- The definitions that were applied; none after `feast teardown`, which empties the registry.
select definitions_hash
  from feast.applied_definitions
 where project = %(project)s
   and exists (select from feast.feature_views where project_id = %(project)s)

-- forget_torn_down --
-- Forget the versions of views that are gone: `feast teardown` leaves them, and the next `feast apply` fails on them.
delete from feast.feature_view_version_history h
 where h.project_id = %(project)s
   and not exists (
       select from feast.feature_views v
        where (v.project_id, v.feature_view_name) = (h.project_id, h.feature_view_name))
   and not exists (
       select from feast.on_demand_feature_views v
        where (v.project_id, v.feature_view_name) = (h.project_id, h.feature_view_name))

-- lost_services --
-- How many services are applied, how many versions are live, the services that these name and nobody applied, and the
-- versions that name them. Only where the registry is.
select
    (select count(*) from feast.feature_services where project_id = 'tidegate') as applied,
    count(*) as live,
    string_agg(distinct v.service, ', ') filter (where s.feature_service_name is null) as lost,
    string_agg(v.version_id::text, ', ' order by v.version_id) filter (where s.feature_service_name is null) as versions
from serving.live_versions v
left join feast.feature_services s on s.feature_service_name = v.service and s.project_id = 'tidegate'

-- note_definitions --
-- Note what was applied.
insert into feast.applied_definitions (project, definitions_hash) values (%(project)s, %(hash)s)
    on conflict (project) do update
   set (definitions_hash, applied_at) = (excluded.definitions_hash, excluded.applied_at)

-- hold_online_store --
-- Let one window at a time go online: between looking for newer rows and writing, none may appear.
select pg_advisory_xact_lock(hashtext('tidegate.online_store'))

-- user_as_of --
-- A user's features as they were at a moment, by their names in Feast.
select n_events, n_view, n_click, n_cart, n_purchase, n_rating, decayed_day, decayed_week, decayed_month, spend,
       rating_sum, extract(epoch from event_timestamp)::double precision as event_at
  from features.as_of(%(user)s, %(at)s)

-- pairs_as_of --
-- A user's features with each item as they were at a moment, by their names in Feast.
select item_id, n_events as pair_events, decayed_day as pair_decayed_day, decayed_week as pair_decayed_week,
       decayed_month as pair_decayed_month, extract(epoch from event_timestamp)::double precision as pair_event_at
  from features.pairs_as_of(%(user)s, %(at)s)

-- user_now --
-- A user's features as of this commit, by their names in Feast.
select n_events, n_view, n_click, n_cart, n_purchase, n_rating, decayed_day, decayed_week, decayed_month, spend,
       rating_sum, extract(epoch from last_event_at)::double precision as event_at
  from features.user_features(%(user)s)

-- user_rows_to_go_online --
-- The last row of each user of a window, unless there is a newer one: an old window never overwrites a later one's.
select distinct on (h.user_id)
       h.user_id, h.event_timestamp, h.created_at, h.n_events, h.n_view, h.n_click, h.n_cart, h.n_purchase, h.n_rating,
       h.decayed_day, h.decayed_week, h.decayed_month, h.spend, h.rating_sum,
       extract(epoch from h.event_timestamp)::double precision as event_at
  from features.user_activity_history h
 where h.position = %(position)s
   and not exists (
       select from features.user_activity_history newer
        where newer.user_id = h.user_id and newer.position <> h.position
          and (newer.event_timestamp, newer.position) > (h.event_timestamp, h.position))
 order by h.user_id, h.event_timestamp desc

-- item_rows_to_go_online --
-- The last row of each item of a window, unless there is a newer one.
select distinct on (h.item_id)
       h.item_id, h.event_timestamp, h.created_at, h.n_events, h.n_view, h.n_click, h.n_cart, h.n_purchase, h.n_rating,
       h.decayed_day, h.decayed_week, h.decayed_month, h.spend, h.rating_sum,
       extract(epoch from h.event_timestamp)::double precision as event_at
  from features.item_activity_history h
 where h.position = %(position)s
   and not exists (
       select from features.item_activity_history newer
        where newer.item_id = h.item_id and newer.position <> h.position
          and (newer.event_timestamp, newer.position) > (h.event_timestamp, h.position))
 order by h.item_id, h.event_timestamp desc
