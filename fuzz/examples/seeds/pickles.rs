//! Pickles that are accepted, from our writers.

use models::NetworkConfig;
use pickle::writer::{
    Class, EdmFile, ModuleSpec, Pickler, Protocol, TensorSpec, legacy_state_dict, legacy_storage,
    write_edm,
};
use pickle::{Dtype, Plain};

use crate::Seed;

pub fn seeds() -> Vec<Seed> {
    vec![
        ("values-2", values(Protocol::Two)),
        ("values-4", values(Protocol::Four)),
        ("values-0", OLDEST.to_vec()),
        ("numpy", NUMPY.to_vec()),
        ("network", network(&fuzz::network_config(), None)),
        ("network-nan", network(&fuzz::network_config(), Some(f32::NAN))),
        ("edm", edm()),
        ("legacy", legacy_state_dict(&tensors()).expect("complete values")),
        ("object", object()),
        ("storage", legacy_storage(Dtype::F32, &[0; 8]).expect("complete values")),
    ]
}

/// Values in the oldest protocol, in lines of text.
const OLDEST: &[u8] = b"(dp0\nVtext\np1\nI7\nsS'a\\n\\x41'\nL12345678901234567890L\nsVx\n\
    (lp2\nF0.5\naI01\naNasVt\n(I1\nI2\nt(V\\u00e9\ntsg1\ng2\ns.";

/// A NumPy scalar and a byte string in protocol 2.
const NUMPY: &[u8] =
    b"\x80\x02}U\x01acnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nU\x02f8K\x00K\x01\
    \x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbc_codecs\nencode\n\
    X\x08\0\0\0\0\0\0\0\0\0\0\0X\x06\0\0\0latin1\x86R\x86Rs.";

fn values(protocol: Protocol) -> Vec<u8> {
    let value = Plain::dict([
        ("none", Plain::none()),
        ("flags", Plain::tuple([true.into(), false.into()])),
        ("ints", Plain::list([0i64, -1, 300, 70_000, i64::MIN].map(Plain::from))),
        ("long", Plain::from(1i128 << 100)),
        ("floats", Plain::tuple([0.5, f64::INFINITY, f64::NAN, -0.0].map(Plain::from))),
        ("text", Plain::from("α β")),
        ("bytes", Plain::bytes(vec![0, 0xff, 7])),
        ("set", Plain::set([Plain::from(3i64), "x".into()])),
        ("nested", Plain::list([Plain::tuple([Plain::dict([("k", Plain::none())])])])),
    ]);
    let mut pickler = Pickler::new(protocol);
    pickler.plain(&value).expect("plain values");
    pickler.finish()
}

/// Makes a tensor of every type.
pub fn tensors() -> Vec<(String, TensorSpec)> {
    let tensor = |(index, dtype): (usize, Dtype)| {
        let bytes: Vec<u8> = (0..2 * dtype.bytes()).map(|it| (it + index) as u8 & 1).collect();
        (format!("t{index}.weight"), TensorSpec::new(dtype, &[1, 2], bytes))
    };
    Dtype::ALL.into_iter().enumerate().map(tensor).collect()
}

/// Makes the tensors of a network of this configuration; `first` replaces the first value.
pub fn weights(config: &NetworkConfig, first: Option<f32>) -> Vec<(String, TensorSpec)> {
    let params = config.init(1).expect("a small network");
    let mut first = first;
    let tensors = params.tensors().into_iter().map(|(key, tensor)| {
        let flat = tensor.flatten_all().and_then(|it| it.to_vec1::<f32>());
        let mut values = flat.expect("values in memory");
        if let Some(value) = first.take() {
            values[0] = value;
        }
        (key, TensorSpec::of_f32(tensor.dims(), &values))
    });
    tensors.collect()
}

/// Pickles the smallest network as EDM does.
fn network(config: &NetworkConfig, first: Option<f32>) -> Vec<u8> {
    let sizes = |sizes: &[i64]| Plain::list(sizes.iter().map(|it| Plain::from(*it)));
    let init_kwargs = Plain::dict([
        ("img_resolution", Plain::from(4i64)),
        ("img_channels", 1i64.into()),
        ("model_type", "SongUNet".into()),
        ("model_channels", 4i64.into()),
        ("channel_mult", sizes(&[1])),
        ("channel_mult_emb", 1i64.into()),
        ("num_blocks", 1i64.into()),
        ("attn_resolutions", sizes(&[])),
        ("sigma_min", 0.0.into()),
        ("sigma_max", f64::INFINITY.into()),
        ("use_fp16", false.into()),
    ]);
    let class = Class::Persistent { name: "EDMPrecond".to_owned(), init_kwargs };
    let root = ModuleSpec::of_tensors(class, weights(config, first));
    let file = EdmFile {
        module_src: "class EDMPrecond: pass".to_owned(),
        networks: vec![("ema".to_owned(), root)],
        ..EdmFile::default()
    };
    write_edm(&file).expect("plain values")
}

/// Makes a small EDM file with all of its parts: a missing bias, hidden buffers, a storage shared
/// by a transposed view, a loss, other values.
fn edm() -> Vec<u8> {
    let named = |name: &str, tensor| (name.to_owned(), tensor);
    let shared = TensorSpec::of_f32(&[2, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    let tied = TensorSpec { shape: vec![3, 2], strides: vec![1, 3], ..shared.clone() };
    let conv = ModuleSpec {
        class: Class::Persistent {
            name: "Conv2d".to_owned(),
            init_kwargs: Plain::dict([("kernel", Plain::from(3i64))]),
        },
        parameters: vec![
            named("weight", Some(shared)),
            named("tied", Some(tied)),
            named("bias", None),
        ],
        buffers: vec![named("scratch", Some(TensorSpec::of_f32(&[1], &[0.0])))],
        hidden_buffers: vec!["scratch".to_owned()],
        attributes: vec![("kernel".to_owned(), Plain::from(3i64))],
        ..ModuleSpec::default()
    };
    let root = ModuleSpec { modules: vec![("conv".to_owned(), conv)], ..ModuleSpec::default() };
    let loss = Plain::dict([("P_mean", Plain::from(-1.2))]);
    let file = EdmFile {
        module_src: "class Conv2d: pass".to_owned(),
        networks: vec![("ema".to_owned(), root)],
        objects: vec![("loss_fn".to_owned(), "EDMLoss".to_owned(), loss)],
        state_dicts: vec![("net".to_owned(), tensors()[..2].to_vec())],
        values: vec![("augment_pipe".to_owned(), Plain::none())],
    };
    write_edm(&file).expect("plain values")
}

/// Makes the object of a zip file: a dictionary of a tensor in storage `0`, and one with strides.
fn object() -> Vec<u8> {
    let mut pickler = Pickler::new(Protocol::Two);
    let view = |shape: &[usize], strides: &[usize], offset| TensorSpec {
        strides: strides.to_vec(),
        offset,
        ..TensorSpec::new(Dtype::F32, shape, [])
    };
    let views =
        [("weight", "0", view(&[4, 4], &[4, 1], 0)), ("view", "1", view(&[2, 3], &[1, 4], 2))];
    pickler.ordered_dict();
    let written = pickler.entries(views.len(), |pickler, index| {
        let (name, key, tensor) = &views[index];
        pickler.text(name);
        tensor.write(pickler, |pickler| {
            pickler.tuple(5, |pickler| {
                pickler.text("storage");
                pickler.global("torch", "FloatStorage");
                pickler.text(key);
                pickler.text("cpu");
                pickler.int(16);
                Ok(())
            })?;
            pickler.persistent();
            Ok(())
        })
    });
    written.expect("a vector accepts all bytes");
    pickler.finish()
}
