//! Every kernel on the CPU against a plain transcription of its formula in f64: all types of number,
//! odd shapes, all schedules, canaries around every buffer.

mod launch;
mod pointwise;

/// Every kernel that there is has been named by a test of this program's modules.
#[test]
fn every_kernel_has_a_test() {
    let tested = [pointwise::KERNELS].concat();
    for (library, _, kernels) in metal_kernels::libraries() {
        for kernel in kernels {
            let (name, _) = kernel.rsplit_once('_').expect("a kernel's name ends in its type");
            assert!(tested.contains(&name), "{library}: no test of {name}");
        }
    }
}
