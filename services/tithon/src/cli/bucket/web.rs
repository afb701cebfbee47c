//! Flags of `tithon tools bucket web`.

use std::time::Duration;

use clap::Args;

use crate::flags::{BucketFlags, HttpFlags, ScopeFlags, parse_duration};

/// `tithon tools bucket web`.
#[derive(Args, Debug)]
pub struct WebFlags {
    #[command(flatten)]
    pub http: HttpFlags,
    #[command(flatten)]
    pub bucket: BucketFlags,
    #[command(flatten)]
    pub scope: ScopeFlags,
    /// Time from one listing of the bucket to the next.
    #[arg(long = "refresh", value_name = "DURATION", default_value = "30m", value_parser = parse_duration)]
    pub refresh: Duration,
    /// Longest time that a listing may take; 0 is for ever.
    #[arg(long = "timeout", value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    pub timeout: Duration,
    /// A label that is shown with the blocks.
    #[arg(long = "label", value_name = "LABEL", default_value = "", hide_default_value = true)]
    pub label: String,
    /// Prefix of the paths, for a proxy that forwards whole paths; that of --web.external-prefix unless given. Links of
    /// the page are relative, so that a proxy may also remove a prefix.
    #[arg(long = "web.route-prefix", value_name = "PREFIX", default_value = "", hide_default_value = true)]
    pub route_prefix: String,
    /// Prefix of the paths if --web.route-prefix is not given.
    #[arg(
        long = "web.external-prefix",
        value_name = "PREFIX",
        default_value = "",
        hide_default_value = true
    )]
    pub external_prefix: String,
    /// Do not let pages of other origins send requests.
    #[arg(long = "web.disable-cors")]
    pub disable_cors: bool,
    /// Refuse marks over the web API.
    #[arg(long = "disable-admin-operations")]
    pub disable_admin_operations: bool,
}
