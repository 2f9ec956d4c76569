//! A device from its name.

use candle_core::{Device, Result, bail};

/// The device called `cpu`, `cuda`, `cuda:<index>` or `metal`.
///
/// A device that this build or this machine does not have is an error, never another device.
///
/// # Errors
///
/// If the name is none of these or the device is not there.
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
                bail!("device `{name}`: after `cuda:` comes the number of a GPU, from 0")
            };
            super::gpu::open_cuda(name, index)
        }
        ("metal", None) => super::gpu::open_metal(),
        _ => bail!("no device is called `{name}`: say `cpu`, `cuda`, `cuda:<index>` or `metal`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_what_was_asked_for_or_an_error() {
        assert!(parse_device("cpu").unwrap().is_cpu());
        #[rustfmt::skip]
        let table = [
            ("cuda:x",  "number of a GPU"),
            #[cfg(not(feature = "metal"))]
            ("metal",   "no Metal support"),
            ("metal:0", "no device is called"),
            ("cpu:0",   "no device is called"),
            ("",        "no device is called"),
        ];
        for (name, expected) in table {
            let message = parse_device(name).unwrap_err().to_string();
            assert!(message.contains(expected), "{name}: {message}");
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_gpu_that_the_build_does_not_know_is_an_error() {
        for name in ["cuda", "cuda:1"] {
            let message = parse_device(name).unwrap_err().to_string();
            assert!(message.contains("no CUDA support"), "{name}: {message}");
        }
    }
}
