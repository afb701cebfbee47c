//! The page of blocks, on top of `/api/v1/blocks` of a compactor or a store. Its links are relative: it works below any prefix.

use axum::Router;
use axum::response::{Html, Redirect};
use axum::routing::get;

const PAGE: &str = include_str!("blocks.html");

/// `/blocks`, what is in the bucket, and `/loaded`, what is worked on, with buttons that mark blocks.
pub fn lists() -> Router {
    let page = || get(async || Html(PAGE));
    Router::new().route("/blocks", page()).route("/loaded", page())
}

/// The same; the root leads to the first.
pub fn of_compactor() -> Router {
    lists().route("/", redirect("blocks"))
}

/// `/loaded`, the blocks that are served; the root leads there.
pub fn of_store() -> Router {
    let page = PAGE.replacen("<body>", "<body class=\"store\">", 1);
    Router::new().route("/loaded", get(async move || Html(page))).route("/", redirect("loaded"))
}

/// Relative, as a proxy may put a prefix of its own before it.
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
