//! The tensors of a network by name, with trainable and frozen views.
//!
//! A network is built from [`Params`], plain tensors by name. [`ParamSet::trainable`] gives the
//! variables themselves, so that gradients reach them; [`ParamSet::frozen`] gives detached views of
//! the same storage: they follow every update and never receive a gradient. Nothing is copied to
//! freeze a network.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{DType, Device, Shape, Tensor, Var};

use crate::error::{Error, Result};

/// The tensors that a network owns, in the order of their names.
#[derive(Clone, Debug, Default)]
pub struct ParamSet {
    vars: BTreeMap<String, Var>,
    /// Detached views of `constants`.
    buffers: BTreeMap<String, Tensor>,
    constants: BTreeMap<String, Var>,
}

impl ParamSet {
    /// A set of trained tensors, each copied.
    ///
    /// # Errors
    ///
    /// If the device cannot hold them.
    pub fn from_tensors(tensors: &BTreeMap<String, Tensor>) -> Result<Self> {
        let mut set = Self::default();
        for (key, tensor) in tensors {
            set.insert(key.clone(), Var::from_tensor(tensor)?, true);
        }
        Ok(set)
    }

    pub(crate) fn insert(&mut self, key: String, var: Var, trained: bool) {
        if trained {
            self.vars.insert(key, var);
        } else {
            self.buffers.insert(key.clone(), var.as_detached_tensor());
            self.constants.insert(key, var);
        }
    }

    /// Trained tensors.
    pub fn vars(&self) -> &BTreeMap<String, Var> {
        &self.vars
    }

    /// Constants that belong to the network: resampling filters, Fourier frequencies.
    pub fn buffers(&self) -> &BTreeMap<String, Tensor> {
        &self.buffers
    }

    /// The tensors for a network that is trained.
    pub fn trainable(&self) -> Params {
        self.view(|var| var.as_tensor().clone())
    }

    /// The tensors for a network that only passes gradients on to its input.
    pub fn frozen(&self) -> Params {
        self.view(Var::as_detached_tensor)
    }

    fn view(&self, of: impl Fn(&Var) -> Tensor) -> Params {
        let vars = self.vars.iter().map(|(key, var)| (key.clone(), of(var)));
        let buffers = self.buffers.iter().map(|(key, tensor)| (key.clone(), tensor.clone()));
        Params { tensors: Arc::new(vars.chain(buffers).collect()), prefix: String::new() }
    }

    /// Number of trained parameters.
    pub fn parameter_count(&self) -> usize {
        self.vars.values().map(|var| var.elem_count()).sum()
    }

    /// A copy in separate storage.
    ///
    /// # Errors
    ///
    /// If the device cannot hold them.
    pub fn deep_copy(&self) -> Result<Self> {
        self.map(|tensor| Ok(tensor.clone()))
    }

    /// A copy in another precision: gradient checks run in f64.
    ///
    /// # Errors
    ///
    /// If the device cannot hold it.
    pub fn to_dtype(&self, dtype: DType) -> Result<Self> {
        self.map(|tensor| tensor.to_dtype(dtype))
    }

    /// A copy on another device.
    ///
    /// # Errors
    ///
    /// If the device cannot hold it.
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        self.map(|tensor| tensor.to_device(device))
    }

    fn map(&self, of: impl Fn(&Tensor) -> candle_core::Result<Tensor>) -> Result<Self> {
        let mut set = Self::default();
        for (vars, trained) in [(&self.vars, true), (&self.constants, false)] {
            for (key, var) in vars {
                // A variable copies the tensor that it is created from.
                let copy = Var::from_tensor(&of(&var.as_detached_tensor())?)?;
                set.insert(key.clone(), copy, trained);
            }
        }
        Ok(set)
    }

    /// Everything, to be saved: detached views by full name.
    pub fn tensors(&self) -> BTreeMap<String, Tensor> {
        let vars = self.vars.iter().map(|(key, var)| (key.clone(), var.as_detached_tensor()));
        let buffers = self.buffers.iter().map(|(key, tensor)| (key.clone(), tensor.clone()));
        vars.chain(buffers).collect()
    }

    /// Copies the values of `tensors`; views follow. Constants may be left out.
    ///
    /// # Errors
    ///
    /// Naming the key: a tensor missing, in excess, of another shape, or not finite. Then nothing
    /// has been written.
    pub fn set_from(&self, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
        let own = |key: &String| self.vars.get(key).or_else(|| self.constants.get(key));
        if let Some((key, tensor)) = tensors.iter().find(|(key, _)| own(key).is_none()) {
            return Err(Error::Unexpected { key: key.clone(), found: tensor.dims().to_vec() });
        }
        if let Some((key, var)) = self.vars.iter().find(|(key, _)| !tensors.contains_key(*key)) {
            return Err(Error::Missing { key: key.clone(), expected: var.dims().to_vec() });
        }
        for (key, tensor) in tensors {
            let expected = own(key).map(|var| var.dims().to_vec()).unwrap_or_default();
            if expected != tensor.dims() {
                let found = tensor.dims().to_vec();
                return Err(Error::Shape { key: key.clone(), expected, found });
            }
            if !is_finite(tensor)? {
                return Err(Error::NonFinite { key: key.clone() });
            }
        }
        for (key, tensor) in tensors {
            if let Some(var) = own(key) {
                var.set(&tensor.to_device(var.device())?.to_dtype(var.dtype())?.contiguous()?)?;
            }
        }
        Ok(())
    }
}

/// Tensors by name, as a network is built from them.
#[derive(Clone, Debug)]
pub struct Params {
    tensors: Arc<BTreeMap<String, Tensor>>,
    prefix: String,
}

impl Params {
    /// The tensors whose names start with `name` and a dot.
    pub fn at(&self, name: &str) -> Self {
        Self { tensors: self.tensors.clone(), prefix: format!("{}{name}.", self.prefix) }
    }

    /// The tensor of this name and shape.
    ///
    /// # Errors
    ///
    /// With the full name, if the tensor is missing or has another shape.
    pub fn get(&self, name: &str, shape: impl Into<Shape>) -> Result<Tensor> {
        let (key, expected) = (format!("{}{name}", self.prefix), shape.into().into_dims());
        let Some(tensor) = self.tensors.get(&key) else {
            return Err(Error::Missing { key, expected });
        };
        if tensor.dims() != expected {
            return Err(Error::Shape { key, expected, found: tensor.dims().to_vec() });
        }
        Ok(tensor.clone())
    }
}

/// True if every element of the tensor is finite.
///
/// # Errors
///
/// If the tensor cannot be read from its device.
pub fn is_finite(tensor: &Tensor) -> Result<bool> {
    // Zero times a number is zero unless the number is not finite, and then it is NaN.
    // Not every device has f64, and a sum of zeros needs none.
    let sum = (tensor.flatten_all()? * 0.0)?.sum_all()?.to_device(&Device::Cpu)?;
    Ok(sum.to_dtype(DType::F64)?.to_scalar::<f64>()? == 0.0)
}
