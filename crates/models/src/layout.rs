//! The layout of a network: names, shapes and initial values of its tensors.
//!
//! # Why the constructor serves three purposes
//!
//! A network's constructor requests each tensor from a [`Scope`] by name, shape and initialization.
//! The scope holds either real tensors ([`Params`]) or a recorder of the requests. So shapes, initial
//! weights and the network itself come from one constructor and cannot disagree, and an architecture
//! of 300 M parameters can be listed without allocating it.

use std::cell::RefCell;
use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var};

use crate::error::{Error, Result};
use crate::params::{ParamSet, Params};
use kernels::noise::NoiseStream;

/// Noise stream of initial weights; the position within it is the hash of the tensor's name.
const INIT_STREAM: u32 = 0x494e_4954;

/// Initial value of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Init {
    /// All entries the same.
    Constant(f64),
    /// Uniform in `[-bound, bound]`.
    Uniform(f64),
    /// Normal with mean zero and this standard deviation.
    Normal(f64),
    /// These values.
    Values(Vec<f64>),
}

impl Init {
    /// Glorot's uniform distribution times `gain`: bound `gain · √(6 / (fan_in + fan_out))`.
    pub fn xavier_uniform(fan_in: usize, fan_out: usize, gain: f64) -> Self {
        Self::Uniform(gain * (6.0 / (fan_in + fan_out) as f64).sqrt())
    }

    /// He's uniform distribution with unit gain, times `gain`: bound `gain · √(3 / fan_in)`.
    pub fn kaiming_uniform(fan_in: usize, gain: f64) -> Self {
        Self::Uniform(gain * (3.0 / fan_in as f64).sqrt())
    }

    /// He's normal distribution with unit gain, times `gain`: deviation `gain / √fan_in`.
    pub fn kaiming_normal(fan_in: usize, gain: f64) -> Self {
        Self::Normal(gain / (fan_in as f64).sqrt())
    }

    fn tensor(&self, key: &str, shape: &[usize], seed: u64) -> Result<Tensor> {
        let count = shape.iter().product::<usize>();
        let stream = NoiseStream::new(seed, INIT_STREAM);
        let flat = match self {
            Self::Constant(value) => Tensor::full(*value as f32, count, &Device::Cpu)?,
            Self::Uniform(bound) => {
                let unit = stream.uniform_tensor(hash(key), (1, count), &Device::Cpu)?;
                unit.affine(2.0 * bound, -bound)?
            }
            Self::Normal(deviation) => {
                (stream.normal_tensor(hash(key), (1, count), &Device::Cpu)? * *deviation)?
            }
            Self::Values(values) => {
                Tensor::from_slice(values, count, &Device::Cpu)?.to_dtype(DType::F32)?
            }
        };
        Ok(flat.reshape(shape)?)
    }
}

/// One tensor of a layout.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub shape: Vec<usize>,
    pub init: Init,
    /// True if it is trained; resampling filters and Fourier frequencies are constants.
    pub trained: bool,
}

/// All tensors of a network, by full name.
#[derive(Debug, Default)]
pub(crate) struct Layout(pub BTreeMap<String, Spec>);

impl Layout {
    /// The tensors that `build` requests.
    pub fn of<N>(build: impl FnOnce(&Scope<'_>) -> Result<N>) -> Result<Self> {
        let recorder = Recorder::default();
        build(&Scope { source: &recorder, prefix: String::new() })?;
        Ok(Self(recorder.0.into_inner()))
    }

    /// Initial weights.
    pub fn init(&self, seed: u64) -> Result<ParamSet> {
        let mut set = ParamSet::default();
        for (key, spec) in &self.0 {
            let tensor = Var::from_tensor(&spec.init.tensor(key, &spec.shape, seed)?)?;
            set.insert(key.clone(), tensor, spec.trained);
        }
        Ok(set)
    }

    /// A set of the given tensors, in f32 on the CPU.
    ///
    /// Missing constants are recomputed.
    ///
    /// # Errors
    ///
    /// Naming the key: a tensor missing, in excess, of another shape, or not finite.
    pub fn fill(&self, tensors: &BTreeMap<String, Tensor>) -> Result<ParamSet> {
        let shapes = tensors.iter().map(|(key, tensor)| (key.as_str(), tensor.dims()));
        self.check_shapes(&shapes.collect())?;
        let mut set = ParamSet::default();
        for (key, spec) in &self.0 {
            let tensor = match tensors.get(key) {
                Some(tensor) => self.admit(key, tensor)?,
                None => self.constant(key)?,
            };
            set.insert(key.clone(), Var::from_tensor(&tensor)?, spec.trained);
        }
        Ok(set)
    }

    /// Checks that tensors of these names and shapes fill the layout; constants may be missing.
    ///
    /// # Errors
    ///
    /// Naming the key: a tensor missing, in excess or of another shape.
    pub fn check_shapes(&self, shapes: &BTreeMap<&str, &[usize]>) -> Result<()> {
        if let Some((key, found)) = shapes.iter().find(|(key, _)| !self.0.contains_key(**key)) {
            return Err(Error::Unexpected { key: (*key).to_owned(), found: found.to_vec() });
        }
        for (key, Spec { shape, init, .. }) in &self.0 {
            let (key, expected) = (key.clone(), shape.clone());
            match (shapes.get(key.as_str()), init) {
                (Some(found), _) if *found != shape => {
                    return Err(Error::Shape { key, expected, found: found.to_vec() });
                }
                (None, Init::Values(_)) | (Some(_), _) => (),
                (None, _) => return Err(Error::Missing { key, expected }),
            }
        }
        Ok(())
    }

    /// The tensor of this key in f32 on the CPU, its shape having been checked.
    ///
    /// # Errors
    ///
    /// If it is not finite, or not the constant that it should be.
    pub fn admit(&self, key: &str, tensor: &Tensor) -> Result<Tensor> {
        let tensor = tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
        if !crate::params::is_finite(&tensor)? {
            return Err(Error::NonFinite { key: key.to_owned() });
        }
        if let Some(Spec { init: Init::Values(values), .. }) = self.0.get(key) {
            check_constant(key, &tensor, values)?;
        }
        Ok(tensor)
    }

    /// The constant of this key, recomputed.
    ///
    /// # Errors
    ///
    /// If the key is not a constant.
    pub fn constant(&self, key: &str) -> Result<Tensor> {
        match self.0.get(key) {
            Some(Spec { init: init @ Init::Values(_), shape, .. }) => init.tensor(key, shape, 0),
            spec => {
                let expected = spec.map(|it| it.shape.clone()).unwrap_or_default();
                Err(Error::Missing { key: key.to_owned(), expected })
            }
        }
    }
}

/// A stored constant must be the one that the configuration implies, up to f32 arithmetic.
fn check_constant(key: &str, tensor: &Tensor, values: &[f64]) -> Result<()> {
    const TOLERANCE: f64 = 1e-3;
    let found = tensor.flatten_all()?.to_vec1::<f32>()?;
    let close = |(&a, &b): (&f32, &f64)| (f64::from(a) - b).abs() <= TOLERANCE * b.abs();
    if found.iter().zip(values).all(close) {
        Ok(())
    } else {
        Err(Error::Constant { key: key.to_owned() })
    }
}

/// FNV-1a, 64 bits: a name has the same initial weights in every version.
fn hash(key: &str) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    key.bytes().fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

/// Source of a constructor's tensors, under a prefix.
#[derive(Clone)]
pub(crate) struct Scope<'a> {
    source: &'a dyn Source,
    prefix: String,
}

impl<'a> Scope<'a> {
    /// The root of a set of tensors.
    pub fn root(params: &'a Params) -> Self {
        Self { source: params, prefix: String::new() }
    }

    /// The tensors under `name`.
    pub fn at(&self, name: impl AsRef<str>) -> Self {
        Self { source: self.source, prefix: format!("{}{}.", self.prefix, name.as_ref()) }
    }

    /// A trained tensor.
    pub fn param(&self, name: &str, shape: &[usize], init: Init) -> Result<Tensor> {
        self.get(name, Spec { shape: shape.to_vec(), init, trained: true })
    }

    /// A constant that belongs to the network and its file.
    pub fn buffer(&self, name: &str, shape: &[usize], init: Init) -> Result<Tensor> {
        self.get(name, Spec { shape: shape.to_vec(), init, trained: false })
    }

    fn get(&self, name: &str, spec: Spec) -> Result<Tensor> {
        self.source.get(&format!("{}{name}", self.prefix), spec)
    }
}

trait Source {
    fn get(&self, key: &str, spec: Spec) -> Result<Tensor>;
}

impl Source for Params {
    fn get(&self, key: &str, spec: Spec) -> Result<Tensor> {
        Params::get(self, key, spec.shape)
    }
}

#[derive(Default)]
struct Recorder(RefCell<BTreeMap<String, Spec>>);

impl Source for Recorder {
    /// An empty stand-in: constructors store tensors and never compute with them.
    fn get(&self, key: &str, spec: Spec) -> Result<Tensor> {
        self.0.borrow_mut().insert(key.to_owned(), spec);
        Ok(Tensor::zeros(0, DType::F32, &Device::Cpu)?)
    }
}
