-- One row for each key, so that an online store can serve it as it is: the flip of the pointer changes it at once.
create view serving.live_versions as
select * from serving.deployed_versions where live;

comment on view serving.live_versions is 'The rows of serving.deployed_versions that hold now.';
