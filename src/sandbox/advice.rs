//! What to allow where a machine does not let the launcher work: said of the obstacles that are there, not of all there might be.

use std::path::Path;

use super::spec::Stage;

/// What of the machine is known to stand in the way of namespaces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Host {
    /// Regreen runs in a container.
    pub(super) container: bool,
    /// AppArmor takes the rights away that a user namespace gives, but for programs with a profile.
    pub(super) apparmor: bool,
    /// No user may make one at all.
    pub(super) none_allowed: bool,
    /// Only root may make one.
    pub(super) root_only: bool,
}

impl Host {
    /// This machine.
    pub(super) fn here() -> Self {
        let says = |name: &str, value: &str| {
            std::fs::read_to_string(Path::new("/proc/sys").join(name)).is_ok_and(|text| text.trim() == value)
        };
        Self {
            container: ["/.dockerenv", "/run/.containerenv"].iter().any(|mark| Path::new(mark).exists()),
            apparmor: says("kernel/apparmor_restrict_unprivileged_userns", "1"),
            none_allowed: says("user/max_user_namespaces", "0"),
            root_only: says("kernel/unprivileged_userns_clone", "0"),
        }
    }
}

const WITHOUT: &str = "`--sandbox degraded` does without namespaces and keeps out less, `--sandbox off` runs without any confinement";

/// What a person can do about a step of the launch that fails on `host`.
pub(super) fn of(stage: Stage, host: &Host) -> String {
    let whole = match stage {
        Stage::UserNamespace | Stage::Namespaces => namespaces(host),
        Stage::View | Stage::Overlay | Stage::Loopback if host.container || host.apparmor => namespaces(host),
        Stage::Proc => {
            "a container that hides parts of /proc keeps a new one from being mounted: start it with --security-opt \
             systempaths=unconfined (Docker, Podman: --security-opt unmask=ALL)"
                .to_owned()
        }
        Stage::Landlock => {
            return "boot with Landlock (`lsm=landlock,...`), or use `--sandbox auto`, which does without".to_owned();
        }
        Stage::View | Stage::Overlay | Stage::Loopback | Stage::Capabilities | Stage::Seccomp => {
            "Linux 5.12 or later with mount and network namespaces is needed, and mounting must not be forbidden by a security \
             module"
                .to_owned()
        }
        Stage::Specification | Stage::Cgroup | Stage::Limits => {
            "`regreen doctor` shows what this machine can do".to_owned()
        }
    };
    format!("{whole}. {WITHOUT}")
}

/// What keeps this host's programs from having namespaces of their own.
fn namespaces(host: &Host) -> String {
    let mut ways = Vec::new();
    if host.none_allowed {
        ways.push("`sysctl user.max_user_namespaces=10000` lets users make namespaces, which this machine forbids all");
    }
    if host.root_only {
        ways.push("`sysctl kernel.unprivileged_userns_clone=1` lets users other than root make namespaces");
    }
    if host.container {
        ways.push(
            "this is a container: start it with --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
             --security-opt systempaths=unconfined, or with a seccomp profile that also allows unshare, clone and clone3 with new \
             namespaces, mount, umount2 and pivot_root",
        );
    }
    if host.apparmor {
        ways.push(
            "AppArmor restricts user namespaces here: give regreen a profile that allows `userns` (docs/sandbox.md has one), or \
             `sysctl kernel.apparmor_restrict_unprivileged_userns=0` for all programs",
        );
    }
    if ways.is_empty() {
        ways.push(
            "a security module or a seccomp filter of this machine forbids namespaces: allow unshare, clone and mount for regreen, and \
             see user.max_user_namespaces",
        );
    }
    ways.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_in_the_way_is_told() {
        let nothing = Host::default();
        let container = of(Stage::UserNamespace, &Host { container: true, ..nothing });
        assert!(
            container.contains("seccomp=unconfined") && !container.contains("AppArmor restricts"),
            "{container}"
        );
        let apparmor = of(Stage::View, &Host { apparmor: true, ..nothing });
        assert!(apparmor.contains("`userns`") && !apparmor.contains("--security-opt"), "{apparmor}");
        let both = of(Stage::Namespaces, &Host { none_allowed: true, root_only: true, ..nothing });
        assert!(both.contains("max_user_namespaces") && both.contains("unprivileged_userns_clone"), "{both}");
        assert!(of(Stage::Namespaces, &nothing).contains("seccomp filter"));
        assert!(of(Stage::Proc, &nothing).contains("systempaths=unconfined"));
        assert!(!of(Stage::Landlock, &nothing).contains("off"));
    }
}
