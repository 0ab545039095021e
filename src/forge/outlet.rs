//! Where a repo's work goes to: its remote, and the forge that stands before it, if one is configured.

use std::sync::Arc;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::{Forge, NewRequest, PullRequest, Standing, connect, mark};
use crate::config::{Environment, ForgeConfig, UserConfig};
use crate::fault::Fault;
use crate::git::{Address, Remote, Repo, without_user};
use crate::redact::Redactor;

/// The outlet of a repo.
pub struct Outlet {
    url: String,
    /// The forge, with the repo's full name there.
    forge: Option<(Arc<dyn Forge>, String)>,
    ready: bool,
    environment: Environment,
}

/// What is to be published.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// The commit.
    pub commit: &'a str,
    /// The branch, which is Regreen's own.
    pub branch: &'a str,
    /// The branch that it is for, where that is known and there; else the default one.
    pub onto: Option<&'a str>,
    /// What it is about, so that it is found again: `run=0198…`.
    pub what: &'a str,
    /// One line.
    pub title: &'a str,
    /// Markdown.
    pub body: &'a str,
    /// Whether everything in it is proven and allowed, and nothing more is to come.
    pub complete: bool,
    /// How the commit is proven, in a few words.
    pub words: &'a str,
}

/// What was published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// The remote's address, without users and passwords.
    pub remote: String,
    /// The branch.
    pub branch: String,
    /// Its commit.
    pub commit: String,
    /// The number of the pull request, where a forge is configured.
    #[serde(default)]
    pub request: Option<u64>,
    /// Where people see it.
    #[serde(default)]
    pub url: Option<String>,
    /// Whether it is a draft.
    #[serde(default)]
    pub draft: bool,
    /// Whether nothing more is to come.
    #[serde(default)]
    pub complete: bool,
    /// What did not work and is no reason to stop.
    #[serde(default)]
    pub warnings: Vec<String>,
}

impl Publication {
    /// The same for people: `pull request https://…/7, a draft`, `regreen/x at https://…`.
    pub fn told(&self) -> String {
        match &self.url {
            Some(url) if self.draft => format!("{url}, a draft"),
            Some(url) => url.clone(),
            None => format!("{} at {}", self.branch, self.remote),
        }
    }
}

impl Outlet {
    /// The outlet of `repo` by its remote `origin`.
    ///
    /// # Errors
    /// A [`Fault`] (exit 2) where it has none that can be pushed to, or its forge has no token.
    pub async fn of(
        repo: &Repo,
        user: &UserConfig,
        environment: &Environment,
        redactor: &Redactor,
    ) -> Result<Self> {
        let url = repo.origin().await?.ok_or_else(|| {
            Fault::usage("the repository has no remote called origin to push to")
                .hint("git remote add origin …, or use --land branch")
        })?;
        let address = Address::read(&url).ok_or_else(|| {
            Fault::usage("the remote origin is no address that can be pushed to")
                .hint("set it to one that begins with https:// or ssh://, or git@host:path: git remote set-url origin …")
        })?;
        let own = |forge: &&ForgeConfig| match address.scheme.as_str() {
            "ssh" => forge.host().split(':').next() == Some(address.name()),
            _ => forge.host() == address.host,
        };
        let Some(forge) = user.forges.iter().find(own) else {
            return Ok(Self { url, forge: None, ready: false, environment: environment.clone() });
        };
        let mut outlet = Self::at(forge, &address.path, environment, redactor)?;
        if address.scheme == "ssh" {
            outlet.url = url;
        }
        Ok(outlet)
    }

    /// The outlet of the repo with this full name at a forge.
    ///
    /// # Errors
    /// A [`Fault`] (exit 2) where the forge has no token.
    pub fn at(
        config: &ForgeConfig,
        full: &str,
        environment: &Environment,
        redactor: &Redactor,
    ) -> Result<Self> {
        Ok(Self {
            url: config.git_url(full),
            forge: Some((connect(config, environment, redactor)?, full.to_owned())),
            ready: config.ready,
            environment: environment.clone(),
        })
    }

    /// The forge, with the repo's full name there.
    pub fn forge(&self) -> Option<(&dyn Forge, &str)> {
        self.forge.as_ref().map(|(forge, full)| (forge.as_ref(), full.as_str()))
    }

    /// The remote, with what git logs in with.
    ///
    /// # Errors
    /// As [`Remote::open`].
    pub async fn remote<'r>(&self, repo: &'r Repo) -> Result<Remote<'r>> {
        let login = match &self.forge {
            Some((forge, full)) => Some(forge.login(full).await?),
            None => None,
        };
        Remote::open(repo, &self.url, login.as_ref(), &self.environment).await
    }

    /// Pushes the branch, and has one pull request for it. Done twice, it comes to the same.
    ///
    /// # Errors
    /// A [`Fault`] where the branch is not Regreen's own to push to, the remote or the forge refuse, or cannot be reached.
    pub async fn publish(&self, repo: &Repo, wanted: &Wanted<'_>) -> Result<Publication> {
        let remote = self.remote(repo).await?;
        let tips = remote.tips(wanted.branch).await?;
        let mut base = tips.default.clone();
        let mut protected = tips.default.as_deref() == Some(wanted.branch);
        if let Some((forge, full)) = self.forge() {
            base = Some(forge.repo(full).await?.default_branch);
            protected |= base.as_deref() == Some(wanted.branch);
            protected |= forge.branch(full, wanted.branch).await?.is_some_and(|(_, protected)| protected);
        }
        if protected {
            return Err(Fault::policy(format!(
                "{} is the default branch there, or protected",
                wanted.branch
            ))
            .hint("nothing is pushed to such: choose another name with --land pr=NAME")
            .into());
        }
        match tips.at.as_deref() {
            Some(at) if at == wanted.commit => {}
            Some(at) if !repo.is_ancestor(at, wanted.commit).await? => {
                return Err(Fault::policy(format!(
                    "the branch {} is there already, with commits that are not here",
                    wanted.branch
                ))
                .hint("nothing is forced: remove it there, or choose another name with --land pr=NAME")
                .into());
            }
            _ => remote.push(wanted.commit, wanted.branch).await?,
        }
        let mut done = Publication {
            remote: without_user(&self.url),
            branch: wanted.branch.to_owned(),
            commit: wanted.commit.to_owned(),
            request: None,
            url: None,
            draft: false,
            complete: wanted.complete,
            warnings: Vec::new(),
        };
        let Some((forge, full)) = self.forge() else { return Ok(done) };
        let standing = if wanted.complete { Standing::Proven } else { Standing::Pending };
        if let Err(error) = forge.stand(full, wanted.commit, standing, wanted.words).await {
            done.warnings.push(format!("the commit has no status: {error:#}"));
        }
        if let Some(onto) = wanted.onto.filter(|onto| *onto != wanted.branch)
            && forge.branch(full, onto).await?.is_some()
        {
            base = Some(onto.to_owned());
        }
        let mut request = self.request(forge, full, wanted, base.unwrap_or_default()).await?;
        if wanted.complete && self.ready && request.draft {
            match forge.ready(full, &request).await {
                Ok(()) => request.draft = false,
                Err(error) => done.warnings.push(format!("the pull request stays a draft: {error:#}")),
            }
        }
        (done.request, done.url, done.draft) = (Some(request.number), Some(request.url), request.draft);
        Ok(done)
    }

    /// The one pull request for the branch, with the words that it should have.
    async fn request(
        &self,
        forge: &dyn Forge,
        full: &str,
        wanted: &Wanted<'_>,
        base: String,
    ) -> Result<PullRequest> {
        let body = format!("{}\n{}", mark(wanted.what), wanted.body);
        let new = NewRequest {
            title: wanted.title.to_owned(),
            body: body.clone(),
            head: wanted.branch.to_owned(),
            base,
        };
        let known = match forge.request_of(full, wanted.branch).await? {
            Some(known) => known,
            None => match forge.open(full, &new).await {
                Ok(made) => return Ok(made),
                // Its answer may have been lost, or another process was faster.
                Err(error) => forge.request_of(full, wanted.branch).await?.ok_or(error)?,
            },
        };
        if known.title != wanted.title || known.body.trim_end() != body.trim_end() {
            forge.rewrite(full, &known, wanted.title, &body).await?;
        }
        Ok(known)
    }
}
