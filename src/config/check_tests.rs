//! Configurations that are none, and what is told of them.

use std::path::Path;

use super::*;

fn refused(text: &str) -> String {
    let problems = Config::parse(text, Path::new("")).expect_err(text);
    assert!(
        problems.list().iter().all(|p| p.fault.hint().is_some()),
        "{problems}"
    );
    problems.to_string()
}

#[test]
fn the_defaults_keep_every_rule() {
    assert_eq!(Config::default().faults(), []);
}

#[test]
fn plain_http_beyond_loopback_must_be_asked_for() {
    let told = refused("[server]\nlisten = '0.0.0.0:9000'");
    assert!(
        told.contains("plain HTTP") && told.contains("server.tls_cert"),
        "{told}"
    );
    let told = refused("[server]\nlisten = '[::]:9000'");
    assert!(told.contains("plain HTTP"), "{told}");
    for good in [
        "[server]\nlisten = '0.0.0.0:9000'\nplain_http = 'allow'",
        "[server]\nlisten = '0.0.0.0:9000'\ntls_cert = 'c'\ntls_key = 'k'",
        "[server]\nlisten = '[::1]:9000'",
    ] {
        assert!(Config::parse(good, Path::new("")).is_ok(), "{good}");
    }
}

#[test]
fn health_and_metrics_beyond_loopback_must_be_asked_for() {
    let told = refused("[ops]\nlisten = '192.0.2.1:9001'");
    assert!(told.contains("ops.allow_remote"), "{told}");
    let good = "[ops]\nlisten = '192.0.2.1:9001'\nallow_remote = true";
    assert!(Config::parse(good, Path::new("")).is_ok());
}

#[test]
fn locks_that_a_store_cannot_have_are_refused() {
    for (text, key) in [
        ("[volumes]\nworm = 'require'", "volumes.worm"),
        ("[volumes]\nbucket = 'icu-log'", "volumes.bucket"),
        (
            "[store]\nkind = 's3'\nendpoint = 'https://x'\nbucket = 'abc'\n\
             [volumes]\nbucket = 'A'",
            "volumes.bucket",
        ),
    ] {
        assert!(refused(text).contains(key), "{text}");
    }
    let good = "[store]\nkind = 's3'\nendpoint = 'https://x'\nbucket = 'abc'\n\
                [volumes]\nbucket = 'icu-log'\nworm = 'require'\nworm_mode = 'governance'";
    assert!(Config::parse(good, Path::new("")).is_ok());
}

#[test]
fn a_gate_in_the_store_alone_needs_a_catalog_that_is_waited_for() {
    let told = refused("[journal]\ngate = 'store'");
    assert!(
        told.contains("journal.gate") && told.contains("snapshot_wait"),
        "{told}"
    );
    for good in [
        "[journal]\ngate = 'store'\n[catalog]\nsnapshot_wait = true",
        "[journal]\ngate = 'both'",
    ] {
        assert!(Config::parse(good, Path::new("")).is_ok(), "{good}");
    }
}

#[test]
fn broken_rules_are_told_with_the_way_to_mend_them() {
    for (text, key) in [
        ("[server]\ntls_cert = 'c'", "server.tls_cert"),
        ("[server]\ntls_key = 'k'", "server.tls_cert"),
        ("[server]\nregion = 'EU West'", "server.region"),
        ("[server]\nregion = ''", "server.region"),
        ("[server]\ndomain = 'https://x'", "server.domain"),
        ("[server]\ndomain = 'a..b'", "server.domain"),
        (
            "[server]\ntls_reload_interval = '0s'",
            "server.tls_reload_interval",
        ),
        ("[server]\nshutdown_wait = '2d'", "server.shutdown_wait"),
        ("[ops]\nlisten = '127.0.0.1:9000'", "ops.listen"),
        ("[limits]\nconnections_max = 0", "limits.connections_max"),
        (
            "[limits]\nconnection_streams_max = 5000",
            "limits.connection_streams_max",
        ),
        (
            "[limits]\nheader_bytes_max = '1KiB'",
            "limits.header_bytes_max",
        ),
        (
            "[limits]\nheader_bytes_max = '1GiB'",
            "limits.header_bytes_max",
        ),
        ("[limits]\nidle_timeout = '0s'", "limits.idle_timeout"),
        ("[limits]\nheader_timeout = '2h'", "limits.header_timeout"),
        ("[limits]\nkeep_alive = '0ms'", "limits.keep_alive"),
        ("[limits]\nrequest_time = '1ms'", "limits.request_time"),
        ("[store]\nkind = 's3'", "store.endpoint"),
        ("[straight]\nprojects = ['icu']", "straight.projects"),
        ("[straight]\nendpoint = 'https://u@x'", "straight.endpoint"),
        (
            "[store]\nkind = 's3'\nendpoint = 'ftp://x'\nbucket = 'abc'",
            "store.endpoint",
        ),
        (
            "[store]\nkind = 's3'\nendpoint = 'https://a:b@x'\nbucket = 'abc'",
            "store.endpoint",
        ),
        (
            "[store]\nkind = 's3'\nendpoint = 'https://x'\nbucket = 'A'",
            "store.bucket",
        ),
        ("[store]\nprefix = '/a'", "store.prefix"),
        ("[store]\nprefix = 'a/../b'", "store.prefix"),
        ("[store]\nretries = 21", "store.retries"),
        ("[store]\nconnections_max = 0", "store.connections_max"),
        (
            "[store]\naccess_key_id_file = 'f'",
            "store.access_key_id_file",
        ),
        (
            "[catalog]\nsnapshot_interval = '0s'",
            "catalog.snapshot_interval",
        ),
        ("[journal]\nfile_bytes = '15MiB'", "journal.file_bytes"),
        ("[journal]\nfile_bytes = '65MiB'", "journal.file_bytes"),
        ("[journal]\nwait = '6s'", "journal.wait"),
        ("[sweep]\ngrace = '23h'", "sweep.grace"),
        ("[sweep]\nupload_age = '1h'", "sweep.upload_age"),
        (
            "[policy]\nreload_interval = '1ms'",
            "policy.reload_interval",
        ),
    ] {
        let told = refused(text);
        assert!(told.contains(&format!("`{key}`")), "{text}: {told}");
    }
}

#[test]
fn rules_of_the_root_and_of_the_log_are_told_too() {
    for (text, key) in [
        ("[jobs]\nsession = '900ms'", "jobs.session"),
        ("[jobs]\nsession = '901s'", "jobs.session"),
        ("[keys]\nroot = 'transit'", "transit.url"),
        (
            "[keys]\nroot = 'transit'\n[transit]\nurl = 'https://b'",
            "transit.token_file",
        ),
        ("[transit]\nkey = '../sys'", "transit.key"),
        ("[transit]\nmount = 'a b'", "transit.mount"),
        ("[keys]\nroot = 'pkcs11'", "pkcs11.module"),
        (
            "[keys]\nroot = 'pkcs11'\n[pkcs11]\nmodule = '/m.so'",
            "pkcs11.token",
        ),
        ("[pkcs11]\nkey = ''", "pkcs11.key"),
        ("[pkcs11]\nwait = '1ms'", "pkcs11.wait"),
        ("[keys]\nroot = 'plugin'", "plugin.identity"),
        ("[plugin]\nwait = '1h'", "plugin.wait"),
        ("[proof]\ninterval = '1ms'", "proof.interval"),
        ("[proof]\norigin = 'a b'", "proof.origin"),
        ("[proof]\norigin = 'a+b'", "proof.origin"),
    ] {
        let told = refused(text);
        assert!(told.contains(&format!("`{key}`")), "{text}: {told}");
    }
}

#[test]
fn the_default_project_is_a_name() {
    assert_eq!(default_project().as_str(), "main");
}
