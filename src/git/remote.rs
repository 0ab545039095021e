//! The one way to talk to another machine's git: pushing to a branch, and fetching one.
//!
//! A repository's own configuration can send a push, and the password with it, anywhere (`url.….insteadOf`, `http.proxy`, `remote.….vcs`, a
//! credential helper). So git stands in a private folder that has none of it and borrows the repository's objects; the user's own
//! configuration (proxies, keys, credential helpers) counts. A password travels by the environment of that one process, to the host that it is for.
//! Nothing is ever forced.

use std::path::Path;

use anyhow::{Context, Result, bail};
use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;

use super::{Git, Repo};
use crate::config::Environment;
use crate::fault::Fault;

/// Where what was fetched stands in the private folder.
const FETCHED: &str = "refs/regreen/fetched";
/// Tips of the repository that a server is told of, so that it sends only what is new.
const MOST_TIPS: usize = 200;
/// Asks nobody, and answers nothing but what is asked for.
const HELPER: &str = "!f() { test \"$1\" = get && printf 'username=%s\\npassword=%s\\n' \"$REGREEN_GIT_USER\" \"$REGREEN_GIT_PASSWORD\"; }; f";

/// How branches stand at a remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tips {
    /// The branch that is checked out there: the one that work goes to.
    pub default: Option<String>,
    /// The commit of the branch that was asked for; `None` where it is not there.
    pub at: Option<String>,
}

/// A remote of a repository.
#[derive(Debug)]
pub struct Remote<'r> {
    repo: &'r Repo,
    url: String,
    git: Git,
    /// Removed with the value.
    _folder: TempDir,
}

/// Where an address leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// `https`, `http` or `ssh`.
    pub scheme: String,
    /// The host, with its port where one is given.
    pub host: String,
    /// The path without slashes around it and without `.git`.
    pub path: String,
}

impl Address {
    /// Reads the address of a remote; `None` where it is none that another machine is reached by.
    pub fn read(url: &str) -> Option<Self> {
        let (scheme, rest) = match url.split_once("://") {
            Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
            // git@host:path, where nothing before the colon is a path.
            None => {
                let (host, path) = url.split_once(':')?;
                // `name::address` runs a program of git's called after the name.
                if path.starts_with(':') {
                    return None;
                }
                let host = host.rsplit('@').next().filter(|host| !host.is_empty() && !host.contains('/'))?;
                return Self::of("ssh", host, path);
            }
        };
        let (host, path) = rest.split_once('/')?;
        Self::of(&scheme, host.rsplit('@').next()?, path)
    }

    fn of(scheme: &str, host: &str, path: &str) -> Option<Self> {
        let path = path.trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path).to_owned();
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
        let known = matches!(scheme, "https" | "http" | "ssh");
        let good = known
            && !host.is_empty()
            && !host.starts_with('-')
            && host.chars().all(plain)
            && !path.is_empty();
        good.then(|| Self { scheme: scheme.to_owned(), host: host.to_ascii_lowercase(), path })
    }

    /// The host alone.
    pub fn name(&self) -> &str {
        match self.host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => &self.host,
        }
    }

    fn is_here(&self) -> bool {
        let name = self.name().trim_matches(['[', ']']);
        name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl<'r> Remote<'r> {
    /// The remote at `url`, with what git logs in with there; without that, the user's own ways count.
    ///
    /// # Errors
    /// A [`Fault`] (exit 2) where the address is none of https or ssh.
    pub async fn open(
        repo: &'r Repo,
        url: &str,
        login: Option<&(String, SecretString)>,
        environment: &Environment,
    ) -> Result<Self> {
        let address = Address::read(url).filter(|address| address.scheme != "http" || address.is_here());
        let Some(address) = address else {
            return Err(Fault::usage("the remote's address is none that can be pushed to")
                .hint("set it to an address that begins with https:// or ssh://, or git@host:path: git remote set-url origin …")
                .into());
        };
        let folder =
            tempfile::Builder::new().prefix("remote-").tempdir().context("no private folder for git")?;
        let mut git = Git::talking(environment, &address.scheme).at(folder.path())?;
        git.text(&[
            "init",
            "--quiet",
            "--bare",
            "--template=",
            &format!("--object-format={}", repo.format),
            ".",
        ])
        .await?;
        let own = |path: &Path| {
            path.to_str().map(str::to_owned).with_context(|| format!("{} is not UTF-8", path.display()))
        };
        git = git
            .env("GIT_DIR", &own(folder.path())?)
            .env("GIT_OBJECT_DIRECTORY", &own(&repo.common_dir.join("objects"))?);
        let shallow = repo.common_dir.join("shallow");
        if shallow.is_file() {
            git = git.env("GIT_SHALLOW_FILE", &own(&shallow)?);
        }
        if let Some((user, password)) = login.filter(|_| address.scheme != "ssh") {
            git = git
                .setting("credential.helper", "")
                .setting(&format!("credential.{}://{}.helper", address.scheme, address.host), HELPER)
                .env("REGREEN_GIT_USER", user)
                .env("REGREEN_GIT_PASSWORD", password.expose_secret());
        }
        // The user's own program for ssh, but one that asks nobody where there is nobody to ask.
        if git.config("core.sshCommand").await?.is_none() && environment.get("GIT_SSH_COMMAND").is_none() {
            git = git.env("GIT_SSH_COMMAND", "ssh -oBatchMode=yes");
        }
        Ok(Self { repo, url: url.to_owned(), git, _folder: folder })
    }

    /// How `branch` and the default branch stand there.
    ///
    /// # Errors
    /// A [`Fault`] where the remote cannot be reached or lets us not in.
    pub async fn tips(&self, branch: &str) -> Result<Tips> {
        let reference = format!("refs/heads/{branch}");
        let asked = ["ls-remote", "--quiet", "--symref", "--", &self.url, "HEAD", &reference];
        let listed = self.said(self.git.run(&asked).await?)?;
        let mut tips = Tips { default: None, at: None };
        for line in listed.lines() {
            match line.split_once('\t') {
                Some((target, "HEAD")) => {
                    let named = target.strip_prefix("ref: refs/heads/");
                    tips.default = tips.default.or_else(|| named.map(str::to_owned));
                }
                Some((commit, name)) if name == reference => tips.at = Some(commit.to_owned()),
                _ => {}
            }
        }
        Ok(tips)
    }

    /// Pushes `commit` to `branch`, which is not there, or at one of its ancestors.
    ///
    /// # Errors
    /// A [`Fault`] where the remote refuses, cannot be reached, or lets us not in.
    pub async fn push(&self, commit: &str, branch: &str) -> Result<()> {
        let what = format!("{commit}:refs/heads/{branch}");
        let words = [
            "push",
            "--quiet",
            "--porcelain",
            "--no-verify",
            "--no-signed",
            "--recurse-submodules=no",
            "--",
            &self.url,
            &what,
        ];
        self.said(self.git.run(&words).await?).map(drop)
    }

    /// Fetches what `reference` names there (`refs/heads/main`, `refs/pull/7/head`) into the repository's objects, keeps it there under
    /// `keep`, and gives its commit.
    ///
    /// # Errors
    /// As [`Remote::tips`], and where there is no such reference.
    pub async fn fetch(&self, reference: &str, keep: &str) -> Result<String> {
        // What is here already need not be sent.
        let known = self
            .repo
            .git
            .bytes(&[
                "for-each-ref",
                "--sort=-committerdate",
                &format!("--count={MOST_TIPS}"),
                "--format=%(objectname)",
                "refs/heads",
                "refs/remotes",
                "refs/regreen/fetched",
            ])
            .await?;
        let known = String::from_utf8_lossy(&known).into_owned();
        let have: String =
            known.lines().enumerate().map(|(at, id)| format!("update refs/have/{at} {id}\n")).collect();
        self.git.text_from(&["update-ref", "--stdin"], have.as_bytes()).await?;
        let what = format!("+{reference}:{FETCHED}");
        let words = [
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-auto-gc",
            "--no-recurse-submodules",
            "--end-of-options",
            &self.url,
            &what,
        ];
        self.said(self.git.run(&words).await?)?;
        let commit = self.git.text(&["rev-parse", "--verify", &format!("{FETCHED}^{{commit}}")]).await?;
        let at = self.repo.resolve(keep).await?;
        if at.as_deref() != Some(&commit) {
            self.repo.move_ref(keep, at.as_deref(), &commit, "regreen: fetched").await?;
        }
        Ok(commit)
    }

    /// What a call printed, or why the remote did nothing.
    fn said(&self, output: crate::process::Output) -> Result<String> {
        if output.status == Some(0) {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let all = format!(
            "{}\n{}",
            String::from_utf8_lossy(&output.stderr),
            String::from_utf8_lossy(&output.stdout)
        );
        let has = |words: &[&str]| words.iter().any(|word| all.contains(word));
        let line = all
            .lines()
            .map(str::trim)
            .find(|line| ["fatal:", "error:", "remote:", "!"].iter().any(|start| line.starts_with(start)));
        let line: String = line.unwrap_or("it said nothing").chars().take(300).collect();
        let told = crate::plain::plain(&without_user(&line));
        if has(&["Authentication failed", "could not read Username", "Permission denied", "403", "401"]) {
            return Err(Fault::usage(format!("the remote lets us not in: {told}"))
                .hint("see that the token, or the key, may push to this repo (docs/forges.md)")
                .into());
        }
        if has(&["[rejected]", "[remote rejected]", "protected branch", "hook declined"]) {
            return Err(Fault::policy(format!("the remote refused the push: {told}"))
                .hint("nothing is forced: look at the branch there, and choose another name with --land pr=NAME")
                .into());
        }
        if has(&[
            "Could not resolve",
            "unable to access",
            "Connection",
            "timed out",
            "Could not read from remote",
        ]) {
            return Err(Fault::cannot_judge(format!("the remote cannot be reached: {told}"))
                .hint("`regreen resume` pushes what is here once it can be")
                .into());
        }
        bail!("git could not talk to the remote: {told}")
    }
}

/// A text without the user and password of addresses in it.
pub fn without_user(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        out.push_str(before);
        out.push_str("://");
        let end = after.find(['/', ' ', '\'', '"']).unwrap_or(after.len());
        rest = match after[..end].rfind('@') {
            Some(at) => &after[at + 1..],
            None => after,
        };
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let read = |url: &str| Address::read(url).map(|a| format!("{} {} {}", a.scheme, a.host, a.path));
        assert_eq!(read("https://github.com/o/r.git").as_deref(), Some("https github.com o/r"));
        assert_eq!(read("https://me:pw@GitHub.com/o/r/").as_deref(), Some("https github.com o/r"));
        assert_eq!(read("http://127.0.0.1:80/g/s/r.git").as_deref(), Some("http 127.0.0.1:80 g/s/r"));
        assert_eq!(read("git@gitlab.com:g/s/r.git").as_deref(), Some("ssh gitlab.com g/s/r"));
        assert_eq!(read("ssh://git@host:2222/o/r").as_deref(), Some("ssh host:2222 o/r"));
        for no in [
            "",
            "/srv/repo.git",
            "../repo",
            "file:///srv/repo",
            "ext::sh -c x",
            "git://host/o/r",
            "https://host",
            "ssh://-oProxyCommand=x/o/r",
            "a/b:c",
            "-x:o/r",
        ] {
            assert_eq!(read(no), None, "{no}");
        }
    }

    #[test]
    fn users_and_passwords_are_not_told() {
        assert_eq!(
            without_user("fatal: unable to access 'https://me:secret@host/o/r': no, see https://x/y@z"),
            "fatal: unable to access 'https://host/o/r': no, see https://x/y@z"
        );
    }
}
