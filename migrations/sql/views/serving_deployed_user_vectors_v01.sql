-- User vectors from the moment at which their version went live; seen_until is the newest event in each.
create view serving.deployed_user_vectors as
select d.stream, u.user_id, d.live_from as event_timestamp, u.vector::real[] as user_vector,
       u.version_id as user_version, extract(epoch from u.as_of)::double precision as seen_until,
       d.live_until is null as live
  from serving.deployments d
  join serving.user_vectors u using (version_id);

comment on view serving.deployed_user_vectors is
    'User vectors as rows of features: each holds from the event_timestamp at which its version went live.';
