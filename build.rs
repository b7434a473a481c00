//! Tells the program which commit it is built from, where that is known.

#[path = "build/commit.rs"]
mod commit;

fn main() {
    let version = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let root = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build/commit.rs");
    println!("cargo::rerun-if-changed=build/archive.txt");
    println!("cargo::rerun-if-env-changed=TFREG_COMMIT");
    let given = std::env::var("TFREG_COMMIT").unwrap_or_default();
    let archive = std::fs::read_to_string("build/archive.txt").unwrap_or_default();
    // A build for development is made again and again between commits: it names none.
    let release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let checkout = if release { commit::of_checkout(root.as_ref()) } else { None };
    if let Some(checkout) = &checkout {
        for file in &checkout.watched {
            println!("cargo::rerun-if-changed={}", file.display());
        }
        println!("cargo::rerun-if-changed=src");
    }
    let commit = commit::known(&given, &archive, checkout.map(|checkout| checkout.commit));
    println!("cargo::rustc-env=TFREG_VERSION={}", commit::version(&version, commit.as_deref()));
}
