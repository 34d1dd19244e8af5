//! Links the image by `linker.ld`, as a position-independent executable whose in-file words already hold
//! their link-time values: undoing a relocation then restores the file's bytes. The build script of every image.
fn main() {
    // The folder of the crate that is built; three crates share this script. Read at run time, so that a copied tree,
    // with its build folder, links by its own linker.ld.
    let Some(here) = std::env::var_os("CARGO_MANIFEST_DIR").map(std::path::PathBuf::from) else {
        println!("cargo::error=cargo does not say which crate is built");
        return;
    };
    let mut scripts = here.ancestors().map(|folder| folder.join("linker.ld"));
    let Some(script) = scripts.find(|script| script.is_file()) else {
        println!("cargo::error=linker.ld is in no folder above {}", here.display());
        return;
    };
    println!("cargo:rerun-if-changed={}", script.display());
    // On a host the library is empty, and there is no image.
    if std::env::var_os("CARGO_FEATURE_IMAGE").is_none() {
        return;
    }
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
