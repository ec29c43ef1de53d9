//! Tests that need a network of their own: addresses, routes or rules that this machine does not have.

use std::process::Command;

/// Runs the rest of a test, whose full name is `test`, in a network namespace of its own, after the
/// shell commands of `setup` (its loopback device is up by then). True there; false here, once it has
/// passed there.
///
/// # Panics
///
/// When it fails there, or the system has no namespaces for us: a test that cannot run has not
/// passed. [`WITHOUT`] in the environment leaves such tests out, and says so.
pub fn in_namespace(test: &str, setup: &str) -> bool {
    if std::env::var(INSIDE).is_ok_and(|inside| inside == test) {
        return true;
    }
    if std::env::var_os(WITHOUT).is_some() {
        println!("{test} NOT RUN: {WITHOUT} is set");
        return false;
    }
    let script =
        format!("set -e\nip link set lo up\n{setup}\nexec \"$0\" --exact {test} --nocapture");
    let run = Command::new("unshare")
        .args(["--map-root-user", "--net", "sh", "-c", &script])
        .arg(std::env::current_exe().expect("a test has a file"))
        .env(INSIDE, test)
        .output();
    let hint = format!(
        "this test needs unshare(1), ip(8) and tc(8), and the right to make a network namespace; \
         set {WITHOUT}=1 to leave such tests out"
    );
    let output = run.unwrap_or_else(|error| panic!("cannot run unshare: {error}\n{hint}"));
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let passed = output.status.success() && stdout.contains("1 passed");
    assert!(passed, "{stdout}\n{stderr}\n{hint}");
    false
}

/// Set to anything, it leaves these tests out.
pub const WITHOUT: &str = "LENSCAST_TEST_WITHOUT_NAMESPACES";
/// The test that runs in there.
const INSIDE: &str = "LENSCAST_TEST_NAMESPACE";
