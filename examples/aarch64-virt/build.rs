//! Links the image by `linker.ld`.
fn main() {
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("linker.ld");
    println!("cargo:rerun-if-changed={}", script.display());
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        println!(
            "cargo::error=this kernel has a target of its own, which is not this machine: run `make second-kernel`; \
             for Postern itself, run `make image`"
        );
        return;
    }
    println!("cargo:rustc-link-arg=-T{}", script.display());
    println!("cargo:rustc-link-arg=-zmax-page-size=4096");
}
