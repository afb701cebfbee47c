//! The page of blocks, which uses `/api/v1/blocks` of a compactor or a store. Its links are relative, so it works below
//! any prefix.

use axum::Router;
use axum::response::{Html, Redirect};
use axum::routing::get;

const PAGE: &str = include_str!("blocks.html");

/// `/blocks`, which shows the blocks in the bucket, and `/loaded`, which shows those the compactor works on, both with
/// buttons to mark blocks.
pub fn lists() -> Router {
    let page = || get(async || Html(PAGE));
    Router::new().route("/blocks", page()).route("/loaded", page())
}

/// The same, with a redirect from the root to `/blocks`.
pub fn of_compactor() -> Router {
    lists().route("/", redirect("blocks"))
}

/// `/loaded`, which shows the served blocks, with a redirect from the root to it.
pub fn of_store() -> Router {
    let page = PAGE.replacen("<body>", "<body class=\"store\">", 1);
    Router::new().route("/loaded", get(async move || Html(page))).route("/", redirect("loaded"))
}

/// The redirect is relative, because a proxy may add a prefix.
fn redirect(to: &'static str) -> axum::routing::MethodRouter {
    get(async move || Redirect::temporary(to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_a_store_is_told_apart() {
        assert_eq!(PAGE.matches("<body>").count(), 1);
    }
}
