//! The pages for people: a form for queries with its graph at `/` and `/graph`, and lists of what the HTTP API answers under the
//! paths of Thanos's pages. Links are relative, so they work below any prefix.

use axum::Router;
use axum::extract::State;
use axum::response::Html;
use axum::routing::get;

use crate::QueryService;
use crate::fanout::StoreStatus;

const STYLE: &str = include_str!("pages/style.css");
const GRAPH: &str = include_str!("pages/graph.html");
const LIST: &str = include_str!("pages/list.html");

/// The paths of the pages that list something, and what the links to them say. `list.html` has an entry for each.
const LISTS: [(&str, &str); 7] = [
    ("alerts", "Alerts"),
    ("rules", "Rules"),
    ("targets", "Targets"),
    ("stores", "Stores"),
    ("tsdb-status", "Heads"),
    ("status", "Status"),
    ("flags", "Flags"),
];

/// The routes of all pages.
pub(crate) fn routes() -> Router<QueryService> {
    let router = Router::new().route("/", get(graph)).route("/graph", get(graph));
    let list = with_frame(LIST);
    LISTS.iter().fold(router, |router, (path, _)| {
        let page = list.clone();
        router.route(&format!("/{path}"), get(async move || Html(page)))
    })
}

/// The page of queries, with the stores filled in.
async fn graph(State(service): State<QueryService>) -> Html<String> {
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
    Html(with_frame(GRAPH).replace("{sources}", &rows))
}

/// The page with the style and the links that all pages have.
fn with_frame(page: &str) -> String {
    let link = |(path, text): &(&str, &str)| format!("<a href=\"{path}\">{text}</a>");
    let links: Vec<String> = [("graph", "Graph")].iter().chain(&LISTS).map(link).collect();
    let version = env!("CARGO_PKG_VERSION");
    let nav = format!("<nav><b>Tithon</b>{}<small>{version}</small></nav>", links.join(" "));
    page.replace("{style}", STYLE).replace("{nav}", &nav)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_is_drawn_and_nothing_is_left_to_fill_in() {
        let page = with_frame(LIST);
        for (path, _) in LISTS {
            assert!(page.contains(&format!("href=\"{path}\"")), "{path} has no link");
            let entry = [format!("  {path}: ["), format!("  '{path}': [")];
            assert!(entry.iter().any(|entry| page.contains(entry)), "{path} has no entry");
        }
        for page in [page, with_frame(GRAPH)] {
            assert!(!page.contains("{style}") && !page.contains("{nav}"));
        }
    }
}
