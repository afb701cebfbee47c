//! What this program was built from. `TITHON_COMMIT` and `TITHON_DATE` are set by whoever builds a release.

use std::sync::LazyLock;

/// The version of the package.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit, where the build was told.
pub const COMMIT: &str = match option_env!("TITHON_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};
/// When it was built, where the build was told.
const DATE: &str = match option_env!("TITHON_DATE") {
    Some(date) => date,
    None => "unknown",
};

/// Version, commit, date and target, for `--version`.
pub static LONG: LazyLock<String> = LazyLock::new(|| {
    let (arch, system) = (std::env::consts::ARCH, std::env::consts::OS);
    format!("{VERSION} (commit {COMMIT}, built {DATE}, {arch}-{system})")
});
