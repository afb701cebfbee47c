//! `--web.*`: flags of web APIs and pages.

use clap::Args;

/// Flags of `query`.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Pages")]
pub struct QueryWebFlags {
    /// Prefix of the paths of the API and the page, for a proxy that forwards whole paths; that of
    /// --web.external-prefix unless given. Probes and metrics have no prefix.
    #[arg(long = "web.route-prefix", value_name = "PREFIX", default_value = "", hide_default_value = true)]
    route_prefix: String,
    /// Prefix under which a proxy shows the page. Links of the page are relative, so it only serves as a route prefix.
    #[arg(
        long = "web.external-prefix",
        value_name = "PREFIX",
        default_value = "",
        hide_default_value = true
    )]
    external_prefix: String,
    /// Do not let pages of other origins read the answers.
    #[arg(long = "web.disable-cors", default_value_t = false, action = clap::ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub disable_cors: bool,
}

impl QueryWebFlags {
    /// Prefix of all paths.
    pub fn prefix(&self) -> &str {
        if self.route_prefix.is_empty() { &self.external_prefix } else { &self.route_prefix }
    }
}

/// Flags of processes that show blocks: `store` and `compact`.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Pages")]
pub struct BlocksWebFlags {
    /// Turn off the web API.
    #[arg(long = "web.disable", default_value_t = false, action = clap::ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub disable: bool,
    /// Do not let pages of other origins send requests.
    #[arg(long = "web.disable-cors", default_value_t = false, action = clap::ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub disable_cors: bool,
    /// A label that the web API shows with the blocks.
    #[arg(long = "bucket-web-label", value_name = "LABEL", default_value = "", hide_default_value = true)]
    pub label: String,
}
