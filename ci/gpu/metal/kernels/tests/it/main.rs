//! Every kernel on the CPU compared with its formula in f64: all types, odd shapes, all schedules,
//! canaries around every buffer.

mod adam;
mod attention;
mod conv2d;
mod group_norm;
mod launch;
mod pointwise;
mod random;
mod resample;

/// Checks that the lists of this program's modules contain every kernel.
#[test]
fn every_kernel_has_a_test() {
    let tested = [
        adam::KERNELS,
        attention::KERNELS,
        conv2d::KERNELS,
        group_norm::KERNELS,
        pointwise::KERNELS,
        random::KERNELS,
        resample::KERNELS,
    ]
    .concat();
    for (library, _, kernels) in metal_kernels::libraries() {
        for kernel in kernels {
            let (name, _) = kernel.rsplit_once('_').expect("a kernel's name ends in its type");
            assert!(tested.contains(&name), "{library}: no test of {name}");
        }
    }
}
