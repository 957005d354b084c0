//! The build script: links `launchd/Info.plist` into the program on Apple's systems, and does nothing elsewhere.

/// Relative to the package, where Cargo starts a build script.
const PLIST: &str = "launchd/Info.plist";

fn main() {
    println!("cargo::rerun-if-changed={PLIST}");
    let is_apple = std::env::var("CARGO_CFG_TARGET_VENDOR").is_ok_and(|vendor| vendor == "apple");
    if let (true, Ok(folder)) = (is_apple, std::env::var("CARGO_MANIFEST_DIR")) {
        println!("cargo::rustc-link-arg-bins=-Wl,-sectcreate,__TEXT,__info_plist,{folder}/{PLIST}");
    }
}
