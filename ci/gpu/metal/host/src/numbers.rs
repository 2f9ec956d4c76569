//! Numbers in the memory of a launch.

use candle_metal_kernels::metal::Launch;
use half::{bf16, f16};

/// A type of number, by the suffix of candle's kernels.
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

/// What is bound at one index.
#[derive(Clone, Copy)]
pub struct Numbers {
    address: *mut u8,
    length: usize,
}

impl Numbers {
    /// The bytes of number `index`.
    fn at(&self, ty: Type, index: usize) -> *mut u8 {
        let end = (index + 1) * ty.size();
        assert!(end <= self.length, "number {index} is past the end of its buffer");
        // SAFETY: within the binding, as has just been checked.
        unsafe { self.address.add(end - ty.size()) }
    }

    pub fn get(&self, ty: Type, index: usize) -> f64 {
        let at = self.at(ty, index);
        // SAFETY: the number is within the binding; any bits are a number.
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

    pub fn set(&self, ty: Type, index: usize, number: f64) {
        let at = self.at(ty, index);
        // SAFETY: the number is within the binding.
        unsafe {
            match ty {
                Type::F32 => at.cast::<f32>().write_unaligned(number as f32),
                Type::F16 => at.cast::<f16>().write_unaligned(f16::from_f64(number)),
                Type::Bf16 => at.cast::<bf16>().write_unaligned(bf16::from_f64(number)),
                Type::U32 => at.cast::<u32>().write_unaligned(number as u32),
                Type::U8 => at.write(number as u8),
                Type::I64 => at.cast::<i64>().write_unaligned(number as i64),
            }
        }
    }

    /// Number `index` of an array of sizes.
    pub fn size(&self, index: usize) -> usize {
        self.get(Type::I64, index) as usize
    }
}

/// What is bound at this index.
pub fn bound(launch: &Launch<'_>, index: usize) -> Numbers {
    let (address, length) = launch.bindings[index];
    Numbers { address, length }
}

/// The places that a shape with these strides has, in row-major order.
pub fn places(dims: &[usize], strides: &[usize]) -> Vec<usize> {
    let mut places = vec![0];
    for (dim, stride) in dims.iter().zip(strides) {
        places = places.iter().flat_map(|it| (0..*dim).map(move |i| it + i * stride)).collect();
    }
    places
}
