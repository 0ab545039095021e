//! What a process gives up before the command is executed: limits, capabilities, the file system (Landlock), system calls.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Width, SeccompCmpOp as Op, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch,
};

use super::launch::{During, Failure};
use super::spec::{Fence, Hold, Spec, Stage, Walls, Watched};
use super::sys;

/// Most descriptors a process may have open, where the machine allows as many.
const OPEN_FILES: u64 = 65_536;

/// Most signals that wait for processes, and timers that send them: a part of what the user's other programs have to share with them.
const QUEUED_SIGNALS: u64 = 4096;
/// Most bytes that wait in message queues, for the same reason.
const MESSAGES: u64 = 400 << 10;

/// Sets the limits that the kernel keeps per process or user.
pub(super) fn limits(spec: &Spec) -> Result<(), Failure> {
    let lower = |resource: Resource, to: u64| {
        let now = getrlimit(resource);
        let limit = now.maximum.map_or(to, |most| most.min(to));
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })
            .during(Stage::Limits, || format!("setting {resource:?}"))
    };
    lower(Resource::Core, 0)?;
    lower(Resource::Fsize, spec.file_size)?;
    lower(Resource::Nofile, OPEN_FILES)?;
    // These two count for all that the user runs.
    lower(Resource::Sigpending, QUEUED_SIGNALS)?;
    lower(Resource::Msgqueue, MESSAGES)?;
    match &spec.hold {
        Hold::Walls(_) => lower(Resource::Nproc, spec.processes)?,
        // Without a user namespace it counts everything else that the user runs.
        Hold::Fence(fence) => lower(Resource::Nproc, spec.processes.saturating_add(tasks_of(fence.uid)))?,
        Hold::Nothing => {}
    }
    Ok(())
}

/// How many processes and threads a user has now.
fn tasks_of(uid: u32) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let owned = entries.filter(|entry| entry.metadata().is_ok_and(|meta| meta.uid() == uid));
    owned.map(|entry| std::fs::read_dir(entry.path().join("task")).map_or(0, Iterator::count) as u64).sum()
}

/// The version of Landlock that knows scopes: without namespaces nothing else stands between a command and the user's other processes.
const SCOPED: i64 = 6;

/// Gives up everything that the command must not have where there are no namespaces. There is no way back.
pub(super) fn fenced(fence: &Fence, watched: &Watched) -> Result<(), Failure> {
    if rustix::process::geteuid().is_root() {
        sys::drop_groups();
        give_up_capabilities((fence.uid, fence.gid))?;
    } else {
        sys::drop_capabilities().during(Stage::Capabilities, || "dropping them".into())?;
        rustix::thread::set_no_new_privs(true)
            .during(Stage::Capabilities, || "forbidding new ones".into())?;
    }
    let devices =
        ["null", "zero", "full", "random", "urandom", "tty"].map(|name| Path::new("/dev").join(name));
    let writable: Vec<PathBuf> = fence.writable.iter().cloned().chain(devices).collect();
    let status = restrict(&fence.readable, &writable)
        .during(Stage::Landlock, || "restricting the file system".into())?;
    if status == RulesetStatus::NotEnforced || landlock_version() < SCOPED {
        let message = format!(
            "version {SCOPED} is needed (Linux 6.12), which keeps a command from signalling others, and this kernel has {}",
            landlock_version()
        );
        return Err(Failure { stage: Stage::Landlock, message });
    }
    install(refused_without_namespaces(), absent(watched))
}

/// Gives up everything that the command must not have. There is no way back.
pub(super) fn for_good(walls: &Walls, watched: &Watched) -> Result<(), Failure> {
    give_up_capabilities((walls.uid, walls.gid))?;
    landlock(walls)?;
    install(refused(), absent(watched))
}

/// System calls that are answered as by a kernel without them: ways to hold memory that no process has. Where a control group counts, only
/// those that no program needs.
fn absent(watched: &Watched) -> &'static [i64] {
    const ALL: &[i64] = &[libc::SYS_memfd_secret, libc::SYS_memfd_create, libc::SYS_vmsplice];
    if watched.memory.is_some() { ALL } else { &ALL[..1] }
}

/// Refuses what `rules` name, and what is `absent` as a kernel would that does not have it.
fn install(rules: Result<Rules, seccompiler::BackendError>, absent: &[i64]) -> Result<(), Failure> {
    let filters = rules.map_err(|error| error.to_string()).and_then(|rules| filters(rules, absent));
    for filter in filters.map_err(|message| Failure { stage: Stage::Seccomp, message })? {
        seccompiler::apply_filter(&filter).during(Stage::Seccomp, || "installing a filter".into())?;
    }
    Ok(())
}

/// Gives up what the namespace's first process does not need.
pub(super) fn reaper(walls: &Walls) -> Result<(), Failure> {
    give_up_capabilities((walls.uid, walls.gid))?;
    // A change of user makes a process dumpable again.
    sys::undumpable();
    Ok(())
}

fn give_up_capabilities(owner: (u32, u32)) -> Result<(), Failure> {
    let stage = Stage::Capabilities;
    sys::forbid_capabilities().during(stage, || "emptying the bounding set".into())?;
    let now = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    if now != owner {
        sys::become_user(owner.0, owner.1).during(stage, || "becoming the tree's owner".into())?;
    }
    sys::drop_capabilities().during(stage, || "dropping them".into())?;
    rustix::thread::set_no_new_privs(true).during(stage, || "forbidding new ones".into())
}

/// The newest set of rights that this code knows; older kernels enforce what they know of it.
const NEWEST: ABI = ABI::V6;

fn landlock(walls: &Walls) -> Result<(), Failure> {
    let mut writable = walls.writable.clone();
    // What of /proc reaches beyond the sandbox is mounted read-only.
    writable.push("/proc".into());
    let status = restrict(&["/".into()], &writable)
        .during(Stage::Landlock, || "restricting the file system".into())?;
    if walls.landlock_required && status == RulesetStatus::NotEnforced {
        return Err(Failure { stage: Stage::Landlock, message: "this kernel does not have it".into() });
    }
    Ok(())
}

fn restrict(readable: &[PathBuf], writable: &[PathBuf]) -> anyhow::Result<RulesetStatus> {
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    let all = AccessFs::from_all(NEWEST);
    for (paths, rights) in [(readable, AccessFs::from_read(NEWEST)), (writable, all)] {
        for path in paths {
            let Ok(fd) = PathFd::new(path) else { continue };
            let rights = match path.as_os_str().as_encoded_bytes() {
                b"/proc" if rights == all => AccessFs::WriteFile.into(),
                _ if is_folder(path) => rights,
                _ => rights & AccessFs::from_file(NEWEST),
            };
            rules = rules.add_rule(PathBeneath::new(fd, rights))?;
        }
    }
    Ok(rules.restrict_self()?.ruleset)
}

fn is_folder(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.is_dir())
}

/// The Landlock version of this kernel, 0 where there is none.
pub(super) fn landlock_version() -> i64 {
    // SAFETY: with the version flag the call reads no memory.
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0usize, 1u32) };
    version.max(0)
}

/// System calls that no build and no test needs, and that reach far into the kernel.
const FORBIDDEN: &[libc::c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setns,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
];

/// Flags of clone and unshare that make a namespace.
const NAMESPACES: &[i32] = &[
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];
const NEW_TIME_NAMESPACE: u64 = 0x80;

/// The filters, in the order of installing: each allows what it does not name, and the strictest answer counts.
fn filters(rules: Rules, absent: &[i64]) -> Result<Vec<BpfProgram>, String> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| error.to_string())?;
    let filter = |rules: Rules, errno: i32| -> Result<BpfProgram, String> {
        SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(errno as u32), arch)
            .and_then(TryInto::try_into)
            .map_err(|error| error.to_string())
    };
    // What reads its arguments from memory, where no filter looks: libraries fall back to clone and openat.
    let unreadable = [libc::SYS_clone3, libc::SYS_openat2];
    let missing = unreadable.iter().chain(absent).map(|call| (*call, vec![])).collect();
    let mut programs = vec![filter(missing, libc::ENOSYS)?, filter(rules, libc::EPERM)?];
    if cfg!(target_arch = "x86_64") {
        programs.push(no_foreign_numbers());
    }
    Ok(programs)
}

/// By the number of a system call, when it is refused; without conditions always.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// What is refused besides where no namespace keeps a command from the host's network, its IPC and other processes.
fn refused_without_namespaces() -> Result<Rules, seccompiler::BackendError> {
    let mut rules = refused()?;
    let always = [
        // Landlock knows neither UDP nor a path to a Unix socket. Pairs, which lead nowhere, are left.
        libc::SYS_socket,
        libc::SYS_shmget,
        libc::SYS_semget,
        libc::SYS_msgget,
        libc::SYS_mq_open,
        libc::SYS_setpriority,
        libc::SYS_ioprio_set,
        libc::SYS_sched_setaffinity,
        libc::SYS_sched_setscheduler,
        libc::SYS_sched_setparam,
        libc::SYS_sched_setattr,
    ];
    rules.extend(always.map(|call| (call, vec![])));
    let others = SeccompCondition::new(0, Width::Dword, Op::Ne, 0)?;
    rules.insert(libc::SYS_prlimit64, vec![SeccompRule::new(vec![others])?]);
    Ok(rules)
}

fn refused() -> Result<Rules, seccompiler::BackendError> {
    let is = |argument: u8, op: Op, value: u64| SeccompCondition::new(argument, Width::Dword, op, value);
    let has = |argument: u8, bit: u64| SeccompRule::new(vec![is(argument, Op::MaskedEq(bit), bit)?]);
    let mut rules: Rules = FORBIDDEN.iter().map(|call| (*call, vec![])).collect();

    let namespaces =
        || NAMESPACES.iter().map(|flag| has(0, *flag as u32 as u64)).collect::<Result<Vec<_>, _>>();
    rules.insert(libc::SYS_clone, namespaces()?);
    let mut unshare = namespaces()?;
    unshare.push(has(0, NEW_TIME_NAMESPACE)?);
    rules.insert(libc::SYS_unshare, unshare);

    // Unix, IPv4, IPv6 and the routing sort of netlink (which the C library asks for interfaces); nothing else.
    let [unix, inet, inet6, netlink] =
        [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK].map(|f| f as u64);
    let others = [unix, inet, inet6, netlink].map(|family| is(0, Op::Ne, family));
    let raw = 0x3ff; // the type without its flags
    rules.insert(
        libc::SYS_socket,
        vec![
            SeccompRule::new(others.into_iter().collect::<Result<_, _>>()?)?,
            SeccompRule::new(vec![is(0, Op::Eq, netlink)?, is(2, Op::Ne, libc::NETLINK_ROUTE as u64)?])?,
            SeccompRule::new(vec![
                is(0, Op::Ne, netlink)?,
                is(1, Op::MaskedEq(raw), libc::SOCK_RAW as u64)?,
            ])?,
        ],
    );
    // Typing into somebody's terminal.
    rules.insert(
        libc::SYS_ioctl,
        vec![
            SeccompRule::new(vec![is(1, Op::Eq, 0x5412)?])?, // TIOCSTI
            SeccompRule::new(vec![is(1, Op::Eq, 0x541C)?])?, // TIOCLINUX
        ],
    );
    // Setuid files would outlive the sandbox in the writable layer.
    let setuid = libc::S_ISUID as u64;
    for (call, argument) in [
        (libc::SYS_fchmod, 1),
        (libc::SYS_fchmodat, 2),
        (libc::SYS_fchmodat2, 2),
        (libc::SYS_mknodat, 2),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_chmod, 1),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_mknod, 1),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_creat, 1),
    ] {
        rules.insert(call, vec![has(argument, setuid)?]);
    }
    // The mode of an open counts only when it may create: elsewhere the register holds anything.
    let create = |flags: u8, mode: u8| {
        // A nameless file is created without O_CREAT, and can be given a name.
        let nameless = (libc::O_TMPFILE & !libc::O_DIRECTORY) as u64;
        let with = |bit: u64| {
            let creating = is(flags, Op::MaskedEq(bit), bit)?;
            SeccompRule::new(vec![creating, is(mode, Op::MaskedEq(setuid), setuid)?])
        };
        Ok(vec![with(libc::O_CREAT as u64)?, with(nameless)?])
    };
    rules.insert(libc::SYS_openat, create(2, 3)?);
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_open, create(1, 2)?);
    Ok(rules)
}

/// Refuses the x32 numbers of system calls, which would go past the filters by number.
fn no_foreign_numbers() -> BpfProgram {
    use seccompiler::sock_filter;
    const LOAD_NUMBER: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS, of seccomp_data.nr at 0
    const JUMP_IF_AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    const X32: u32 = 0x4000_0000;
    vec![
        sock_filter { code: LOAD_NUMBER, jt: 0, jf: 0, k: 0 },
        sock_filter { code: JUMP_IF_AT_LEAST, jt: 0, jf: 1, k: X32 },
        sock_filter { code: RETURN, jt: 0, jf: 0, k: libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32 },
        sock_filter { code: RETURN, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW },
    ]
}
