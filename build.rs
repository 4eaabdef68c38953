//! Lets the binaries, tests and benches find libtorch where it was at build time, without `LD_LIBRARY_PATH`.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Exported by torch-sys, so absent without the feature `torch`. The linker writes it as a RUNPATH, which a
    // LD_LIBRARY_PATH still overrides.
    if let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
    }
}
