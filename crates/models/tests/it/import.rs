//! Networks pickled as EDM pickles them, and as state dicts, into ours.

use candle_core::{Device, Tensor};
use kernels::noise::NoiseStream;
use pickle::writer::{Class, EdmFile, ModuleSpec, TensorSpec, write_edm};
use pickle::{self, Contents, FileBytes, Limits, Plain};
use uni_instruct_models::import::Import;
use uni_instruct_models::unet::config::SongConfig;
use uni_instruct_models::{
    Architecture, Conditioning, Denoiser, Error, NetworkConfig, NetworkFile, ParamSet, Provenance,
    Role, export,
};

/// The arguments of the smallest network that has labels, augmentation and attention.
fn kwargs() -> Vec<(&'static str, Plain)> {
    let sizes = |sizes: &[i64]| Plain::list(sizes.iter().map(|it| Plain::from(*it)));
    vec![
        ("img_resolution", 8i64.into()),
        ("img_channels", 1i64.into()),
        ("label_dim", 3i64.into()),
        ("use_fp16", false.into()),
        ("sigma_min", 0.0.into()),
        ("sigma_max", f64::INFINITY.into()),
        ("sigma_data", 0.25.into()),
        ("model_type", "SongUNet".into()),
        ("augment_dim", 9i64.into()),
        ("model_channels", 8i64.into()),
        ("channel_mult", sizes(&[1, 2])),
        ("num_blocks", 1i64.into()),
        ("attn_resolutions", sizes(&[4])),
        ("resample_filter", sizes(&[1, 3, 3, 1])),
        ("embedding_type", "fourier".into()),
        ("encoder_type", "residual".into()),
        ("channel_mult_noise", 2i64.into()),
        ("dropout", 0.05.into()),
    ]
}

/// The bytes of a pickle with a network of these arguments and tensors.
fn pickled(class: &str, kwargs: &[(&str, Plain)], params: &ParamSet) -> Vec<u8> {
    let name = class.to_owned();
    let init_kwargs = Plain::dict(kwargs.iter().cloned());
    let tensors = params.tensors().into_iter().map(|(key, tensor)| {
        let numbers = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        (key, TensorSpec::of_f32(tensor.dims(), &numbers))
    });
    let root = ModuleSpec::of_tensors(Class::Persistent { name, init_kwargs }, tensors);
    let file = EdmFile {
        module_src: "class Nothing: pass".to_owned(),
        networks: vec![("ema".to_owned(), root)],
        ..EdmFile::default()
    };
    write_edm(&file).unwrap()
}

fn open(bytes: Vec<u8>) -> Contents {
    pickle::open(&FileBytes::new("made.pkl", bytes), &Limits::default()).unwrap()
}

/// A network of [`kwargs`] with random numbers everywhere, biases and zero layers included.
fn network() -> NetworkFile {
    let song = SongConfig {
        model_channels: 8,
        channel_mult: vec![1, 2],
        num_blocks: 1,
        attn_resolutions: vec![4],
        dropout: 0.05,
        ..SongConfig::ncsnpp()
    };
    let config = NetworkConfig {
        label_dim: 3,
        augment_dim: 9,
        sigma_data: 0.25,
        ..NetworkConfig::new(Architecture::Song(song), 8, 1)
    };
    let params = config.init(1).unwrap();
    for (at, var) in params.vars().values().enumerate() {
        let noise = draw(100 + at as u64, var.dims());
        var.set(&(var.as_tensor() + (noise * 0.1).unwrap()).unwrap()).unwrap();
    }
    NetworkFile { config, params, role: Role::Teacher, provenance: Provenance::default() }
}

fn draw(at: u64, shape: &[usize]) -> Tensor {
    NoiseStream::new(4, 5).normal_tensor(1_000_000 * at, shape, &Device::Cpu).unwrap()
}

fn denoised(file: &NetworkFile) -> Vec<f32> {
    let conditioning = Conditioning {
        labels: Some(draw(0, &[2, 3])),
        augment: Some(draw(1, &[2, 9])),
        dropout: None,
    };
    let network = file.config.build(&file.params.frozen()).unwrap();
    let sigma = Tensor::new(&[0.3f32, 5.0], &Device::Cpu).unwrap();
    let y = network.denoise(&draw(2, &[2, 1, 8, 8]), &sigma, &conditioning).unwrap();
    y.flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_same(found: &NetworkFile, expected: &NetworkFile) {
    assert_eq!(found.config, expected.config);
    let [tensors, wanted] = [found, expected].map(|it| it.params.tensors());
    assert_eq!(tensors.len(), wanted.len());
    for (key, tensor) in wanted {
        let bits = |it: &Tensor| {
            let numbers = it.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            numbers.into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        assert_eq!(bits(&tensors[&key]), bits(&tensor), "{key}");
    }
    let bits = |it: &NetworkFile| denoised(it).into_iter().map(f32::to_bits).collect::<Vec<_>>();
    assert_eq!(bits(found), bits(expected));
}

#[test]
fn pickled_networks_import_to_the_last_bit() {
    let network = network();
    let contents = open(pickled("EDMPrecond", &kwargs(), &network.params));
    let (found, _) = contents.network(None).unwrap();
    let import = Import::of_network(found).unwrap();
    assert_eq!(import.provenance.entries["source_class"], "EDMPrecond");
    assert_eq!(import.provenance.entries["source_class_blake3"].len(), 64);
    assert_same(&import.to_file().unwrap(), &network);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("network.safetensors");
    import.save(&path).unwrap();
    let saved = NetworkFile::load(&path).unwrap();
    assert_same(&saved, &network);
    assert_eq!(saved.provenance, import.provenance);
    // Written tensor by tensor, and all at once.
    assert_eq!(std::fs::read(&path).unwrap(), saved.to_bytes().unwrap());
}

#[test]
fn state_dicts_import_under_any_usual_prefix() {
    let network = network();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("network.pt");
    export::state_dict(&network, &path).unwrap();
    let contents = pickle::open(&FileBytes::read(&path).unwrap(), &Limits::default()).unwrap();
    let (dict, _) = contents.state_dict(None).unwrap();
    for rename in [
        |name: &str| name.to_owned(),
        |name: &str| format!("module.{name}"),
        |name: &str| name.strip_prefix("model.").unwrap().to_owned(),
    ] {
        let mut dict = dict.clone();
        dict.tensors.iter_mut().for_each(|it| it.name = rename(&it.name));
        let import = Import::of_state_dict(&dict, network.config.clone()).unwrap();
        assert_same(&import.to_file().unwrap(), &network);
    }
}

#[test]
fn a_folder_of_diffusers_holds_weights_and_configuration() {
    let network = network();
    let folder = tempfile::tempdir().unwrap();
    export::diffusers(&network, folder.path()).unwrap();
    let text = std::fs::read_to_string(folder.path().join("config.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&json["_class_name"], &json["label_dim"]), (&"EDMPrecond".into(), &3.into()));
    let weights = folder.path().join("diffusion_pytorch_model.safetensors");
    let tensors = uni_instruct_models::TensorFile::load(weights).unwrap().tensors;
    assert_eq!(tensors.len(), network.params.tensors().len());
}

/// The error of importing a network whose arguments are changed.
#[track_caller]
fn refused(class: &str, change: impl Fn(&mut Vec<(&'static str, Plain)>)) -> String {
    let mut kwargs = kwargs();
    change(&mut kwargs);
    let contents = open(pickled(class, &kwargs, &network().params));
    let (found, _) = contents.network(None).unwrap();
    let error: Error = Import::of_network(found).err().expect("is refused");
    error.to_string()
}

#[test]
fn rejects_unsupported_networks() {
    let set = |kwargs: &mut Vec<(&'static str, Plain)>, key: &'static str, value: Plain| {
        kwargs.retain(|it| it.0 != key);
        kwargs.push((key, value));
    };
    let cases: [(&str, String); 6] = [
        ("SongerPrecond", refused("SongerPrecond", |_| ())),
        ("`gated = True`", refused("EDMPrecond", |it| set(it, "gated", true.into()))),
        (
            "resample_filter",
            refused("EDMPrecond", |it| {
                set(it, "resample_filter", Plain::list([1.into(), 2.into(), 1.into()]));
            }),
        ),
        ("embedding_type", refused("EDMPrecond", |it| set(it, "embedding_type", "sinus".into()))),
        ("img_channels", refused("EDMPrecond", |it| it.retain(|it| it.0 != "img_channels"))),
        // Weights of another size than the arguments say.
        ("model.", refused("EDMPrecond", |it| set(it, "model_channels", 16.into()))),
    ];
    for (expected, error) in cases {
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

#[test]
fn rejects_nan_weights_and_keeps_the_old_file() {
    let network = network();
    let (key, var) = network.params.vars().iter().next().unwrap();
    var.set(&(var.as_tensor() * f64::NAN).unwrap()).unwrap();
    let contents = open(pickled("EDMPrecond", &kwargs(), &network.params));
    let (found, _) = contents.network(None).unwrap();
    let import = Import::of_network(found).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("network.safetensors");
    std::fs::write(&path, "before").unwrap();
    let error = format!("{:?}", import.save(&path).unwrap_err());
    assert!(error.contains(key.as_str()), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"before");
}
