//! Turns on the features under which `kernels` with `metal` compiles here.
