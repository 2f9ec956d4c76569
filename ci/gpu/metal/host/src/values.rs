//! Values in the memory of a launch.

use candle_metal_kernels::metal::Launch;
use half::{bf16, f16};

/// Type of a value, by the suffix of candle's kernels.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Type {
    F32,
    F16,
    Bf16,
    U32,
    U8,
    I64,
}

impl Type {
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "f32" | "float32" => Self::F32,
            "f16" | "float16" => Self::F16,
            "bf16" | "bfloat16" => Self::Bf16,
            "u32" => Self::U32,
            "u8" => Self::U8,
            "i64" => Self::I64,
            _ => return None,
        })
    }

    fn size(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::F16 | Self::Bf16 => 2,
            Self::F32 | Self::U32 => 4,
            Self::I64 => 8,
        }
    }
}

/// Memory bound at one index.
#[derive(Clone, Copy)]
pub struct Values {
    address: *mut u8,
    length: usize,
}

impl Values {
    /// Returns the address of value `index`.
    fn at(&self, ty: Type, index: usize) -> *mut u8 {
        let end = (index + 1) * ty.size();
        assert!(end <= self.length, "value {index} is past the end of its buffer");
        // SAFETY: the address is within the binding, as just checked.
        unsafe { self.address.add(end - ty.size()) }
    }

    pub fn get(&self, ty: Type, index: usize) -> f64 {
        let at = self.at(ty, index);
        // SAFETY: the value is within the binding, and all bit patterns are valid.
        unsafe {
            match ty {
                Type::F32 => f64::from(at.cast::<f32>().read_unaligned()),
                Type::F16 => at.cast::<f16>().read_unaligned().to_f64(),
                Type::Bf16 => at.cast::<bf16>().read_unaligned().to_f64(),
                Type::U32 => f64::from(at.cast::<u32>().read_unaligned()),
                Type::U8 => f64::from(at.read()),
                Type::I64 => at.cast::<i64>().read_unaligned() as f64,
            }
        }
    }

    pub fn set(&self, ty: Type, index: usize, value: f64) {
        let at = self.at(ty, index);
        // SAFETY: the value is within the binding.
        unsafe {
            match ty {
                Type::F32 => at.cast::<f32>().write_unaligned(value as f32),
                Type::F16 => at.cast::<f16>().write_unaligned(f16::from_f64(value)),
                Type::Bf16 => at.cast::<bf16>().write_unaligned(bf16::from_f64(value)),
                Type::U32 => at.cast::<u32>().write_unaligned(value as u32),
                Type::U8 => at.write(value as u8),
                Type::I64 => at.cast::<i64>().write_unaligned(value as i64),
            }
        }
    }

    /// Returns value `index` of an array of sizes.
    pub fn size(&self, index: usize) -> usize {
        self.get(Type::I64, index) as usize
    }
}

/// Returns the memory bound at this index.
pub fn bound(launch: &Launch<'_>, index: usize) -> Values {
    let (address, length) = launch.bindings[index];
    Values { address, length }
}

/// Returns the offsets of a shape with these strides, in row-major order.
pub fn offsets(dims: &[usize], strides: &[usize]) -> Vec<usize> {
    let mut offsets = vec![0];
    for (dim, stride) in dims.iter().zip(strides) {
        offsets = offsets.iter().flat_map(|it| (0..*dim).map(move |i| it + i * stride)).collect();
    }
    offsets
}
