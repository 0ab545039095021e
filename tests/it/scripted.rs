//! A project whose models are stand-ins that play a script, and the words that they say.

use std::path::PathBuf;

use crate::project::{Project, Ran};
use crate::vendor::{KEY, Vendor};

/// A shop that cannot give discounts: nothing mechanical repairs that.
pub const SHOP: &str = "def total(prices, discount=0):\n    return sum(prices)\n";
/// The shop as it should be.
pub const SHOP_RIGHT: &str =
    "def total(prices, discount=0):\n    return sum(prices) * (100 - discount) / 100\n";
/// Its tests: the second is red.
pub const TESTS: &str = "import unittest\n\nfrom shop import total\n\n\nclass Total(unittest.TestCase):\n    def test_sum(self):\n        self.assertEqual(total([1, 2]), 3)\n\n    def test_discount(self):\n        self.assertEqual(total([10, 10], 50), 10)\n";
/// What is healed, with the model tier.
pub const HEAL: &[&str] = &["heal", "--", "python3", "-m", "unittest"];

/// The project with the red test.
pub fn shop() -> Project {
    Project::new(&[("shop.py", SHOP), ("test_shop.py", TESTS), (".gitignore", "__pycache__/\n")])
}

/// An answer that replaces `search` by `replace` in one file.
pub fn edit(path: &str, search: &str, replace: &str) -> String {
    format!("The cause is plain.\n\n{path}\n<<<<<<< SEARCH\n{search}\n=======\n{replace}\n>>>>>>> REPLACE\n")
}

/// The answer that heals [`shop`].
pub fn right() -> String {
    edit("shop.py", "    return sum(prices)", "    return sum(prices) * (100 - discount) / 100")
}

/// An answer that changes the failure without healing it: the result is another wrong number.
pub fn wrong() -> String {
    edit("shop.py", "    return sum(prices)", "    return sum(prices) - discount / 100")
}

impl Project {
    /// Makes `vendor` the project's Anthropic.
    pub fn anthropic(mut self, vendor: &Vendor) -> Self {
        self.env.insert("ANTHROPIC_BASE_URL".into(), vendor.base_url());
        self.env.insert("ANTHROPIC_API_KEY".into(), KEY.into());
        self
    }

    /// Makes `vendor` the project's OpenAI.
    pub fn openai(mut self, vendor: &Vendor) -> Self {
        self.env.insert("OPENAI_BASE_URL".into(), format!("{}/v1", vendor.base_url()));
        self.env.insert("OPENAI_API_KEY".into(), KEY.into());
        self
    }

    /// Writes the user's configuration.
    pub fn configure(&self, text: &str) {
        let folder = self.home.join(".config/regreen");
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("config.toml"), text).expect("a file");
    }

    /// The state folder.
    pub fn state(&self) -> PathBuf {
        self.home.join(".local/state/regreen")
    }

    /// The newest run's id.
    pub fn last_run(&self) -> String {
        let listed = self.regreen(&["runs", "--json"]).expect(0).stdout;
        let run: serde_json::Value =
            serde_json::from_str(listed.lines().next().expect("a run")).expect("an object");
        run["id"].as_str().expect("an id").to_owned()
    }

    /// Fails the test if `secret` is in any file of the state folder or in what was said.
    #[track_caller]
    pub fn never_kept(&self, secret: &str, said: &[&Ran]) {
        for ran in said {
            assert!(
                !ran.stdout.contains(secret) && !ran.stderr.contains(secret),
                "{} is in an output",
                secret
            );
        }
        let mut folders = vec![self.state()];
        let mut files = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
                let path = entry.path();
                let kind = entry.file_type().expect("a kind");
                if kind.is_dir() {
                    folders.push(path);
                } else if kind.is_file() {
                    files += 1;
                    let bytes = std::fs::read(&path).expect("a file");
                    let found = holds(&bytes, secret.as_bytes());
                    assert!(!found, "{secret} is in {}", path.display());
                }
            }
        }
        assert!(files > 0, "the state folder is empty");
    }
}

fn holds(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
