//! Wrong command lines: exit code 2 and a text that names the flag, before a port is taken.

use std::net::TcpListener;
use std::process::Command;

use super::process::TITHON;
use super::{golden, objstore};

/// The exit code and the output.
fn run(args: &[&str]) -> (i32, String) {
    let output = Command::new(TITHON).args(args).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8(text).unwrap())
}

#[test]
fn each_mistake_names_its_flag() {
    // The port is taken: a process that tried to listen would end with exit code 1.
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let http = format!("--http-address={}", held.local_addr().unwrap());
    let bucket = objstore(&golden());
    for (line, told) in [
        ("query --endpoint=localhost", "--endpoint: endpoint \"localhost\": expected HOST:PORT"),
        ("query --endpoint-strict=dns+x:1", "--endpoint-strict=dns+x:1: a strict endpoint is one HOST:PORT"),
        ("query --endpoint.sd-config=endpoints:~[", "--endpoint.sd-config: endpoint config: "),
        ("query --endpoint.sd-config-file=/nowhere", "--endpoint.sd-config-file=/nowhere: No such file"),
        ("query --store.sd-files=[", "--store.sd-files=[: "),
        ("query --grpc-client-tls-secure --grpc-client-tls-ca=/nowhere", "--grpc-client-tls-*: "),
        ("query --grpc-server-tls-cert=/nowhere", "--grpc-server-tls-*: "),
        ("query --http.config=/nowhere", "--http.config /nowhere: No such file"),
        (
            "query --request.logging-config={options:~{level:~X}}",
            "--request.logging-config: options: level \"X\"",
        ),
        (
            "query --request.logging-config-file=/nowhere",
            "--request.logging-config-file=/nowhere: No such file",
        ),
        (
            "query --selector.relabel-config=[{action:~replace}]",
            "--selector.relabel config step 1: action \"replace\"",
        ),
        (
            "query --selector-label=x",
            "'--selector-label <NAME=\"VALUE\">': expected NAME=\"VALUE\", found \"x\"",
        ),
        ("query --query.mode=x", "invalid value 'x' for '--query.mode <MODE>'"),
        ("query --log.format=journald", "'--log.format <FORMAT>': lines are written to standard error alone"),
        ("query --query.timeout=5", "'--query.timeout <DURATION>': not a valid duration: \"5\""),
        ("query --query.enable-x-functions", "error: --query.enable-x-functions is refused: "),
        ("query --inject-test-addresses=a:1", "error: --inject-test-addresses is refused: "),
        (
            "query --chunk-pool-size=1GB",
            "error: --chunk-pool-size is a flag of `thanos store`, not of this subcommand",
        ),
        (
            "query --query.active-query-path=/proc/nowhere",
            "--query.active-query-path: /proc/nowhere/queries.active: ",
        ),
        (
            "query --grpc-address=nowhere",
            "'--grpc-address <ADDR>': expected HOST:PORT or :PORT, found \"nowhere\"",
        ),
        ("query --query.tenant-certificate-field=surname", "'--query.tenant-certificate-field <FIELD>'"),
        ("query --query.conn-metric.label=x", "'--query.conn-metric.label <LABEL>'"),
        ("receive --tsdb.path=/x", "error: the receiver is not here yet"),
        ("rule", "no query configuration parameters provided: give --query or --query.config"),
        ("rule --query=a:1 --objstore.config=x", "blocks without labels cannot be uploaded: give --label"),
        ("rule --query=a:1 --query=a:1", "address a:1 is duplicated for --query flag"),
        ("rule --query=ftp://a", "--query: \"ftp://a\": \"ftp\" is not supported scheme for address"),
        (
            "rule --query=a:1 --alertmanagers.url=b:9093",
            "--alertmanagers.url: \"b:9093\": alertmanagers.url contains empty scheme",
        ),
        ("rule --query=a:1 --alert.query-template={{", "--alert.query-template: error parsing template"),
        ("rule --query=a:1 --query.enable-x-functions", "error: --query.enable-x-functions is refused: "),
        ("tools rules-check", "--rules <PATTERN>"),
        ("store", "no bucket is given: use --objstore.config-file=FILE"),
        ("store --objstore.config={type:~S4}", "--objstore.config: "),
        ("store --objstore.config-file=/nowhere", "--objstore.config-file=/nowhere: No such file"),
        ("store BUCKET --min-time=2h --max-time=1h", "--min-time must not be after --max-time"),
        ("store BUCKET --index-cache.config={type:~X}", "--index-cache.config: "),
        ("store BUCKET --objstore-parquet.config={}", "error: --objstore-parquet.config is refused: "),
        (
            "compact BUCKET --deduplication.func=penalty",
            "--deduplication.func=penalty needs --deduplication.replica-label",
        ),
        ("compact BUCKET --retention.resolution-raw=1h", "--retention.resolution-raw must be 40h at least"),
        ("compact BUCKET --compact.concurrency=0", "'--compact.concurrency <N>': expected a number above 0"),
    ] {
        // A tilde is a space within an argument.
        let args =
            line.split(' ').map(|arg| if arg == "BUCKET" { bucket.clone() } else { arg.replace('~', " ") });
        let mut args: Vec<String> = args.collect();
        if !matches!(args[0].as_str(), "tools" | "receive") {
            args.push(http.clone());
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let (code, text) = run(&args);
        let text = text.replace("\\\"", "\"");
        assert_eq!(code, 2, "{line}: {text}");
        assert!(text.contains(told), "{line}: {text}");
        assert!(!text.contains("similar argument"), "{line}: {text}");
    }
}

#[test]
fn a_port_in_use_names_the_flag_that_chose_it() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap();
    for (flag, other) in [("--http-address", "--grpc-address"), ("--grpc-address", "--http-address")] {
        let (code, text) = run(&["query", &format!("{flag}={address}"), &format!("{other}=127.0.0.1:0")]);
        assert_eq!(code, 1, "{text}");
        assert!(text.contains(&format!("{flag}: listen on {address}: ")), "{text}");
    }
}

#[test]
fn help_and_versions() {
    for (args, told) in [
        (&["--version"][..], "tithon "),
        (&["store", "--version"], "tithon-store "),
        (&["query", "--help-long"], "--query.enforce-tenancy"),
        (&["--help-man"], ".TH tithon 1"),
    ] {
        let (code, text) = run(args);
        assert_eq!(code, 0, "{args:?}: {text}");
        assert!(text.contains(told), "{args:?}: {text}");
    }
}
