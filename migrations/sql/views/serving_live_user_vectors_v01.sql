-- One row for each key, so that an online store can serve it as it is: the flip of the pointer changes it at once.
create view serving.live_user_vectors as
select * from serving.deployed_user_vectors where live;

comment on view serving.live_user_vectors is 'The rows of serving.deployed_user_vectors that hold now.';
