//! Links the image by `linker.ld`, as a position-independent executable whose in-file words already hold
//! their link-time values: undoing a relocation then restores the file's bytes.
fn main() {
    let top = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let script = top.join("linker.ld");
    println!("cargo:rerun-if-changed={}", script.display());
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        println!(
            "cargo::error=the kernel has a target of its own, which is not this machine: run `make image`"
        );
        return;
    }
    println!("cargo:rustc-link-arg=-T{}", script.display());
    for arg in [
        "-pie",
        "--no-dynamic-linker",
        "--apply-dynamic-relocs",
        "-ztext",
        "-znorelro",
        "-zmax-page-size=4096",
        "-zcommon-page-size=4096",
        "--build-id=sha1",
        "--hash-style=gnu",
    ] {
        println!("cargo:rustc-link-arg={arg}");
    }
}
