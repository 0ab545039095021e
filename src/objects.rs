//! Where what checks print is kept: in the state folder, and where one is configured in an S3-compatible bucket that several machines share.
//!
//! What is kept is written to the state folder first and copied to the bucket behind the run. The copy is owed until it was made: the
//! folder `outbox` holds a link to each file that still has to go, so that neither a bucket that is down nor a process that is killed loses
//! any.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::StreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::{
    BackoffConfig, ClientOptions, GetOptions, GetRange, ObjectStore, ObjectStoreExt, RetryConfig,
};
use tokio::sync::{Mutex, Notify};

use crate::config::{Bucket, Environment};
use crate::fault::Fault;
use crate::patch::RelPath;

/// How long to wait before a bucket that failed is tried again; other processes of this machine may owe it something, too.
const AGAIN: Duration = Duration::from_secs(30);

/// The longest that one request to a bucket may take.
const REQUEST: Duration = Duration::from_secs(60);

/// How long a request is tried again that failed by what may pass.
const RETRIES: Duration = Duration::from_secs(20);

/// What is kept, by key: a path like `logs/<run>/<name>.log`. Cheap to clone.
#[derive(Clone)]
pub struct Objects {
    /// The state folder.
    state: PathBuf,
    bucket: Option<Arc<Shared>>,
}

/// A bucket, and what it is owed.
struct Shared {
    store: AmazonS3,
    prefix: String,
    outbox: PathBuf,
    /// Rung when something is owed.
    owed: Notify,
    /// Held by whoever uploads.
    uploading: Mutex<()>,
    /// Whether somebody uploads whatever comes, so that nobody needs to wait for it.
    served: AtomicBool,
}

impl std::fmt::Debug for Objects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Objects").field("state", &self.state).field("bucket", &self.bucket.is_some()).finish()
    }
}

impl Objects {
    /// Everything in the state folder alone.
    pub fn local(state: impl Into<PathBuf>) -> Self {
        Self { state: state.into(), bucket: None }
    }

    /// The state folder, and the bucket that is configured, if one is. Keys and tokens come from the environment, under the names that AWS's own
    /// tools know (`AWS_ACCESS_KEY_ID`, `AWS_WEB_IDENTITY_TOKEN_FILE`, …), or from the machine's role.
    ///
    /// # Errors
    /// A [`Fault`] (exit 2) where the bucket is described wrongly, or the outbox cannot be made.
    pub fn open(state: &Path, bucket: Option<&Bucket>, environment: &Environment) -> Result<Self> {
        let Some(bucket) = bucket else { return Ok(Self::local(state)) };
        let outbox = state.join("outbox");
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&outbox)
            .with_context(|| format!("cannot make {}", outbox.display()))?;
        let store = connect(bucket, environment).map_err(|error| {
            Fault::usage(format!("the object store of [objects] cannot be used: {error}"))
                .hint("docs/configuration.md describes [objects] and the variables that AWS's tools know")
        })?;
        let prefix = bucket.prefix.clone();
        let shared = Shared {
            store,
            prefix,
            outbox,
            owed: Notify::new(),
            uploading: Mutex::default(),
            served: AtomicBool::new(false),
        };
        Ok(Self { state: state.to_owned(), bucket: Some(Arc::new(shared)) })
    }

    /// Where an object lies on this machine, whether it is there or not.
    pub fn path(&self, key: &str) -> PathBuf {
        self.state.join(key)
    }

    /// Owes the bucket a copy of the file at the key's [`path`](Self::path), whose contents stay as they are from now on.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn share(&self, key: &str) -> Result<()> {
        let Some(shared) = &self.bucket else { return Ok(()) };
        let debt = shared.outbox.join(key.replace('/', "%"));
        let from = self.path(key);
        // A link outlives the sweeping of old logs.
        std::fs::hard_link(&from, &debt)
            .or_else(|_no_links| std::fs::copy(&from, &debt).map(drop))
            .with_context(|| format!("cannot put {key} into the outbox"))?;
        shared.owed.notify_one();
        Ok(())
    }

    /// The end of an object, `most` bytes of it; `None` where neither this machine nor the bucket has it, or it cannot be read.
    pub async fn end(&self, key: &str, most: u64) -> Option<Vec<u8>> {
        // The key may come from a store that was copied together: one that leads elsewhere is not followed.
        let key = RelPath::new(key).ok()?;
        let path = key.under(&self.state);
        let local = tokio::task::spawn_blocking(move || read_end(&path, most)).await.ok()?;
        if local.is_some() {
            return local;
        }
        let shared = self.bucket.as_ref()?;
        let end = GetOptions { range: Some(GetRange::Suffix(most)), ..GetOptions::default() };
        let got = async { shared.store.get_opts(&shared.place(key.as_str()), end).await?.bytes().await };
        match got.await {
            Ok(bytes) => Some(bytes.to_vec()),
            Err(object_store::Error::NotFound { .. }) => None,
            Err(error) => {
                tracing::warn!("the object store does not give {key}: {error}");
                None
            }
        }
    }

    /// Whether there is a bucket.
    pub fn is_shared(&self) -> bool {
        self.bucket.is_some()
    }

    /// Removes from the bucket what lies there below `folder`, such as `logs/<run>`, and gives how many bytes that were, or `None` where
    /// there was nothing; where `dry`, only says how many there are.
    ///
    /// # Errors
    /// Where the bucket fails, or does not let anything be listed or removed. What was removed until then is.
    pub async fn clear(&self, folder: &str, dry: bool) -> Result<Option<u64>> {
        let Some(shared) = &self.bucket else { return Ok(None) };
        let place = shared.place(folder);
        let mut found = shared.store.list(Some(&place));
        let mut all = Vec::new();
        while let Some(one) = found.next().await {
            all.push(one.with_context(|| format!("cannot list {folder} in the object store"))?);
        }
        let bytes = all.iter().map(|one| one.size).reduce(|sum, size| sum + size);
        if !dry {
            for one in all {
                match shared.store.delete(&one.location).await {
                    Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                    Err(error) => {
                        let what = format!("cannot remove {} from the object store", one.location);
                        return Err(anyhow::Error::new(error).context(what));
                    }
                }
            }
        }
        Ok(bytes)
    }

    /// Copies what is owed to the bucket, now and whenever there is something. Does not return.
    pub async fn upload(self) {
        let Some(shared) = &self.bucket else { return std::future::pending().await };
        let _serving = Serving::new(shared);
        let mut failing = false;
        loop {
            match shared.settle().await {
                Ok(()) => failing = false,
                Err(error) if failing => tracing::debug!("the object store still fails: {error:#}"),
                Err(error) => {
                    failing = true;
                    tracing::warn!(
                        "logs do not reach the object store and stay on this machine until they do: {error:#}"
                    );
                }
            }
            let _ = tokio::time::timeout(AGAIN, shared.owed.notified()).await;
        }
    }

    /// Copies what is owed to the bucket, within `limit`, unless [`Objects::upload`] does so in this process. What is left is copied by a later
    /// process.
    pub async fn flush(&self, limit: Duration) {
        let Some(shared) = &self.bucket else { return };
        if shared.served.load(Ordering::Relaxed) {
            return;
        }
        match tokio::time::timeout(limit, shared.settle()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!("what is owed to the object store stays: {error:#}"),
            Err(_) => tracing::debug!("what is owed to the object store stays: it takes too long"),
        }
    }
}

/// Says as long as it lives that somebody uploads.
struct Serving<'s>(&'s Shared);

impl<'s> Serving<'s> {
    fn new(shared: &'s Shared) -> Self {
        shared.served.store(true, Ordering::Relaxed);
        Self(shared)
    }
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        self.0.served.store(false, Ordering::Relaxed);
    }
}

impl Shared {
    fn place(&self, key: &str) -> object_store::path::Path {
        let parts = [self.prefix.as_str(), key].into_iter().flat_map(|part| part.split('/'));
        object_store::path::Path::from_iter(parts.filter(|part| !part.is_empty()))
    }

    /// Pays everything that is owed.
    async fn settle(&self) -> Result<()> {
        let _alone = self.uploading.lock().await;
        let mut debts: Vec<PathBuf> = std::fs::read_dir(&self.outbox)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()?;
        debts.sort();
        for debt in debts {
            let Some(name) = debt.file_name().and_then(|name| name.to_str()) else { continue };
            let bytes = match tokio::fs::read(&debt).await {
                Ok(bytes) => bytes,
                // Another process of this machine paid it meanwhile.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error).context("the outbox cannot be read"),
            };
            let key = name.replace('%', "/");
            self.store
                .put(&self.place(&key), bytes.into())
                .await
                .with_context(|| format!("cannot put {key}"))?;
            match std::fs::remove_file(&debt) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }
}

fn connect(bucket: &Bucket, environment: &Environment) -> object_store::Result<AmazonS3> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = AmazonS3Builder::new();
    for (name, value) in environment.pairs() {
        let key =
            name.starts_with("AWS_").then(|| name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>().ok());
        if let Some(key) = key.flatten() {
            builder = builder.with_config(key, value);
        }
    }
    builder = builder.with_bucket_name(&bucket.name);
    if let Some(region) = &bucket.region {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = &bucket.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    // What the user wrote as http:// is meant so: a server of one's own, beside the workers.
    let plain = bucket.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    let client = ClientOptions::new()
        .with_timeout(REQUEST)
        .with_connect_timeout(Duration::from_secs(10))
        .with_allow_http(plain);
    let retry = RetryConfig { backoff: BackoffConfig::default(), max_retries: 3, retry_timeout: RETRIES };
    builder.with_client_options(client).with_retry(retry).build()
}

fn read_end(path: &Path, most: u64) -> Option<Vec<u8>> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = std::fs::File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(most))).ok()?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}
