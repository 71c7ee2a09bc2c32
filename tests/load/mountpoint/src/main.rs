//! `mountpoint BUCKET DIRECTORY ENDPOINT [CACHE]`: mounts a bucket, read-only, with mountpoint-s3's
//! library as its own command would with `--read-only --metadata-ttl indefinite
//! --force-path-style`, and `--cache` where a directory for one is named.

use anyhow::{Context as _, Result};
use mountpoint_s3_client::config::{AddressingStyle, S3ClientAuthConfig};
use mountpoint_s3_client::user_agent::UserAgent;
use mountpoint_s3_fs::data_cache::{CacheLimit, DataCacheConfig, DiskDataCacheConfig};
use mountpoint_s3_fs::fs::{CacheConfig, TimeToLive};
use mountpoint_s3_fs::fuse::config::{FuseOptions, FuseSessionConfig, MountPoint};
use mountpoint_s3_fs::memory::{CandidateSize, PagedPool};
use mountpoint_s3_fs::s3::config::{
    ClientConfig, MemoryLimitSetting, PartConfig, Region, TargetThroughputSetting,
};
use mountpoint_s3_fs::s3::{Bucket, Prefix, S3Path};
use mountpoint_s3_fs::{
    MountpointConfig, Runtime, S3FilesystemConfig, Superblock, SuperblockConfig,
};

/// What its command takes where nothing else is said.
const PART_BYTES: usize = 8 << 20;
const THREADS: usize = 16;
/// Of a machine with 24 GiB, of which its command takes nearly all.
const MEMORY_BYTES: usize = 16 << 30;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [bucket, directory, endpoint, cache @ ..] = words.as_slice() else {
        anyhow::bail!("mountpoint BUCKET DIRECTORY ENDPOINT [CACHE]");
    };
    let parts = PartConfig::with_part_size(PART_BYTES);
    let client = ClientConfig {
        region: Region::new_user_specified(std::env::var("AWS_REGION")?),
        endpoint_url: Some(endpoint.clone()),
        addressing_style: AddressingStyle::Path,
        dual_stack: false,
        transfer_acceleration: false,
        auth_config: S3ClientAuthConfig::Default,
        requester_pays: false,
        expected_bucket_owner: None,
        throughput_target: TargetThroughputSetting::Default,
        bind: None,
        part_config: parts.validate(MemoryLimitSetting::Default(MEMORY_BYTES))?,
        user_agent: UserAgent::new(None),
        tls_config: None,
    };
    let pool = PagedPool::config()
        .with_candidate_sizes([CandidateSize::new(client.part_config.read_size_bytes)])
        .with_memory_limit(MEMORY_BYTES)
        .build();
    let client = client.create_client(pool.clone(), None)?;
    let runtime = Runtime::new(client.event_loop_group());

    let cached = CacheConfig::new(TimeToLive::Indefinite);
    let path = S3Path::new(Bucket::new(bucket.clone())?, Prefix::new("")?);
    let names = SuperblockConfig {
        cache_config: cached.clone(),
        ..SuperblockConfig::default()
    };
    let names = Superblock::new(client.clone(), path, names);
    let options = FuseOptions {
        read_only: true,
        ..FuseOptions::default()
    };
    let session = FuseSessionConfig::new(MountPoint::new(directory)?, options, THREADS)?;
    let files = S3FilesystemConfig {
        cache_config: cached,
        read_only: true,
        ..S3FilesystemConfig::default()
    };
    let contents = DataCacheConfig {
        disk_cache_config: cache.first().map(|path| DiskDataCacheConfig {
            cache_directory: path.into(),
            block_size: 1 << 20,
            limit: CacheLimit::default(),
        }),
        express_cache_config: None,
    };
    MountpointConfig::new(session, files, contents)?
        .create_fuse_session(names, client, runtime, pool)
        .context("mounting")?
        .join()
}
