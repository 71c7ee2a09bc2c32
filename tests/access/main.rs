//! Who gets in: every operation and endpoint against everybody who must be refused, and the ways in
//! that are open, over the edge as clients use it. The vault beneath is in memory.

mod assurance;
mod claims;
mod clearance;
mod depositor;
mod forms;
mod grants;
mod job_over;
mod jobs;
mod key_scopes;
mod partitions;
mod people;
mod proofs;
mod records;
mod schema;
mod sts;
mod table;
mod versions;
mod visas;
mod world;
