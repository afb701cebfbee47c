//! `--web.*`: the web API and its pages.

use clap::Args;

/// Of `query`.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Pages")]
pub struct QueryWebFlags {
    /// Prefix of the paths of the API and the page, for a proxy that hands on whole paths; that of --web.external-prefix
    /// unless given. Probes and metrics have none.
    #[arg(long = "web.route-prefix", value_name = "PREFIX", default_value = "", hide_default_value = true)]
    route_prefix: String,
    /// Prefix under which a proxy shows the page. Links of the page are relative, so that it counts as a route prefix only.
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
    /// The prefix of all paths.
    pub fn prefix(&self) -> &str {
        if self.route_prefix.is_empty() { &self.external_prefix } else { &self.route_prefix }
    }
}

/// Of processes that show blocks: `store` and `compact`.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Pages")]
pub struct BlocksWebFlags {
    /// No web API.
    #[arg(long = "web.disable", default_value_t = false, action = clap::ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub disable: bool,
    /// Do not let pages of other origins ask.
    #[arg(long = "web.disable-cors", default_value_t = false, action = clap::ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub disable_cors: bool,
    /// Shown with the blocks in the web API.
    #[arg(long = "bucket-web-label", value_name = "LABEL", default_value = "", hide_default_value = true)]
    pub label: String,
}
