//! The keys of a fleet, for monitors that count keys instead of calls.
//!
//! A user makes calls to several replicas, and must count once. So the keys of the replicas are
//! united, and not added:
//!
//! 1. Each replica records the events of its sampled keys in ledgers of its own. What is new to
//!    them goes into its [`KeyLog`], as [`KeyRecord`]s in numbered batches.
//! 2. With each publication of its counts, the replica publishes the batches that are not known to
//!    be judged: [`PublishedKeys`], at most [`PublishedKeys::MAX_KEYS`] keys at a time.
//! 3. The driver records the batches in the ledgers of the fleet, which ignore what they know, and
//!    gives the judge what was new. [`JudgedKeys`] has the number of the last batch of each log. It
//!    is stored with the ledgers and with the state of the judge, in one change of the evidence.
//! 4. The replica sees that evidence, and forgets the batches that it has.
//!
//! The replicas sample the same keys: the seed of the sample is in the evidence. A sample that has
//! become too large for one replica, for the driver or for the document is halved for all of them.
//! The keys that remain in it are complete, because each replica has recorded all events of theirs.
//! The other keys keep what they have counted, and count no more. A replica that has not seen the
//! evidence yet has another seed. Its batches are used if it has recorded all keys, and ignored
//! otherwise.
//!
//! # Guarantees
//!
//! | | guarantee | tests |
//! |---|---|---|
//! | K1 | Each published batch is judged once: none twice, and none never, under crashes, late publications and new drivers. | `the_keys_of_a_fleet_are_those_of_one_process`, `a_batch_is_published_until_the_evidence_has_it` |
//! | K2 | A key counts once in the fleet for each monitor, whichever replicas it calls. | `the_keys_of_a_fleet_are_those_of_one_process`, `each_user_counts_once_whichever_processes_serve_it` |
//! | K3 | A publication has at most 1,000 keys, except for the last one of a replica that shuts down. | `a_publication_has_at_most_a_thousand_keys` |
//!
//! *Null hypothesis of K2*, as for one process: which events of a key are recorded, and when,
//! depends on its channel only through its calls. A batch that is lost or late must be so for
//! either channel: if there are more new keys than a publication has, those of one weight are
//! published in the order of the last bits of their hashes, and ratings in the order of their keys,
//! which do not depend on the channel (tests
//! `a_part_of_many_new_users_has_the_share_of_the_weight`,
//! `a_part_of_many_users_without_an_answer_has_the_share_of_the_weight` and
//! `a_part_of_many_users_who_rate_has_the_share_of_the_weight`). A replica that dies takes the keys
//! with it that it has not published: those of its last beat, and more if they do not fit into one
//! publication. One that shuts down publishes all of them that fit into a document. If the canary
//! kills the process, these are keys of the canary, and its harm has to be found by other means.
//!
//! # What is decided where
//!
//! A replica decides whether an event is adverse, with the limits of the evidence that it follows.
//! So a monitor of slow calls uses a limit that is at most one publication of the driver old. A key
//! waits for an answer if no call of it *on that replica* is answered. Guards count calls, and not
//! keys: a plan whose monitors all count keys has no guard, and is rolled back with the next look
//! of the driver.
//!
//! # Size
//!
//! A new key takes about 14 bytes in an entry of the board, and a publication with 1,000 keys 15 kB
//! (test `a_publication_has_at_most_a_thousand_keys`). It is published until the evidence has it,
//! which takes two or three beats. The last publication of a replica has at most the keys of its
//! ledgers, 4,096 in each, and leaves the latest out if they do not fit into a document. The
//! evidence has the number of the last batch of each replica that the [roster](super::Roster)
//! knows: of those that run, and of at most 1,100 crashed ones (test
//! `the_logs_do_not_grow_with_each_replica_that_has_started`). A key that was published is not
//! published again, unless it has a new event or a new weight.

mod log;
mod record;

pub use self::{
    log::{JudgedKeys, KeyLog, PublishedKeys},
    record::{KeyBatch, KeyRecord},
};
