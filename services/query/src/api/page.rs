//! The page at `/`: what the program is, a form for a query, and links to the other pages.

use axum::extract::State;
use axum::response::Html;

use crate::QueryService;
use crate::fanout::StoreStatus;

const PAGE: &str = include_str!("page.html");

/// The page with the version and the stores filled in.
pub(crate) async fn page(State(service): State<QueryService>) -> Html<String> {
    let mut rows = String::new();
    for StoreStatus { name, info, health } in service.stores() {
        let sets: Vec<String> = info.label_sets.iter().map(|set| escape(&set.to_string())).collect();
        rows.push_str(&format!(
            "<tr><td>{}</td><td>{}</td><td><code>{}</code></td><td>{}</td></tr>\n",
            escape(&name),
            escape(&info.component),
            sets.join("<br>"),
            health.last_error.as_deref().map_or("up".to_owned(), |e| format!("down: {}", escape(e))),
        ));
    }
    if rows.is_empty() {
        rows.push_str("<tr><td colspan=4>none has answered yet</td></tr>\n");
    }
    Html(PAGE.replace("{version}", env!("CARGO_PKG_VERSION")).replace("{sources}", &rows))
}

/// Escapes text for HTML.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
