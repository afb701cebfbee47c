//! OpenStack Swift on one disk: account, container and object servers, one device, one replica, and a proxy with
//! passwords in its configuration.

use std::path::Path;
use std::process::Command;

use tithon_testdata::free_port;

use crate::fleet::SECRET;

/// The commands of a Swift below `dir`, whose configuration and rings are created if needed.
pub fn commands(dir: &Path, port: u16) -> Vec<Command> {
    if !dir.join("proxy.conf").exists() {
        prepare(dir, port);
    }
    let memcached = std::fs::read_to_string(dir.join("memcached.port")).unwrap();
    let mut cache = Command::new("memcached");
    cache.args(["-l", "127.0.0.1", "-p", memcached.trim(), "-u", "root"]);
    let server = |name: &str| {
        let mut command = Command::new(format!("swift-{name}-server"));
        command.arg(dir.join(format!("{name}.conf"))).env("SWIFT_DIR", dir);
        command
    };
    vec![cache, server("account"), server("container"), server("object"), server("proxy")]
}

fn prepare(dir: &Path, port: u16) {
    let memcached = free_port();
    std::fs::write(dir.join("memcached.port"), memcached.to_string()).unwrap();
    std::fs::create_dir_all(dir.join("devices/d1")).unwrap();
    for name in ["account", "container", "object"] {
        let own = free_port();
        let devices = dir.join("devices");
        let config = format!(
            "[DEFAULT]\nbind_ip = 127.0.0.1\nbind_port = {own}\nuser = root\nswift_dir = {}\ndevices = {}\n\
             mount_check = false\nworkers = 0\n\n[pipeline:main]\npipeline = {name}-server\n\n\
             [app:{name}-server]\nuse = egg:swift#{name}\n",
            dir.display(),
            devices.display()
        );
        std::fs::write(dir.join(format!("{name}.conf")), config).unwrap();
        let builder = dir.join(format!("{name}.builder"));
        for args in [
            &["create", "4", "1", "1"][..],
            &["add", &format!("r1z1-127.0.0.1:{own}/d1"), "1"],
            &["rebalance"],
        ] {
            let done = Command::new("swift-ring-builder").arg(&builder).args(args).output().unwrap();
            assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stdout));
        }
    }
    let proxy = format!(
        "[DEFAULT]\nbind_ip = 127.0.0.1\nbind_port = {port}\nuser = root\nswift_dir = {}\nworkers = 0\n\n\
         [pipeline:main]\npipeline = catch_errors cache tempauth copy slo dlo proxy-server\n\n\
         [app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true\n\n\
         [filter:catch_errors]\nuse = egg:swift#catch_errors\n\n\
         [filter:cache]\nuse = egg:swift#memcache\nmemcache_servers = 127.0.0.1:{memcached}\n\n\
         [filter:tempauth]\nuse = egg:swift#tempauth\nuser_test_tester = {SECRET} .admin\n\n\
         [filter:copy]\nuse = egg:swift#copy\n\n[filter:slo]\nuse = egg:swift#slo\n\n[filter:dlo]\nuse = egg:swift#dlo\n",
        dir.display()
    );
    std::fs::write(dir.join("proxy.conf"), proxy).unwrap();
}

/// Creates the container `thanos`, as an operator would.
pub fn make_container(port: u16) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let asked = ureq::get(format!("http://127.0.0.1:{port}/auth/v1.0"))
            .header("x-auth-user", "test:tester")
            .header("x-auth-key", SECRET)
            .call();
        let made = asked.and_then(|answer| {
            let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
            let (url, token) = (format!("{}/thanos", header("x-storage-url")), header("x-auth-token"));
            ureq::put(&url).header("x-auth-token", &token).send_empty()?;
            ureq::get(format!("{url}/none")).header("x-auth-token", &token).call()
        });
        match made {
            // This answer shows that the object server is up too.
            Ok(_) | Err(ureq::Error::StatusCode(404)) => return,
            Err(error) => assert!(std::time::Instant::now() < deadline, "no container after 60 s: {error}"),
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}
