//! Which hosts are package registries: what the user's own package clients say, and the user's configuration. None is named here.
//!
//! The clients are asked outside of the repo, so that nothing in it (an `.npmrc`, say) can add a host.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use crate::config::{Confinement, Environment};
use crate::fault::Fault;
use crate::process::{self, Invocation};

/// How long a client may take to answer.
const ANSWER: Duration = Duration::from_secs(30);
/// The most of a file or an answer that is read, in bytes.
const MOST: usize = 1 << 20;
/// Prints pip's own index and the host of its files: pip may be there only as the copy that new environments get.
const PIP: &str = "
try:
    from pip._internal.models.index import PyPI as index
except ImportError:
    import ensurepip, glob, os, sys
    for folder in (os.path.join(os.path.dirname(ensurepip.__file__), '_bundled'), '/usr/share/python-wheels'):
        sys.path[:0] = glob.glob(os.path.join(folder, 'pip-*.whl'))
    from pip._internal.models.index import PyPI as index
print(index.simple_url)
print('https://' + index.file_storage_domain)
";

/// The hosts that jobs may reach, and how their clients are told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registries {
    places: BTreeSet<(String, u16)>,
    /// Whether hosts with private addresses may be reached.
    pub(super) private: bool,
    /// Variables for the clients in the sandbox, which do not see the user's own settings.
    pub(super) env: BTreeMap<String, String>,
}

impl Registries {
    /// Exactly these, as `host:port`; `private` allows addresses that are not public.
    pub fn of(places: impl IntoIterator<Item = (String, u16)>, private: bool) -> Self {
        Self { places: places.into_iter().collect(), private, env: BTreeMap::new() }
    }

    /// Those that a configuration names; `private` allows addresses that are not public.
    ///
    /// # Errors
    /// A usage fault where one of them is no host.
    pub fn named(hosts: &[String], private: bool) -> Result<Self> {
        let places = hosts.iter().map(|text| {
            let whole = if text.contains("://") { text.clone() } else { format!("https://{text}") };
            place(&whole).ok_or_else(|| {
                Fault::usage(format!("{text:?} is no host, which the configuration names as one"))
                    .hint("write host, host:port or https://host/")
                    .into()
            })
        });
        Ok(Self { places: places.collect::<Result<_>>()?, private, ..Self::default() })
    }

    /// Those of the package clients of this machine's user, and those of `confinement`.
    ///
    /// # Errors
    /// A usage fault where the configuration names something that is no host.
    pub async fn find(environment: &Environment, confinement: &Confinement) -> Result<Self> {
        let mut found = Self::named(&confinement.registries, confinement.private_registries)?;
        let pip_itself = ["python3", "-c", PIP];
        let (npm, pnpm, yarn, berry, pip, pip_config, go) = tokio::join!(
            ask(environment, &["npm", "config", "ls", "--json"]),
            ask(environment, &["pnpm", "config", "get", "registry"]),
            ask(environment, &["yarn", "config", "get", "registry"]),
            ask(environment, &["yarn", "config", "get", "npmRegistryServer"]),
            ask(environment, &pip_itself),
            ask(environment, &["python3", "-m", "pip", "config", "list"]),
            ask(
                environment,
                &["go", "env", "-json", "GOPROXY", "GOSUMDB", "GONOSUMDB", "GONOPROXY", "GOPRIVATE"]
            ),
        );
        found.npm(&npm);
        for text in [pnpm, yarn, berry, pip].iter().flat_map(|text| text.lines()) {
            found.add(text.trim());
        }
        found.pip(&pip_config);
        found.go(&go);
        found.uv(environment);
        if let Some(home) = environment
            .get("CARGO_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(environment.home()?.join(".cargo")))
        {
            found.cargo(&home);
        }
        tracing::debug!(target: "regreen::registries", places = ?found.places, "jobs may reach these");
        Ok(found)
    }

    /// The hosts with their ports, as `host:port`, sorted.
    pub fn hosts(&self) -> Vec<String> {
        self.places.iter().map(|(host, port)| format!("{host}:{port}")).collect()
    }

    /// Whether a job may connect there. The host is in lower case.
    pub(super) fn allows(&self, host: &str, port: u16) -> bool {
        self.places.iter().any(|(its, at)| its == host && *at == port)
    }

    fn add(&mut self, url: &str) {
        self.places.extend(place(url));
    }

    fn npm(&mut self, answer: &str) {
        let Ok(Value::Object(settings)) = serde_json::from_str(answer) else { return };
        for (name, value) in &settings {
            let Some(url) = value.as_str().filter(|_| name == "registry" || name.ends_with(":registry"))
            else {
                continue;
            };
            self.add(url);
            if name == "registry" {
                self.tell("npm_config_registry", url);
            }
        }
    }

    /// Lines such as `global.index-url='https://…'`.
    fn pip(&mut self, answer: &str) {
        for line in answer.lines() {
            let Some((name, value)) = line.split_once('=') else { continue };
            let value = value.trim_matches(['\'', '"']);
            let extra = name.ends_with("extra-index-url");
            if extra || name.ends_with("index-url") {
                value.split([' ', '\n']).for_each(|url| self.add(url));
                self.tell(if extra { "PIP_EXTRA_INDEX_URL" } else { "PIP_INDEX_URL" }, value);
            }
        }
    }

    /// The variables of `go env` as JSON: they are told as they are, for what the user's own file of them sets.
    fn go(&mut self, answer: &str) {
        let Ok(Value::Object(variables)) = serde_json::from_str(answer) else { return };
        for (name, value) in variables.iter().filter_map(|(name, value)| Some((name, value.as_str()?))) {
            if value.is_empty() {
                continue;
            }
            if matches!(name.as_str(), "GOPROXY" | "GOSUMDB") {
                for word in value.split([',', '|', ' ']) {
                    // A database's name may have its key behind it.
                    let word = word.split('+').next().unwrap_or_default();
                    let bare = word.contains('.') && !word.contains("://");
                    self.add(&if bare { format!("https://{word}") } else { word.to_owned() });
                }
            }
            self.tell(name, value);
        }
    }

    /// The indexes of uv's variables and of the user's uv.toml; where they name none it uses pip's.
    fn uv(&mut self, environment: &Environment) {
        let folder = environment.get("XDG_CONFIG_HOME").map(PathBuf::from);
        let folder = folder.or_else(|| Some(environment.home()?.join(".config")));
        let settings = folder.and_then(|folder| read(&folder.join("uv/uv.toml"))).unwrap_or_default();
        let settings: toml::Table = settings.parse().unwrap_or_default();
        let text = |value: Option<&toml::Value>| value.and_then(|value| value.as_str()).map(str::to_owned);
        let (mut default, mut more) = (text(settings.get("index-url")), Vec::new());
        for index in settings.get("index").and_then(|list| list.as_array()).into_iter().flatten() {
            let is_default = index.get("default").and_then(|value| value.as_bool()) == Some(true);
            match text(index.get("url")) {
                Some(url) if is_default => default = Some(url),
                url => more.extend(url),
            }
        }
        let listed = settings.get("extra-index-url").and_then(|list| list.as_array()).into_iter().flatten();
        more.extend(listed.filter_map(|value| text(Some(value))));
        let variable =
            |names: [&str; 2]| names.iter().find_map(|name| environment.get(name)).map(str::to_owned);
        let default = variable(["UV_DEFAULT_INDEX", "UV_INDEX_URL"]).or(default);
        let more = variable(["UV_INDEX", "UV_EXTRA_INDEX_URL"]).unwrap_or_else(|| more.join(" "));
        for (name, value) in [("UV_DEFAULT_INDEX", default.unwrap_or_default()), ("UV_INDEX", more)] {
            if !value.is_empty() {
                // An index may be given as name=url.
                let url = |word: &str| word.find("https://").map(|at| word[at..].to_owned());
                value.split_whitespace().filter_map(url).for_each(|url| self.add(&url));
                self.tell(name, &value);
            }
        }
    }

    /// The registries that cargo has used, which say where their crates are, and those that its settings name.
    fn cargo(&mut self, home: &Path) {
        for entry in std::fs::read_dir(home.join("registry/index")).into_iter().flatten().flatten() {
            let Some(config) = read(&entry.path().join("config.json")) else { continue };
            let Ok(config) = serde_json::from_str::<Value>(&config) else { continue };
            ["dl", "api"].iter().filter_map(|name| config[*name].as_str()).for_each(|url| self.add(url));
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some((host, digest)) = name.rsplit_once('-')
                && digest.len() == 16
            {
                self.add(&format!("https://{host}"));
            }
        }
        let settings = ["config.toml", "config"].iter().find_map(|name| read(&home.join(name)));
        let Some(settings) = settings.and_then(|text| text.parse::<toml::Table>().ok()) else { return };
        for (section, keys) in [("source", ["registry", "index"]), ("registries", ["index", "index"])] {
            let all = settings.get(section).and_then(|value| value.as_table()).into_iter().flatten();
            for value in all.flat_map(|(_, table)| keys.iter().filter_map(|key| table.get(*key)?.as_str())) {
                self.add(value.strip_prefix("sparse+").unwrap_or(value));
            }
        }
    }

    /// Tells clients in the sandbox of a setting, unless it holds a password.
    fn tell(&mut self, name: &str, value: &str) {
        if !value.contains('@') {
            self.env.insert(name.to_owned(), value.to_owned());
        }
    }
}

/// Host and port of an https address.
fn place(url: &str) -> Option<(String, u16)> {
    let url = reqwest::Url::parse(url).ok().filter(|url| url.scheme() == "https")?;
    let host = url.host_str()?.trim_end_matches('.').to_ascii_lowercase();
    let name = host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
    Some((host, url.port_or_known_default()?)).filter(|(host, _)| name && !host.is_empty())
}

fn read(path: &Path) -> Option<String> {
    let meta = std::fs::metadata(path).ok()?;
    if !meta.is_file() || meta.len() > MOST as u64 {
        return None;
    }
    std::fs::read_to_string(path).ok()
}

/// What a program of the user's says, asked at the root of the file system; empty where there is none, or it fails.
async fn ask(environment: &Environment, argv: &[&str]) -> String {
    // Run by `npm run`, this process has npm's settings of the repo in its environment.
    let in_npm = environment.get("npm_lifecycle_event").is_some();
    let foreign = |name: &str| in_npm && name.to_ascii_lowercase().starts_with("npm_");
    let mut env: Vec<(String, String)> = environment.pairs().filter(|(name, _)| !foreign(name)).collect();
    env.push(("COREPACK_ENABLE_NETWORK".into(), "0".into()));
    let said = process::run(Invocation {
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        dir: Some("/".into()),
        env,
        clear_env: true,
        stdin: None,
        timeout: ANSWER,
        most_output: MOST,
    });
    match said.await {
        Ok(output) if output.status == Some(0) => String::from_utf8_lossy(&output.stdout).into_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_answers_become_places() {
        let mut found = Registries::default();
        found.npm(r#"{"registry": "https://npm.example/", "@corp:registry": "https://Corp.example:8443/x", "cache": "https://no.example"}"#);
        found
            .pip("global.index-url='https://user:pw@pip.example/simple'\nglobal.cert='https://no.example'\n");
        let places: Vec<_> = found.places.iter().map(|(host, port)| format!("{host}:{port}")).collect();
        assert_eq!(places, ["corp.example:8443", "npm.example:443", "pip.example:443"]);
        assert_eq!(found.env.get("npm_config_registry").map(String::as_str), Some("https://npm.example/"));
        assert!(!found.env.contains_key("PIP_INDEX_URL"), "a password got out");
        assert!(
            found.allows("npm.example", 443)
                && !found.allows("npm.example", 80)
                && !found.allows("x.npm.example", 443)
        );
    }

    #[test]
    fn the_variables_of_go_and_uv_name_hosts() {
        let mut found = Registries::default();
        found.go(r#"{"GOPROXY": "https://mod.example|direct", "GOSUMDB": "sum.example+1a2b+key https://db.example:8443", "GOPRIVATE": ""}"#);
        assert_eq!(found.hosts(), ["db.example:8443", "mod.example:443", "sum.example:443"]);
        let told: Vec<&str> = found.env.keys().map(String::as_str).collect();
        assert_eq!(told, ["GOPROXY", "GOSUMDB"]);

        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(home.path().join(".config/uv")).unwrap();
        let settings = "[[index]]\nurl = \"https://first.example/simple\"\ndefault = true\n\
                        [[index]]\nurl = \"https://user:pw@more.example/simple\"\n";
        std::fs::write(home.path().join(".config/uv/uv.toml"), settings).unwrap();
        let hosts = |pairs: &[(&str, &str)]| {
            let mut env = vec![("HOME", home.path().to_str().unwrap())];
            env.extend(pairs);
            let mut found = Registries::default();
            found.uv(&Environment::from_pairs(Path::new("/"), env));
            assert!(!found.env.values().any(|value| value.contains("pw@")), "a password got out");
            found.hosts()
        };
        assert_eq!(hosts(&[]), ["first.example:443", "more.example:443"]);
        let own = [("UV_DEFAULT_INDEX", "https://mine.example/simple"), ("UV_INDEX", "a=https://a.example")];
        assert_eq!(hosts(&own), ["a.example:443", "mine.example:443"]);
    }

    #[test]
    fn cargos_folders_and_settings_name_registries() {
        let home = tempfile::tempdir().unwrap();
        let index = home.path().join("registry/index/index.example-0123456789abcdef");
        std::fs::create_dir_all(&index).unwrap();
        std::fs::write(
            index.join("config.json"),
            r#"{"dl": "https://dl.example/{crate}", "api": "http://plain.example"}"#,
        )
        .unwrap();
        std::fs::create_dir_all(home.path().join("registry/index/git.example-0123456789abcdef")).unwrap();
        let settings = "[source.mirror]\nregistry = \"sparse+https://mirror.example/index/\"\n";
        std::fs::write(home.path().join("config.toml"), settings).unwrap();
        let mut found = Registries::default();
        found.cargo(home.path());
        let hosts: Vec<_> = found.places.iter().map(|(host, _)| host.as_str()).collect();
        assert_eq!(hosts, ["dl.example", "index.example", "mirror.example"]);
    }

    #[tokio::test]
    async fn the_configuration_adds_hosts_and_nonsense_is_a_fault() {
        let nobody = Environment::from_pairs(Path::new("/"), [("PATH", "/nonexistent")]);
        let mut confinement = crate::config::UserConfig::defaults(&nobody).sandbox;
        confinement.registries = vec!["more.example".into(), "https://other.example:8443/path".into()];
        let found = Registries::find(&nobody, &confinement).await.unwrap();
        assert!(found.allows("more.example", 443) && found.allows("other.example", 8443));
        confinement.registries = vec!["not a host".into()];
        assert!(Registries::find(&nobody, &confinement).await.is_err());
    }

    #[tokio::test]
    async fn nothing_of_the_repo_is_asked() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        // A client that believes the folder it is called in, and its environment.
        let script = "#!/bin/sh\n[ \"$PWD\" = / ] && at=root.example || at=repo.example\n\
                      echo \"{\\\"registry\\\": \\\"https://${npm_config_registry:-$at}/\\\"}\"\n";
        let npm = folder.path().join("npm");
        std::fs::write(&npm, script).unwrap();
        std::fs::set_permissions(&npm, std::fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:/usr/bin:/bin", folder.path().display());
        let hosts = async |pairs: &[(&str, &str)]| {
            let mut env: Vec<(&str, &str)> = vec![("PATH", &path)];
            env.extend(pairs);
            let environment = Environment::from_pairs(folder.path(), env);
            let argv = [npm.to_str().unwrap(), "config", "ls", "--json"];
            let mut found = Registries::default();
            found.npm(&ask(&environment, &argv).await);
            found.places.into_iter().map(|(host, _)| host).collect::<Vec<_>>()
        };
        assert_eq!(hosts(&[]).await, ["root.example"]);
        // The user's own variable counts; the one that `npm run` made of the repo's settings does not.
        assert_eq!(hosts(&[("npm_config_registry", "mine.example")]).await, ["mine.example"]);
        let within = [("npm_config_registry", "repo.example"), ("npm_lifecycle_event", "heal")];
        assert_eq!(hosts(&within).await, ["root.example"]);
    }
}
