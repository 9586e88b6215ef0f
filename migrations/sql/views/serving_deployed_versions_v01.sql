-- Which version answered for a stream, since when: what an application sees as features of the stream.
create view serving.deployed_versions as
select d.stream, d.live_from as event_timestamp, d.version_id, v.number::bigint as version_number,
       coalesce(v.manifest -> 'service' ->> 'name', 'sequential_recommender@v1') as service,
       extract(epoch from v.created_at)::double precision as trained_at,
       extract(epoch from d.live_from)::double precision as live_from,
       d.live_until is null as live
  from serving.deployments d
  join learning.versions v using (version_id);

comment on view serving.deployed_versions is
    'Each deployment as a row of features: the version that answered for a stream from event_timestamp on.';
