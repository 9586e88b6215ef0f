-- One row for each key, so that an online store can serve it as it is: the flip of the pointer changes it at once.
create view serving.live_item_vectors as
select * from serving.deployed_item_vectors where live;

comment on view serving.live_item_vectors is 'The rows of serving.deployed_item_vectors that hold now.';
