//! Devices by name.

use candle_core::{Device, Result, bail};

/// Opens the device `cpu`, `cuda`, `cuda:<index>` or `metal`.
///
/// There is no fallback: a device that this build or machine lacks is an error.
///
/// # Errors
///
/// If the name is unknown or the device is not available.
///
/// ```
/// assert!(uni_instruct_kernels::device::parse_device("cpu")?.is_cpu());
/// assert!(uni_instruct_kernels::device::parse_device("tpu").is_err());
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn parse_device(name: &str) -> Result<Device> {
    let (kind, index) = match name.split_once(':') {
        Some((kind, index)) => (kind, Some(index)),
        None => (name, None),
    };
    match (kind, index) {
        ("cpu", None) => Ok(Device::Cpu),
        ("cuda", index) => {
            let Ok(index) = index.unwrap_or("0").parse::<usize>() else {
                bail!("device `{name}`: `cuda:` requires the number of a GPU, from 0")
            };
            super::gpu::open_cuda(name, index)
        }
        ("metal", None) => super::gpu::open_metal(),
        _ => bail!("unknown device `{name}`; use `cpu`, `cuda`, `cuda:<index>` or `metal`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_the_requested_device_or_fails() {
        assert!(parse_device("cpu").unwrap().is_cpu());
        #[rustfmt::skip]
        let table = [
            ("cuda:x",  "number of a GPU"),
            #[cfg(not(feature = "metal"))]
            ("metal",   "no Metal support"),
            ("metal:0", "unknown device"),
            ("cpu:0",   "unknown device"),
            ("",        "unknown device"),
        ];
        for (name, expected) in table {
            let message = parse_device(name).unwrap_err().to_string();
            assert!(message.contains(expected), "{name}: {message}");
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn rejects_a_gpu_without_its_feature() {
        for name in ["cuda", "cuda:1"] {
            let message = parse_device(name).unwrap_err().to_string();
            assert!(message.contains("no CUDA support"), "{name}: {message}");
        }
    }
}
