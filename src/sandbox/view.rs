//! What a job sees: decided here, on the host, and only carried out by the launcher.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};

use super::spec::{Mount, Walls, What};
use super::toolchains::{Cache, Shown, Toolchains};
use super::{Job, Network, REPORTS, View, gitdir};

const MEBIBYTE: u64 = 1 << 20;
/// Where HOME is when its own path cannot be used.
const SPARE_HOME: &str = "/regreen/home";

/// Folders of the system that are shown whole, read-only.
pub(super) const SYSTEM: &[&str] =
    &["/usr", "/opt", "/nix/store", "/gnu/store", "/home/linuxbrew/.linuxbrew"];
/// Folders at the root that are links into `/usr` on merged systems and folders on others.
pub(super) const MERGED: &[&str] = &["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];
/// What is shown of `/etc`: nothing with a secret or an identity in it.
pub(super) const ETC: &[&str] = &[
    "alternatives",
    "ca-certificates",
    "ca-certificates.conf",
    "crypto-policies",
    "debian_version",
    "fonts",
    "gai.conf",
    "host.conf",
    "inputrc",
    "java",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "magic",
    "maven/logging",
    "maven/m2.conf",
    "maven/toolchains.xml",
    "mime.types",
    "os-release",
    "perl",
    "pki/ca-trust",
    "pki/tls/certs",
    "pki/tls/openssl.cnf",
    "protocols",
    "python3",
    "rpc",
    "services",
    "ssl/certs",
    "ssl/openssl.cnf",
    "terminfo",
    "timezone",
];
/// Names in `/etc` that start like this are shown too (a Java installation's settings and the like).
pub(super) const ETC_PREFIXES: &[&str] = &["java-", "python3."];

/// Secrets that are hidden wherever the view would show them, below HOME.
pub(super) const SECRETS: &[&str] = &[
    ".aws",
    ".azure",
    ".bash_history",
    ".bundle/config",
    ".cargo/credentials",
    ".cargo/credentials.toml",
    ".composer/auth.json",
    ".config/containers",
    ".config/gcloud",
    ".config/gh",
    ".config/git/credentials",
    ".config/glab-cli",
    ".config/hub",
    ".config/pip",
    ".config/regreen",
    ".config/rclone",
    ".docker",
    ".gem/credentials",
    ".git-credentials",
    ".gnupg",
    ".gradle/gradle.properties",
    ".kube",
    ".local/share/keyrings",
    ".local/state/regreen",
    ".local/share/regreen",
    ".m2/settings-security.xml",
    ".m2/settings.xml",
    ".mozilla",
    ".netrc",
    ".npmrc",
    ".password-store",
    ".pip",
    ".pgpass",
    ".pypirc",
    ".ssh",
    ".terraform.d",
    ".vault-token",
    ".yarnrc.yml",
    ".zsh_history",
];

/// The walls for `job`, and the HOME that it gets.
pub(super) fn walls(job: &Job, toolchains: &Toolchains, landlock_required: bool) -> Result<(Walls, PathBuf)> {
    let view = &job.view;
    let owner = owner_of(&view.root)?;
    let home = match &toolchains.home {
        Some(home) if !home.starts_with(&view.root) => home.clone(),
        _ => PathBuf::from(SPARE_HOME),
    };
    let mut plan = Plan::default();
    system(&mut plan, job.network, owner, &home);
    let share = |part: u64| (job.limits.memory / part).max(16 * MEBIBYTE);
    plan.add("/tmp", What::Memory { size: share(2), inodes: 1 << 20, mode: 0o1777 });
    plan.add(&home, What::Memory { size: share(2), inodes: 1 << 20, mode: 0o755 });
    plan.add("/dev", What::Devices { shared_memory: share(4) });
    for Shown { path, source } in &toolchains.shown {
        if !plan.shows(path, source) && !path.starts_with(&view.root) && !view.root.starts_with(path) {
            plan.add(path, What::Host { source: source.clone(), writable: false });
        }
    }
    let mut writable: Vec<PathBuf> = ["/tmp", "/dev", REPORTS].map(PathBuf::from).to_vec();
    for cache in &toolchains.caches {
        if plan.cache(cache, view, share(2))? {
            writable.push(cache.path.clone());
        }
    }
    for (path, text) in &toolchains.made {
        if !path.starts_with(&view.root) && !plan.shows_target(path) {
            plan.add(path, What::File(text.clone()));
        }
    }
    if job.network != Network::None {
        for path in toolchains.certificates.values() {
            let shown = path.canonicalize().is_ok_and(|source| plan.shows(path, &source));
            if !shown && !path.starts_with(&view.root) && !view.root.starts_with(path) {
                plan.host(path);
            }
        }
    }
    repo(&mut plan, view)?;
    if let Some(reports) = &view.reports {
        let source =
            reports.canonicalize().with_context(|| format!("the reports folder {}", reports.display()))?;
        plan.add(REPORTS, What::Host { source, writable: true });
    }
    if let Some(home) = &toolchains.home {
        for secret in SECRETS {
            plan.hide(&home.join(secret));
        }
    }
    for secret in &toolchains.secrets {
        plan.hide(secret);
    }
    writable.push(home.clone());
    if view.upper.is_some() || view.in_place {
        writable.push(view.root.clone());
    }
    let walls = Walls {
        uid: owner.0,
        gid: owner.1,
        own_network: job.network != Network::All,
        gate: (job.network == Network::Registries).then_some(super::proxy::PORT),
        mounts: plan.mounts(),
        writable,
        landlock_required,
    };
    Ok((walls, home))
}

/// The ids that commands run as: the tree's owner for root (whose own files they must be able to write), else ourselves.
pub(super) fn owner_of(root: &Path) -> Result<(u32, u32)> {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    if uid != 0 {
        return Ok((uid, gid));
    }
    let meta = std::fs::metadata(root).with_context(|| format!("looking at {}", root.display()))?;
    Ok((meta.uid(), meta.gid()))
}

/// What the user with this id is called inside.
pub(super) fn user_name(uid: u32) -> &'static str {
    if uid == 0 { "root" } else { "regreen" }
}

fn system(plan: &mut Plan, network: Network, (uid, gid): (u32, u32), home: &Path) {
    for path in SYSTEM {
        plan.host(Path::new(path));
    }
    for path in MERGED.iter().map(Path::new) {
        match std::fs::read_link(path) {
            Ok(to) => plan.add(path, What::Link(to)),
            Err(_) => plan.host(path),
        }
    }
    let etc = Path::new("/etc");
    for name in ETC {
        plan.host(&etc.join(name));
    }
    for entry in std::fs::read_dir(etc).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if ETC_PREFIXES.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            plan.host(&entry.path());
        }
    }
    let mut passwd = String::new();
    let mut group = String::new();
    if uid != 0 {
        passwd.push_str("root:x:0:0:root:/root:/bin/sh\n");
        group.push_str("root:x:0:\n");
    }
    let name = user_name(uid);
    passwd.push_str(&format!("{name}:x:{uid}:{gid}::{}:/bin/sh\n", home.display()));
    group.push_str(&format!("{name}:x:{gid}:\n"));
    if uid != 65534 {
        passwd.push_str("nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n");
        group.push_str("nogroup:x:65534:\n");
    }
    plan.add("/etc/passwd", What::File(passwd));
    plan.add("/etc/group", What::File(group));
    if Path::new("/etc/maven/settings.xml").exists() {
        // The machine's own may hold passwords of mirrors.
        plan.add("/etc/maven/settings.xml", What::File("<settings/>\n".into()));
    }
    plan.add("/etc/hostname", What::File("regreen\n".into()));
    plan.add("/etc/nsswitch.conf", What::File("passwd: files\ngroup: files\nhosts: files dns\n".into()));
    // The tree may belong to somebody whom this namespace does not know.
    plan.add("/etc/gitconfig", What::File("[safe]\n\tdirectory = *\n[gc]\n\tauto = 0\n".into()));
    if network == Network::All {
        plan.host(&etc.join("hosts"));
        plan.host(&etc.join("resolv.conf"));
    } else {
        let hosts = "127.0.0.1 localhost regreen\n::1 localhost ip6-localhost ip6-loopback\n";
        plan.add("/etc/hosts", What::File(hosts.into()));
    }
    plan.add("/run", What::Folder);
    plan.add("/var/tmp", What::Link("/tmp".into()));
    plan.add("/proc", What::Folder);
}

fn repo(plan: &mut Plan, view: &View) -> Result<()> {
    let canonical =
        |path: &Path| path.canonicalize().with_context(|| format!("cannot see {}", path.display()));
    let lowers = view.lowers.iter().map(|lower| canonical(lower)).collect::<Result<Vec<_>>>()?;
    let upper = match &view.upper {
        Some((upper, work)) => Some((canonical(upper)?, canonical(work)?)),
        None => None,
    };
    match lowers.as_slice() {
        [source] if view.in_place => {
            plan.add(&view.root, What::Host { source: source.clone(), writable: true });
        }
        _ => plan.add(&view.root, What::Layers { lowers: lowers.clone(), upper }),
    }
    let Some(base) = lowers.last() else { anyhow::bail!("a view needs at least one layer") };
    for (at, what) in gitdir::mounts(&base.join(".git")) {
        plan.add(view.root.join(".git").join(at), what);
    }
    for path in &view.read_only {
        let source = canonical(path)?;
        plan.add(path, What::Host { source: source.clone(), writable: false });
        if gitdir::is_one(&source) {
            for (at, what) in gitdir::mounts(&source) {
                plan.add(path.join(at), what);
            }
        }
    }
    Ok(())
}

/// What a job sees of the host, to tell what is not there from what is hidden.
#[derive(Debug, Clone)]
pub struct Sight {
    root: PathBuf,
    mounts: Vec<Mount>,
}

impl Sight {
    pub(super) fn new(job: &Job, toolchains: &Toolchains) -> Result<Self> {
        let (walls, _) = walls(job, toolchains, false)?;
        Ok(Self { root: job.view.root.clone(), mounts: walls.mounts })
    }

    /// The folder that would have to be shown, read-only, for `program` to be found, called from `dir` (relative to the root): `None` where
    /// it is no path, is not on the host, is seen already, or lies where showing its folder would cover something else.
    pub fn lacks(&self, dir: &str, program: &str) -> Option<PathBuf> {
        if !program.contains('/') {
            return None;
        }
        let path: PathBuf = self.root.join(dir).join(program).components().collect();
        let real = path.canonicalize().ok().filter(|real| real.is_file())?;
        let plain = !path.components().any(|part| part == Component::ParentDir);
        let hidden =
            [plain.then_some(&path), Some(&real)].into_iter().flatten().find(|at| !self.shows(at))?;
        let folder = hidden.parent()?;
        // An environment's programs are of no use without what lies beside their folder.
        let whole = folder.parent().filter(|_| folder.ends_with("bin"));
        let covers = |folder: &Path| self.mounts.iter().any(|mount| mount.target.starts_with(folder));
        whole.into_iter().chain([folder]).find(|folder| !covers(folder)).map(Path::to_owned)
    }

    fn shows(&self, path: &Path) -> bool {
        let over = self.mounts.iter().filter(|mount| path.starts_with(&mount.target));
        let Some(mount) = over.max_by_key(|mount| depth(&mount.target)) else { return false };
        let Ok(rest) = path.strip_prefix(&mount.target) else { return false };
        match &mount.what {
            What::Host { source, .. } => source.join(rest).exists(),
            What::Throwaway { lowers, .. } => lowers.iter().any(|layer| layer.join(rest).exists()),
            What::Layers { lowers, upper } => {
                let uppers = upper.iter().map(|(upper, _)| upper);
                uppers.chain(lowers).any(|layer| layer.join(rest).symlink_metadata().is_ok())
            }
            What::Link(_) => true,
            _ => false,
        }
    }
}

/// The mounts so far.
#[derive(Default)]
struct Plan {
    mounts: Vec<Mount>,
    hidden: BTreeSet<PathBuf>,
}

impl Plan {
    fn add(&mut self, target: impl AsRef<Path>, what: What) {
        // `join("")` leaves a slash at the end.
        let target: PathBuf = target.as_ref().components().collect();
        self.mounts.retain(|mount| mount.target != target);
        self.mounts.push(Mount { target, what });
    }

    /// Shows something of the host at its own path, if it is there.
    fn host(&mut self, path: &Path) {
        if let Ok(source) = path.canonicalize() {
            self.add(path, What::Host { source, writable: false });
        }
    }

    /// Shows a cache with what setups put there on top; whether there is anything to show.
    fn cache(&mut self, cache: &Cache, view: &View, size: u64) -> Result<bool> {
        let path = &cache.path;
        // Where the host has none, a folder for it can only be made in what is not the host's.
        let inside = |mount: &Mount| {
            path.starts_with(&mount.target) && matches!(mount.what, What::Host { .. } | What::Layers { .. })
        };
        let fits = cache.source.is_some() || !self.mounts.iter().any(inside);
        if !fits || path.starts_with(&view.root) || view.root.starts_with(path) {
            return Ok(false);
        }
        let layers =
            view.caches.layers.iter().map(|layer| layer.join(cache.name)).filter(|layer| layer.is_dir());
        let mut lowers: Vec<PathBuf> = Vec::new();
        for layer in layers {
            lowers.push(layer.canonicalize().with_context(|| format!("the layer {}", layer.display()))?);
        }
        lowers.extend(cache.source.clone());
        let what = match (&view.caches.upper, lowers.is_empty()) {
            (Some(upper), empty) => {
                let part = |folder: &Path| {
                    let folder = folder.join(cache.name);
                    folder.canonicalize().with_context(|| format!("the layer {}", folder.display()))
                };
                let source = part(&upper.layer)?;
                match &upper.work {
                    Some(work) if !empty => What::Layers { lowers, upper: Some((source, part(work)?)) },
                    _ => What::Host { source, writable: true },
                }
            }
            (None, true) => return Ok(false),
            (None, false) => What::Throwaway { lowers, size },
        };
        self.add(path, what);
        Ok(true)
    }

    fn hide(&mut self, path: &Path) {
        self.hidden.insert(path.to_owned());
    }

    fn shows_target(&self, path: &Path) -> bool {
        self.mounts.iter().any(|mount| mount.target == path)
    }

    /// Whether the host's `source` is already seen at `path`.
    fn shows(&self, path: &Path, source: &Path) -> bool {
        self.mounts.iter().any(|mount| match &mount.what {
            What::Host { source: shown, .. } => match path.strip_prefix(&mount.target) {
                Ok(rest) => shown.join(rest).components().eq(source.components()),
                Err(_) => false,
            },
            What::Link(_) => mount.target == path,
            _ => false,
        })
    }

    /// Parents before children, and what is hidden last.
    fn mounts(mut self) -> Vec<Mount> {
        self.mounts.sort_by_key(|mount| depth(&mount.target));
        let hidden = self.hidden.into_iter().map(|target| Mount { target, what: What::Hidden });
        self.mounts.extend(hidden);
        self.mounts
    }
}

fn depth(path: &Path) -> usize {
    path.components().filter(|part| matches!(part, Component::Normal(_))).count()
}
