//! Version and build of the program. `TITHON_COMMIT` and `TITHON_DATE` are set when a release is built.

use std::sync::LazyLock;

/// The version of the package.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Git commit of the build, if set.
pub const COMMIT: &str = match option_env!("TITHON_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};
/// Time of the build, if set.
const DATE: &str = match option_env!("TITHON_DATE") {
    Some(date) => date,
    None => "unknown",
};

/// Version, commit, date and target, for `--version`.
pub static LONG: LazyLock<String> = LazyLock::new(|| {
    let (arch, system) = (std::env::consts::ARCH, std::env::consts::OS);
    format!("{VERSION} (commit {COMMIT}, built {DATE}, {arch}-{system})")
});
