-- Item vectors from the moment at which their version went live; of a version that went live twice, twice.
create view serving.deployed_item_vectors as
select d.stream, i.item_id, d.live_from as event_timestamp, i.vector::real[] as item_vector,
       i.version_id as item_version, d.live_until is null as live
  from serving.deployments d
  join serving.item_vectors i using (version_id);

comment on view serving.deployed_item_vectors is
    'Item vectors as rows of features: each holds from the event_timestamp at which its version went live.';
