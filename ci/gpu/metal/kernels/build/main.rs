//! Compiles the workspace's `.metal` files for the CPU: preprocesses them, rewrites them as C++ and
//! builds them against the runtime in `ci/gpu/shim`. Writes to `OUT_DIR` the table of kernels that
//! `src/lib.rs` includes, and for `src/bin/spaces.rs` a copy of each library with its address
//! spaces.

mod rewrite;
mod signature;
mod wrapper;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use rewrite::Target;

/// Libraries and their files in the operations' folder, which follow the prelude.
///
/// The host assembles the same sources at run time. A difference fails on the emulated device,
/// which identifies a library by its source.
const LIBRARIES: [(&str, &[&str]); 10] = [
    ("adam", &["adam/adam.metal"]),
    ("attention", &["attention/attention.metal"]),
    ("concat", &["concat/concat.metal"]),
    ("conv2d", &["conv2d/conv2d.metal"]),
    ("dropout", &["noise/philox.metal", "dropout/dropout.metal"]),
    ("group_norm", &["group_norm/group_norm.metal"]),
    ("noise", &["noise/philox.metal", "noise/noise.metal"]),
    ("pointwise", &["pointwise/pointwise.metal"]),
    ("reduce", &["gpu/reduce.metal"]),
    ("resample", &["resample/resample.metal"]),
];
const PRELUDE: &str = "gpu/prelude.metal";

fn main() {
    let own = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let root = own.ancestors().nth(4).expect("four folders under the root");
    let (ops, shim) = (root.join("crates/kernels/src"), root.join("ci/gpu/shim"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    for path in [&own.join("build"), &ops, &shim] {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    check_complete(&ops);
    let mut units = Vec::new();
    let mut table = String::from("pub(crate) static LIBRARIES: &[Library] = &[\n");
    let mut declarations = String::from("unsafe extern \"C\" {\n");
    for (name, parts) in LIBRARIES {
        let text = text(&ops, parts);
        let source = out.join(format!("{name}.metal"));
        fs::write(&source, &text).expect("OUT_DIR can be written");
        units.push(translate(name, &source, &shim, &out));
        writeln!(table, "    Library {{ name: {name:?}, source: include_str!({source:?}), kernels: msl_{name} }},")
            .expect("a string takes all");
        writeln!(declarations, "    fn msl_{name}(count: *mut usize) -> *const Entry;")
            .expect("a string takes all");
    }
    let rust = format!("{declarations}}}\n{table}];\n");
    fs::write(out.join("libraries.rs"), rust).expect("OUT_DIR can be written");
    let is_threaded = env::var_os("CARGO_FEATURE_THREADS").is_some();
    let mut build = compiler(&shim);
    if is_threaded {
        build.flag("-fsanitize=thread").flag("-g").define("GPUSHIM_OS_THREADS", None);
    }
    let scheduler = if is_threaded { "gpu_rt_threads.cpp" } else { "gpu_rt_fibers.cpp" };
    build.files(["gpu_rt.cpp", scheduler, "msl/msl_entry.cpp"].map(|it| shim.join(it)));
    build.files(&units).compile("msl_kernels");
    if is_threaded {
        println!("cargo::rustc-link-lib=tsan");
    }
}

/// Fails if a `.metal` file belongs to no library, because no test would cover it.
fn check_complete(ops: &Path) {
    let listed = |path: &str| path == PRELUDE || LIBRARIES.iter().any(|it| it.1.contains(&path));
    for folder in fs::read_dir(ops).expect("the operations' folder").flatten() {
        for file in fs::read_dir(folder.path()).into_iter().flatten().flatten() {
            let path = file.path();
            let relative = path.strip_prefix(ops).expect("it is inside").display().to_string();
            if relative.ends_with(".metal") {
                assert!(listed(&relative), "{relative} is not in a library; add it to {}", file!());
            }
        }
    }
}

/// Returns the source that the host passes to Metal.
fn text(ops: &Path, parts: &[&str]) -> String {
    let read = |path: &&str| {
        fs::read_to_string(ops.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    std::iter::once(&PRELUDE).chain(parts).map(read).collect()
}

/// Writes the C++ of a library and returns its path.
fn translate(name: &str, source: &Path, shim: &Path, out: &Path) -> PathBuf {
    let expanded = compiler(shim)
        .define("GPUSHIM_PARSE", None)
        .flag("-x")
        .flag("c++")
        .file(source)
        .try_expand()
        .unwrap_or_else(|error| panic!("{name}.metal: {error}"));
    let expanded = String::from_utf8(expanded).expect("sources are UTF-8");
    let expanded = signature::plain(&expanded.replace("using namespace metal;", ""));
    let kernels = signature::kernels(&expanded);
    assert!(!kernels.is_empty(), "{name}.metal has no kernel");
    let spaces = rewrite::rewrite(&expanded, Target::AddressSpaces);
    let spaces = format!("#include \"metal_stdlib\"\nusing namespace metal;\n{spaces}\n");
    fs::write(out.join(format!("{name}_spaces.cpp")), spaces).expect("OUT_DIR can be written");
    let body = rewrite::rewrite(&expanded, Target::Cpu);
    let path = out.join(format!("{name}_msl.cpp"));
    fs::write(&path, wrapper::unit(name, &body, &kernels)).expect("OUT_DIR can be written");
    path
}

fn compiler(shim: &Path) -> cc::Build {
    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").opt_level(2).warnings(true).extra_warnings(true);
    build.include(shim).include(shim.join("msl")).define("__HAVE_BFLOAT__", None);
    // Metal behaves like this without fast math. Buffers are untyped.
    build.flag("-ffp-contract=off").flag("-fno-strict-aliasing");
    // Metal has no `double`: an unsuffixed literal would have another precision there.
    build.flag("-Werror=double-promotion").flag_if_supported("-Wno-unknown-pragmas");
    build
}
