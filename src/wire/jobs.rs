//! Jobs (`docs/jobs.md`).

use zeroize::Zeroize as _;

messages! {
    /// A job that is to read in the caller's name.
    #[serde(deny_unknown_fields)]
    struct SubmitJobRequest {
        /// The bucket of the version that it reads.
        bucket: String,
        /// The cluster that it runs on.
        cluster: String,
        /// Its account there.
        account: String,
        /// On how many nodes it runs at most.
        #[serde(default = "one")]
        nodes: u32 = {"minimum": 1},
        /// For how many seconds it may wait.
        waits_seconds: u64 = {"minimum": 1},
        /// For how many seconds it may run once it has started.
        lasts_seconds: u64 = {"minimum": 1},
        /// The purpose; its grant must have the same.
        #[serde(default)]
        purpose: Option<String>,
    }

    /// A job that waits or runs.
    struct Job {
        /// Its name: the person, a slash, an id. It is no secret.
        job: String,
        /// The version that it reads.
        version: String,
        /// The cluster that it runs on.
        cluster: String,
        /// Its account there.
        account: String,
        /// The purpose.
        #[serde(default)]
        purpose: Option<String>,
        /// Until when it may start.
        start_by: String = {"format": "date-time"},
        /// For how many seconds it may run once it has started.
        #[serde(default)]
        lasts_seconds: u64,
        /// The scheduler's number of it, once it has started.
        number: Option<String>,
        /// The nodes that it runs on.
        #[serde(default)]
        nodes: Vec<String>,
        /// When it is over at the latest, once it has started.
        over: Option<String> = {"format": "date-time"},
    }

    /// The caller's jobs that wait or run.
    struct JobList {
        /// The jobs.
        jobs: Vec<Job>,
    }

    /// What a node states of a job.
    #[serde(deny_unknown_fields)]
    struct JobStatement {
        /// A JSON Web Token that the node's key signed; good once, for a minute.
        statement: String,
    }

    /// A job's session.
    struct JobSession {
        /// The job as a principal, a workload.
        #[serde(default)]
        principal: String,
        /// The person in whose name it reads.
        #[serde(default)]
        person: Option<String>,
        /// The session's access key.
        access_key_id: String,
        /// The session's secret key. **Secret.**
        secret_access_key: String,
        /// The session's token. **Secret.**
        session_token: String,
        /// When it ends.
        #[serde(default)]
        expires: String = {"format": "date-time"},
        /// In how many seconds from now that is.
        expires_in: u64,
    }
}

const fn one() -> u32 {
    1
}

impl Drop for JobSession {
    fn drop(&mut self) {
        self.secret_access_key.zeroize();
        self.session_token.zeroize();
    }
}
