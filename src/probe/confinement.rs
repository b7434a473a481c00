//! Confines a probed executable on Linux: denies it files, other processes and networks.
//!
//! Landlock (<https://docs.kernel.org/userspace-api/landlock.html>) leaves it the files that a program needs to run and
//! its own folder, and no process but its own: a process in a Landlock domain can trace none outside, and can read
//! neither the environment nor the memory of one (`ptrace_may_access`), whatever its user. That protects tfreg and the
//! shell above it, which has the same variables. A seccomp filter allows only sockets that listen. Both apply to all
//! processes that it starts, and cannot be undone.

use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, LandlockStatus, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use super::launcher::Confinement;

/// Files and folders that programs read in order to run: themselves, libraries, name services, time zones,
/// certificates, and Linux's information about the machine. No other file of `/etc`, and none of `/proc/PID`, is among
/// them.
const READABLE: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/opt",
    "/nix/store",
    "/gnu/store",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ld.so.preload",
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/ssl/certs",
    "/etc/pki/tls/certs",
    "/etc/pki/ca-trust",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/timezone",
    "/proc/cpuinfo",
    "/proc/filesystems",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/sys",
    "/proc/version",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup",
    "/sys/kernel/mm",
];

/// Devices without state.
const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// Confines this thread, and all processes that it starts or becomes, to `folder`, as far as the kernel can.
pub(super) fn confine(folder: &Path) -> Confinement {
    // The filter comes last, in case it denies a call that Landlock needs.
    let mut confinement = restrict(folder).unwrap_or_default();
    confinement.network = filter();
    confinement
}

fn restrict(folder: &Path) -> Result<Confinement, RulesetError> {
    let abi = ABI::V7;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .scope(Scope::from_all(abi))?
        .create()?
        .add_rules(path_beneath_rules(READABLE, AccessFs::from_read(abi)))?
        .add_rules(path_beneath_rules(DEVICES, AccessFs::ReadFile | AccessFs::WriteFile))?
        .add_rules(path_beneath_rules([folder], AccessFs::from_all(abi)))?
        .restrict_self()?;
    let LandlockStatus::Available { effective_abi, .. } = status.landlock else {
        return Ok(Confinement::default());
    };
    let enforced = status.ruleset != RulesetStatus::NotEnforced;
    Ok(Confinement {
        files_and_processes: enforced,
        signals: enforced && effective_abi >= ABI::V6,
        network: false,
    })
}

/// Denies the calls that a plugin does not need before its first line; returns whether that was possible.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
fn filter() -> bool {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

    let errno = |errno: i32| SeccompAction::Errno(errno.unsigned_abs());
    // Programs expect that an address family may be missing: IPv6 often is.
    let filters = [(sockets(), errno(libc::EAFNOSUPPORT)), (Some(denied()), errno(libc::EPERM))];
    filters.into_iter().all(|(rules, action)| {
        let program = || -> Option<BpfProgram> {
            let arch = TargetArch::try_from(std::env::consts::ARCH).ok()?;
            SeccompFilter::new(rules?, SeccompAction::Allow, action, arch).ok()?.try_into().ok()
        };
        program().is_some_and(|program| seccompiler::apply_filter(&program).is_ok())
    })
}

/// The crate supports no other processor.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
fn filter() -> bool {
    false
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
type Rules = std::collections::BTreeMap<i64, Vec<seccompiler::SeccompRule>>;

/// The bit that x32 programs add to the numbers of the same calls, on kernels that support it.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
const X32: i64 = 0x4000_0000;

/// Sockets of another family than Unix, or of another type than a stream: datagrams need no connection.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
fn sockets() -> Option<Rules> {
    use seccompiler::{SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};

    // The flags SOCK_NONBLOCK and SOCK_CLOEXEC are in the same argument.
    const TYPE_MASK: u64 = 0xf;
    let differs = |argument, operator, value: i32| {
        let value = u64::try_from(value).ok()?;
        let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value).ok()?;
        SeccompRule::new(vec![condition]).ok()
    };
    let mut rules = Rules::new();
    for offset in [0, X32] {
        let family = differs(0, SeccompCmpOp::Ne, libc::AF_UNIX)?;
        // One condition cannot express "masked and unequal", so each of the other types is listed.
        let others = [libc::SOCK_DGRAM, libc::SOCK_RAW, libc::SOCK_RDM, libc::SOCK_SEQPACKET];
        let mut kinds = vec![family];
        for other in others {
            kinds.push(differs(1, SeccompCmpOp::MaskedEq(TYPE_MASK), other)?);
        }
        rules.insert(libc::SYS_socket + offset, kinds);
    }
    Some(rules)
}

/// Connections; other processes' memory, descriptors and keys; calls that would bypass or weaken this filter.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
fn denied() -> Rules {
    let calls = [
        libc::SYS_connect,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_process_madvise,
        libc::SYS_pidfd_getfd,
        libc::SYS_kcmp,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_keyctl,
        libc::SYS_io_uring_setup,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
    ];
    // The few calls with other numbers for x32: ptrace, process_vm_readv, process_vm_writev.
    let x32 = [521, 539, 540].map(|number| number + X32);
    calls
        .into_iter()
        .chain(calls.map(|number| number + X32))
        .chain(x32)
        .map(|number| (number, Vec::new()))
        .collect()
}
